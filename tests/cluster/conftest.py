"""A real standalone cluster on loopback: a master and two workers of one core each, in processes of their own."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from ports import free_port

LIMIT_S = 60
WORKERS = 2


@dataclass
class Cluster:
    """A master and its workers; `logs` has what each says."""

    logs: Path
    port: int
    pages: int
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        """spark://127.0.0.1:PORT"""
        return f"spark://127.0.0.1:{self.port}"

    def begin(self) -> None:
        """Start a master and its workers; return once they know each other."""
        self._start("master", "master.Master", "--port", str(self.port), "--webui-port", str(self.pages))
        for _ in range(WORKERS):
            self.join()

    def join(self) -> None:
        """One more worker; returns once the master knows it."""
        name = f"worker-{len(self.workers)}"
        work = ("--cores", "1", "--memory", "1g", "--work-dir", str(self.logs / f"work-{name}"))
        self.workers.append(self._start(name, "worker.Worker", *work, "--webui-port", str(free_port()), self.url))
        self._wait(len(self.workers))

    def lose(self) -> None:
        """SIGKILL to the newest worker and all that it runs, as when a machine is gone; then another joins."""
        gone = psutil.Process(self.workers[-1].pid)
        lost = [*gone.children(recursive=True), gone]
        for process in lost:
            process.kill()
        self.workers[-1].wait()
        psutil.wait_procs(lost, timeout=LIMIT_S)
        self.join()

    def applications(self) -> list[Any]:
        """Those that the master knows to run."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.pages}/json/", timeout=30) as answer:
            found: list[Any] = json.load(answer)["activeapps"]
        return found

    def _start(self, name: str, role: str, *options: str) -> "subprocess.Popen[bytes]":
        import pyspark

        home = Path(pyspark.__file__).parent
        env = os.environ | {
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "256m",
            "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
            "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",  # it would listen on a fixed port
            "PYSPARK_PYTHON": sys.executable,
            "TZ": "Asia/Tokyo",
        }
        command = [home / "bin" / "spark-class", f"org.apache.spark.deploy.{role}", "--host", "127.0.0.1", *options]
        output = self.stack.enter_context((self.logs / name).open("w"))
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output)
        self.stack.callback(_end, process)
        return process

    def _wait(self, workers: int) -> None:
        until = time.monotonic() + LIMIT_S
        while (self.logs / "master").read_text().count("Registering worker") < workers:
            if time.monotonic() > until:
                said = (log.read_text()[-2000:] for log in self.logs.iterdir() if log.is_file())
                raise AssertionError("\n".join(said))
            time.sleep(0.3)


@contextmanager
def standalone(logs: Path) -> Iterator[Cluster]:
    """A cluster whose workers are known to its master; at the end its processes are ended, no other."""
    logs.mkdir(exist_ok=True)
    made = Cluster(logs, free_port(), free_port())
    with made.stack:
        made.begin()
        yield made


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """What these tests share."""
    with standalone(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(scope="session")
def database() -> Iterator[Any]:
    """A PostgreSQL, for Airflow's state."""
    from postgres.server import served

    with served() as server:
        yield server


@pytest.fixture(scope="session")
def airflow(cluster: Cluster, database: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real Airflow whose DAGs, rides and flights, run on the cluster; the target there names a secret."""
    from cluster.projects import few_flights, placed
    from cluster.trials import started

    home = placed(tmp_path_factory.mktemp("home"), cluster.url)
    few_flights(home)
    with started(home, database) as running:
        yield running


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
