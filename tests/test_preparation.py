"""What becomes of features before a learner sees them: fitted on the training rows alone, by type unless said."""

from datetime import UTC, datetime
from math import cos, pi, sin, sqrt

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from pipelines.errors import SpecError
from pipelines.models.base import Asked, Inputs
from pipelines.models.disguise import disguised
from pipelines.models.preparation import prepare
from pipelines.spec.prepare import Cycle, Hashed, Index, MeanLabel, Number, OneHot, Quantiles, Text, Time
from pipelines.spec.task import FEATURES, TARGET

pytestmark = pytest.mark.spark

ASKED = Asked("regression", 0, ("id",))
DDL = "id int, carrier string, note string, hour int, wind double, sent timestamp, _target double"
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)  # a Monday
ROWS = [
    (1, "UA", "late crew", 0, 1.0, NOON, 1.0),
    (2, "UA", "late plane", 6, 3.0, NOON, 2.0),
    (3, "AA", None, 12, None, NOON, 3.0),
    (4, "AA", "crew", 18, 8.0, NOON, 6.0),
]
COLUMNS = ("carrier", "note", "hour", "wind", "sent")


def vectors(frame, shape, columns, rows=ROWS, probe=None, **how) -> np.ndarray:
    """The vectors of the training rows by id; of the probe, where there is one."""
    train = frame(rows, DDL)
    made = prepare(train, Inputs.of(train, columns, how), shape, ASKED)
    df = made.train if probe is None else frame(probe, DDL)
    for stage in () if probe is None else made.stages:
        df = stage.transform(df)
    assert made.width == len(df.first()[FEATURES])
    return np.array([r[FEATURES].toArray() for r in df.orderBy("id").select(FEATURES).collect()])


def test_a_number_is_filled_by_the_median_scaled_and_says_that_it_was_missing(frame):
    found = vectors(frame, "linear", ["wind"])

    filled = np.array([1, 3, 3, 8])  # the median of 1, 3, 8
    assert found[:, 0] == pytest.approx((filled - filled.mean()) / filled.std(ddof=1))
    assert found[:, 1].tolist() == [0, 0, 1, 0]


def test_trees_see_numbers_unscaled_and_boosting_sees_what_is_missing(frame):
    assert vectors(frame, "trees", ["wind"]).tolist() == [[1, 0], [3, 0], [3, 1], [8, 0]]
    boosted = vectors(frame, "boosted", ["wind"])[:, 0]
    assert np.isnan(boosted[2]) and boosted[[0, 1, 3]].tolist() == [1, 3, 8]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_finite_number_is_missing(frame, value):
    probe = [(9, "UA", "", 0, value, NOON, None)]

    assert vectors(frame, "trees", ["wind"], probe=probe).tolist() == [[3, 1]]


def test_what_is_said_of_a_number_is_done(frame):
    spec = Number(kind="number", impute="constant", constant=-2.0, scale="min_max", indicator=False)

    assert vectors(frame, "linear", ["wind"], wind=spec)[:, 0] == pytest.approx([0, 2 / 7, -3 / 7, 1])
    mean = Number(kind="number", impute="mean", scale="none", indicator=False)
    assert vectors(frame, "boosted", ["wind"], wind=mean)[:, 0] == pytest.approx([1, 3, 4, 8])


def test_a_cycle_comes_round(frame):
    found = vectors(frame, "linear", ["hour"], hour=Cycle(kind="cycle", period=24))

    assert found == pytest.approx(np.array([[0, 1], [1, 0], [0, -1], [-1, 0]]), abs=1e-12)


def test_a_timestamp_is_the_cycles_that_it_stands_in(frame):
    rows = [*ROWS[:3], (*ROWS[3][:5], datetime(2026, 12, 2, 18, 30, tzinfo=UTC), 6.0)]

    found = vectors(frame, "linear", ["sent"], rows=rows, sent=Time(kind="time", parts=("hour", "weekday", "month")))

    noon, evening = found[0], found[3]
    assert noon == pytest.approx([0, -1, 0, 1, 0, -1], abs=1e-12)  # 12 of 24; Monday, 0 of 7; June, 6 of 12
    expected = [f(2 * pi * part) for part in (18.5 / 24, 2 / 7, 1) for f in (sin, cos)]
    assert evening == pytest.approx(expected, abs=1e-12)
    assert vectors(frame, "linear", ["sent"], rows=rows) == pytest.approx(found)  # unless said


