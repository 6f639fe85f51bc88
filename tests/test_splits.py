"""Which rows train, which choose, which judge; and which labels are known yet."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.errors import DataError
from pipelines.models.folds import Fold, slices, windows
from pipelines.models.hashed import PLACES, HeldOut, ends
from pipelines.models.splits import Day, cuts, labels, split
from pipelines.spec import Backtest, Model, Split, Xgboost

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
    found = split(rows, "at", ["id"], SHARES)

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
    assert {r.id: r._known for r in known} == {
        row[0]: max((moment for moment in row[2:4] if moment), default=None) for row in rows
    }


def test_a_label_of_what_is_known_at_once_needs_no_wait(frame):
    rows = labels(
        frame([(1, True), (2, False)], "id int, late boolean"), ["id"], model("late"), {}, midnight(1)
    ).collect()

    assert {r.id: (r._label, r._known) for r in rows} == {1: (1, None), 2: (0, None)}


def test_a_number_is_a_label_where_it_is_finite(frame):
    rows = [(1, 2.5), (2, float("nan")), (3, float("inf")), (4, None), (5, -7.0)]

    made = labels(frame(rows, "id int, delay double"), ["id"], model("delay", "regression"), {}, midnight(1)).collect()

    assert {r.id: r._label for r in made} == {1: 2.5, 2: None, 3: None, 4: None, 5: -7.0}


def test_a_class_is_a_text_whatever_it_is_made_of(frame):
    spine = frame([(1, 30), (2, None)], "id int, gate int")

    made = labels(spine, ["id"], model("gate", "multiclass"), {}, midnight(1)).collect()

    assert {r.id: r._label for r in made} == {1: "30", 2: None}


# by a hash

RANDOM = Split(by="random", train=0.6, validate=0.2, test=0.2)
GROUP = Split(by="group", column="customer", train=0.6, validate=0.2, test=0.2)
STRATIFIED = Split(by="stratified", train=0.6, validate=0.2, test=0.2)
BY_HASH = pytest.mark.parametrize("how", [RANDOM, GROUP, STRATIFIED], ids=lambda how: how.by)
ORDERS = 3_000


@pytest.fixture(scope="module")
def orders(frame):
    """3,000 orders of 300 customers, one in ten cancelled; a tenth without a label, a few without a customer."""
    start = datetime(2026, 1, 1)
    made = [
        (i, f"c{i % 300}" if i % 50 else None, start + timedelta(hours=i), None if i % 10 == 7 else int(i % 10 == 0))
        for i in range(ORDERS)
    ]
    return frame(made, "id int, customer string, at timestamp, _label int").cache()


def sides(df, how: Split) -> dict[int, str]:
    """Row -> its side; a row on two sides is refused."""
    found = split(df, "at", ["id"], how)
    made = [(r.id, name) for name in ("train", "validate", "test") for r in getattr(found, name).select("id").collect()]
    assert len(dict(made)) == len(made)
    return dict(made)


@BY_HASH
def test_each_labelled_row_is_on_one_side_and_the_shares_are_kept(orders, how):
    found = sides(orders, how)

    assert set(found) == {i for i in range(ORDERS) if i % 10 != 7}
    shares = {side: n / len(found) for side, n in Counter(found.values()).items()}
    assert shares == pytest.approx({"train": 0.6, "validate": 0.2, "test": 0.2}, abs=0.05)


@BY_HASH
def test_a_side_depends_on_neither_order_nor_partitions_but_on_the_seed(orders, how):
    found = sides(orders, how)

    assert sides(orders.orderBy("at", ascending=False).repartition(5), how) == found
    assert sides(orders.repartition(3, "customer").sortWithinPartitions("_label"), how) == found
    assert sides(orders, how.model_copy(update={"seed": 8})) != found


def test_a_group_is_on_one_side_alone(orders):
    found = sides(orders, GROUP)

    of = {r.id: r.customer for r in orders.collect()}
    met: dict[str, set[str]] = {}
    for row, side in found.items():
        met.setdefault(of[row], set()).add(side)
    assert len(met) == 265  # 300 less 6 that never ordered and 30 of which no order has a label, and "none"
    assert all(len(on) == 1 for on in met.values())


def test_a_row_keeps_its_side_when_rows_are_added(orders):
    few = orders.where("id < 1000")

    for how in (RANDOM, GROUP):
        found = sides(orders, how)
        assert sides(few, how).items() <= found.items()


@given(
    st.dictionaries(st.integers(0, PLACES - 1), st.integers(1, 40), min_size=1),
    st.tuples(*[st.floats(0.05, 0.9)] * 2).filter(lambda pair: sum(pair) < 0.95),
)
def test_a_class_keeps_its_shares_to_within_half_of_its_fullest_place(counts, shares):
    rows = [counts.get(i, 0) for i in range(PLACES)]
    how = Split(by="stratified", train=shares[0], validate=shares[1], test=1 - sum(shares))

    first, second = ends(rows, how)

    assert 0 <= first <= second <= PLACES
    for end, wanted in ((first, shares[0]), (second, sum(shares))):
        assert abs(sum(rows[:end]) - wanted * sum(rows)) <= max(rows) / 2 + 1e-6


def test_each_class_has_the_same_shares(orders):
    found = sides(orders, STRATIFIED)

    label = {r.id: r._label for r in orders.collect()}
    for value, rows in ((0, 2_400), (1, 300)):
        on = Counter(side for row, side in found.items() if label[row] == value)
        assert {side: n / rows for side, n in on.items()} == pytest.approx(
            {"train": 0.6, "validate": 0.2, "test": 0.2}, abs=3 / rows
        )


@BY_HASH
def test_what_a_model_did_not_see_is_found_again_among_later_rows(orders, how):
    few = orders.where("id < 1500")
    made = split(few, "at", ["id"], how)
    kept = HeldOut.of(made.held.text())

    seen = {r.id for part in (made.train, made.validate) for r in part.collect()}
    held = {r.id for r in orders.where(kept.holds()).collect()}
    assert held & set(range(1_500)) >= {r.id for r in made.test.collect()}
    assert not held & seen
    assert any(row >= 1_500 for row in held)


@BY_HASH
def test_the_cutoff_lies_just_behind_the_newest_labelled_row(orders, how):
    found = split(orders, "at", ["id"], how)

    assert found.cutoff == datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=2_999, microseconds=1)
    assert found.unlabelled == 300
    assert sum(part["rows"] for part in found.summary.values()) == 2_700
    assert found.summary["train"]["from"] == "2026-01-01"


def test_a_side_without_rows_is_named(orders):
    with pytest.raises(DataError) as caught:
        split(orders.where("customer = 'c1'"), "at", ["id"], GROUP)

    assert str(caught.value).startswith("of 10 labelled rows none falls to ")


def test_a_number_is_no_class_to_stratify_by(orders):
    with pytest.raises(DataError) as caught:
        split(orders.withColumn("_label", orders.id), "at", ["id"], STRATIFIED)

    assert str(caught.value) == ("by: stratified wants classes, and the label has more than 1,000: is it a number?")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"by": "group"}, "by: group needs a column"),
        ({"by": "random", "column": "customer"}, "by: random has no column; by: group has one"),
        ({"seed": 3}, "by: time has no seed; it draws no lots"),
    ],
)
def test_a_split_refuses_what_does_not_belong_to_it(said, sentence):
    with pytest.raises(ValidationError) as caught:
        Split(**said)

    assert sentence in str(caught.value)


# a backtest


def test_windows_hold_as_many_rows_unless_their_length_is_said():
    found = windows(days(*[10] * 12), Backtest(folds=3))

    assert found == [
        Fold(midnight(4), midnight(7)), Fold(midnight(7), midnight(10)), Fold(midnight(10), midnight(13))
    ]  # fmt: skip


def test_windows_of_a_length_are_counted_from_the_newest_labelled_row():
    found = windows(days(10, 10, 10, 10, 10, 10, 0), Backtest(folds=2, window="36 hours"))

    noon = midnight(5) + timedelta(hours=12)
    assert found == [Fold(midnight(4), noon), Fold(noon, midnight(7))]


@pytest.mark.parametrize(
    ("labelled", "how", "sentence"),
    [
        ((), Backtest(folds=2), "backtest: there is no labelled row"),
        ((5, 5), Backtest(folds=2), "backtest: 10 labelled rows on 2 days do not make 2 folds"),
        (
            (5,) * 4,
            Backtest(folds=2, window="2 days"),
            "backtest: 20 labelled rows on 4 days do not make 2 folds",
        ),
    ],
)
def test_folds_that_rows_do_not_make_are_refused(labelled, how, sentence):
    with pytest.raises(DataError) as caught:
        windows(days(*labelled), how)

    assert str(caught.value) == sentence


@pytest.fixture(scope="module")
def delivered(frame):
    """A row an hour over ten days; its label is known two days later, every fifth one's at once."""
    start = datetime(2013, 1, 1)
    made = [
        (i, start + timedelta(hours=i), i % 2, None if i % 5 == 0 else start + timedelta(hours=i + 48))
        for i in range(240)
    ]
    return frame(made, "id int, at timestamp, _label int, _known timestamp").cache()


