"""What came late: which spine rows a change reaches, by hand; and that any split into arrivals ends alike."""

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from pipelines.features import build, frontier, spans, touched, within_reach
from pipelines.spec import Feature, Table

pytestmark = pytest.mark.spark

NOON, HOUR, TICK = datetime(2013, 1, 2, 12), timedelta(hours=1), timedelta(microseconds=1)
SPECS = {
    "trips": Table.model_validate(
        {"event_time": "starts", "known_at": {"delay": "ended", "ended": "ended"}, "select": "SELECT 1 AS id"}
    ),
    "weather": Table.model_validate(
        {"event_time": "measured", "known_at": {"temp": "told"}, "select": "SELECT 1 AS id"}
    ),
}
TRIPS = "id int, place string, starts timestamp, ended timestamp, delay int"
WEATHER = "id int, place string, measured timestamp, told timestamp, temp double"
FEATURE = Feature.model_validate_json("""{
    "spine": "trips", "keys": ["id"], "as_of_time": "starts", "columns": ["place"],
    "as_of": [{"table": "weather", "keys": ["place"], "within": "3 hours", "columns": ["temp"]}],
    "windows": [{"table": "trips", "keys": ["place"], "over": ["1 hour", "5 hours"],
                 "aggregates": {"delay": ["count", "sum", "max"]}}]
}""")

AT = {
    "at noon": NOON, "a tick later": NOON + TICK, "3 hours later": NOON + 3 * HOUR,
    "a tick too late": NOON + 3 * HOUR + TICK, "6 hours later": NOON + 6 * HOUR,
}  # fmt: skip

# what became of one weather row of place p: (measured, told) -> which of the trips below have to be made again
MOVED = {
    "measured and told at noon": ((NOON, NOON), {"a tick later", "3 hours later"}),
    "told an hour late": ((NOON - HOUR, NOON), {"a tick later"}),
    "told when too old": ((NOON - 3 * HOUR, NOON), set()),
    "a forecast for 3 o'clock": ((NOON + 3 * HOUR, NOON), set(AT) - {"at noon"}),
    "never told": ((NOON, None), set()),
}


def reached(frame, changed: dict[str, list[tuple]]) -> set[str]:
    """Which of the trips of AT a change of some rows reaches."""
    trips = [(n, place, at, None, None) for place in "pq" for n, at in enumerate(AT.values())]
    rows = {"weather": (WEATHER, changed.get("weather", [])), "trips": (TRIPS, changed.get("trips", []))}
    frames = {name: frame(found, ddl) for name, (ddl, found) in rows.items() if found}
    bounds = frontier(FEATURE, frames, SPECS)
    if bounds is None:
        return set()
    found = touched(FEATURE, frame(trips, TRIPS), frames, SPECS, bounds).collect()
    assert {r.place for r in found} <= {"p"}
    return {list(AT)[r.id] for r in found}


@pytest.mark.parametrize("change", MOVED)
def test_a_changed_row_reaches_those_that_could_see_it(frame, change):
    (measured, told), expected = MOVED[change]

    assert reached(frame, {"weather": [(1, "p", measured, told, 1.0)]}) == expected


def test_a_row_that_moved_reaches_those_that_had_seen_it_and_those_that_see_it(frame):
    before, after = (1, "p", NOON - 9 * HOUR, NOON - TICK, 5), (1, "p", NOON - 9 * HOUR, NOON + 4 * HOUR, 5)

    # 5 hours from a tick before noon, and from 4 o'clock
    assert reached(frame, {"trips": [before, after]}) == set(AT)
    assert reached(frame, {"trips": [before]}) == set(AT) - {"6 hours later"}
    assert reached(frame, {"trips": [after]}) == {"6 hours later"}


def test_a_row_without_a_key_reaches_nothing(frame):
    assert reached(frame, {"trips": [(1, None, NOON, NOON, 5)]}) == set()


def test_days_become_a_few_spans_that_leave_out_the_widest_gaps():
    days = [date(2013, 1, d) for d in (5, 1, 2, 9, 20, 2)]

    def midnight(day: int) -> datetime:
        return datetime(2013, 1, day, tzinfo=UTC)

    assert spans(days, 2) == [(midnight(1), midnight(10)), (midnight(20), midnight(21))]
    assert spans(days, 9) == [(midnight(a), midnight(b)) for a, b in ((1, 3), (5, 6), (9, 10), (20, 21))]
    assert spans(days, 1) == [(midnight(1), midnight(21))]
    assert spans([]) == []
    assert spans([date.max])[0][1].year == 9999  # the calendar's end


