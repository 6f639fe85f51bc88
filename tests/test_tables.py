"""One Delta table: every write once, however often it is replayed; and what its log alone can tell."""

from datetime import UTC, datetime

import pytest
from deltalake import DeltaTable
from pyspark.errors import PySparkException

from pipelines import log, tables
from pipelines.errors import ConflictError
from pipelines.log import Transaction
from pipelines.run.applying import _literal, _matches
from pipelines.spec import Table
from pipelines.state import dataset

pytestmark = pytest.mark.spark

DDL = "k string, v int"
GREATER = "WHEN MATCHED AND s.v > t.v THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
ODD = [
    "it's",
    'a "quote"',
    "back\\slash\\",
    "\\u0041\\'",
    "line\nend",
    "${env:HOME}",
    "100%_",
    "`tick`",
    "-- no; comment",
    "",
]
TXN = ("spark.databricks.delta.write.txnAppId", "spark.databricks.delta.write.txnVersion",
       "spark.databricks.delta.commitInfo.userMetadata")  # fmt: skip


def once(write):
    """The commit of a write that is done three times."""
    first, *again = [write() for _ in range(3)]
    assert [c.version for c in again] == [first.version, first.version]
    return first


def rows(spark, path: str, version: int) -> set[tuple]:
    return {(r.k, r.v) for r in tables.read(spark, path, version).collect()}


@pytest.fixture(scope="module")
def story(spark, frame, tmp_path_factory):
    """A table of five commits: append, append, merge (one updated, one new), merge of only new, overwrite."""
    path = str(tmp_path_factory.mktemp("tables") / "t")
    commits = [
        once(lambda: tables.append(frame([("a", 1), ("b", 2)], DDL), path, Transaction("app", 0))),
        once(lambda: tables.append(frame([("c", 3)], DDL), path, Transaction("app", 1))),
        once(
            lambda: tables.merge(
                frame([("b", 20), ("a", 0), ("d", 4)], DDL), path, "t.k = s.k", GREATER, Transaction("app", 2)
            )
        ),
        once(lambda: tables.merge(frame([("e", 5)], DDL), path, "t.k = s.k", tables.UPSERT, Transaction("app", 3))),
        once(lambda: tables.overwrite(frame([("z", 9)], DDL), path, Transaction("next", 0))),
    ]
    return path, commits


def test_a_write_replayed_three_times_is_one_version(story):
    path, commits = story

    assert [c.version for c in commits] == [0, 1, 2, 3, 4]
    assert DeltaTable(path).version() == 4
    assert [c.tag for c in commits] == ["app#0", "app#1", "app#2", "app#3", "next#0"]


def test_each_version_holds_what_was_written(spark, story):
    path, _ = story

    assert [rows(spark, path, v) for v in range(5)] == [
        {("a", 1), ("b", 2)},
        {("a", 1), ("b", 2), ("c", 3)},
        {("a", 1), ("b", 20), ("c", 3), ("d", 4)},  # a is not newer
        {("a", 1), ("b", 20), ("c", 3), ("d", 4), ("e", 5)},
        {("z", 9)},
    ]
    assert [log.row_count(path, v) for v in range(5)] == [2, 3, 4, 5, 1]


def test_the_shared_session_learns_no_transaction(spark, story):
    assert [spark.conf.get(name, None) for name in TXN] == [None, None, None]
    assert not spark.catalog.listTables("global_temp", "lakeloom_merge*")


def test_changes_are_rows_as_they_now_are(spark, story):
    path, _ = story

    def changed(after: int, upto: int) -> set[tuple]:
        return {tuple(r) for r in tables.changes(spark, path, after, upto).collect()}

    assert changed(-1, 1) == {("a", 1), ("b", 2), ("c", 3)}
    assert changed(0, 2) == {("c", 3), ("b", 20), ("d", 4)}
    assert changed(2, 3) == {("e", 5)}


