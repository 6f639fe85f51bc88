"""As-of joins and windows: what a row may see of the past, by hand; and that it sees nothing of the future."""

import json
import random
from datetime import datetime, timedelta

import pytest
from pyspark.sql import functions as F

from pipelines.features import build
from pipelines.spec import Feature, Table

pytestmark = pytest.mark.spark

NOON = datetime(2013, 1, 2, 12)
TICK, HOUR = timedelta(microseconds=1), timedelta(hours=1)
TABLES = {
    "trips": Table.model_validate(
        {"event_time": "starts", "known_at": {"delay": "ended", "ended": "ended"}, "select": "SELECT 1 AS id"}
    ),
    "weather": Table.model_validate(
        {"event_time": "measured", "known_at": {"temp": "told"}, "select": "SELECT 1 AS id"}
    ),
}


def feature(**parts: object) -> Feature:
    return Feature.model_validate_json(json.dumps({"spine": "trips", "keys": ["id"], "as_of_time": "starts", **parts}))


TRIPS = "id int, place string, line string, starts timestamp, ended timestamp, delay int"
WEATHER = "place string, measured timestamp, told timestamp, temp double, wind double"
AS_OF = {"table": "weather", "keys": ["place"], "within": "3 hours", "columns": ["temp", "wind"]}
BY_PLACE = {
    "table": "trips",
    "keys": ["place"],
    "over": ["1 hour", "2 hours"],
    "aggregates": {"delay": ["count", "sum", "avg"]},
}
BY_LINE = {"table": "trips", "keys": ["line"], "over": ["1 day"], "aggregates": {"delay": ["max"], "id": ["count"]}}
FEATURE = feature(columns=["line"], as_of=[AS_OF], windows=[BY_PLACE, BY_LINE])

# place -> what was told of it; each place has one spine row, at noon
TOLD = {
    "a tie": [(NOON, NOON, 9.0, 9.0)],
    "a tick before": [(NOON - TICK, NOON - TICK, 1.0, 1.0)],
    "the edge of within": [(NOON - 3 * HOUR, NOON - 3 * HOUR, 1.0, 1.0)],
    "over the edge": [(NOON - 3 * HOUR - TICK, NOON - 3 * HOUR - TICK, 1.0, 1.0)],
    "told too late": [(NOON - 2 * HOUR, NOON - 2 * HOUR, 1.0, 1.0), (NOON - HOUR, NOON, 2.0, 2.0)],
    "told later, of earlier": [(NOON - HOUR, NOON - HOUR, 1.0, 1.0), (NOON - 2 * HOUR, NOON - TICK, 2.0, 2.0)],
    "never told": [(NOON - HOUR, None, 2.0, 2.0)],
    "a forecast": [(NOON + HOUR, NOON - HOUR, 5.0, 5.0)],
    "newest is null": [(NOON - 2 * HOUR, NOON - 2 * HOUR, 1.0, 1.0), (NOON - HOUR, NOON - HOUR, None, 2.0)],
    "nothing": [],
}
SEEN = {  # (temp, wind)
    "a tie": (None, None),
    "a tick before": (1.0, 1.0),
    "the edge of within": (1.0, 1.0),
    "over the edge": (None, None),
    "told too late": (1.0, 2.0),  # wind is known when measured, temp when told
    "told later, of earlier": (1.0, 1.0),  # known order decides what is seen, event order which of it wins
    "never told": (None, 2.0),
    "a forecast": (5.0, None),  # an event to come may be known; wind is known only then
    "newest is null": (None, 2.0),
    "nothing": (None, None),
}


@pytest.fixture(scope="module")
def as_of(frame):
    """place -> (temp, wind) of its spine row."""
    spine = frame([(i, place, "x", NOON, None, None) for i, place in enumerate(TOLD)], TRIPS)
    weather = frame([(place, *row) for place, told in TOLD.items() for row in told], WEATHER)
    asked = feature(columns=["place"], as_of=[AS_OF])
    rows = build(asked, spine, {"weather": weather}, TABLES).collect()
    return {r.place: (r.weather_temp, r.weather_wind) for r in rows}


@pytest.mark.parametrize("place", TOLD)
def test_the_newest_of_what_was_known_is_seen(as_of, place):
    assert as_of[place] == SEEN[place]


