"""Promises over time: how old the newest row may be, and how many rows a refresh may bring."""

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.quality.overtime import enough, fresh, stale
from pipelines.spec import Freshness, Volume
from pipelines.state import Record

NOW = datetime(2013, 12, 31, 5, tzinfo=UTC)
TWO_DAYS = Freshness.model_validate({"within": "2 days", "on_fail": "fail"})
HALF_TO_DOUBLE = Volume(min=0.5, max=2.0, over=3)


def record(batch: int, applied: int, version: int | None = 0, rows_in: int | None = None, **found) -> Record:
    counts = {"rows_in": applied if rows_in is None else rows_in, "applied": applied, **found}
    status = "ok" if version is not None else "refused"
    return Record("p", "tables.t", 0, batch, "r", "d", status, NOW, 1.0, published_version=version, counts=counts)


DAILY = [record(0, 900_000), record(1, 100), record(2, 90), record(3, 110)]


@pytest.mark.parametrize(
    ("age", "success", "observed"),
    [
        (timedelta(0), True, "newest 2013-12-31 05:00 UTC, 0 seconds old"),
        (timedelta(days=2), True, "newest 2013-12-29 05:00 UTC, 2 days old"),
        (timedelta(days=2, seconds=1), False, "newest 2013-12-29 04:59 UTC, 2 days old"),
        (timedelta(days=20), False, "newest 2013-12-11 05:00 UTC, 20 days old"),
        (timedelta(hours=-3), True, "newest 2013-12-31 08:00 UTC, in the future"),
    ],
)
def test_the_newest_row_is_measured_against_the_batch(age, success, observed):
    judged = fresh(TWO_DAYS, NOW - age, NOW)

    assert (judged.success, judged.observed, judged.on_fail) == (success, observed, "fail")
    assert (judged.label, judged.name) == ("rows: newest within 2 days", "freshness")


def test_a_table_without_a_time_is_not_fresh():
    judged = fresh(TWO_DAYS, None, NOW)

    assert (judged.success, judged.observed) == (False, "no row with a time")


@pytest.mark.parametrize(
    ("newest", "later", "said"),
    [
        (NOW, timedelta(days=2), ""),
        (NOW, timedelta(days=3, hours=5), "newest row is 3 days old, promised within 2 days"),
        (NOW, timedelta(hours=49), "newest row is 2 days old, promised within 2 days"),
        (None, timedelta(0), "no row with a time, promised within 2 days"),
    ],
)
def test_a_table_grows_stale_without_a_refresh(newest, later, said):
    found = fresh(TWO_DAYS, newest, NOW).as_json()
    published = Record("p", "tables.t", 0, 0, "r", "d", "ok", NOW, 1.0, detail={"expectations": [found]})

    assert stale(TWO_DAYS, published, NOW + later) == said


def test_a_publication_that_promised_no_freshness_is_not_called_stale():
    assert stale(TWO_DAYS, Record("p", "tables.t", 0, 0, "r", "d", "ok", NOW, 1.0), NOW) == ""


@pytest.mark.parametrize(
    ("applied", "success", "observed"),
    [  # the median of 100, 90, 110 is 100
        (50, True, "50 rows, 0.50 times the median 100 of 3 refreshes"),
        (49, False, "49 rows, 0.49 times the median 100 of 3 refreshes"),
        (200, True, "200 rows, 2.00 times the median 100 of 3 refreshes"),
        (201, False, "201 rows, 2.01 times the median 100 of 3 refreshes"),
    ],
)
def test_a_refresh_is_held_against_the_median_of_those_before(applied, success, observed):
    judged = enough(HALF_TO_DOUBLE, {"rows_in": applied, "applied": applied}, DAILY, whole=False)

    assert (judged.success, judged.observed, judged.name) == (success, observed, "volume")
    assert judged.label == "rows: at least 0.5, at most 2 times the median of 3 refreshes"


def test_too_few_refreshes_to_compare_with_are_said_and_not_judged():
    judged = enough(HALF_TO_DOUBLE, {"rows_in": 1, "applied": 1}, DAILY[:2], whole=False)

    assert (judged.success, judged.observed) == (True, "1 rows; 2 of 3 refreshes to compare with")


def test_an_empty_file_is_no_row_at_all_and_judging_again_reads_nothing():
    empty = enough(HALF_TO_DOUBLE, {"rows_in": 0, "applied": 0, "files": 1}, DAILY, whole=False)
    again = enough(HALF_TO_DOUBLE, {"rows_in": 0, "applied": 0, "files": 0}, DAILY, whole=False)

    assert (empty.success, empty.observed) == (False, "0 rows, 0.00 times the median 100 of 3 refreshes")
    assert (again.success, again.observed) == (True, "nothing was read")


def test_rows_that_were_refused_publication_count_with_those_that_follow():
    refused = [*DAILY, record(4, 10, version=None)]

    again = enough(HALF_TO_DOUBLE, {"rows_in": 0, "applied": 0}, refused, whole=False)
    rest = enough(HALF_TO_DOUBLE, {"rows_in": 95, "applied": 95}, refused, whole=False)

    assert (again.success, rest.success) == (False, True)
    assert rest.observed.startswith("105 rows, 1.05 times")


def test_a_version_judged_again_is_no_refresh_to_compare_with():
    history = [*DAILY, record(4, 0), record(5, 0), record(6, 0)]

    assert enough(HALF_TO_DOUBLE, {"rows_in": 100, "applied": 100}, history, whole=False).value == 1.0


def test_a_view_is_held_against_whole_views():
    rows = ((10, 0), (100, None), (10, 0), (100, None), (12, 0), (1, None))  # refused ones between those published
    views = [record(i, applied, version) for i, (applied, version) in enumerate(rows)]

    assert enough(HALF_TO_DOUBLE, {"rows_in": 11, "applied": 11}, views, whole=True).value == 1.1
    assert not enough(HALF_TO_DOUBLE, {"rows_in": 0, "applied": 0}, views, whole=True).success


def test_rows_after_nothing_but_empty_refreshes_are_more_than_any_multiple():
    empty = [record(i, 0, files=1) for i in range(3)]

    judged = enough(HALF_TO_DOUBLE, {"rows_in": 5, "applied": 5}, empty, whole=False)

    assert (judged.success, judged.observed) == (False, "5 rows against the median 0 of 3 refreshes")
    assert enough(Volume(min=1, over=3), {"rows_in": 5, "applied": 5}, empty, whole=False).success
