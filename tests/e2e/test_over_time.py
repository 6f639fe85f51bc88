"""Quality over time, by the command line: `_quality`, freshness, volume, and a replay that doubles nothing."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from e2e.project import Project, Said, project
from pipelines.state import History

pytestmark = pytest.mark.spark

NULL, SET = "expect_column_values_to_not_be_null", "expect_column_values_to_be_in_set"
TABLE = {
    "from": "orders_raw",
    "event_time": "at",
    "select": "SELECT id, at, n FROM orders_raw",
    "expect": [
        {NULL: {"column": "id"}, "on_fail": "quarantine"},
        {SET: {"column": "n", "value_set": [1, 2]}, "on_fail": "warn"},
    ],
    "freshness": {"within": "2 days", "on_fail": "warn"},
    "volume": {"min": 0.5, "over": 3, "on_fail": "fail"},
}
ID, N = "id: not be null", "n: be in set (value_set (1, 2))"
FRESH, ENOUGH = "rows: newest within 2 days", "rows: at least 0.5 times the median of 3 refreshes"


def orders(made: Project, day: int, ids: list[str], n: int = 1) -> Said:
    """Rows of a day, counted back from now; then a run."""
    at = datetime.now(UTC) - timedelta(days=day)
    lines = [f"{id_},{at:%Y-%m-%d %H:%M:%S},{n}" for id_ in ids]
    made.land(f"orders/{len(list(made.landing.rglob('*.csv')))}.csv", "\n".join(["id,at,n", *lines, ""]))
    return made.lakeloom("run")


@pytest.fixture(scope="module")
def shop(spark, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = project(tmp_path_factory.mktemp("shop"), "shop")
    source = {"kind": "files", "format": "csv", "path": "orders", "schema": "id STRING, at TIMESTAMP, n INT"}
    made.write(sources={"orders_raw": source}, tables={"orders": TABLE})
    return made


@pytest.fixture(scope="module")
def told(shop: Project) -> dict[str, Said]:
    """Three refreshes of four rows, one id missing and one n unknown; then one of a single row."""
    first = orders(shop, 5, ["a", "b", "c", ""])
    orders(shop, 4, ["d", "e", "f", "g"], n=3)
    third = orders(shop, 1, ["h", "i", "j", "k"])
    return {"first": first, "third": third, "few": orders(shop, 1, ["l"])}


def found(shop: Project, label: str) -> list[tuple[object, ...]]:
    rows = [q for q in shop.warehouse.quality() if q.label == label]
    return [(q.batch, q.success, q.element_count, q.unexpected_count, q.unexpected_percent) for q in rows]


def test_each_refresh_has_a_row_for_each_promise(shop, told):
    rows = shop.warehouse.quality()

    assert [(q.batch, q.label) for q in rows] == [(b, p) for b in range(4) for p in (ID, N, FRESH, ENOUGH)]
    assert found(shop, ID) == [(0, False, 4, 1, 25.0), (1, True, 4, 0, 0.0), (2, True, 4, 0, 0.0), (3, True, 1, 0, 0.0)]
    assert [f[:4] for f in found(shop, N)] == [(0, True, 3, 0), (1, False, 7, 4), (2, False, 11, 4), (3, False, 12, 4)]
    assert {q.run_id for q in rows if q.batch == 2} == {r.run_id for r in shop.records() if r.batch == 2}


def test_freshness_is_told_in_the_summary_and_the_record(shop, told):
    assert [f[:2] for f in found(shop, FRESH)] == [(0, False), (1, False), (2, True), (3, True)]
    assert f"warn  {FRESH}: newest " in told["first"].out
    assert FRESH not in told["third"].out
    assert shop.records()[0].detail["expectations"][-2]["name"] == "freshness"


def test_too_few_rows_are_not_published_and_asking_again_does_not_help(shop, told):
    sentence = f"{ENOUGH}: observed 1 rows, 0.25 times the median 4 of 3 refreshes"
    last = shop.records()[-1]

    assert (told["few"].code, told["few"].error) == (
        3,
        f"tables.orders: version 3 is not published: {sentence}",
    )
    assert (last.status, last.published_version) == ("refused", None)
    again = shop.lakeloom("run")
    assert (again.code, again.error) == (3, f"tables.orders: version 3 is not published: {sentence}")


def test_a_batch_that_is_replayed_has_its_rows_once(spark, tmp_path):
    made = project(tmp_path, "again")
    source = {"kind": "files", "format": "csv", "path": "orders", "schema": "id STRING, at TIMESTAMP, n INT"}
    made.write(sources={"orders_raw": source}, tables={"orders": {**TABLE, "freshness": {"within": "1 hour"}}})
    made.land("orders/0.csv", "id,at,n\na,2026-01-01 00:00:00,1\n")

    cut_off = made.lakeloom_apart("run", LAKELOOM_CRASH_AT="before the run record")
    before = made.warehouse.quality()
    resumed = made.lakeloom("run")
    after = made.warehouse.quality()

    assert (cut_off.code, resumed.code) == (-9, 0)
    assert [q.label for q in before] == [q.label for q in after] == [ID, N, "rows: newest within 1 hour", ENOUGH]
    assert {q.run_id for q in after} == {r.run_id for r in made.records()}
    assert {q.at for q in after} == {q.at for q in before} == {i.now for i in History.of(made.warehouse).intents}


def test_plan_says_that_a_table_with_nothing_new_is_stale(spark, tmp_path):
    made = project(tmp_path, "old")
    source = {"kind": "files", "format": "csv", "path": "orders", "schema": "id STRING, at TIMESTAMP, n INT"}
    made.write(sources={"orders_raw": source}, tables={"orders": TABLE})
    orders(made, 3, ["a"])

    (planned,) = json.loads(made.lakeloom("plan", "--format", "json").out)

    assert planned["why"] == "nothing new; stale: newest row is 3 days old, promised within 2 days"


def test_a_feed_that_stopped_fails_the_run_where_freshness_is_a_gate(spark, tmp_path):
    made, soon = project(tmp_path, "old"), timedelta(seconds=30)
    source = {"kind": "files", "format": "csv", "path": "orders", "schema": "id STRING, at TIMESTAMP, n INT"}
    gate = {**TABLE, "freshness": {"within": "2 days", "on_fail": "fail"}}
    made.write(sources={"orders_raw": source}, tables={"orders": gate, "ids": {"select": "SELECT id FROM orders"}})
    at = datetime.now(UTC) - timedelta(days=2) + soon
    made.land("orders/0.csv", f"id,at,n\na,{at:%Y-%m-%d %H:%M:%S},1\n")
    assert made.lakeloom("run").error == ""
    before = made.files()

    time.sleep(max(0.0, (at + timedelta(days=2) - datetime.now(UTC)).total_seconds()) + 1)
    said = made.lakeloom("run")

    late = "tables.orders: nothing new came: newest row is 2 days old, promised within 2 days"
    assert (said.code, said.error) == (3, late)
    assert made.files() == before and [r["id"] for r in made.published("tables.ids")] == ["a"]


def test_show_prints_the_history_of_each_promise(shop, told):
    text = shop.lakeloom("show", "tables.orders", "--quality").out.splitlines()
    rows = json.loads(shop.lakeloom("show", "tables.orders", "--quality", "--format", "json").out)

    assert text[0].startswith("tables.orders: 4 promises over ")
    assert text[2].split()[:6] == ["id:", "not", "be", "null", "quarantine", "25.0"]
    assert (rows[0]["label"], rows[0]["unexpected_percent"]) == (ID, 25.0)


def test_the_newest_row_is_found_where_the_log_does_not_tell_it(spark, tmp_path):
    """Statistics stand in a log for the first 32 columns; an arrival is a time too; a time may be missing."""
    made = project(tmp_path, "wide")
    many = [f"c{i}" for i in range(33)]
    source = {"kind": "files", "format": "csv", "path": "wide"}
    schema = ", ".join([*(f"{c} INT" for c in many), "at TIMESTAMP"])
    promise = {"freshness": {"within": "1 hour"}}
    read = {"from": "raw", "event_time": "at", **promise}
    tables = {
        "wide": {**read, "select": f"SELECT {', '.join(many)}, at FROM raw"},
        "arrived": {"from": "raw", **promise, "select": "SELECT c0 FROM raw"},
        "timeless": {**read, "select": "SELECT c0, CAST(NULL AS TIMESTAMP) AS at FROM raw"},
    }
    made.write(sources={"raw": {**source, "schema": schema}}, tables=json.loads(json.dumps(tables)))
    zeros = ",".join("0" * 33)
    made.land(
        "wide/1.csv", f"{','.join(many)},at\n{zeros},2013-12-31 23:51:00\n{zeros},2013-01-01 00:00:00\n{zeros},\n"
    )

    said = made.lakeloom("run")

    assert said.error == ""
    (wide,), (arrived,), (timeless,) = (
        [q for q in made.warehouse.quality() if q.stage == f"tables.{name}"] for name in tables
    )
    assert (wide.success, wide.observed[:28]) == (False, "newest 2013-12-31 23:51 UTC,")
    assert (arrived.success, arrived.observed.endswith("UTC, 0 seconds old")) == (True, True)
    assert (timeless.success, timeless.observed) == (False, "no row with a time")
    assert made.warehouse.newest("tables.wide", 0, "at") is None  # so Spark was asked
