"""Files taken into a Delta table as they lie: Spark reads them as its own; of several writers one is first."""

import json
import math
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from pipelines import adopt, log, tables
from pipelines.errors import ConflictError
from pipelines.log import Transaction

pytestmark = pytest.mark.spark

TYPES = (
    "s string, i int, l bigint, h smallint, d double, b boolean, day date, at timestamp, raw binary, "
    "money decimal(9,2), many array<int>, deep struct<x: int, y: string>, named map<string, int>"
)
MOMENT = datetime(2013, 3, 10, 7, 59, 59, 123456, UTC)
ROWS = [
    ("a", 1, 2**40, 3, 0.5, True, date(1850, 1, 1), MOMENT, b"\x00", Decimal("1.25"), [1, None], (1, "y"), {"k": 1}),
    ("z" * 40, -1, -1, -3, math.nan, False, date(9999, 12, 31), None, None, None, None, None, None),
    (None, None, None, None, None, None, None, datetime(1850, 1, 1, tzinfo=UTC), b"", Decimal("-3.00"), [], None, {}),
]
APPEND, FIRST = "append", Transaction("app", 0)


def written(df, folder: Path) -> dict:
    df.coalesce(1).write.parquet(str(folder))
    return adopt.footers(str(folder))


def commit(df, folder: Path, path: str, mode: str, transaction: Transaction) -> log.Commit:
    return adopt.commit(written(df, folder), df.schema.json(), path, mode, transaction)


def actions(path: str, version: int) -> list[dict]:
    file = Path(path) / "_delta_log" / f"{version:020}.json"
    return [json.loads(line) for line in file.read_text().splitlines()]


def added(path: str, version: int) -> dict:
    (add,) = [a["add"] for a in actions(path, version) if "add" in a]
    return add


@pytest.fixture(scope="module")
def both(spark, frame, tmp_path_factory) -> tuple[str, str]:
    """The same rows taken in, and written by Spark."""
    folder = tmp_path_factory.mktemp("adopt")
    ours, sparks, df = str(folder / "ours"), str(folder / "sparks"), frame(ROWS, TYPES).coalesce(1)
    assert adopt.fits(df.schema.json(), ours, "append")
    commit(df, folder / "files", ours, "append", FIRST)
    df.write.format("delta").options(**adopt.PROPERTIES).save(sparks)
    return ours, sparks


def test_spark_reads_what_was_taken_in_as_what_it_wrote_itself(spark, both):
    ours, sparks = (spark.read.format("delta").load(path) for path in both)

    assert ours.schema == sparks.schema
    assert sorted(map(repr, ours.collect())) == sorted(map(repr, sparks.collect()))
    feed = tables.changes(spark, both[0], -1, 0)
    assert feed.count() == len(ROWS)


def test_the_statistics_are_sparks_own_where_they_are_there(both):
    ours, sparks = (json.loads(added(path, 0)["stats"]) for path in both)

    assert ours["numRecords"] == sparks["numRecords"] == len(ROWS)
    for kind in ("minValues", "maxValues"):
        assert {"s", "i", "l", "h", "day", "at"} <= ours[kind].keys()
        assert {k: v for k, v in sparks[kind].items() if k in ours[kind]} == ours[kind]
    assert {k: n for k, n in sparks["nullCount"].items() if k in ours["nullCount"]} == ours["nullCount"]
    assert "d" not in ours["minValues"]  # with NaN a footer tells no bounds


def test_a_row_whose_moment_the_log_cuts_is_found(spark, both):
    rows = spark.read.format("delta").load(both[0])

    assert rows.where("at = TIMESTAMP '2013-03-10 07:59:59.123456'").count() == 1
    assert json.loads(added(both[0], 0)["stats"])["maxValues"]["at"] == "2013-03-10T07:59:59.123Z"


def test_an_overwrite_replaces_rows_and_columns_and_leaves_the_versions_before(spark, frame, tmp_path):
    path = str(tmp_path / "t")
    commit(frame([("a", 1)], "k string, v int"), tmp_path / "1", path, "append", FIRST)
    commit(frame([("b", 2)], "k string, v int"), tmp_path / "2", path, "append", Transaction("app", 1))

    done = commit(frame([(7.5,)], "w double"), tmp_path / "3", path, "overwrite", Transaction("app", 2))

    assert (done.version, done.applied, done.rewrites) == (2, 1, True)
    assert [tuple(r) for r in tables.read(spark, path, 2).collect()] == [(7.5,)]
    assert sorted(tuple(r) for r in tables.read(spark, path, 1).collect()) == [("a", 1), ("b", 2)]


def test_a_batch_without_rows_makes_the_table_and_its_columns(spark, frame, tmp_path):
    path = str(tmp_path / "t")

    done = tables.append(frame([], "k string"), path, FIRST)

    assert (done.version, done.applied, tables.read(spark, path, 0).dtypes) == (0, 0, [("k", "string")])


