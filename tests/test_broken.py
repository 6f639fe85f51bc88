"""A promise that is broken more often by what came now makes a monitor say `investigate`, though nothing drifted."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from test_causes import START, promise, window

from pipelines.lineage import Graph
from pipelines.monitor.broken import with_broken
from pipelines.state import Record
from pipelines.told import Quality

NEEDS = {
    "scores.s": ("features.f", "models.m"), "models.m": ("features.f",), "features.f": ("tables.orders",),
    "tables.orders": ("tables.weather", "sources.raw"), "tables.other": ("sources.raw",),
}  # fmt: skip
GRAPH = Graph(NEEDS, {})
LABEL = "temp: be between"
HELD = "January 2024: roc_auc 0.7500 holds against 0.7500"


def batch(day: int, month: int) -> Record:
    """Of the monitor, which saw a window of that month."""
    at = START + timedelta(days=day)
    return Record("p", "monitors.w", 0, day, "r", "d", "ok", at, 1.0, detail={"windows": [window(month)]})


def said(quality: list[Quality], verdict: str = "wait", before: tuple[Record, ...] = ()) -> dict[str, Any]:
    """The decision of a batch that saw February, beside others of the monitor."""
    decision = {"verdict": verdict, "reasons": [HELD], "window": "January 2024", "asks": False}
    detail = {"windows": [window(2)], "decision": decision}
    found: dict[str, Any] = with_broken(detail, before, GRAPH, "scores.s", quality)["decision"]
    return found


def days(*broken: int, rows: int = 1_000, **more: Any) -> list[Quality]:
    """A refresh a day."""
    return [promise(LABEL, day, rows, n, **more) for day, n in enumerate(broken)]


@pytest.mark.parametrize(
    ("verdict", "now", "reasons"),
    [
        ("wait", "investigate", ["", HELD]),
        ("unchecked", "investigate", ["", HELD]),
        ("investigate", "investigate", [HELD, ""]),
        ("retrain", "retrain", [HELD, ""]),
    ],
)
def test_a_promise_that_the_newest_refresh_breaks_more_often_is_looked_into(verdict, now, reasons):
    found = said(days(3, 2, 4, 3, 41, on_fail="quarantine"), verdict)

    told = "of tables.weather 4.1% of the rows break 'temp: be between', 0.3% before"
    assert found["verdict"] == now
    assert found["reasons"] == [reason or told for reason in reasons]
    (held,) = found["broken"]
    assert (held["stage"], held["promise"], held["now"], held["window"]) == (
        "tables.weather", LABEL, 0.041, "February 2024",
    )  # fmt: skip


@pytest.mark.parametrize(
    "quality",
    [
        days(3, 2, 4, 3, 4, on_fail="quarantine"),
        days(41, 41, 41, 3, on_fail="quarantine"),  # mended
        days(3, 2, 4, 3, 10, on_fail="quarantine"),  # by less than a hundredth
        days(0, 0, 0, 1, rows=20, on_fail="quarantine"),  # chance
        days(41, on_fail="quarantine"),  # nothing before
        days(3, 2, 41, on_fail="fail"),  # it was refused
        days(3, 2, 41, on_fail="quarantine", stage="tables.other"),
        [replace(q, success=True) for q in days(3, 2, 41)],  # mostly: 0.9
        [],
    ],
)
def test_what_is_no_worse_or_lies_elsewhere_changes_nothing(quality):
    found = said(quality)

    assert (found["verdict"], found["reasons"], found["broken"]) == ("wait", [HELD], [])


def test_of_a_promise_on_the_whole_table_the_rows_that_came_are_told_from_those_that_lay_there():
    whole = [promise(LABEL, day, rows, n) for day, (rows, n) in enumerate([(100_000, 300), (101_000, 341)])]
    corrected = [promise(LABEL, day, rows, n) for day, (rows, n) in enumerate([(100_000, 300), (99_000, 4_059)])]

    assert said(whole)["broken"][0]["now"] == 0.041  # 41 of 1,000; of all rows 0.34%
    assert said(corrected)["broken"][0]["now"] == 0.041  # rows are gone: the whole against the whole


def test_small_refreshes_prove_together_what_one_does_not():
    small = days(*[0] * 40, *[1] * 20, rows=20, on_fail="quarantine")  # a twentieth of the rows, from day 40 on

    assert said(small)["broken"] == []
    (found,) = said(small, before=(batch(30, 1), batch(39, 1)))["broken"]
    assert (found["before"], found["now"]) == (0.0, 0.05)


def test_what_stands_of_the_newest_refresh_stands_however_often_the_monitor_looks():
    bad = days(3, 2, 4, 41, on_fail="quarantine")

    again = said(bad, before=(batch(1, 1), batch(5, 2), batch(6, 2)))  # for labels alone

    assert again["verdict"] == "investigate"


def test_of_many_promises_the_worst_are_named():
    labels = [f"c{n}: not be null" for n in range(5)]
    quality = [promise(c, day, 1_000, 0 if day < 3 else 50 + n, on_fail="drop")
               for n, c in enumerate(labels) for day in range(4)]  # fmt: skip

    found = said(quality)

    assert [b["promise"] for b in found["broken"]] == labels[::-1]
    assert found["reasons"][0].startswith("of tables.weather 5.4% of the rows break 'c4: not be null'")
    assert found["reasons"][3:] == ["2 more promises are broken more often", HELD]
