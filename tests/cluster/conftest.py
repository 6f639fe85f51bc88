"""A real standalone cluster on loopback: a master and two workers of one core each, in processes of their own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

LIMIT_S = 60
WORKERS = 2


def free_port() -> int:
    """One that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """spark://127.0.0.1:PORT of a cluster that these tests share."""
    with standalone(tmp_path_factory.mktemp("cluster")) as url:
        yield url


@contextmanager
def standalone(logs: Path) -> Iterator[str]:
    """spark://127.0.0.1:PORT, once both workers are known there; at the end these processes are ended, no other."""
    logs.mkdir(exist_ok=True)
    port = free_port()
    url = f"spark://127.0.0.1:{port}"
    with ExitStack() as stack:
        _start(stack, logs / "master", "master.Master", "--port", str(port), "--webui-port", str(free_port()))
        for number in range(WORKERS):
            work = ("--cores", "1", "--memory", "1g", "--work-dir", str(logs / f"work-{number}"))
            _start(stack, logs / f"worker-{number}", "worker.Worker", *work, "--webui-port", str(free_port()), url)
        _wait(logs)
        yield url


def _start(stack: ExitStack, log: Path, role: str, *options: str) -> None:
    import pyspark

    home = Path(pyspark.__file__).parent
    env = os.environ | {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",  # it would listen on a fixed port
        "PYSPARK_PYTHON": sys.executable,
    }
    command = [home / "bin" / "spark-class", f"org.apache.spark.deploy.{role}", "--host", "127.0.0.1", *options]
    output = stack.enter_context(log.open("w"))
    process = subprocess.Popen(command, env=env, stdout=output, stderr=output)
    stack.callback(_end, process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(logs: Path) -> None:
    until = time.monotonic() + LIMIT_S
    while (logs / "master").read_text().count("Registering worker") < WORKERS:
        if time.monotonic() > until:
            raise AssertionError("\n".join(log.read_text()[-2000:] for log in logs.iterdir() if log.is_file()))
        time.sleep(0.3)
