"""Events that come late, corrections and deletions, by real runs: what is made again, what stays, what is not read.

What a feature has to be is worked out here, from the newest state of each row.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
from deltalake import DeltaTable

from e2e.project import Project, Said, project
from pipelines.crash import VARIABLE

pytestmark = pytest.mark.spark

TRIPS = "id STRING, rev INT, gone BOOLEAN, place STRING, starts TIMESTAMP, ended TIMESTAMP, delay INT"
WEATHER = "id STRING, rev INT, gone BOOLEAN, place STRING, measured TIMESTAMP, told TIMESTAMP, temp DOUBLE"
NOON, HOUR = datetime(2013, 1, 2, 12, tzinfo=UTC), timedelta(hours=1)
Row = dict[str, Any]


def rides(**more: object) -> dict[str, object]:
    return {
        "spine": "trips", "keys": ["id"], "as_of_time": "starts", "columns": ["place"],
        "as_of": [{"table": "weather", "keys": ["place"], "within": "3 hours", "columns": ["temp"]}],
        "windows": [
            {"table": "trips", "keys": ["place"], "over": ["6 hours"], "aggregates": {"delay": ["count", "sum"]}},
        ],
        **more,
    }  # fmt: skip


def kept(name: str, starts: str, known_at: dict[str, str]) -> dict[str, object]:
    """A table of the newest row of each id, by revision; one that is gone is deleted."""
    order = {"keys": ["id"], "sequence_by": "rev", "apply_as_deletes": "gone"}
    return {"from": f"{name}_raw", **order, "event_time": starts, "known_at": known_at}


def yard(root: Path) -> Project:
    """Trips and weather, both corrected and deleted; the same features by either clock."""
    trips = kept("trips", starts="starts", known_at={"ended": "ended", "delay": "ended"})
    weather = kept("weather", starts="measured", known_at={"told": "told", "temp": "told"})
    made = project(root, "yard")
    made.write(
        sources={
            "trips_raw": {"kind": "files", "format": "json", "path": "trips", "schema": TRIPS},
            "weather_raw": {"kind": "files", "format": "json", "path": "weather", "schema": WEATHER},
        },
        tables={
            "trips": {**trips, "select": "SELECT id, rev, gone, place, starts, ended, delay FROM trips_raw"},
            "weather": {**weather, "select": "SELECT id, rev, gone, place, measured, told, temp FROM weather_raw"},
        },
        features={"rides": rides(), "rides_then": rides(clock="arrival")},
    )
    return made


def trip(name: str, starts: datetime, place: str = "p", took: int = 30, rev: int = 0, **more: object) -> Row:
    """A trip of some minutes, late by as many."""
    ended = starts + timedelta(minutes=took)
    return {
        "id": name,
        "rev": rev,
        "gone": False,
        "place": place,
        "starts": starts,
        "ended": ended,
        "delay": took,
        **more,
    }


def report(name: str, measured: datetime, temp: float, place: str = "p", rev: int = 0, **more: object) -> Row:
    """A weather report, told a minute later."""
    told = measured + timedelta(minutes=1)
    return {
        "id": name,
        "rev": rev,
        "gone": False,
        "place": place,
        "measured": measured,
        "told": told,
        "temp": temp,
        **more,
    }


def land(made: Project, number: int, trips: list[Row], weather: list[Row]) -> None:
    for name, rows in (("trips", trips), ("weather", weather)):
        if rows and not (made.landing / name / f"{number}.json").exists():
            made.land(f"{name}/{number}.json", "".join(json.dumps(r, default=str) + "\n" for r in rows))


OLD, LATER = NOON - timedelta(days=90), NOON + timedelta(days=90)
DELIVERIES: list[tuple[list[Row], list[Row]]] = [
    ([trip("a", OLD), trip("b", OLD + 2 * HOUR)], [report("w1", OLD - HOUR, 1.0)]),
    (
        [trip("c", NOON), trip("d", NOON + 2 * HOUR), trip("e", NOON, "q")],
        [report("w2", NOON - HOUR, 2.0), report("w3", NOON - HOUR, 3.0, "q")],
    ),
    # a report of noon comes late; so does a trip before noon; one is new, far later
    (
        [trip("f", NOON - 2 * HOUR), trip("g", LATER)],
        [report("w4", NOON + HOUR, 4.0)],
    ),
    # a trip took longer than was said, one never was; a report is corrected, another taken back
    (
        [trip("c", NOON, took=170, rev=1), trip("e", NOON, "q", rev=1, gone=True)],
        [report("w2", NOON - HOUR, 2.5, rev=1), report("w4", NOON + HOUR, 4.0, rev=1, gone=True)],
    ),
]


def newest(table: int, upto: int) -> list[Row]:
    """The rows of a table after some deliveries."""
    last: dict[str, Row] = {}
    for delivery in DELIVERIES[:upto]:
        for row in delivery[table]:
            last = {**last, row["id"]: row} if row["rev"] >= last.get(row["id"], row)["rev"] else last
    return [row for row in last.values() if not row.get("gone")]


def expected(upto: int) -> dict[str, tuple[object, ...]]:
    """Trip -> (place, temp, count, sum)."""
    trips, weather = newest(0, upto), newest(1, upto)
    found = {}
    for t in trips:
        here = [w for w in weather if w["place"] == t["place"] and w["told"] < t["starts"]]
        fresh = [w for w in here if w["measured"] >= t["starts"] - 3 * HOUR]
        temp = max(fresh, key=lambda w: w["measured"])["temp"] if fresh else None
        ended = [o for o in trips if o["place"] == t["place"] and t["starts"] - 6 * HOUR <= o["ended"] < t["starts"]]
        found[t["id"]] = (t["place"], temp, len(ended), sum(o["delay"] for o in ended) if ended else None)
    return found


def shown(rows: list[Row]) -> dict[str, tuple[object, ...]]:
    columns = ("place", "weather_temp", "place_delay_count_6h", "place_delay_sum_6h")
    assert len({r["id"] for r in rows}) == len(rows)
    return {r["id"]: tuple(r[c] for c in columns) for r in rows}


@dataclass(frozen=True)
class Story:
    """A yard after each delivery, and what was said meanwhile."""

    project: Project
    rides: list[dict[str, tuple[object, ...]]]  # after each delivery
    frozen: list[dict[str, tuple[object, ...]]]  # rides_then
    plan: Said
    killed: int
    again: Said
    files: tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]  # before and after a run with nothing new


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = yard(tmp_path_factory.mktemp("yard"))
    found = [delivered(made, 0), delivered(made, 1)]
    land(made, 2, *DELIVERIES[2])
    assert made.lakeloom("run", "--select", "tables").error == ""
    plan = made.lakeloom("plan")
    with hidden(made, version=0):
        assert made.lakeloom("run").error == ""
    found.append(shown_both(made))
    land(made, 3, *DELIVERIES[3])
    killed = made.lakeloom_apart("run", **{VARIABLE: "before the run record @ features.rides"}).code
    found.append(delivered(made, 3))
    before, again = made.files(), made.lakeloom("run")
    rides, frozen = ([pair[side] for pair in found] for side in (0, 1))
    return Story(made, rides, frozen, plan, killed, again, (before, made.files()))


def delivered(made: Project, number: int) -> tuple[dict[str, tuple[object, ...]], dict[str, tuple[object, ...]]]:
    """Rows of both feature tables after a delivery."""
    land(made, number, *DELIVERIES[number])
    assert made.lakeloom("run").error == ""
    return shown_both(made)


def shown_both(made: Project) -> tuple[dict[str, tuple[object, ...]], dict[str, tuple[object, ...]]]:
    return shown(made.rows("features.rides")), shown(made.rows("features.rides_then"))


@contextmanager
def hidden(made: Project, version: int) -> Iterator[None]:
    """The data files of a version of all tables are away: who reads them, fails."""
    stages = ("tables.trips", "tables.weather", "features.rides", "features.rides_then")
    tables = [DeltaTable(made.warehouse.path(stage), version) for stage in stages]
    files = [Path(file) for table in tables for file in table.file_uris()]
    for file in files:
        file.rename(file.with_suffix(".away"))
    try:
        yield
    finally:
        for file in files:
            file.with_suffix(".away").rename(file)


@pytest.mark.long
def test_features_are_those_of_all_events_at_once_however_they_came(story):
    assert story.rides == [expected(n) for n in (1, 2, 3, 4)]


@pytest.mark.long
def test_by_the_clock_of_arrival_what_was_made_stays(story):
    assert all(before.items() <= after.items() for before, after in pairwise(story.frozen))
    assert set(story.frozen[-1]) == set("abcdefg")  # e too, which was taken back
    assert set(story.frozen[-1].values()) == {("p", None, 0, None), ("q", None, 0, None)}  # all came years later


@pytest.mark.long
def test_plan_says_what_may_be_late_and_starts_no_engine(story):
    lines = dict(line.split(maxsplit=2)[1:] for line in story.plan.out.splitlines())

    assert lines["features.rides"] == (
        "tables.trips went from version 1 to 2; up to 1 late row of weather; up to 2 late rows of trips"
    )
    assert lines["features.rides_then"] == "tables.trips went from version 1 to 2"


@pytest.mark.long
def test_only_features_that_changed_are_written(story):
    counts = [{k: r.counts[k] for k in ("rows_in", "late", "applied")} for r in story.project.records("features.rides")]

    # f and g are new, c and d see f or the report of one o'clock; then c changed, and d had seen c and both reports
    assert counts[2:] == [{"rows_in": 4, "late": 2, "applied": 4}, {"rows_in": 2, "late": 1, "applied": 2}]


@pytest.mark.long
def test_a_refresh_that_was_killed_after_its_commit_is_not_made_twice(story):
    assert story.killed == -SIGKILL
    assert [r.published_version for r in story.project.records("features.rides")] == [0, 1, 2, 3]


@pytest.mark.long
def test_where_nothing_is_new_nothing_is_written(story):
    assert "nothing to do" in story.again.out
    assert story.files[0] == story.files[1]