def test_of_many_that_write_a_batch_at_once_one_does_and_all_find_it(frame, tmp_path):
    path, df = str(tmp_path / "t"), frame([("a",)], "k string")
    files, schema = written(df, tmp_path / "files"), df.schema.json()

    for batch in [Transaction("app", number) for number in range(3)]:  # the first makes the table
        with ThreadPoolExecutor(8) as pool:
            begun = [pool.submit(adopt.commit, files, schema, path, "append", batch) for _ in range(8)]
        assert {found.result().version for found in begun} == {batch.version}
    assert DeltaTable(path).version() == 2


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="no second file system")
def test_files_of_another_mount_are_copied_once(spark, frame, tmp_path):
    path, df = str(tmp_path / "t"), frame([("a",)], "k string")
    with TemporaryDirectory(dir="/dev/shm") as elsewhere:
        files = written(df, Path(elsewhere) / "files")
        assert {os.stat(file).st_dev for file in files} != {os.stat(tmp_path).st_dev}
        for _ in range(2):  # the second is a replay
            adopt.commit(files, df.schema.json(), path, "append", FIRST)

    assert [tuple(r) for r in tables.read(spark, path, 0).collect()] == [("a",)]
    assert not list(Path(path).glob("*.part"))


def test_a_commit_that_another_forestalled_is_told(frame, tmp_path):
    path, df = str(tmp_path / "t"), frame([("a",)], "k string")
    files, schema = written(df, tmp_path / "files"), df.schema.json()
    adopt.commit(files, schema, path, "append", Transaction("app", 7))

    with pytest.raises(ConflictError, match="app#6 was not committed; the table is at 7: another writer runs"):
        adopt.commit(files, schema, path, "append", Transaction("app", 6))


@pytest.mark.parametrize(
    "lost", [CommitFailedError("429"), DeltaError("reset by peer"), OSError("timed out")], ids=repr
)
def test_a_commit_whose_answer_is_lost_is_there_once(spark, frame, tmp_path, monkeypatch, lost):
    path, df = str(tmp_path / "t"), frame([("b",)], "k string")
    commit(frame([("a",)], "k string"), tmp_path / "1", path, APPEND, FIRST)
    files, batch = written(df, tmp_path / "2"), Transaction("app", 1)
    really = DeltaTable.create_write_transaction

    def answerless(*given, **named) -> None:
        really(*given, **named)
        raise lost

    monkeypatch.setattr(DeltaTable, "create_write_transaction", answerless)
    with suppress(type(lost)):  # a failed commit is looked for at once, any other ends the run
        adopt.commit(files, df.schema.json(), path, APPEND, batch)
    monkeypatch.undo()

    again = adopt.commit(files, df.schema.json(), path, APPEND, batch)

    assert (again.version, again.applied, DeltaTable(path).version()) == (1, 1, 1)
    assert sorted(r.k for r in tables.read(spark, path, 1).collect()) == ["a", "b"]


def test_what_a_kill_left_half_written_is_no_part_of_the_table(spark, frame, tmp_path):
    path = str(tmp_path / "t")
    frame([("torn",)], "k string").write.parquet(f"{path}/{tables.UNCOMMITTED}")

    tables.append(frame([("a",)], "k string"), path, FIRST)

    assert [r.k for r in tables.read(spark, path, 0).collect()] == ["a"]
    assert not (Path(path) / tables.UNCOMMITTED).exists()


@pytest.mark.parametrize(
    "ddl",
    ["at timestamp_ntz", "`a b` string", "v variant", "deep struct<at: timestamp_ntz>", "span interval day to second"],
)
def test_what_the_two_writers_may_treat_differently_spark_writes_itself(spark, tmp_path, ddl):
    schema = spark.createDataFrame([], ddl).schema.json()

    assert not adopt.fits(schema, str(tmp_path / "t"), "append")


@pytest.mark.parametrize(
    ("ddl", "fits"),
    [("k string, v int", True), ("v int", True), ("k string, v bigint", False), ("k string, v int, w int", False)],
)
def test_an_append_is_of_the_tables_own_columns_and_types(spark, frame, tmp_path, ddl, fits):
    path = str(tmp_path / "t")
    commit(frame([("a", 1)], "k string, v int"), tmp_path / "files", path, "append", FIRST)
    schema = spark.createDataFrame([], ddl).schema.json()

    assert adopt.fits(schema, path, "append") is fits
    assert adopt.fits(schema, path, "overwrite") is True


def test_a_table_with_features_that_delta_rs_does_not_know_is_sparks(spark, frame, tmp_path):
    path, df = str(tmp_path / "t"), frame([("a",)], "k string")
    df.write.format("delta").option("delta.enableInCommitTimestamps", "true").save(path)

    assert not adopt.fits(df.schema.json(), path, "append")
    assert tables.append(df, path, FIRST).applied == 1
    assert tables.read(spark, path, 1).count() == 2
