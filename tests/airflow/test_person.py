"""scripts/airflow as a person types it: pages and scheduler on loopback, DAGs there and paused, a pool for Spark."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ports import free_port

from pipelines.spec import load_target
from pipelines.state import Warehouse

pytestmark = pytest.mark.airflow

RIDES = """
pipeline: rides
sources: {days_raw: {kind: files, format: csv, path: days, schema: "day INT"}}
tables: {days: {from: days_raw, select: "SELECT day FROM days_raw"}}
"""
ROOT, LIMIT_S = Path(__file__).parents[2], 300
SAID = re.compile(r"airflow: (http\S+)   user admin; the password is in (\S+)")


@dataclass
class Pages:
    """Where they are, and who asks."""

    url: str
    token: str = ""

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """JSON in, JSON out; asked again until it answers."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        until = time.monotonic() + LIMIT_S
        while True:
            try:
                asked = urllib.request.Request(self.url + path, data, headers, method=method)
                with urllib.request.urlopen(asked, timeout=30) as answer:
                    return json.load(answer)
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the flights conf and a small one, whose rows have landed."""
    made = tmp_path_factory.mktemp("person")
    shutil.copytree(ROOT / "conf", made / "conf", ignore=shutil.ignore_patterns("dags.json", "tests"))
    (made / "pipelines").symlink_to(ROOT / "pipelines")
    (made / "conf" / "rides.yml").write_text(RIDES)
    landed = Path(load_target(made / "conf" / "rides.yml", "submit").landing) / "days" / "1.csv"
    landed.parent.mkdir(parents=True)
    landed.write_text("day\n1\n2\n")
    return made


@pytest.fixture(scope="module")
def pages(home: Path) -> Iterator[Pages]:
    """By the address and the password that the command names."""
    port = free_port()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "LAKELOOM", "PYTHONPATH", "PYSPARK"))}
    with (home / "said").open("w") as said:
        command = [ROOT / "scripts" / "airflow", str(port)]
        env = {**kept, "AIRFLOW_HOME": str(home / "airflow"), "LAKELOOM_HOME": str(home)}
        process = subprocess.Popen(command, env=env, stdout=said, stderr=said, start_new_session=True)
    try:
        told = _until(
            lambda: re.search(r"airflow: (http\S+)   user admin; the password is in (\S+)", _read(home / "said"))
        )
        found, passwords = Pages(told[1]), Path(told[2])
        _until(lambda: passwords.exists() and _read(passwords))
        (password,) = json.loads(_read(passwords)).values()
        found.token = found.ask("/auth/token", {"username": "admin", "password": password})["access_token"]
        yield found
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        finally:
            os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None


def _read(file: Path) -> str:
    return file.read_text()


def _until(found: Any) -> Any:
    until = time.monotonic() + LIMIT_S
    while not (answer := found()):
        assert time.monotonic() < until
        time.sleep(0.5)
    return answer


def test_the_dags_of_the_confs_are_there_and_wait_to_be_switched_on(pages):
    assert pages.url.startswith("http://127.0.0.1:")
    assert pages.ask("/api/v2/dags/flights")["is_paused"]


def test_two_spark_applications_run_at_a_time(pages):
    assert pages.ask("/api/v2/pools/spark")["slots"] == 2
    tasks = pages.ask("/api/v2/dags/flights/tasks")["tasks"]
    assert {task["pool"] for task in tasks} == {"spark"}


def test_a_dag_that_is_switched_on_and_triggered_publishes_what_landed(pages, home):
    pages.ask("/api/v2/dags/rides", {"is_paused": False}, "PATCH")
    run = pages.ask("/api/v2/dags/rides/dagRuns", {"logical_date": None})["dag_run_id"]

    state = _until(lambda: _over(pages.ask(f"/api/v2/dags/rides/dagRuns/{run}")["state"]))

    assert state == "success"
    (record,) = Warehouse(load_target(home / "conf" / "rides.yml", "submit").warehouse, "rides").records()
    assert (record.stage, record.status, record.counts["applied"]) == ("tables.days", "ok", 2)


def _over(state: str) -> str:
    return state if state in ("success", "failed") else ""


def test_who_has_no_password_is_not_answered(pages):
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{pages.url}/api/v2/dags", timeout=30)