@pytest.mark.parametrize("origin", [4, 6, 9])
@pytest.mark.parametrize("history", [None, "3 days"])
def test_no_fold_trains_on_what_was_known_at_its_origin_or_later(delivered, origin, history):
    fold = Fold(midnight(origin), midnight(origin + 1))

    found = slices(delivered, "at", fold, Backtest(folds=2, history=history), SHARES)

    train, chosen, test = ({r.id for r in part.collect()} for part in (found.train, found.validate, found.test))
    begin, oldest = 24 * (origin - 1), 24 * (origin - 4) if history else 0
    known = {i for i in range(max(oldest, 0), begin) if i % 5 == 0 or i + 48 < begin}
    assert train | chosen == known and not train & chosen
    assert max(train) < min(chosen)
    assert test == set(range(begin, begin + 24))  # also what is known later: it judges
    assert [found.summary[side]["rows"] for side in ("train", "validate", "test")] == [len(train), len(chosen), 24]
    assert found.cutoff == midnight(origin)


def test_a_fold_without_rows_says_which(delivered):
    with pytest.raises(DataError) as caught:
        slices(delivered, "at", Fold(midnight(1), midnight(2)), Backtest(), SHARES)

    assert str(caught.value) == "at 2013-01-01 there is no labelled row to train on or to choose by"
