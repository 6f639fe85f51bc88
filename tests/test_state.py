"""The warehouse without a JVM: what was intended, what was done, and what follows from both."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from pipelines.errors import ConflictError
from pipelines.state import History, Intent, Record, Warehouse
from pipelines.told import Quality

FIRST = datetime(2013, 12, 1, 5, tzinfo=UTC)
FLIGHTS = "tables.flights"
ROOT = Path(__file__).parents[1]


def intent(batch: int = 0, generation: int = 0, stage: str = FLIGHTS, **inputs: object) -> Intent:
    now = FIRST + timedelta(hours=batch, days=generation)
    return Intent("flights", stage, generation, batch, f"run{batch}", "d1", now, inputs)


def record(batch: int = 0, generation: int = 0, stage: str = FLIGHTS, status="ok", **found) -> Record:
    started = FIRST + timedelta(hours=batch, days=generation)
    return Record("flights", stage, generation, batch, f"run{batch}", "d1", status, started, 1.5, **found)


def history(*rows: Intent | Record) -> History:
    records = tuple(r for r in rows if isinstance(r, Record))
    return History(records, tuple(r for r in rows if isinstance(r, Intent)))


@pytest.fixture
def warehouse(tmp_path):
    return Warehouse(str(tmp_path), "flights")


def test_what_is_written_is_read_back_whole(warehouse):
    meant = intent(
        raw={"files": [{"path": "a'b.csv", "rows": 2, "duplicate": False}]}, **{"tables.planes": {"upto": 3}}
    )
    done = record(
        published_version=4, counts={"rows_in": 2}, detail={"reasons": {"é": 1}, "test": [0.5, None]}, error="x\ny"
    )

    warehouse.write(meant)
    warehouse.write(done)

    assert warehouse.intents() == (meant,)
    assert warehouse.records() == (done,)


def test_of_many_that_close_a_batch_at_once_one_does_and_all_others_are_told(warehouse):
    def closed(by: int) -> bool:
        try:
            warehouse.write(replace(record(0), run_id=f"run{by}"))
        except ConflictError as error:
            assert str(error) == f"{FLIGHTS}: another run has closed batch 0 meanwhile"
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(closed, range(6))) == 1
    assert len(warehouse.records()) == 1


def test_a_batch_is_closed_after_any_failure_and_not_once_a_later_one_is(warehouse):
    attempts = [record(0, status="failed"), record(0, status="failed"), record(0), record(0, generation=1)]
    for row in (*attempts, record(0, stage="tables.planes")):
        warehouse.write(row)

    with pytest.raises(ConflictError):
        warehouse.write(record(1))
    assert Counter(r.status for r in warehouse.records()) == {"failed": 2, "ok": 3}


def test_rows_that_many_write_first_are_all_there(warehouse):
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(warehouse.write, [intent(n) for n in range(3)]))

    assert len(warehouse.intents()) == 3


def test_a_file_of_the_records_is_read_once_and_the_same_is_told_when_they_were_compacted(warehouse):
    first, second = record(0), record(1)
    warehouse.write(first)
    assert warehouse.records() == (first,)
    (file,) = Path(warehouse.root, "flights", "_runs").glob("*.parquet")
    whole = file.read_bytes()
    file.write_bytes(b"unreadable")
    warehouse.write(second)

    assert warehouse.records() == (first, second)
    (commit := Path(warehouse.root, "flights", "_runs", "_delta_log", f"{0:020}.json")).rename(f"{commit}.away")
    assert warehouse.records() == (first, second)
    Path(f"{commit}.away").rename(commit)

    file.write_bytes(whole)
    warehouse.compact()
    assert warehouse.records() == (first, second)


def test_what_another_process_writes_and_removes_is_seen(warehouse):
    warehouse.write(record(0))
    assert warehouse.records() == (record(0),)
    code = f"""if True:
        from tests import test_state
        from pipelines.state import Warehouse
        Warehouse({warehouse.root!r}, "flights").write(test_state.record(1))"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/tests"})
    assert warehouse.records() == (record(0), record(1))

    shutil.rmtree(Path(warehouse.root, "flights", "_runs"))
    assert warehouse.records() == ()
    warehouse.write(record(2))
    assert warehouse.records() == (record(2),)


def found(batch: int, label: str, unexpected: int, stage: str = FLIGHTS) -> Quality:
    who = ("flights", stage, f"run{batch}", 0, batch, FIRST + timedelta(hours=batch))
    return Quality(*who, "expect", label, "warn", None, "row", not unexpected, 8, unexpected, unexpected / 0.08, "é")


def test_what_was_found_is_read_back_oldest_first(warehouse):
    rows = [[found(1, "b", 1), found(1, "a", 0)], [found(0, "a", 2)]]
    unknown = replace(found(2, "c", 0), severity="info", element_count=None, unexpected_percent=None)

    for batch in (*rows, [unknown], []):
        warehouse.remember(batch)

    assert warehouse.quality() == (*rows[1], *rows[0], unknown)


def test_what_a_replay_finds_takes_the_place_of_what_was_found(warehouse):
    others = [found(0, "a", 1), found(0, "a", 1, "tables.weather"), replace(found(1, "a", 1), generation=1)]
    for row in others:
        warehouse.remember([row])
    warehouse.remember([found(1, "a", 1), found(1, "b", 1)])

    warehouse.remember([found(1, "a", 2)])

    assert sorted(warehouse.quality(), key=repr) == sorted([*others, found(1, "a", 2)], key=repr)