def test_a_category_is_one_hot_or_an_index_and_a_new_one_has_a_place(frame):
    probe = [(8, "ZZ", "", 0, 1.0, NOON, None), (9, None, "", 0, 1.0, NOON, None)]
    rows = [*ROWS, (5, "UA", "", 1, 1.0, NOON, 1.0)]

    assert vectors(frame, "linear", ["carrier"], rows=rows)[[0, 2]].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert vectors(frame, "linear", ["carrier"], rows=rows, probe=probe).tolist() == [[0, 0, 1], [0, 0, 1]]
    assert vectors(frame, "trees", ["carrier"], rows=rows)[[0, 2]].tolist() == [[0], [1]]
    assert vectors(frame, "trees", ["carrier"], rows=rows, probe=probe).tolist() == [[2], [2]]
    assert vectors(frame, "trees", ["carrier"], carrier=OneHot(kind="one_hot")).shape == (4, 3)
    assert vectors(frame, "linear", ["carrier"], rows=rows, carrier=Index(kind="index"))[:2].tolist() == [[0], [0]]


def test_a_number_may_be_a_category_by_equal_shares(frame):
    rows = [(i, "UA", "", i, None if i == 0 else float(i), NOON, float(i)) for i in range(9)]

    found = vectors(frame, "linear", ["wind"], rows=rows, wind=Quantiles(kind="quantiles", number=4))

    groups = [row.argmax() for row in found]
    assert len(set(groups)) == 5  # four quarters, and what is missing
    assert [groups.count(g) for g in dict.fromkeys(groups)] == [1, 2, 2, 2, 2]


def test_a_hash_has_one_place_whatever_the_value(frame):
    probe = [(9, "ZZ", "", 0, 1.0, NOON, None)]

    for rows in (None, probe):
        found = vectors(frame, "linear", ["carrier"], probe=rows, carrier=Hashed(kind="hash", buckets=16))
        assert found.shape[1] == 16 and (found.sum(axis=1) == 1).all()


def test_words_weigh_more_where_they_are_rare(frame):
    found = vectors(frame, "linear", ["note"], note=Text(kind="text", buckets=64))

    crew, plane = np.log(5 / 3), np.log(5 / 2)  # of 4 notes, 2 say crew and late, 1 plane: log((n + 1) / (df + 1))
    assert sorted(found[1][found[1] > 0]) == pytest.approx(sorted([crew, plane]))
    assert found[2].sum() == 0


def test_a_mean_label_of_a_row_comes_of_the_other_folds_and_of_a_new_row_of_all(frame):
    rows = [(i, "UA" if i % 3 else "AA", "", 0, float(i), NOON, float(i % 7)) for i in range(200)]
    fold = {r.id: r.f for r in frame(rows, DDL).select("id", F.pmod(F.xxhash64("id"), F.lit(5)).alias("f")).collect()}
    means = MeanLabel(kind="target", smoothing=4.0)

    found = vectors(frame, "linear", ["carrier"], rows=rows, carrier=means)[:, 0]
    probe = vectors(frame, "linear", ["carrier"], rows=rows, probe=[rows[1], (-1, "ZZ", *rows[0][2:])], carrier=means)

    for i in (0, 1, 50):
        rest = [r for r in rows if fold[r[0]] != fold[i]]
        same = [r[-1] for r in rest if r[1] == rows[i][1]]
        prior = np.mean([r[-1] for r in rest])
        assert found[i] == pytest.approx((sum(same) + 4 * prior) / (len(same) + 4))
    whole, own = np.mean([r[-1] for r in rows]), [r[-1] for r in rows if r[1] == "UA"]
    assert probe[:, 0] == pytest.approx([whole, (sum(own) + 4 * whole) / (len(own) + 4)])


def test_a_category_of_many_values_is_its_mean_label_or_its_hash(frame):
    rows = [(i, f"N{i % 300}", "", 0, 1.0, NOON, float(i % 300 % 2)) for i in range(600)]
    train = frame(rows, DDL)

    number, classes = (
        prepare(train, Inputs.of(train, ["carrier"]), "linear", asked).blocks
        for asked in (ASKED, Asked("multiclass", 3, ("id",)))
    )

    assert [(b.column, b.width) for b in number] == [("__e_carrier", 1)]
    assert [(b.column, b.width) for b in classes] == [("__h_carrier", 256)]


