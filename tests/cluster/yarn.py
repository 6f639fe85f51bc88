"""A real YARN on loopback: a resource manager and one node manager, each a process, from jars pinned in yarn.lock.

Hadoop's jar for tests has both servers, and uses the client jars that Spark brings. There is no HDFS: what YARN hands
to its containers it copies from folders. All it writes lies in one folder, and its ports are free ones.
"""

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka.broker import CACHE, ROOT
from ports import free_port

LIMIT_S = 120
LOCK = Path(__file__).with_name("yarn.lock")
MEMORY_MB, CORES = 3072, 2  # a driver and an executor of the smallest
SERVERS = ("resourcemanager.ResourceManager", "nodemanager.NodeManager")
SMALL = ("-Xmx192m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
OPENED = "--add-opens=java.base/java.lang=ALL-UNNAMED"  # Guice, for the pages, makes classes by reflection
OURS = ("hadoop-client-*", "jcl-over-slf4j-*", "slf4j-api-*", "log4j-*", "javax.servlet-api-*")  # of Spark's jars


@dataclass(frozen=True)
class Yarn:
    """What a client of it needs to know, and what became of applications."""

    conf: Path  # HADOOP_CONF_DIR
    place: Path
    page: str  # host:port of the resource manager's own

    def ask(self, path: str) -> Any:
        """The resource manager's REST API."""
        with urllib.request.urlopen(f"http://{self.page}/ws/v1/cluster/{path}", timeout=10) as answer:
            return json.load(answer)

    def newest(self) -> dict[str, Any]:
        """The application that was submitted last."""
        every = (self.ask("apps")["apps"] or {}).get("app", ())
        found: dict[str, Any] = max(every, key=lambda app: app["id"])
        return found

    def attempts(self, application: str) -> int:
        """How often its driver was started."""
        return len(self.ask(f"apps/{application}/appattempts")["appAttempts"]["appAttempt"])

    def said(self, application: str) -> str:
        """What its driver and executors wrote."""
        logs = sorted((self.place / "logs" / application).glob("*/std*"))
        return "\n".join(f"{log.parent.name}/{log.name}:\n{log.read_text(errors='replace')}" for log in logs)


@contextmanager
def running(place: Path) -> Iterator[Yarn]:
    """Up once the node is known to the resource manager; at the end these processes are ended, no other."""
    conf, page = place / "conf", f"127.0.0.1:{free_port()}"
    conf.mkdir()
    made = Yarn(conf, place, page)
    for name in ("core-site.xml", "yarn-site.xml", "capacity-scheduler.xml"):
        (conf / name).write_text(_xml(_settings(place, page)))
    with ExitStack() as stack:
        processes = [_started(stack, made, server) for server in SERVERS]
        _wait(made, processes)
        yield made


def _settings(place: Path, page: str) -> dict[str, object]:
    names = ("resourcemanager", "resourcemanager.scheduler", "resourcemanager.resource-tracker")
    names += ("resourcemanager.admin", "nodemanager", "nodemanager.localizer", "nodemanager.webapp")
    return {
        **{f"yarn.{name}.address": f"127.0.0.1:{free_port()}" for name in names},
        "fs.defaultFS": "file:///",
        "hadoop.tmp.dir": place / "tmp",
        "yarn.resourcemanager.webapp.address": page,
        "yarn.nodemanager.local-dirs": place / "local",
        "yarn.nodemanager.log-dirs": place / "logs",
        "yarn.nodemanager.disk-health-checker.enable": "false",  # a disk that is 90 % full would be none
        "yarn.nodemanager.pmem-check-enabled": "false",
        "yarn.nodemanager.vmem-check-enabled": "false",
        "yarn.nodemanager.resource.memory-mb": MEMORY_MB,
        "yarn.nodemanager.resource.cpu-vcores": CORES,
        "yarn.nodemanager.env-whitelist": "JAVA_HOME,PATH,LANG,TZ,SPARK_LOCAL_IP",  # YARN's usual ones, and loopback
        "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms": 200,  # a container is given out at one
        "yarn.scheduler.minimum-allocation-mb": 256,
        "yarn.scheduler.capacity.root.queues": "default",
        "yarn.scheduler.capacity.root.default.capacity": 100,
        "yarn.scheduler.capacity.maximum-am-resource-percent": 1,
    }


def _xml(settings: Mapping[str, object]) -> str:
    each = (f"<property><name>{name}</name><value>{value}</value></property>" for name, value in settings.items())
    return "<configuration>\n{}\n</configuration>\n".format("\n".join(each))


def _started(stack: ExitStack, made: Yarn, server: str) -> "subprocess.Popen[bytes]":
    output = stack.enter_context((made.place / f"{server}.log").open("w"))
    env = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1"}  # which containers inherit
    process = subprocess.Popen(_java(made.conf, server), env=env, stdout=output, stderr=output)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def _java(conf: Path, server: str) -> list[str]:
    jars = CACHE.expanduser() / "yarn"
    subprocess.run([ROOT / "scripts" / "jars", LOCK, jars], check=True)
    sparks = (str(jar) for name in OURS for jar in Path(os.environ["SPARK_HOME"], "jars").glob(f"{name}.jar"))
    path = ":".join((str(conf), f"{jars}/*", *sparks))
    java = Path(os.environ["JAVA_HOME"], "bin", "java")
    return [str(java), *SMALL, OPENED, "-cp", path, f"org.apache.hadoop.yarn.server.{server}"]


def _wait(made: Yarn, processes: "list[subprocess.Popen[bytes]]") -> None:
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until and all(process.poll() is None for process in processes):
        try:
            if made.ask("metrics")["clusterMetrics"]["activeNodes"]:
                return
        except OSError:
            pass
        time.sleep(0.3)
    raise AssertionError("\n".join(log.read_text()[-2000:] for log in made.place.glob("*.log")))
