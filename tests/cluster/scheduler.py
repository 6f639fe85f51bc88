"""A real Airflow on loopback: API server, DAG processor and scheduler in processes of their own; LocalExecutor.

Nothing of Airflow is imported here; it is asked by HTTP. What a test kills it kills by process id, and only below
the scheduler that was started here.
"""

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from ports import free_port

ROOT = Path(__file__).parents[2]
LIMIT_S = 300  # for anything, on a busy machine
RUN_S = 1200  # for a run of a DAG there
SCHEDULER = "scheduler"
QUICK = {  # so that what died is noticed in seconds
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "3600",
}


@dataclass
class Running:
    """One Airflow; `home` has conf/, logs and database."""

    venv: Path
    home: Path
    env: Mapping[str, str]
    port: int
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, part: str, *options: str) -> None:
        """Start a part of Airflow, in a session of its own."""
        with (self.home / f"{part}.log").open("ab") as log:
            command = [self.venv / "bin" / "airflow", part, *options]
            self.processes[part] = subprocess.Popen(
                command, env=self.env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def kill_scheduler(self) -> None:
        """SIGKILL to the scheduler alone, and another in its place: what it had started is nobody's child now."""
        gone = self.processes[SCHEDULER]
        self.orphans += psutil.Process(gone.pid).children(recursive=True)
        gone.kill()
        gone.wait()
        self.start(SCHEDULER)

    orphans: list[psutil.Process] = field(default_factory=list)

    def below(self, *words: str) -> list[psutil.Process]:
        """Processes that a scheduler of ours has started and whose command line has all these words."""
        roots = [psutil.Process(p.pid) for n, p in self.processes.items() if n == SCHEDULER and p.poll() is None]
        found = [*self.orphans, *(c for root in roots for c in root.children(recursive=True))]
        return [p for p in found if _says(p, words)]

    def patch(self, path: str, body: Any) -> Any:
        """A change of something that is there."""
        return self.ask(path, body, "PATCH")

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """Airflow's own API; JSON in, JSON out."""
        headers = {"Content-Type": "application/json"}
        if "/auth/" not in path:
            headers["Authorization"] = f"Bearer {self.ask('/auth/token')['access_token']}"
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)

    def trigger(self, dag: str, **asked: Any) -> str:
        """The id of a new run."""
        made = self.ask(f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "conf": asked})
        return str(made["dag_run_id"])

    def ended(self, dag: str, run: str) -> str:
        """The state of a run, once it has one that stays."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}"
        self.wait(lambda: self.ask(path)["state"] in ("success", "failed"), RUN_S)
        return str(self.ask(path)["state"])

    def tries(self, dag: str, run: str) -> dict[str, int]:
        """Task -> how often it was tried."""
        found = self.ask(f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return {t["task_id"]: t["try_number"] for t in found}

    def said(self, dag: str, run: str) -> str:
        """The end of what each task's last try logged."""
        logs = sorted(self.home.glob(f"airflow/logs/dag_id={dag}/run_id={run}/*/*.log"))
        return "\n".join(f"{log.parent.name}:\n{log.read_text()[-3000:]}" for log in logs)

    def wait(self, until: Callable[[], Any], limit_s: float = LIMIT_S) -> Any:
        """The first answer that is true; a call that fails is made again. What was said is shown if none comes."""
        end, last = time.monotonic() + limit_s, ""
        while time.monotonic() < end:
            try:
                if found := until():
                    return found
            except (OSError, ValueError) as error:
                last = repr(error)
            time.sleep(1)
        logs = "\n".join(f"{log}:\n{log.read_text()[-1500:]}" for log in sorted(self.home.glob("*.log")))
        raise AssertionError(f"{last}\n{logs}")

    def end(self) -> None:
        """End all that was started here, and what of that is still there."""
        left = [psutil.Process(p.pid) for p in self.processes.values() if p.poll() is None]
        left = [*self.orphans, *(c for p in left for c in p.children(recursive=True)), *left]
        for process in left:
            if process.is_running():
                process.send_signal(signal.SIGKILL)
        psutil.wait_procs(left, timeout=30)
        for part in self.processes.values():
            part.wait(timeout=30)


def _says(process: psutil.Process, words: tuple[str, ...]) -> bool:
    try:
        said = " ".join(process.cmdline())
    except psutil.Error:
        return False
    return all(word in said for word in words)


@contextmanager
def running(home: Path, target: str, **env: str) -> Iterator[Running]:
    """Airflow over home/conf on a target of it, its DAGs unpaused; ended with all its processes.

    env : what it finds there besides; without the address of a database its state lies in SQLite.
    """
    made = subprocess.run(
        [ROOT / "scripts" / "airflow-env"], stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT_S
    )
    venv, port = Path(made.stdout.strip()), free_port()
    found = Running(venv, home, _environment(home, target, port) | env, port)
    try:
        migrate = [venv / "bin" / "airflow", "db", "migrate"]
        subprocess.run(migrate, env=found.env, check=True, capture_output=True, timeout=LIMIT_S)
        found.start("api-server")  # first: the others ask it
        found.start("dag-processor")
        found.wait(lambda: found.ask("/auth/token"))
        found.start(SCHEDULER)
        yield found
    finally:
        found.end()


def _environment(home: Path, target: str, port: int) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "LAKELOOM", "PYTHONPATH", "PYSPARK"))}
    url = f"http://127.0.0.1:{port}"
    return kept | QUICK | {
        "LAKELOOM_HOME": str(home),
        "LAKELOOM_TARGET": target,
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API_AUTH__JWT_SECRET": "of-these-tests-alone-and-long-enough",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "TZ": "America/New_York",  # where nobody asked for UTC; a worker's machine is elsewhere still
    }  # fmt: skip