def test_rows_of_one_moment_give_the_greatest_sequence_and_then_hash(frame):
    kept = {"event_time": "at", "keys": ("id",), "sequence_by": "seq", "from": "log", "select": "SELECT * FROM log"}
    spec = Table.model_validate(kept)
    rows = [(1, 2, "b", "kept"), (2, 2, "a", "hash"), (3, 1, "z", "old")]
    events = frame(
        [(*row, "p", NOON) for row in rows], "id int, seq int, _hash string, v string, place string, at timestamp"
    )
    part = {"table": "log", "keys": ["place"], "within": "1 hour", "columns": ["v"]}
    spine = frame([(1, "p", "x", NOON + TICK, None, None)], TRIPS)

    (row,) = build(feature(as_of=[part]), spine, {"log": events}, {"log": spec}).collect()

    assert row.log_v == "kept"


def trip(number: int, ended: datetime | None, delay: int | None, place: str | None = "p", line: str = "x") -> tuple:
    return (number, place, line, NOON - 12 * HOUR, ended, delay)


def test_windows_count_what_became_known_from_their_start_to_just_before_now(frame):
    spine = (0, "p", "x", NOON, None, None)
    events = [
        trip(1, NOON, 1),  # now is not the past
        trip(2, NOON - TICK, 10),
        trip(3, NOON - HOUR, 100),  # the start belongs to the window
        trip(4, NOON - HOUR - TICK, 1_000),
        trip(5, NOON - 2 * HOUR, 10_000),
        trip(6, NOON - 2 * HOUR - TICK, 100_000, line="y"),
        trip(7, None, 1_000_000),
        trip(8, NOON - TICK, None),
        trip(9, NOON - TICK, 1, place="q", line="y"),
    ]
    trips = frame([spine, *events], TRIPS)

    (row,) = build(FEATURE, trips.where("id = 0"), {"trips": trips, "weather": frame([], WEATHER)}, TABLES).collect()

    assert row.asDict() == {
        "id": 0, "starts": NOON, "line": "x", "weather_temp": None, "weather_wind": None,
        "place_delay_count_1h": 2, "place_delay_sum_1h": 110, "place_delay_avg_1h": 55.0,
        "place_delay_count_2h": 4, "place_delay_sum_2h": 11_110, "place_delay_avg_2h": 2777.5,
        "line_delay_max_1d": 10_000, "line_id_count_1d": 7,  # id is known at the start: seven of line x, 12 hours ago
    }  # fmt: skip


def test_a_row_without_a_key_or_a_time_keeps_its_place_and_sees_nothing(frame):
    spine = frame([(1, None, "x", NOON, None, None), (2, "p", "x", None, None, None)], TRIPS)
    weather = frame([(None, NOON - HOUR, NOON - HOUR, 1.0, 1.0), ("p", NOON - HOUR, NOON - HOUR, 1.0, 1.0)], WEATHER)
    trips = frame([trip(3, NOON - TICK, 5, place=None), trip(4, NOON - TICK, 5)], TRIPS)
    asked = feature(as_of=[AS_OF], windows=[BY_PLACE])

    rows = build(asked, spine, {"trips": trips, "weather": weather}, TABLES).collect()

    assert sorted((r.id, r.weather_temp, r.place_delay_count_1h, r.place_delay_sum_2h) for r in rows) == [
        (1, None, 0, None),
        (2, None, 0, None),
    ]


def test_one_shuffle_for_each_set_of_keys(frame, plan):
    trips, weather = frame([trip(1, NOON, 1)], TRIPS), frame([], WEATHER)

    made = build(FEATURE, trips, {"trips": trips, "weather": weather}, TABLES)

    assert plan(made).count("Exchange hashpartitioning") == 2  # place: weather and trips together; line: trips
    assert "Join" not in plan(made)


def test_the_spine_is_shuffled_once_for_a_set_of_keys_however_many_parts_have_it(frame, plan):
    trips, weather = frame([trip(1, NOON, 1)], TRIPS), frame([], WEATHER)
    as_of = [{**AS_OF, "columns": [c]} for c in ("temp", "wind")]
    past = {"table": "trips", "keys": ["place"], "over": ["1 hour", "1 day", "all"]}
    parts = [{"delay": ["count", "avg", "max", "p50", "last"]}, {"line": ["count", "first"]}, {"ended": ["min"]}]
    windows = [{**past, "aggregates": part} for part in parts]
    counted = {**past, "aggregates": {"line": ["count_distinct"]}}

    def exchanges(*more: object) -> int:
        asked = feature(as_of=as_of, windows=[*windows, *more])
        made = build(asked, trips, {"trips": trips, "weather": weather}, TABLES)
        return plan(made).count("Exchange hashpartitioning")

    assert exchanges() == 1
    assert exchanges(counted) == 2  # the events of a distinct count once more, by themselves