@pytest.fixture(scope="module")
def life(spark, frame, tmp_path_factory):
    """A table to which was done what can be: appends, a column more, a MERGE, OPTIMIZE, RESTORE, an append."""
    path = str(tmp_path_factory.mktemp("tables") / "life")
    numbers = iter(range(99))

    def add(rows, ddl=DDL):
        tables.append(frame(rows, ddl), path, Transaction("app", next(numbers)))

    add([("a", 1), ("b", None)])
    add([(None, 3)])
    add([])
    tables.grow(spark, path, {"w": "STRING"}, "grown")
    add([("c", 4, "x")], f"{DDL}, w string")
    tables.merge(frame([("b", 5, "y"), ("d", 6, "z")], f"{DDL}, w string"), path, "t.k = s.k", tables.UPSERT,
                 Transaction("app", next(numbers)))  # fmt: skip
    tables.optimize(spark, path, 1 << 30)
    tables.restore(spark, path, 4, Transaction("app", next(numbers)))
    add([("e", 7)])
    return path


def by_delta(spark, path: str, version: int) -> list:
    return sorted(map(str, spark.read.format("delta").option("versionAsOf", version).load(path).collect()))


def fed(spark, path: str, after: int, upto: int) -> list:
    feed = spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", after + 1)
    rows = feed.option("endingVersion", upto).load(path)
    kept = rows.where("_change_type IN ('insert', 'update_postimage')").drop(*tables.CHANGE)
    return sorted(map(str, kept.select("k", "v").collect()))


def test_a_version_is_what_delta_reads_whatever_was_done_to_the_table(spark, life):
    newest = DeltaTable(life).version()

    for version in range(newest + 1):
        assert sorted(map(str, tables.read(spark, life, version).collect())) == by_delta(spark, life, version)


def test_changes_are_those_of_the_change_feed_whatever_was_done_to_the_table(spark, life):
    newest = DeltaTable(life).version()

    for after, upto in [(0, 1), (0, 2), (1, 3), (1, 4), (2, 5), (4, 6), (5, 6), (6, newest), (newest - 1, newest)]:
        found = sorted(map(str, tables.changes(spark, life, after, upto).select("k", "v").collect()))
        assert found == fed(spark, life, after, upto), (after, upto)


def test_a_small_plain_table_costs_no_job_to_open(spark, life, plan):
    assert "parquet" in plan(tables.read(spark, life, 1)).lower()
    assert "PreparedDeltaFileIndex" not in plan(tables.read(spark, life, 1))


def test_a_path_that_reads_like_a_pattern_is_read_as_it_is(spark, frame, tmp_path):
    path = str(tmp_path / "[ab] {1}")
    tables.append(frame([("a", 1)], DDL), path, Transaction("app", 0))

    assert rows(spark, path, 0) == {("a", 1)}


def test_a_version_whose_files_are_gone_is_no_empty_table(spark, frame, tmp_path):
    path = tmp_path / "t"
    tables.append(frame([("a", 1)], DDL), str(path), Transaction("app", 0))
    for file in path.glob("*.parquet"):
        file.unlink()

    with pytest.raises(PySparkException):
        tables.read(spark, str(path), 0).collect()


