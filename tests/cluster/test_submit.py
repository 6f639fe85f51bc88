"""Every stage by `lakeloom submit` on a real cluster gives what one local process gives."""

import sys
from pathlib import Path

import pytest
from e2e.project import Project, flights, land_flights

pytestmark = [pytest.mark.spark, pytest.mark.cluster]

LIMIT_S = 400  # a stage, on a busy machine
CANDIDATES = (
    {"kind": "logistic_regression", "iterations": 5},
    {"kind": "xgboost", "rounds": 3, "depth": 3},
)
JOBS = (("tables.airports",), ("tables", "features.departures"), ("models",), ("scores",))  # a kind: its stages
TARGET = """
master: null
submit:
  kind: standalone
  master: {master}
  python: {python}
  log_level: ERROR
  sizes:
    etl: {size}
    train: {size}
spark: {{spark.driver.host: 127.0.0.1, spark.executor.extraJavaOptions: "-XX:TieredStopAtLevel=1"}}
"""
SIZE = "{driver_memory: 1g, executor_memory: 800m, executor_cores: 1, executors: 2}"


def landed(root: Path) -> Project:
    project = flights(root, CANDIDATES)
    land_flights(project, months=(1, 2), days=(1, 2, 3))
    return project


@pytest.fixture(scope="module")
def local(spark, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = landed(tmp_path_factory.mktemp("local"))
    assert project.lakeloom("run").error == ""
    return project


@pytest.fixture(scope="module")
def submitted(master: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = landed(tmp_path_factory.mktemp("submitted"))
    target = TARGET.format(master=master, python=sys.executable, size=SIZE)
    (project.root / "conf" / "targets" / "cluster.yml").write_text(target)
    for stages in JOBS:
        ended = project.lakeloom_apart(
            "submit", *stages, "--target", "cluster", limit_s=LIMIT_S, SPARK_LOCAL_IP="127.0.0.1"
        )
        assert ended.code == 0, f"{stages}: {(ended.out + ended.err)[-3000:]}"
    return project


def test_tables_and_features_have_the_same_rows_and_checksums(local, submitted):
    here, there = local.content(), submitted.content()

    made = {name for name in here if not name.startswith("scores/")}
    assert {"tables/flights", "tables/airports_quarantine", "features/departures"} <= made
    assert {name: there[name] for name in made} == {name: here[name] for name in made}


def test_scores_are_the_same_to_nine_places(local, submitted):
    stage = "scores.late_arrival_daily"
    here, there = ({r["flight_id"]: r["score"] for r in p.rows(stage)} for p in (local, submitted))

    assert len(here) > 500
    assert there == pytest.approx(here, abs=1e-9)


def test_every_attempt_is_recorded_with_the_same_counts(local, submitted):
    assert submitted.attempts() == local.attempts()
    assert submitted.models() == local.models() == (1, {"champion": 1})