@pytest.mark.parametrize(
    ("column", "newest"),
    [
        ("at", FIRST + timedelta(hours=3)),
        ("day", datetime(2013, 12, 3, tzinfo=UTC)),
        ("never", None),
        ("name", None),
        ("nowhere", None),
    ],
)
def test_the_newest_moment_of_a_version_stands_in_its_log(warehouse, column, newest):
    path = warehouse.path(FLIGHTS)
    for hour in (3, 1, None, 9):  # the last of them in a version that is not asked for
        at = None if hour is None else FIRST + timedelta(hours=hour)
        day = None if hour is None else date(2013, 12, hour)
        kinds = {"at": pa.timestamp("us", "UTC"), "day": pa.date32(), "never": pa.timestamp("us", "UTC")}
        row = {"at": at, "day": day, "never": None}
        columns = {k: pa.array([row[k], None], kind) for k, kind in kinds.items()}
        write_deltalake(path, pa.table({**columns, "name": ["x", "y"]}), mode="append")

    assert warehouse.newest(FLIGHTS, 2, column) == newest


def test_a_warehouse_that_is_not_there_yet_is_empty(warehouse):
    assert History.of(warehouse) == History((), ())
    assert warehouse.quality() == ()
    assert warehouse.version(FLIGHTS) is None
    assert warehouse.delta(FLIGHTS) is None


def test_records_of_a_stage_come_oldest_first(warehouse):
    rows = [record(2, status="failed"), record(0), record(1, status="failed")]
    rows += [replace(rows[-1], status="ok", started_at=FIRST + timedelta(hours=3)), record(0, generation=1)]
    for row in rows:
        warehouse.write(row)

    assert [(r.generation, r.batch, r.status) for r in warehouse.records()] == [
        (0, 0, "ok"), (0, 1, "failed"), (0, 1, "ok"), (0, 2, "failed"), (1, 0, "ok"),
    ]  # fmt: skip


def test_tables_lie_by_kind_and_name(warehouse):
    assert warehouse.path(FLIGHTS) == f"{warehouse.root}/flights/tables/flights"
    assert warehouse.path(FLIGHTS, "quarantine") == f"{warehouse.root}/flights/tables/flights_quarantine"


def test_versions_come_from_the_log(warehouse):
    for number in (1, 2):
        write_deltalake(warehouse.path(FLIGHTS), pa.table({"id": [number]}), mode="append")

    assert warehouse.version(FLIGHTS) == 1
    assert isinstance(warehouse.delta(FLIGHTS), DeltaTable)


def test_the_last_record_is_of_its_own_stage():
    seen = history(record(0), record(1, status="refused"), record(0, stage="tables.weather"))

    assert seen.last(FLIGHTS).batch == 1
    assert seen.last(FLIGHTS, "ok").batch == 0
    assert seen.last(FLIGHTS, "failed") is None
    assert seen.last("tables.planes") is None


def test_a_refusal_or_failure_leaves_what_was_published():
    seen = history(record(0, published_version=3), record(1, status="refused"), record(2, status="failed"))

    assert seen.published(FLIGHTS) == 3
    assert seen.published("tables.weather") is None


def test_a_version_of_a_new_generation_is_published_over_the_old():
    assert history(record(5, published_version=9), record(0, 1, published_version=10)).published(FLIGHTS) == 10


@pytest.mark.parametrize(
    ("rows", "is_open"),
    [
        ([], False),
        ([intent(0)], True),
        ([intent(0), record(0)], False),
        ([intent(0), record(0, status="refused")], False),
        ([intent(0), record(0, status="failed")], True),
        ([intent(0), record(0, status="failed"), record(0)], False),
        ([intent(0), record(0), intent(1)], True),
        ([intent(0), record(0), intent(0, generation=1)], True),
        ([intent(0), record(0, stage="tables.weather")], True),
    ],
)
def test_an_intent_is_open_until_a_record_closes_it(rows, is_open):
    last = next((r for r in reversed(rows) if isinstance(r, Intent)), None)

    assert history(*rows).open_intent(FLIGHTS) == (last if is_open else None)


def test_batches_count_up_within_a_generation():
    rows = [intent(0), intent(1), intent(7, stage="tables.weather")]

    assert (history().generation(FLIGHTS), history().next_batch(FLIGHTS)) == (0, 0)
    assert (history(*rows).generation(FLIGHTS), history(*rows).next_batch(FLIGHTS)) == (0, 2)
    anew = history(*rows, intent(0, generation=1))
    assert (anew.generation(FLIGHTS), anew.next_batch(FLIGHTS)) == (1, 1)


def test_what_was_taken_is_that_of_the_present_generation():
    old, a, b = ({"path": p} for p in ("old", "a", "b"))
    seen = history(
        intent(0, raw={"files": [old]}),
        intent(0, generation=1, raw={"files": [a]}),
        intent(1, generation=1, raw={"files": [b]}, other={"files": [old]}),
        intent(0, generation=1, stage="tables.weather", raw={"files": [old]}),
    )

    assert seen.taken(FLIGHTS, "raw") == ({"files": [a]}, {"files": [b]})
    assert seen.taken("tables.planes", "raw") == ()
