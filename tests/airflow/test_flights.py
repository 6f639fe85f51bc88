"""The flights DAG as Airflow runs it: every task a real spark-submit, on two months of real flights."""

import shutil
from pathlib import Path

import land
import pytest

from pipelines.spec import load_target
from pipelines.state import Warehouse

pytestmark = pytest.mark.airflow
ROOT = Path(__file__).parents[2]


@pytest.fixture
def flights(home: Path) -> Path:
    """conf/flights.yml in a project of its own; few trees, and a gate that two winter months can pass."""
    shutil.copytree(ROOT / "conf" / "targets", home / "conf" / "targets")
    text = (ROOT / "conf" / "flights.yml").read_text()
    for whole, quick in {"rounds: 200": "rounds: 20", "min: 0.65": "min: 0.5"}.items():
        text = text.replace(whole, quick)
    conf = home / "conf" / "flights.yml"
    conf.write_text(text)
    land.main(["--through", "2013-02", "--to", load_target(conf, "submit").landing])
    return conf


def test_the_flights_dag_runs_from_files_to_scores(airflow, home, flights):
    found = airflow.ask("run", "flights", LAKELOOM_HOME=str(home))

    unlike = {task: outcome for task, outcome in found["tasks"].items() if outcome != ["success", 1]}
    assert unlike == {}, found["log"][-6000:]
    assert found["state"] == "success"
    records = {r.stage: r for r in Warehouse(load_target(flights, "submit").warehouse, "flights").records()}
    assert set(records) == set(found["tasks"])
    assert {r.status for r in records.values()} == {"ok"}
    assert records["tables.flights"].counts["rows_in"] == 27_004 + 24_951  # lines of January and of February