def test_a_derived_column_is_made_of_what_its_row_saw(frame):
    derive = {
        "felt": "weather_temp - weather_wind",
        "hour_of": "hour(starts)",
        "calm": "coalesce(weather_wind < 2, true)",
    }
    spine = frame([(1, "p", "x", NOON, None, None), (2, "q", "x", NOON, None, None)], TRIPS)
    weather = frame([("p", NOON - HOUR, NOON - HOUR, 9.0, 2.5), ("q", NOON, NOON, 1.0, 1.0)], WEATHER)
    asked = feature(as_of=[AS_OF], derive=derive)

    rows = build(asked, spine, {"weather": weather}, TABLES).collect()

    assert asked.outputs() == ("weather_temp", "weather_wind", "felt", "hour_of", "calm")
    assert sorted((r.id, r.felt, r.hour_of, r.calm) for r in rows) == [(1, 6.5, 12, False), (2, None, 12, True)]


def test_columns_come_keys_first_then_in_the_order_of_the_conf(frame):
    trips, weather = frame([trip(1, NOON, 1)], TRIPS), frame([], WEATHER)

    made = build(FEATURE, trips, {"trips": trips, "weather": weather}, TABLES)

    assert made.columns == ["id", "starts", *FEATURE.outputs()]


def world(rng: random.Random) -> tuple[list[tuple], list[tuple]]:
    """A day of trips and weather, of which some is never known."""

    def moment() -> datetime:
        return NOON + timedelta(minutes=5 * rng.choice([0, rng.randrange(-144, 144)]))  # half of them at noon: a tie

    trips = []
    for number in range(150):
        starts, ended = moment(), moment()
        trips.append(
            (number, rng.choice("pqr"), rng.choice("xy"), starts, max(starts, ended), rng.choice([None, *range(60)]))
        )
    measured = [moment() for _ in range(150)]
    weather = [
        (rng.choice("pqr"), m, rng.choice([None, m, m + HOUR, m - HOUR]), rng.random(), rng.random()) for m in measured
    ]
    return trips, weather


def other_future(rng: random.Random, trips: list[tuple], weather: list[tuple]) -> tuple[list[tuple], list[tuple]]:
    """All that becomes known at NOON or later is made anew: values, times, keys, and rows come and go."""

    def later() -> datetime:
        return NOON + timedelta(minutes=5 * rng.randrange(0, 144))

    changed_trips = [
        (n, place, line, starts, ended, delay) if ended < NOON
        else (n, place, line, starts, later(), rng.randrange(10_000, 20_000)) if starts < NOON
        else (n, rng.choice("pqr"), rng.choice("xy"), later(), later(), rng.randrange(10_000, 20_000))
        for n, place, line, starts, ended, delay in trips
    ]  # fmt: skip
    changed_weather = []
    for place, measured, told, temp, wind in weather:
        secret = told is None or told >= NOON
        if measured >= NOON and secret:
            changed_weather += [(rng.choice("pqr"), later(), later(), 1e6 * rng.random(), 1e6)] * rng.randrange(3)
        else:
            changed_weather.append((
                place, measured, later() if secret else told,
                1e6 if secret else temp, 1e6 if measured >= NOON else wind,
            ))  # fmt: skip
    rng.shuffle(changed_trips)
    rng.shuffle(changed_weather)
    return changed_trips, changed_weather


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_that_becomes_known_later_changes_a_feature(frame, seed):
    rng = random.Random(seed)
    trips, weather = world(rng)
    changed_trips, changed_weather = other_future(rng, trips, weather)
    asked = [row for row in trips if row[3] <= NOON]

    def seen(spine: list[tuple], trips: list[tuple], weather: list[tuple]) -> dict[int, tuple]:
        tables = {"trips": frame(trips, TRIPS), "weather": frame(weather, WEATHER)}
        made = build(FEATURE, frame(spine, TRIPS), tables, TABLES)
        return {r.id: tuple(r) for r in made.where(F.col("starts") <= F.lit(NOON)).collect()}

    before, after = seen(asked, trips, weather), seen(asked, changed_trips, changed_weather)

    assert len(before) == len(asked) > 50
    assert sum(row[3] is not None for row in before.values()) > 10  # some weather is seen
    assert sum(row[5] for row in before.values()) > 20  # and some trips
    assert after == before
