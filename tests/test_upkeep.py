"""Upkeep makes few files of many and removes what no version in use needs; what is in use can be read as before."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pyarrow.parquet as pq
import pytest
from aging import aged
from deltalake import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from pipelines import log, tables, upkeep
from pipelines.log import Transaction
from pipelines.run.keeping import used
from pipelines.state import History, Record, Status

pytestmark = pytest.mark.spark

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def days_ago(days: int) -> datetime:
    return NOW - timedelta(days=days)


@pytest.mark.parametrize(
    ("used", "hours"),
    [(set(), 168), ({3}, 168), ({2, 3}, 10 * 24 + 1), ({0}, 30 * 24 + 1), ({9}, 168)],
    ids=["nothing", "the newest", "the one before", "the first", "one that the log forgot"],
)
def test_a_version_in_use_is_kept_from_when_it_ended(used, hours):
    moments = {0: days_ago(40), 1: days_ago(30), 2: days_ago(20), 3: days_ago(10)}

    assert upkeep.keep_hours(moments, used, NOW) == hours


def test_files_that_only_unused_versions_need_are_removed(spark, frame, tmp_path):
    path = tmp_path / "t"
    for n in range(4):
        write = tables.overwrite if n else tables.append
        write(frame([(f"row {n}",)], "k string"), str(path), Transaction("app", n))
    aged(path, [40, 30, 20, 10])

    done = upkeep.carry_out(spark, upkeep.todo(str(path), {2, 3}, datetime.now(UTC)))

    assert [tables.read(spark, str(path), n).first().k for n in (2, 3)] == ["row 2", "row 3"]
    assert done.bytes_after < done.bytes_before
    for gone in (0, 1):
        with pytest.raises((PySparkException, Py4JJavaError)):
            tables.read(spark, str(path), gone).collect()


def test_many_small_files_become_few_and_no_row_changes(spark, frame, tmp_path):
    path = str(tmp_path / "t")
    for n in range(upkeep.MOST_SMALL):
        tables.append(frame([(n,)], "n int").coalesce(1), path, Transaction("app", n))
    before = log.moments(path)

    what = upkeep.todo(path, {len(before) - 1}, datetime.now(UTC))
    done = upkeep.carry_out(spark, what)

    assert (what.files, what.small, what.optimize, done.files_after) == (16, 16, True, 1)
    assert sorted(r.n for r in tables.changes(spark, path, -1, len(before)).collect()) == list(range(16))
    assert tables.changes(spark, path, len(before) - 1, len(before)).count() == 0  # what follows sees nothing new
    assert log.inserts_only(path, len(before) - 1, len(before))


def test_files_are_made_in_the_order_of_the_key_by_which_rows_are_found(spark, frame, tmp_path):
    path = str(tmp_path / "t")
    for n in range(upkeep.MOST_SMALL):
        tables.append(frame([(n, -n)], "id int, n int").coalesce(1), path, Transaction("app", n))

    upkeep.carry_out(spark, upkeep.todo(path, set(), datetime.now(UTC), by="id"))

    [optimized] = [c for c in DeltaTable(path).history() if c["operation"] == "OPTIMIZE"]
    assert json.loads(optimized["operationParameters"]["zOrderBy"]) == ["id"]
    assert sorted(r.id for r in tables.changes(spark, path, -1, upkeep.MOST_SMALL).collect()) == list(range(16))


def test_files_into_which_rows_are_merged_are_kept_small(spark, frame, tmp_path, monkeypatch):
    monkeypatch.setattr(upkeep, "LARGE_KEYED", 8_000)
    path = str(tmp_path / "t")
    for n in range(upkeep.MOST_SMALL):
        tables.append(spark.range(n * 1000, n * 1000 + 1000).coalesce(1), path, Transaction("app", n))

    done = upkeep.carry_out(spark, upkeep.todo(path, set(), datetime.now(UTC), by="id"))

    files = [pq.read_metadata(f).row_group(0).column(0).statistics for f in DeltaTable(path).file_uris()]
    ranges = sorted((s.min, s.max) for s in files)
    assert done.files_after > 1
    assert all(high < low for (_, high), (low, _) in pairwise(ranges))


def record(stage: str, status: Status = "ok", **more: object) -> Record:
    return Record("p", stage, 0, 0, "r", "d", status, NOW, 1.0, **more)


def test_in_use_is_what_is_published_what_others_go_on_from_and_what_models_learned_from():
    flights = "tables.flights"
    records = (
        record(flights, published_version=1),
        record("models.late", model_version=1, inputs={flights: {"upto": 1}}, detail={"version": 1}),
        record(flights, published_version=4),
        record("features.seen", published_version=0, inputs={flights: {"upto": 4}}),
        record("models.late", model_version=2, inputs={flights: {"upto": 4}}, detail={"version": 2}),
        record("models.late", status="refused", inputs={flights: {"upto": 5}}, detail={"version": 3}),  # a challenger
        record(flights, published_version=7),
    )

    assert used(History(records, ()), flights) == {1, 4, 5, 7}