def test_of_several_changes_of_a_row_the_last_is_told(spark, frame, tmp_path):
    path, delete = str(tmp_path / "t"), "WHEN MATCHED THEN DELETE"
    tables.append(frame([("a", 1), ("b", 2), ("c", 3)], DDL), path, Transaction("app", 0))
    tables.merge(frame([("a", 10), ("b", 20), ("d", 40)], DDL), path, "t.k = s.k", tables.UPSERT, Transaction("app", 1))
    tables.merge(frame([("a", 11)], DDL), path, "t.k = s.k", tables.UPSERT, Transaction("app", 2))
    tables.merge(frame([("b", 0), ("c", 0)], DDL), path, "t.k = s.k", delete, Transaction("app", 3))
    tables.merge(frame([("c", 33)], DDL), path, "t.k = s.k", tables.UPSERT, Transaction("app", 4))

    def told(rows) -> list[tuple]:
        return sorted(tuple(r) for r in rows.collect())

    assert told(tables.changes(spark, path, 0, 4, ["k"])) == [("a", 11), ("c", 33), ("d", 40)]
    assert told(tables.changes(spark, path, 0, 1, ["k"])) == [("a", 10), ("b", 20), ("d", 40)]
    assert told(tables.changes(spark, path, 4, 4, ["k"])) == []
    assert told(tables.gone(spark, path, 0, 4, ["k"])) == [("b",)]
    assert told(tables.altered(spark, path, 2, 4)) == [("b", 20), ("c", 3), ("c", 33)]
    assert told(tables.unlike(spark, path, 1, 4, ["k", "v"])) == [("a", 10), ("a", 11), ("b", 20), ("c", 3), ("c", 33)]


def test_the_log_bounds_how_many_changed_rows_lie_before_a_moment(frame, tmp_path):
    path, ddl = str(tmp_path / "t"), "k string, at timestamp, told timestamp"
    noon, later = datetime(2013, 1, 1, 12), datetime(2013, 6, 1)
    tables.append(frame([("a", noon, None)], ddl), path, Transaction("app", 0))
    tables.append(frame([("b", later, noon), ("c", later, later)], ddl).coalesce(1), path, Transaction("app", 1))
    tables.append(frame([("d", later, None), ("e", None, None)], ddl), path, Transaction("app", 2))
    tables.merge(frame([("d", later, later)], ddl), path, "t.k = s.k", tables.UPSERT, Transaction("app", 3))

    def before(after: int, upto: int, *columns: str, moment: datetime | None = datetime(2013, 3, 1, tzinfo=UTC)) -> int:
        return log.known_before(path, after, upto, columns, moment)

    assert before(-1, 0, "at") == 1
    assert before(0, 1, "at") == 0
    assert before(0, 1, "at", "told") == 2  # both are in the file that holds noon
    assert before(1, 2, "at", "told") == 0  # never told is never known
    assert before(2, 3, "at") == 1  # what d was before, the log does not tell
    assert before(0, 3, "at") == 1
    assert before(0, 2, "at", moment=None) == 4
    assert before(3, 3, "at") == 0


def test_the_log_tells_what_was_applied_and_what_was_rewritten(story):
    path, commits = story

    assert [c.applied for c in commits] == [2, 1, 2, 1, 1]
    assert log.applied(path, 0, 3) == 4
    assert [log.inserts_only(path, after, after + 1) for after in (-1, 0, 1, 2, 3)] == [
        True,
        True,
        False,
        True,
        False,
    ]
    assert log.inserts_only(path, 4, 4)
    assert log.inserts_only(f"{path}/nowhere", -1, -1)


def test_a_transaction_is_found_by_its_tag_alone(story):
    path, commits = story

    assert log.find(path, Transaction("app", 2)) == commits[2]
    assert log.find(path, Transaction("app", 4)) is None
    assert log.find(f"{path}/nowhere", Transaction("app", 0)) is None


def test_an_older_number_of_an_app_is_another_writer(frame, tmp_path):
    path = str(tmp_path / "t")
    tables.append(frame([("a", 1)], DDL), path, Transaction("app", 5))

    with pytest.raises(ConflictError) as caught:
        tables.append(frame([("b", 2)], DDL), path, Transaction("app", 4))

    assert str(caught.value) == f"{path}: app#4 was not committed; the table is at 5: another writer runs"
    assert DeltaTable(path).count() == 1


def test_a_literal_is_the_key_it_stands_for(spark):
    child = tables._child(spark, Transaction("app", 0))

    (row,) = child.sql(f"SELECT array({', '.join(map(_literal, ODD))}) AS found, {_literal(-7)} AS n").collect()

    assert (row.found, row.n) == (ODD, -7)


