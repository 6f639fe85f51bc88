"""Which rows train, which choose, which judge; and which labels are known yet."""

from datetime import UTC, date, datetime, timedelta

import pytest

from pipelines.errors import DataError
from pipelines.models.splits import Day, cuts, labels, split
from pipelines.spec import Model, Split, Xgboost

pytestmark = pytest.mark.spark

FIRST = date(2013, 1, 1)
SHARES = Split(train=0.6, validate=0.2, test=0.2)


def days(*labelled: int) -> list[Day]:
    return [Day(FIRST + timedelta(days=i), n + 1, n) for i, n in enumerate(labelled)]


def midnight(day: int) -> datetime:
    return datetime(2013, 1, day, tzinfo=UTC)


@pytest.mark.parametrize(
    ("labelled", "train_ends", "validate_ends"),
    [
        ((10,) * 10, 7, 9),
        ((10,) * 5, 4, 5),
        ((50, 10, 20, 20), 3, 4),
        ((60, 0, 0, 20, 0, 20), 2, 5),
    ],
)
def test_cuts_are_the_midnights_nearest_to_the_shares(labelled, train_ends, validate_ends):
    assert cuts(days(*labelled), SHARES) == (midnight(train_ends), midnight(validate_ends))


@pytest.mark.parametrize("labelled", [(), (0, 0, 0), (5,), (5, 5), (100, 1, 1), (1, 0, 0, 100)])
def test_a_slice_without_rows_is_refused(labelled):
    with pytest.raises(DataError) as caught:
        cuts(days(*labelled), SHARES)

    assert str(caught.value) == (
        f"{sum(labelled)} labelled rows on {len(labelled)} days do not make a training, a validation and a test slice"
    )


@pytest.fixture(scope="module")
def rows(frame):
    """Ten days of two rows, at the first and the last microsecond; one has no label, and one more no time."""
    made = []
    for day in range(1, 11):
        start = datetime(2013, 1, day)
        made += [
            (day, start, day % 2),
            (day + 100, start + timedelta(days=1, microseconds=-1), None if day == 5 else 1),
        ]
    return frame([*made, (0, None, 1)], "id int, at timestamp, _label int")


def test_slices_follow_each_other_and_hold_labelled_rows_alone(rows):
    found = split(rows, "at", SHARES)

    ids = [{r.id for r in part.collect()} for part in (found.train, found.validate, found.test)]
    assert ids == [{1, 2, 3, 4, 5, 6, 101, 102, 103, 104, 106}, {7, 8, 107, 108}, {9, 10, 109, 110}]
    assert found.summary == {
        "train": {"rows": 11, "from": "2013-01-01", "to": "2013-01-06"},
        "validate": {"rows": 4, "from": "2013-01-07", "to": "2013-01-08"},
        "test": {"rows": 4, "from": "2013-01-09", "to": "2013-01-10"},
    }
    assert (found.cutoff, found.unlabelled) == (midnight(9), 1)


def model(label: str, task: str = "binary") -> Model:
    return Model(features="departures", label=label, task=task, candidates=(Xgboost(kind="xgboost"),))


def test_a_label_counts_once_all_that_it_reads_is_known(frame):
    now = datetime(2013, 1, 2, 12, tzinfo=UTC)
    at, tick = now.replace(tzinfo=None), timedelta(microseconds=1)
    rows = [
        (1, 20, at - tick, at - tick, 1),
        (2, 10, at - tick, at - tick, 0),
        (3, 20, at, at - tick, None),  # known now is not known before now
        (4, 20, at - tick, at + tick, None),
        (5, 20, None, at - tick, None),
        (6, None, at - tick, at - tick, None),
    ]
    spine = frame([row[:4] for row in rows], "id int, delay int, landed timestamp, reported timestamp")

    known = labels(spine, ["id"], model("delay >= 15 AND id > 0"), {"delay": "landed", "id": "reported"}, now).collect()

    assert {r.id: r._label for r in known} == {row[0]: row[4] for row in rows}


def test_a_label_of_what_is_known_at_once_needs_no_wait(frame):
    rows = labels(
        frame([(1, True), (2, False)], "id int, late boolean"), ["id"], model("late"), {}, midnight(1)
    ).collect()

    assert {r.id: r._label for r in rows} == {1: 1, 2: 0}


def test_a_number_is_a_label_where_it_is_finite(frame):
    rows = [(1, 2.5), (2, float("nan")), (3, float("inf")), (4, None), (5, -7.0)]

    made = labels(frame(rows, "id int, delay double"), ["id"], model("delay", "regression"), {}, midnight(1)).collect()

    assert {r.id: r._label for r in made} == {1: 2.5, 2: None, 3: None, 4: None, 5: -7.0}


def test_a_class_is_a_text_whatever_it_is_made_of(frame):
    spine = frame([(1, 30), (2, None)], "id int, gate int")

    made = labels(spine, ["id"], model("gate", "multiclass"), {}, midnight(1)).collect()

    assert {r.id: r._label for r in made} == {1: "30", 2: None}
