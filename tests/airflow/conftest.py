"""Airflow in a process, an environment and a home of its own; nothing of it is imported here, and nothing listens."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from ports import free_port

ROOT = Path(__file__).parents[2]
LIMIT_S = 1200  # the whole pipeline, on a busy machine


@dataclass(frozen=True)
class Airflow:
    """Asks in_airflow.py inside dags/.venv."""

    python: Path
    env: Mapping[str, str]

    def ask(self, *question: str, **env: str) -> Any:
        """The answer from JSON; an Airflow that fails shows the end of what it said."""
        done = subprocess.run(
            [self.python, Path(__file__).with_name("in_airflow.py"), *question],
            env={**self.env, **env},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        answer = [line for line in done.stdout.splitlines() if line.startswith("{")][-1]  # listeners log after it
        return json.loads(answer) | {"log": done.stdout + done.stderr}


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """Airflow with an empty SQLite database and a Spark connection to two local cores."""
    made = subprocess.run(
        [ROOT / "scripts" / "airflow-env"], stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT_S
    )
    venv = Path(made.stdout.strip())
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "LAKELOOM", "PYTHONPATH", "PYSPARK"))}
    env = kept | {
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW_CONN_SPARK_DEFAULT": '{"conn_type": "spark", "host": "local[2]"}',
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    subprocess.run(
        [venv / "bin" / "airflow", "db", "migrate"], env=env, check=True, capture_output=True, timeout=LIMIT_S
    )
    return Airflow(venv / "bin" / "python", env)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project folder whose conf/ is empty yet."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "pipelines").symlink_to(ROOT / "pipelines")
    return tmp_path


class Letters(list[Any]):
    """A post office that keeps what it is given."""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # aiosmtpd's name
        self.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=default)))
        return "250 kept"


@pytest.fixture(scope="module")
def post() -> Iterator[tuple[Letters, str]]:
    """Letters, and Airflow's connection to where they are taken."""
    port = free_port()
    office = Controller(Letters(), hostname="127.0.0.1", port=port)
    office.start()
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "lakeloom@example.org"}
    yield office.handler, json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra})
    office.stop()
