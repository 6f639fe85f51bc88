"""An interval of a table is made anew from what was taken; other rows stay; nothing is lost, doubled or taken twice."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from e2e.project import Project, project
from pipelines.crash import VARIABLE

pytestmark = pytest.mark.spark

HEAD = "id,day,shop,amount\n"
FEBRUARY = "a,2024-02-27,x,1\nb,2024-02-28,y,2\nq,2024-02-28,x,-1\n"
MARCH = "c,2024-03-01,x,3\nd,2024-03-02,y,4\nd,2024-03-02,y,4\nr,2024-03-03,x,-5\ns,2024-03-04,y,70\n"
INTERVAL = ("--from", "2024-03-01", "--to", "2024-04-01")
POSITIVE = {"expect_column_values_to_be_between": {"column": "amount", "min_value": 0}, "on_fail": "quarantine"}
SELECT = "SELECT r.id, CAST(r.day AS TIMESTAMP) AS at, r.amount, s.rate FROM raw r LEFT JOIN shops s ON s.shop = r.shop"


def sales(root: Path, keyed: bool) -> Project:
    """Two months of sales beside their shops; shop x has the rate 1, y has 2."""
    made = project(root, "sales")
    source = {"kind": "files", "format": "csv"}
    keys = {"keys": ["id"], "sequence_by": "amount"} if keyed else {}
    made.write(
        sources={
            "raw": {**source, "path": "raw", "schema": "id STRING, day DATE, shop STRING, amount INT"},
            "shops_raw": {**source, "path": "shops", "schema": "shop STRING, rate INT, seen INT"},
        },
        tables={
            "shops": {
                "from": "shops_raw", "keys": ["shop"], "sequence_by": "seen",
                "select": "SELECT shop, rate, seen FROM shops_raw",
            },
            "sales": {"from": "raw", **keys, "event_time": "at", "select": SELECT, "expect": [POSITIVE]},
            "total": {"select": "SELECT sum(amount * rate) AS worth FROM sales"},
        },
    )  # fmt: skip
    if keyed:
        columns = {"spine": "sales", "keys": ["id"], "as_of_time": "at", "columns": ["amount", "rate"]}
        made.change(lambda conf: conf.update(features={"sold": columns}))
    made.land("shops/1.csv", "shop,rate,seen\nx,1,1\ny,2,1\n")
    made.land("raw/1.csv", HEAD + FEBRUARY)
    assert made.lakeloom("run").error == ""
    made.land("raw/2.csv", HEAD + MARCH)
    assert made.lakeloom("run").error == ""
    made.land("shops/2.csv", "shop,rate,seen\nx,10,2\ny,20,2\n")
    return made


def shown(made: Project) -> list[tuple[Any, ...]]:
    return sorted((r["id"], r["amount"], r["rate"]) for r in made.published("tables.sales"))


def refused(made: Project) -> list[tuple[str, list[str]]]:
    return sorted((r["id"], r["_reasons"]) for r in made.rows("tables.sales", "quarantine"))


def sums(made: Project) -> dict[str, int]:
    """The counts of all batches together."""
    found = [r.counts for r in made.records("tables.sales") if r.status == "ok"]
    return {k: sum(c.get(k, 0) for c in found) for k in ("rows_in", "applied", "quarantined", "superseded", "dropped")}


@pytest.fixture(scope="module", params=[True, pytest.param(False, marks=pytest.mark.long)], ids=["keyed", "appended"])
def started(request, spark, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, int]:
    """A project, and how often the record that was delivered twice stands in its table."""
    return sales(tmp_path_factory.mktemp("backfill"), request.param), 1 if request.param else 2


@dataclass(frozen=True)
class Story:
    """What was said and what lay there after each chapter."""

    project: Project
    copies: int
    dry: str
    first: list[tuple[Any, ...]]
    worth: int
    arrived: tuple[set[datetime], set[datetime]]
    killed: int
    second: list[tuple[Any, ...]]
    refused: list[tuple[str, list[str]]]
    again: str
    sums: dict[str, int]


@pytest.fixture(scope="module")
def story(started: tuple[Project, int]) -> Story:
    """New rates for March alone; then another rule and another select for March, killed between its two commits."""
    made, copies = started
    dry = made.lakeloom("backfill", "tables.sales", *INTERVAL, "--dry-run").out
    assert made.lakeloom("run", "--select", "tables.shops").error == ""
    before = {r["_arrived_at"] for r in made.published("tables.sales")}
    made.land("raw/3.csv", HEAD + "e,2024-03-05,x,6\n")  # not taken yet: it is not of the backfill
    assert made.lakeloom("backfill", "tables.sales", *INTERVAL).error == ""
    first, after = shown(made), {r["_arrived_at"] for r in made.published("tables.sales")}
    (total,) = made.published("tables.total")
    made.change(other_rule)
    point = {VARIABLE: "between clean and quarantine"}
    killed = made.lakeloom_apart("backfill", "tables.sales", *INTERVAL, **point).code
    assert made.lakeloom("run").error == ""  # goes on with the backfill
    second, out = shown(made), refused(made)
    again = made.lakeloom("run")
    return Story(made, copies, dry, first, total["worth"], (before, after), killed, second, out, again.out, sums(made))


def other_rule(conf: Any) -> None:
    table = conf["tables"]["sales"]
    table["select"] = SELECT.replace("r.amount", "r.amount + 1 AS amount")
    table["expect"] = [
        {"expect_column_values_to_be_between": {"column": "amount", "min_value": -4, "max_value": 50},
         "on_fail": "quarantine"}
    ]  # fmt: skip


@pytest.fixture
def copies(story: Story) -> int:
    return story.copies


def test_a_dry_run_says_what_would_be_read_and_replaced_and_what_follows(story, copies):
    assert "2 files with 8 records" in story.dry
    assert f"replaces  {2 + copies} of {4 + copies} rows of tables.sales, by at" in story.dry
    assert "then      tables.total" in story.dry


def test_the_interval_alone_sees_what_a_side_table_has_now_and_what_follows_sees_it_too(story, copies):
    march = [("c", 3, 10), *[("d", 4, 20)] * copies, ("s", 70, 20)]
    assert story.first == [("a", 1, 1), ("b", 2, 2), *march]
    assert story.worth == 1 + 4 + 30 + 80 * copies + 1400


def test_a_row_that_was_there_keeps_the_moment_of_its_arrival(story):
    before, after = story.arrived
    assert before == after
    assert len(before) == 2


def test_a_backfill_that_was_killed_after_its_commit_is_finished_by_the_next_run(story, copies):
    assert story.killed == -SIGKILL
    march = [("c", 4, 10), *[("d", 5, 20)] * copies, ("r", -4, 10)]
    assert story.second == [("a", 1, 1), ("b", 2, 2), *march]


def test_features_follow_the_interval_and_those_of_rows_that_left_it_are_gone(story):
    if story.copies == 1:
        rows = [(r["id"], r["amount"], r["rate"]) for r in story.project.published("features.sold")]
        assert sorted(rows) == shown(story.project)


def test_rows_go_into_the_quarantine_and_leave_it_where_they_lie_in_the_interval(story):
    assert [row for row, _ in story.refused] == ["q", "s"]
    assert "max_value 50" in story.refused[1][1][0]


def test_what_landed_meanwhile_is_taken_once_by_the_next_run(story, copies):
    assert ("e", 7, 10) in shown(story.project)
    assert len(shown(story.project)) == 6 + copies - 1
    assert story.sums["rows_in"] == 9


def test_the_counts_of_all_batches_still_account_for_every_record(story, copies):
    out = {k: v for k, v in story.sums.items() if k != "rows_in"}
    assert out == {"applied": 5 + copies, "quarantined": 2, "superseded": 2 - copies, "dropped": 0}


@pytest.fixture(scope="module")
def plain(spark, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return sales(tmp_path_factory.mktemp("refused"), keyed=True)


def gone(made: Project) -> None:
    (made.landing / "raw" / "2.csv").rename(made.root / "2.csv")


def back(made: Project) -> None:
    (made.root / "2.csv").rename(made.landing / "raw" / "2.csv")


def moved(made: Project) -> None:
    made.change(lambda c: c["tables"]["sales"].update(select=SELECT.replace("r.day", "date_add(r.day, 30)")))


def as_it_was(made: Project) -> None:
    made.change(lambda c: c["tables"]["sales"].update(select=SELECT))


@pytest.mark.parametrize(
    ("do", "undo", "said"),
    [
        (gone, back, "3 rows of the interval would be lost"),
        (moved, as_it_was, "rows stand on another side of a bound"),
    ],
)
def test_a_backfill_that_would_lose_or_move_rows_is_refused_and_leaves_no_trace(
    plain: Project, do: Callable[[Project], None], undo: Callable[[Project], None], said: str
):
    before, records = shown(plain), len(plain.records("tables.sales"))
    do(plain)

    refused = plain.lakeloom("backfill", "tables.sales", *INTERVAL)

    assert (refused.code, said in refused.error) == (3, True), refused.err
    undo(plain)
    assert plain.lakeloom("run", "--select", "tables.sales").error == ""
    assert (shown(plain), len(plain.records("tables.sales"))) == (before, records)


def test_a_changed_select_is_not_let_in_by_a_backfill_that_was_refused(plain: Project):
    moved(plain)
    assert plain.lakeloom("backfill", "tables.sales", *INTERVAL).code == 3

    said = plain.lakeloom("run", "--select", "tables.sales")

    as_it_was(plain)
    assert (said.code, "changed since its last refresh" in said.error) == (2, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("tables.total", *INTERVAL), "only a table with `from` is backfilled"),
        (("tables.shops", *INTERVAL), "it has no event_time"),
        (("tables.sales", "--from", "2024-04-01", "--to", "2024-03-01"), "nothing lies from 2024-04-01"),
    ],
)
def test_what_cannot_be_backfilled_is_said_in_one_sentence(plain: Project, options: tuple[str, ...], said: str):
    refused = plain.lakeloom("backfill", *options)

    assert (refused.code, said in refused.error) == (2, True), refused.err
