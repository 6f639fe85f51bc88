"""Every stage by spark-submit on a real cluster gives what one local process gives."""

import sys
from pathlib import Path

import pytest
from e2e.project import Project, Said, apart, flights, land_flights

pytestmark = [pytest.mark.spark, pytest.mark.cluster]

ROOT = Path(__file__).parents[2]
LIMIT_S = 400  # a stage, on a busy machine
CANDIDATES = (
    {"kind": "logistic_regression", "iterations": 5},
    {"kind": "xgboost", "rounds": 3, "depth": 3},
)
STAGES = ("tables.airports", "tables", "features.departures", "models", "scores")  # a kind stands for its stages


def landed(root: Path) -> Project:
    project = flights(root, CANDIDATES)
    (root / "conf" / "targets" / "submit.yml").write_text("{master: null}")
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
    for stage in STAGES:
        ended = submit(master, stage, project.conf)
        assert ended.code == 0, f"{stage}: {(ended.out + ended.err)[-3000:]}"
    return project


def submit(master: str, stage: str, conf: Path) -> Said:
    import pyspark

    command = [
        *(str(Path(pyspark.__file__).parent / "bin" / "spark-submit"), "--master", master),
        *("--driver-memory", "1g", "--executor-memory", "800m", "--conf", "spark.driver.host=127.0.0.1"),
        *("--conf", "spark.executor.extraJavaOptions=-XX:TieredStopAtLevel=1"),
        *(str(ROOT / "jobs" / "batch.py"), stage, str(conf), "--target", "submit"),
    ]
    return apart(command, LIMIT_S, PYSPARK_PYTHON=sys.executable, PYTHONPATH=str(ROOT), SPARK_LOCAL_IP="127.0.0.1")


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