def test_what_a_span_cannot_see_is_not_read(frame):
    noon = spans([NOON.date()])  # from midnight to midnight
    start, end = NOON - 12 * HOUR, NOON + 12 * HOUR
    rows = [
        (1, "p", start - 3 * HOUR - TICK, start, 0.0),  # too old for the first moment
        (2, "p", start - 3 * HOUR, start - 2 * HOUR, 0.0),
        (3, "p", end - HOUR, end - TICK, 0.0),
        (4, "p", end - HOUR, end, 0.0),  # known when the day is over
        (5, "p", end + 99 * HOUR, start - 99 * HOUR, 0.0),  # a forecast of long ago for long after
    ]

    read = frame(rows, WEATHER).where(within_reach(FEATURE, "weather", SPECS, noon))

    assert {r.id for r in read.collect()} == {2, 3, 5}


def arrival(frame, clock: str) -> tuple[object, ...]:
    feature = FEATURE.model_copy(update={"clock": clock})
    known = NOON - HOUR
    came = (NOON, NOON - TICK)
    weather = [(n, place, known, known, n + 1.0, came[n]) for n, place in enumerate("pq")]
    weather.append((3, "r", known, None, 3.0, came[1]))  # never told
    trips = [(n, place, known, known, 7, came[n]) for n, place in enumerate("pq")]
    frames = {
        "weather": frame(weather, f"{WEATHER}, _arrived_at timestamp"),
        "trips": frame(trips, f"{TRIPS}, _arrived_at timestamp"),
    }
    spine = frame([(n, place, NOON, None, None) for n, place in enumerate("pqr")], TRIPS)
    rows = build(feature, spine, frames, SPECS).orderBy("id").collect()
    return tuple((r.weather_temp, r.place_delay_count_5h) for r in rows)


def test_by_the_clock_of_arrival_a_row_counts_from_when_it_came(frame):
    assert arrival(frame, "event") == ((1.0, 1), (2.0, 1), (None, 0))
    assert arrival(frame, "arrival") == ((None, 0), (2.0, 1), (None, 0))


Rows = dict[int, tuple]
Change = tuple[str, int, tuple | None]  # table, id, the row as it becomes (None: deleted)


def events(rng: random.Random) -> list[Change]:
    """Trips and weather of three days, some of them corrected or deleted later; a row's changes keep their order."""

    def moment() -> datetime:
        return NOON + timedelta(minutes=10 * rng.randrange(-216, 216))

    def trip(number: int) -> Change:
        starts = moment()
        ended = rng.choice([None, starts + timedelta(minutes=10 * rng.randrange(12))])
        return "trips", number, (number, rng.choice("pq"), starts, ended, rng.choice([None, rng.randrange(99)]))

    def weather(number: int) -> Change:
        measured = moment()
        told = rng.choice([None, measured, measured - HOUR, measured + HOUR])
        return "weather", number, (number, rng.choice("pq"), measured, told, rng.random())

    made = [trip(n) for n in range(60)] + [weather(n) for n in range(60)]
    again = [rng.choice([trip, weather])(rng.randrange(60)) for _ in range(20)]
    gone: list[Change] = [(rng.choice(["trips", "weather"]), rng.randrange(60), None) for _ in range(6)]
    rng.shuffle(made)
    return [*made, *again, *gone]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_split_into_arrivals_ends_with_the_features_of_one_batch(frame, seed):
    rng = random.Random(seed)
    log = events(rng)
    cuts = [0, *sorted(rng.sample(range(20, len(log)), 3)), len(log)]
    tables: dict[str, Rows] = {"trips": {}, "weather": {}}
    ddl = {"trips": TRIPS, "weather": WEATHER}
    made: dict[int, tuple] = {}
    reached = 0

    def frames() -> dict:
        return {name: frame(list(rows.values()), ddl[name]) for name, rows in tables.items()}

    for low, high in pairwise(cuts):
        changed: dict[str, list[tuple]] = {"trips": [], "weather": []}
        for table, number, row in log[low:high]:
            changed[table] += [r for r in (tables[table].get(number), row) if r]
            tables[table] = {k: v for k, v in {**tables[table], number: row}.items() if v}
        new = {n for table, n, _ in log[low:high] if table == "trips"}
        now = frames()
        altered = {name: frame(rows, ddl[name]) for name, rows in changed.items() if rows}
        bounds = frontier(FEATURE, altered, SPECS)
        late = {r.id for r in touched(FEATURE, now["trips"], altered, SPECS, bounds).collect()} if bounds else set()
        reached += len(late - new) if low else 0
        made = {n: row for n, row in made.items() if n in tables["trips"]}
        batch = [tables["trips"][n] for n in new | late if n in tables["trips"]]
        days = spans(row[2].date() for row in batch)
        read = {name: rows.where(within_reach(FEATURE, name, SPECS, days)) for name, rows in now.items()}
        made |= {r.id: tuple(r) for r in build(FEATURE, frame(batch, TRIPS), read, SPECS).collect()}

    at_once = {r.id: tuple(r) for r in build(FEATURE, frames()["trips"], frames(), SPECS).collect()}
    assert made == at_once
    assert reached > 10  # rows of before were made again
    assert sum(row[3] is not None for row in at_once.values()) > 10  # some weather is seen
