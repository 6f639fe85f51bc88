"""Time: the conf's select on rows worked out by hand, and one law over thousands of real ones.

Raw times are HHMM on the clock of the airport they were read at, without date
or zone, 2400 for midnight; time_hour is UTC. New York is UTC-5 in winter,
UTC-4 from 2013-03-10 07:00Z to 2013-11-03 06:00Z.
"""

from datetime import UTC, datetime

import pytest

from e2e.project import Project, flights, land_flights

pytestmark = pytest.mark.spark

DAYS = (1, 2, 3, 10)  # with both changes of the clock: 2013-03-10 and 2013-11-03
HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
    "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
)

# flight: (year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay, origin,dest,air_time,
#          hour,minute,time_hour), scheduled_departure, actual_departure, actual_arrival: in UTC
BY_HAND: dict[int, tuple[str, str, str | None, str | None]] = {
    # 05:15 EST = 10:15Z, 2 minutes late; 08:30 in Houston, CST = UTC-6
    9001: (
        "2013,1,1,517,515,2,830,819,11,EWR,IAH,227,5,15,2013-01-01T10:00:00Z",
        *("2013-01-01 10:15", "2013-01-01 10:17", "2013-01-01 14:30"),
    ),
    # leaves at 2400: 23:59 EDT = 03:59Z of the 21st, 1 minute late; San Juan (in no airports file) is UTC-4 all year
    9002: (
        "2013,6,20,2400,2359,1,340,344,-4,JFK,SJU,190,23,59,2013-06-21T03:00:00Z",
        *("2013-06-21 03:59", "2013-06-21 04:00", "2013-06-21 07:40"),
    ),
    # arrives at 2400, the midnight after departure: 24:00 EST of the 5th = 05:00Z of the 6th
    9003: (
        "2013,3,5,2230,2230,0,2400,2355,5,JFK,RDU,75,22,30,2013-03-06T03:00:00Z",
        *("2013-03-06 03:30", "2013-03-06 03:30", "2013-03-06 05:00"),
    ),
    # 2400 on another clock: 19:10 EDT is 16:10 in Los Angeles; midnight there, PDT = UTC-7, is 07:00Z
    9004: (
        "2013,6,1,1910,1910,0,2400,2240,80,JFK,LAX,315,19,10,2013-06-01T23:00:00Z",
        *("2013-06-01 23:10", "2013-06-01 23:10", "2013-06-02 07:00"),
    ),
    # due 22:45 EST on the 1st, 90 minutes late: 00:15 EST on the 2nd; Boston 01:30 EST
    9005: (
        "2013,1,1,15,2245,90,130,2359,91,JFK,BOS,50,22,45,2013-01-02T03:00:00Z",
        *("2013-01-02 03:45", "2013-01-02 05:15", "2013-01-02 06:30"),
    ),
    # 21:00 EST is 18:00 in Los Angeles; 00:10 PST there is the next day = 08:10Z
    9006: (
        "2013,1,15,2100,2100,0,10,5,5,JFK,LAX,350,21,0,2013-01-16T02:00:00Z",
        *("2013-01-16 02:00", "2013-01-16 02:00", "2013-01-16 08:10"),
    ),
    # red-eye that leaves on the 2nd in New York and on the 1st in San Francisco (21:30 PST); 04:00 PST = 12:00Z
    9007: (
        "2013,1,1,30,2330,60,400,255,65,JFK,SFO,360,23,30,2013-01-02T04:00:00Z",
        *("2013-01-02 04:30", "2013-01-02 05:30", "2013-01-02 12:00"),
    ),
    # Honolulu is UTC-10: 10:00 EST = 15:00Z; 15:45 there = 01:45Z of the next day
    9008: (
        "2013,1,5,1000,1000,0,1545,1530,15,JFK,HNL,625,10,0,2013-01-05T15:00:00Z",
        *("2013-01-05 15:00", "2013-01-05 15:00", "2013-01-06 01:45"),
    ),
    # Ponce, winter: 23:59 EST = 04:59Z; 04:40 at UTC-4 = 08:40Z
    9009: (
        "2013,2,1,2359,2359,0,440,444,-4,JFK,PSE,200,23,59,2013-02-02T04:00:00Z",
        *("2013-02-02 04:59", "2013-02-02 04:59", "2013-02-02 08:40"),
    ),
    # spring forward: leaves 01:30 EST = 06:30Z; Boston 03:45, already EDT = 07:45Z, 75 minutes later
    9010: (
        "2013,3,9,130,2259,151,345,10,215,JFK,BOS,45,22,59,2013-03-10T03:00:00Z",
        *("2013-03-10 03:59", "2013-03-10 06:30", "2013-03-10 07:45"),
    ),
    # spring forward at the destination: 00:45 EST = 05:45Z is 21:45 PST of the 9th; 04:10, already PDT = 11:10Z
    9011: (
        "2013,3,9,45,2245,120,410,200,130,JFK,LAX,300,22,45,2013-03-10T03:00:00Z",
        *("2013-03-10 03:45", "2013-03-10 05:45", "2013-03-10 11:10"),
    ),
    # the morning after: 06:00 is EDT = 10:00Z
    9012: (
        "2013,3,10,600,600,0,715,710,5,JFK,BOS,45,6,0,2013-03-10T10:00:00Z",
        *("2013-03-10 10:00", "2013-03-10 10:00", "2013-03-10 11:15"),
    ),
    # fall back: leaves 00:50 EDT = 04:50Z; Miami 02:45, already EST = 07:45Z: 175 minutes for a clock that shows 115
    9013: (
        "2013,11,2,50,2250,120,245,150,55,JFK,MIA,155,22,50,2013-11-03T02:00:00Z",
        *("2013-11-03 02:50", "2013-11-03 04:50", "2013-11-03 07:45"),
    ),
    # in the hour that the clock shows twice the first showing is meant: 01:20 EDT = 05:20Z
    9014: (
        "2013,11,2,10,2359,11,120,110,10,JFK,BOS,45,23,59,2013-11-03T03:00:00Z",
        *("2013-11-03 03:59", "2013-11-03 04:10", "2013-11-03 05:20"),
    ),
    # that evening: 18:00 is EST = 23:00Z; Puerto Rico has no summer time: 22:50 at UTC-4 = 02:50Z
    9015: (
        "2013,11,3,1800,1800,0,2250,2255,-5,JFK,BQN,200,18,0,2013-11-03T23:00:00Z",
        *("2013-11-03 23:00", "2013-11-03 23:00", "2013-11-04 02:50"),
    ),
    # cancelled: scheduled, and nothing more
    9016: (
        "2013,1,1,NA,1630,NA,NA,1815,NA,EWR,RDU,NA,16,30,2013-01-01T21:00:00Z",
        *("2013-01-01 21:30", None, None),
    ),
    # diverted and brought there in the end: 19:34 CST = 01:34Z, without arr_delay and air_time
    9017: (
        "2013,1,1,1525,1530,-5,1934,1805,NA,LGA,XNA,NA,15,30,2013-01-01T20:00:00Z",
        *("2013-01-01 20:30", "2013-01-01 20:25", "2013-01-02 01:34"),
    ),
    # diverted for good: it left and never arrived
    9018: (
        "2013,1,2,905,822,43,NA,1045,NA,EWR,IAH,NA,8,22,2013-01-02T13:00:00Z",
        *("2013-01-02 13:22", "2013-01-02 14:05", None),
    ),
}


