"""A feature table as it was: by moment and by run, from `_runs` and the table's log, without a JVM."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.errors import DataError, LakeloomError, SpecError
from pipelines.spec import Target, load
from pipelines.state import Record, Warehouse
from pipelines.vintage import vintage

GOLDEN = Path(__file__).parent / "golden" / "delays.yml"
PIPELINE = load(GOLDEN)
NOON = datetime(2013, 12, 1, 12, tzinfo=UTC)
FEATURES = "features.departures"


def record(stage: str, run: str, minutes: int, version: int | None, number: int) -> Record:
    """Written a minute after its start, which lies so long after noon."""
    begun, read = NOON + timedelta(minutes=minutes), {"tables.flights": {"upto": 7}, "tables.weather": {"upto": 2}}
    status = "ok" if version is not None else "refused"
    return Record("delays", stage, 0, number, run, "d", status, begun, 60.0, published_version=version, inputs=read)


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """Two versions were published, a third was written and refused; a run in between made only scores."""
    warehouse = Warehouse(str(tmp_path / "warehouse"), "delays")
    path = warehouse.path(FEATURES)
    for n in range(3):
        write_deltalake(path, pa.table({"flight_id": [f"f{n}"], "n": [n]}), mode="append")
    for row in (
        record(FEATURES, "r1", 0, 0, 0), record("scores.late_daily", "r2", 30, 5, 0), record(FEATURES, "r3", 60, 1, 1),
        record(FEATURES, "r4", 90, None, 2),
    ):  # fmt: skip
        warehouse.write(row)
    return Target(warehouse=str(tmp_path / "warehouse"))


@pytest.mark.parametrize(
    ("as_of", "version"),
    [
        ("2013-12-01T12:01", 0),  # the very moment of the record
        ("2013-12-01T13:00:59", 0),
        ("2013-12-01 14:01:00+01:00", 1),
        ("2013-12-02", 1),
        ("r1", 0),
        ("r2", 0),  # it left the features as they were
        ("r3", 1),
        ("r4", 1),  # it was refused
    ],
)
def test_the_version_is_the_last_that_was_published_by_then(target, as_of, version):
    found = vintage(PIPELINE, target, "departures", as_of)

    assert sorted(r["n"] for r in found.head(9)) == list(range(version + 1))
    assert found.summary() == {
        "stage": FEATURES, "version": version, "run": ("r1", "r3")[version], "rows": version + 1,
        "published_at": ("2013-12-01T12:01:00+00:00", "2013-12-01T13:01:00+00:00")[version],
        "read": {"flights": 7, "weather": 2},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "as_of", "kind", "sentence"),
    [
        ("departure", "r1", SpecError, "no feature table 'departure'; there is departures"),
        (
            "departures", "yesterday", SpecError,
            "--as-of 'yesterday': is neither a timestamp such as 2013-12-01T05:00 nor a run; "
            "the last runs: r1, r2, r3, r4",
        ),
        (
            "departures", "2013-12-01T12:00:59", DataError,
            "features.departures: no version was published by 2013-12-01 12:00:59 UTC; "
            "the first was at 2013-12-01 12:01:00 UTC",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_is_one_sentence(target, name, as_of, kind: type[LakeloomError], sentence):
    with pytest.raises(kind) as caught:
        vintage(PIPELINE, target, name, as_of)

    assert str(caught.value) == sentence


def test_a_version_of_which_upkeep_removed_files_is_gone(target):
    path = Path(Warehouse(target.warehouse, "delays").path(FEATURES))
    first = DeltaTable(path, version=0)
    for file in first.file_uris():
        Path(file).unlink()

    with pytest.raises(DataError) as caught:
        vintage(PIPELINE, target, "departures", "r1")

    assert str(caught.value) == f"{FEATURES}: version 0 of run r1 is gone: upkeep removed files of it"


def test_a_version_that_the_log_has_forgotten_is_gone(target):
    path = Path(Warehouse(target.warehouse, "delays").path(FEATURES))
    DeltaTable(path).create_checkpoint()
    (path / "_delta_log" / f"{0:020}.json").unlink()

    with pytest.raises(
        DataError, match=r"^features\.departures: version 0 of run r1 is gone: upkeep removed files of it$"
    ):
        vintage(PIPELINE, target, "departures", "r1")


def test_the_command_shows_it_and_writes_it(target, tmp_path):
    conf, to = tmp_path / "conf" / "delays.yml", tmp_path / "set"
    (conf.parent / "targets").mkdir(parents=True)
    (conf.parent / "targets" / "local.yml").write_text(f"warehouse: {target.warehouse}\n")
    conf.write_bytes(GOLDEN.read_bytes())
    asked = ["features", str(conf), "departures", "--as-of", "r3"]

    shown = CliRunner().invoke(app, asked)
    told = json.loads(CliRunner().invoke(app, [*asked, "--format", "json"]).stdout)
    written = CliRunner().invoke(app, [*asked, "--to", str(to)])

    head, *rows = shown.stdout.split("\n  ")
    assert head.splitlines() == [
        "features.departures: 2 rows, version 1",
        "published 2013-12-01T13:01:00+00:00 by run r3",
        "made of flights at version 7, weather at version 2",
    ]
    assert sorted(row.strip() for row in rows) == ["flight_id=f0, n=0", "flight_id=f1, n=1"]
    assert (told["version"], sorted(r["n"] for r in told["first_rows"])) == (1, [0, 1])
    assert written.exit_code == 0
    assert sorted(pq.read_table(to)["n"].to_pylist()) == [0, 1]


def test_a_folder_that_holds_something_is_left_alone(target, tmp_path):
    (tmp_path / "mine").write_text("mine")

    with pytest.raises(SpecError, match=r"^--to .*: is there already; name a folder that is empty or new$"):
        vintage(PIPELINE, target, "departures", "r1").write(tmp_path)
