"""Aggregates over the past, each against plain Python that looks at every event for every row."""

import json
import math
import random
import statistics
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pipelines.features import build
from pipelines.spec import Feature, Table

pytestmark = pytest.mark.spark

NOON, HOUR, TICK = datetime(2013, 1, 2, 12), timedelta(hours=1), timedelta(microseconds=1)
SPINE = "id int, place string, at timestamp"
LOG = """place string, made timestamp, told timestamp, seq int,
         small int, great bigint, odd double, exact decimal(20,2), text string"""
VALUES = ("small", "great", "odd", "exact", "text")
TABLE = Table.model_validate({
    "event_time": "made", "known_at": dict.fromkeys(VALUES, "told"), "from": "log_raw",
    "keys": ("seq",), "sequence_by": "seq", "select": "SELECT * FROM log_raw",
})  # fmt: skip
NUMBERS = ["count", "sum", "avg", "min", "max", "stddev", "first", "last", "count_distinct", "p05", "p50", "p90"]
LENGTHS: dict[str, timedelta | None] = {"1h": HOUR, "5h": 5 * HOUR, "all": None}
Event = dict[str, Any]


def percentile(values: list[Any], share: float) -> float:
    """Linear between the two nearest ranks."""
    ordered = sorted(float(v) for v in values)
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


BY_HAND: dict[str, Callable[[list[Any]], Any]] = {  # of the values in the order of events; never of none
    "count": len, "sum": sum, "avg": lambda v: sum(v) / len(v), "min": min, "max": max,
    "stddev": lambda v: statistics.stdev(v) if len(v) > 1 else None,
    "first": lambda v: v[0], "last": lambda v: v[-1], "count_distinct": lambda v: len(set(v)),
    "p05": lambda v: percentile(v, 0.05), "p50": lambda v: percentile(v, 0.5), "p90": lambda v: percentile(v, 0.9),
}  # fmt: skip


def asked(**aggregates: list[str]) -> Feature:
    part = {"table": "log", "keys": ["place"], "over": ["1 hour", "5 hours", "all"], "aggregates": aggregates}
    said = {"spine": "rides", "keys": ["id"], "as_of_time": "at", "windows": [part]}
    return Feature.model_validate_json(json.dumps(said))


def world(seed: int) -> tuple[list[tuple], list[Event]]:
    """Rows and events of a day, at moments that often coincide; some values are missing, some are never told."""
    dice = random.Random(seed)

    def moment() -> datetime:
        return NOON + timedelta(minutes=15 * dice.randrange(-40, 40))

    def event(number: int) -> Event:
        made, one = moment(), dice.choice
        return {
            "place": one("pqr"), "made": made, "told": one([None, made, made, made + HOUR]), "seq": number,
            "small": one([None, dice.randrange(-(2**31), 2**31), dice.randrange(5)]),
            "great": one([None, dice.randrange(-(2**55), 2**55), 7]),
            "odd": one([None, 1e15 * dice.random(), 1e-3 * dice.random(), 0.5]),
            "exact": one([None, Decimal(dice.randrange(10**6, 10**12))]),
            "text": one([None, *"abc"]),
        }  # fmt: skip

    return [(n, dice.choice("pqrs"), moment()) for n in range(60)], [event(n) for n in range(150)]


def by_hand(events: list[Event], place: str, at: datetime, column: str, how: str, length: timedelta | None) -> Any:
    here = [e for e in events if e["place"] == place and e["told"] is not None and e["told"] < at]
    there = [e for e in here if length is None or e["told"] >= at - length]
    ordered = sorted(there, key=lambda e: (e["made"], e["seq"]))
    values = [e[column] for e in ordered if e[column] is not None]
    if not values:
        return 0 if how.startswith("count") else None
    return BY_HAND[how](values)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_aggregate_is_what_a_look_at_every_event_gives(frame, seed):
    rows, events = world(seed)
    columns = {"small": NUMBERS, "great": NUMBERS, "odd": NUMBERS, "exact": NUMBERS,
               "text": ["count", "min", "max", "first", "last", "count_distinct"]}  # fmt: skip
    log = frame([tuple(e.values()) for e in events], LOG)

    made = {r.id: r for r in build(asked(**columns), frame(rows, SPINE), {"log": log}, {"log": TABLE}).collect()}

    seen = 0
    for number, place, at in rows:
        for column, aggregates in columns.items():
            for how in aggregates:
                for said, length in LENGTHS.items():
                    found = made[number][f"place_{column}_{how}_{said}"]
                    expected = by_hand(events, place, at, column, how, length)
                    if not isinstance(expected, int | str | None):
                        found, expected = float(found), pytest.approx(float(expected), rel=1e-9)
                    assert found == expected, (number, column, how, said)
                    seen += expected is not None
    assert seen > 1_000


def test_a_great_value_that_has_left_the_window_leaves_nothing_behind(frame):
    log = frame(
        [("p", NOON - 2 * HOUR, NOON - 2 * HOUR, 1, None, None, 1e18, None, None),
         ("p", NOON - TICK, NOON - TICK, 2, None, None, 1e-3, None, None)], LOG)  # fmt: skip

    (row,) = build(asked(odd=["sum", "avg"]), frame([(1, "p", NOON)], SPINE), {"log": log}, {"log": TABLE}).collect()

    assert (row.place_odd_sum_1h, row.place_odd_avg_1h) == (1e-3, 1e-3)


def test_an_event_counts_from_the_start_of_a_window_to_just_before_its_end(frame):
    times = [NOON, NOON - TICK, NOON - HOUR, NOON - HOUR - TICK]
    log = frame([("p", t, t, n, n, n, float(n), None, "abcd"[n]) for n, t in enumerate(times)], LOG)

    (row,) = build(
        asked(text=["count_distinct", "first"], small=["count", "sum"]),
        frame([(1, "p", NOON)], SPINE), {"log": log}, {"log": TABLE},
    ).collect()  # fmt: skip

    assert (row.place_text_count_distinct_1h, row.place_text_first_1h) == (2, "c")
    assert (row.place_small_count_1h, row.place_small_sum_1h) == (2, 3)


def test_running_totals_slide_over_no_frame(frame, plan):
    totals = ["count", "sum", "avg", "stddev", "count_distinct"]
    log, rows = frame([], LOG), frame([], SPINE)

    made = plan(
        build(asked(small=totals, great=totals[:3], text=["count_distinct"]), rows, {"log": log}, {"log": TABLE})
    )

    assert "unboundedpreceding" in made
    assert "specifiedwindowframe(RangeFrame, -" not in made