def test_fitting_sees_the_training_rows_alone_and_in_any_order(frame):
    how = {"note": Text(kind="text", buckets=32), "hour": Quantiles(kind="quantiles", number=2)}
    train = frame(ROWS, DDL)
    inputs = Inputs.of(train, COLUMNS, how)

    one, other = (prepare(frame(rows, DDL), inputs, "linear", ASKED) for rows in (ROWS, ROWS[::-1]))

    assert [described(s) for s in one.stages] == [described(s) for s in other.stages]
    assert [b.feature for b in one.blocks] == sorted([b.feature for b in one.blocks], key=inputs.columns.index)


def described(stage) -> tuple[object, ...]:
    """All that a fitted stage knows, without its id."""
    known = {p.name: v for p, v in stage.extractParamMap().items() if not str(v).startswith(stage.uid)}
    fitted = [getattr(stage, name, None) for name in ("labelsArray", "categorySizes", "idf")]
    return type(stage).__name__, sorted(map(str, known.items())), [str(f) for f in fitted if not callable(f)]


@pytest.mark.parametrize(
    ("column", "spec", "sentence"),
    [
        ("carrier", Number(kind="number"), "prepare.carrier: kind: number is not for string"),
        ("wind", Text(kind="text"), "prepare.wind: kind: text is not for double"),
        ("hour", Time(kind="time"), "prepare.hour: kind: time is not for int"),
    ],
)
def test_a_preparation_that_is_not_for_the_type_is_refused(frame, column, spec, sentence):
    with pytest.raises(SpecError) as caught:
        Inputs.of(frame([], DDL), COLUMNS, {column: spec})

    assert str(caught.value) == sentence


def test_a_tree_does_not_split_thousands_of_values(frame):
    train = frame([(i, f"N{i}", "", 0, 1.0, NOON, 1.0) for i in range(1_100)], DDL)

    with pytest.raises(SpecError) as caught:
        prepare(train, Inputs.of(train, ["carrier"], {"carrier": Index(kind="index")}), "trees", ASKED)

    assert str(caught.value).startswith("prepare.carrier: kind: index of 1,101 values; a tree splits at most 1,000")


def test_a_feature_that_is_the_label_in_disguise_is_named(frame):
    rng = np.random.default_rng(1)
    rows = []
    for i in range(500):
        noise, late = float(rng.standard_normal()), i % 2
        rows.append((i, "late" if late else "fine", str(i), i, -3.0 * late + noise / 9, NOON, float(late)))
    train = frame(rows, DDL).withColumn("mixed", F.col("wind") + 10 * F.rand(3))
    inputs = Inputs.of(train, ["carrier", "note", "hour", "wind", "mixed"])

    found = disguised(train, inputs, Asked("binary", 2), 500)

    assert found == {
        "carrier": "its 2 values explain 100.00% of the label",
        "wind": "it parts the two labels, nearly every row",
    }


def test_a_number_that_grows_with_the_label_is_named(frame):
    rows = [(i, "UA", "", i % 5, sqrt(i), NOON, 3.0 * i) for i in range(100)]
    train = frame(rows, DDL).withColumn("minutes", F.col(TARGET) * 60 + 7)

    found = disguised(train, Inputs.of(train, ["hour", "wind", "minutes"]), ASKED, 100)

    assert found == {"minutes": "its correlation with the label is 1.0000"}


def test_a_number_that_does_not_vary_tells_nothing(frame):
    rows = [(i, "UA", "", 0, 1.0 if i == 7 else None, NOON, 3.0 * i) for i in range(100)]
    train = frame(rows, DDL).withColumn("minutes", F.col(TARGET) * 60 + 7)

    found = disguised(train, Inputs.of(train, ["hour", "wind", "minutes"]), ASKED, 100)

    assert list(found) == ["minutes"]


def test_a_thousand_columns_are_looked_at_and_prepared(spark):
    names = [f"x{i}" for i in range(1_000)]
    dice = np.random.default_rng(5)
    values = {name: dice.normal(size=200) for name in names}
    train = spark.createDataFrame(pa.table({"id": pa.array(range(200)), **values, TARGET: values["x7"] * 2 + 1}))

    made = prepare(train, Inputs((), tuple(names)), "boosted", ASKED)
    told = disguised(train, Inputs((), tuple(names)), ASKED, 200)

    assert made.width == 1_000
    assert told == {"x7": "its correlation with the label is 1.0000"}
    assert len(made.train.first()[FEATURES]) == 1_000