def test_a_merge_bounded_by_odd_keys_finds_them(spark, frame, tmp_path):
    path, spec = str(tmp_path / "t"), Table.model_validate({"from": "s", "keys": ("k",), "select": "SELECT k FROM s"})
    tables.append(frame([("${env:HOME}", 1), ("it's \\", 1)], DDL), path, Transaction("app", 0))

    on = _matches(spec, "t", "${env:HOME}", "it's \\")
    tables.merge(frame([("${env:HOME}", 2), ("it's \\", 2)], DDL), path, on, tables.UPSERT, Transaction("app", 1))

    assert rows(spark, path, 1) == {("${env:HOME}", 2), ("it's \\", 2)}


@pytest.mark.parametrize(
    ("column", "low", "beyond"),
    [
        ("k", "c", True),
        ("k", "b", False),
        ("n", 3, True),
        ("n", 2, False),
        ("n", "3", False),  # of another type
        ("o", 3, False),  # one file has only nulls: its greatest value is not known
        ("wide", "w" * 40 + "3", False),  # statistics end after 32 letters and say less than the row
        ("wide", "x", True),
        ("nowhere", 1, False),
    ],
)
def test_beyond_needs_every_value_to_be_below(spread, column, low, beyond):
    assert log.beyond(spread, column, low) is beyond


@pytest.fixture(scope="module")
def spread(frame, tmp_path_factory):
    """Two commits, so two files at least."""
    path, ddl = str(tmp_path_factory.mktemp("spread") / "t"), "k string, n int, o int, wide string"
    tables.append(frame([("a", 1, 1, "w" * 40 + "1")], ddl), path, Transaction("app", 0))
    tables.append(frame([("b", 2, None, "w" * 40 + "2")], ddl), path, Transaction("app", 1))
    return path


def test_moments_of_any_year_are_read_without_spark_as_they_were_written(frame, tmp_path):
    moments = [datetime(year, 1, 2, 3, 4, 5, 678901, tzinfo=UTC) for year in (1582, 1850, 2024, 9999)]
    tables.append(frame([(m,) for m in moments], "at timestamp"), str(tmp_path), Transaction("app", 0))

    read = dataset(DeltaTable(tmp_path)).to_table()["at"].to_pylist()

    assert sorted(read) == moments


def test_a_table_grows_to_the_end_by_a_commit_of_its_own(spark, frame, tmp_path):
    path = str(tmp_path)
    tables.append(frame([("a", 1)], DDL), path, Transaction("app", 0))

    tables.grow(spark, path, {"x": "STRING", "select": "BIGINT"}, "app/columns#1")

    assert tables.columns(path) == ["k", "v", "x", "select"]
    assert log.find(path, Transaction("app", 1)) is None  # the rows of that batch are still to be written
    assert tables.append(frame([("b", 2)], DDL), path, Transaction("app", 1)).version == 2
    assert log.inserts_only(path, 0, 2)
    assert {tuple(r) for r in tables.changes(spark, path, 0, 2).collect()} == {("b", 2, None, None)}


def test_rows_are_fitted_to_a_table_that_lacks_some_of_their_columns_and_has_others(spark, frame, tmp_path):
    path = str(tmp_path)
    tables.append(frame([("a", 1)], DDL), path, Transaction("app", 0))

    fitted = tables.fitted(frame([("b", ["x"])], "k string, said array<string>"), path, "app/columns#1")
    tables.append(fitted, path, Transaction("app", 1))
    again = tables.fitted(frame([("c", ["y"])], "k string, said array<string>"), path, "app/columns#2")

    rows = tables.read(spark, path, 2).orderBy("k").collect()
    assert tables.columns(path) == ["k", "v", "said"]
    assert [(r.k, r.v, r.said) for r in rows] == [("a", 1, None), ("b", None, ["x"])]
    assert set(again.columns) == {"k", "v", "said"} and log.find(path, Transaction("app", 2)) is None
    assert DeltaTable(path).version() == 2  # nothing is added twice
