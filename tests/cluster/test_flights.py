"""The flights conf as Airflow's scheduler runs it on a real cluster gives what `lakeloom run` on local cores gives."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from e2e.project import Project
from postgres.server import CANARY

from cluster.projects import SECRET, few_flights, next_month
from cluster.scheduler import Running

pytestmark = [pytest.mark.airflow, pytest.mark.cluster]

LIMIT_S = 400  # a command, on a busy machine
FUSED = {"tables-features-models-scores-monitors": 1}  # a task: its tries


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The first months and the next one by `lakeloom run`."""
    project = few_flights(tmp_path_factory.mktemp("local"))
    for arrives in (lambda project: None, next_month):
        arrives(project)
        assert project.lakeloom_apart("run", limit_s=LIMIT_S).error == ""
    return project


@pytest.fixture(scope="module")
def scheduled(airflow: Running) -> Project:
    """After a run of its DAG and one of the next month; `lakeloom submit` has made the first table before them."""
    project = Project(airflow.home, "flights")
    one = project.lakeloom_apart("submit", "tables.airports", "--target", "cluster", limit_s=LIMIT_S, **SECRET)
    assert one.error == "", one.err[-3000:]
    for arrives in (lambda project: None, next_month):
        arrives(project)
        run = airflow.trigger("flights")
        state = airflow.ended("flights", run)
        assert (state, airflow.tries("flights", run)) == ("success", FUSED), airflow.said("flights", run)
    return project


@pytest.mark.long
def test_tables_and_features_have_the_same_rows_and_checksums(local, scheduled):
    here, there = local.content(), scheduled.content()

    made = {name for name in here if not name.startswith("scores/")}
    assert {"tables/flights", "tables/airports_quarantine", "features/departures"} <= made
    assert {name: there[name] for name in made} == {name: here[name] for name in made}


@pytest.mark.long
@pytest.mark.parametrize("mode", ["daily", "live"])
def test_scores_are_the_same_to_nine_places(local, scheduled, mode):
    stage = f"scores.late_arrival_{mode}"
    here, there = ({r["flight_id"]: r["score"] for r in p.rows(stage)} for p in (local, scheduled))

    assert len(here) > 500
    assert there == pytest.approx(here, abs=1e-9)


@pytest.mark.long
def test_every_attempt_is_recorded_with_the_same_counts(local, scheduled):
    assert scheduled.attempts() == local.attempts()
    assert scheduled.models() == local.models()


def test_a_model_is_admitted_and_flights_are_scored_by_batch_and_by_stream(scheduled):
    flights = {r["flight_id"] for r in scheduled.rows("features.departures")}
    daily, live = ({r["flight_id"] for r in scheduled.rows(f"scores.late_arrival_{m}")} for m in ("daily", "live"))

    assert scheduled.models() == (1, {"champion": 1})
    assert live <= daily <= flights and min(len(live), len(daily)) > 500
    assert {len(scheduled.records(stage)) for stage in ("tables.flights", "features.departures")} == {2}


def test_what_the_target_names_as_a_secret_is_in_no_log_event_state_or_table(scheduled):
    files = [path for path in scheduled.root.rglob("*") if path.is_file()]
    events = [path for path in files if "events" in path.parts]
    held = {path: opened(path) for path in files}

    assert any(b"fs.s3a.secret.key" in held[path] for path in events)  # Spark knew it, and blotted it out
    assert [path for path in files if "airflow" in path.parts and path.suffix == ".log"]
    assert [path for path, text in held.items() if CANARY.encode() in text] == []


def opened(path: Path) -> bytes:
    """A file as its reader sees it: an event log without its compression, Parquet as text."""
    if path.suffix == ".parquet":
        return str(pq.ParquetFile(path).read().to_pylist()).encode()
    codec = "zstd" if path.suffix == ".zstd" else None
    with pa.input_stream(str(path), compression=codec) as held:
        found: bytes = held.read()
    return found