@pytest.fixture(scope="module")
def year(spark, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Four days of every month, and the rows by hand as one more file."""
    project = flights(tmp_path_factory.mktemp("year"))
    land_flights(project, months=range(1, 13), days=DAYS)
    project.land("flights/by-hand.csv", "\n".join([HEADER, *(_line(f, row) for f, (row, *_) in BY_HAND.items())]))
    select = [f"--select=tables.{name}" for name in ("airports", "planes", "flights")]
    assert project.lakeloom("run", *select).error == ""
    return project


def _line(flight: int, row: str) -> str:
    cells = row.split(",")
    return ",".join([*cells[:9], "XX", str(flight), "N0", *cells[9:12], "500", *cells[12:]])


def test_times_are_those_worked_out_by_hand(year):
    found = {row["flight"]: row for row in year.rows("tables.flights") if row["carrier"] == "XX"}

    moments = ("scheduled_departure", "actual_departure", "actual_arrival")
    assert {f: [_utc(row[m]) for m in moments] for f, row in found.items()} == {f: [*r[1:]] for f, r in BY_HAND.items()}


def _utc(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M") if moment else None


def test_a_flight_takes_its_air_time_and_some_minutes_on_the_ground(year):
    rows = [r for r in year.rows("tables.flights") if r["air_time"] is not None]
    ground = [(r["actual_arrival"] - r["actual_departure"]).total_seconds() / 60 - r["air_time"] for r in rows]

    assert len(rows) > 40_000
    assert [(r["flight_id"], g) for r, g in zip(rows, ground, strict=True) if not 0 < g < 300] == []
