"""What lies in the warehouse, without a JVM: only what was published, and what was refused."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from pipelines import show
from pipelines.errors import DataError, LakeloomError, SpecError
from pipelines.spec import Target, load
from pipelines.state import Record, Warehouse
from pipelines.told import Quality

PIPELINE = load(Path(__file__).parent / "golden" / "delays.yml")
NOW = datetime(2013, 12, 1, 5, tzinfo=UTC)
STAGES = [
    "tables.flights",
    "tables.weather",
    "tables.busy",
    "features.departures",
    "models.late_arrival",
    "scores.late_daily",
]


def record(stage: str, status="ok", **found) -> Record:
    return Record("delays", stage, 0, 0, "r1", "d1", status, NOW, 1.5, **found)


@pytest.fixture
def target(tmp_path):
    """Six flights published, a seventh written and refused, one record in the quarantine; a model; scores."""
    warehouse = Warehouse(str(tmp_path), "delays")
    path = warehouse.path("tables.flights")
    flights = pa.table({"flight_id": [f"f{i}" for i in range(6)], "distance": pa.array(range(6), pa.int32())})
    write_deltalake(path, flights)
    write_deltalake(path, flights.slice(0, 1), mode="append")
    refused = {
        "_hash": ["h1"],
        "_reasons": [["origin: not be null"]],
        "_record": ["UA,,1"],
        "_file": ["a.csv"],
        "_arrived_at": [NOW],
        "x": [1],
    }
    write_deltalake(warehouse.path("tables.flights", "quarantine"), pa.table(refused))
    warehouse.write(record("tables.flights", published_version=0, detail={"rows": 6}))
    warehouse.write(record("tables.weather", "refused", detail={"rows": 0}, error="too few rows"))
    warehouse.write(record("models.late_arrival", model_version=3, detail={"version": 3}))
    warehouse.write(record("scores.late_daily", published_version=1, counts={"scored": 40}))
    return Target(warehouse=str(tmp_path))


def test_the_overview_has_a_line_for_each_stage_in_order(target):
    lines = show.overview(PIPELINE, target)

    assert [x["stage"] for x in lines] == STAGES
    assert [(x["status"], x["version"], x["rows"], x["error"]) for x in lines] == [
        ("ok", 0, 6, ""),
        ("refused", None, 0, "too few rows"),
        ("never ran", None, None, ""),
        ("never ran", None, None, ""),
        ("ok", 3, None, ""),
        ("ok", 1, 40, ""),
    ]
    assert [x["at"] for x in lines[1:3]] == ["2013-12-01T05:00:00+00:00", None]


def test_a_table_shows_its_published_version_and_not_the_newest(target):
    found = show.table(PIPELINE, target, "tables.flights")

    assert (found["published_version"], found["rows"]) == (0, 6)
    assert found["columns"] == {"flight_id": "string", "distance": "integer"}
    assert [v["version"] for v in found["versions"]] == [1, 0]
    assert found["first_rows"] == [{"flight_id": f"f{i}", "distance": i} for i in range(show.ROWS)]


def test_a_table_shows_what_was_refused_and_why(target):
    found = show.table(PIPELINE, target, "tables.flights")["quarantine"]

    assert found["rows"] == 1
    assert found["first_rows"] == [
        {"_reasons": ["origin: not be null"], "_record": "UA,,1", "_file": "a.csv", "_arrived_at": NOW}
    ]


def test_quality_is_that_of_one_table(target):
    who = ("delays", "tables.flights", "r1", 0, 0, NOW)
    flights = Quality(*who, "expect", "origin: not be null", "warn", None, "row", False, 8, 2, 25.0, "2 of 8")
    weather = Quality("delays", "tables.weather", *who[2:], *("e", "l", "warn", None, "row", True, 1, 0, 0.0, ""))
    warehouse = Warehouse(target.warehouse, "delays")
    warehouse.remember([flights])
    warehouse.remember([weather])

    (row,) = show.quality(PIPELINE, target, "tables.flights")

    assert (row["stage"], row["label"], row["unexpected_percent"]) == ("tables.flights", "origin: not be null", 25.0)


@pytest.mark.parametrize(
    ("stage", "error", "sentence"),
    [
        (
            "tables.flights",
            DataError,
            "tables.flights: no promise was judged yet; `lakeloom run` judges those of its `expect`",
        ),
        ("", SpecError, "no table ''; there is tables.flights, tables.weather, tables.busy"),
    ],
)
def test_no_quality_is_one_sentence(target, stage, error, sentence):
    with pytest.raises(LakeloomError) as caught:
        show.quality(PIPELINE, target, stage)

    assert (type(caught.value), str(caught.value)) == (error, sentence)


def test_a_table_without_promises_has_no_quality(target):
    assert show.quality(PIPELINE, target, "tables.busy") == []


def test_a_hash_that_lies_in_no_quarantine_is_named(target):
    assert show.unknown(PIPELINE, target, "tables.flights", ["h1", "zz"]) == ["zz"]
    assert show.unknown(PIPELINE, target, "tables.busy", ["h1"]) == ["h1"]


@pytest.mark.parametrize(
    ("stage", "error", "sentence"),
    [
        ("tables.weather", DataError, "tables.weather: nothing was published yet; `lakeloom run` makes it"),
        (
            "tables.fights",
            SpecError,
            f"no table 'tables.fights'; there is {', '.join(s for s in STAGES if 'models' not in s)}",
        ),
    ],
)
def test_what_is_not_there_is_one_sentence(target, stage, error, sentence):
    with pytest.raises(LakeloomError) as caught:
        show.table(PIPELINE, target, stage)

    assert (type(caught.value), str(caught.value)) == (error, sentence)
