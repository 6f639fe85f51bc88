"""Learners: what they are fitted on, what they do with what they have never seen, and that a fit can be repeated."""

import random
from datetime import UTC, datetime

import pytest
from pyspark.sql import functions as F

from pipelines.errors import DataError, SpecError
from pipelines.evaluate import Binary
from pipelines.models.base import Asked, Inputs, predict, shares
from pipelines.models.learners import fit
from pipelines.models.splits import Slices
from pipelines.spec import LogisticRegression, Xgboost
from pipelines.spec.task import SCORE, TARGET
from pipelines.tune import Problem, cut, trial

pytestmark = pytest.mark.spark

DDL = "id int, carrier string, late_plane boolean, distance int, wind double, _label int"
INPUTS = Inputs(("carrier", "late_plane"), ("distance", "wind"))
LOGISTIC = LogisticRegression(kind="logistic_regression")
BOOST = Xgboost(kind="xgboost", rounds=8, depth=3)
KINDS = ("logistic_regression", "xgboost")


def flights(rng: random.Random, ids: range) -> list[tuple]:
    """UA is late in strong wind; the others are late at random. Every tenth value of the wind is missing."""
    rows = []
    for number in ids:
        carrier, wind = rng.choice(["UA", "AA", "B6", None]), None if number % 10 == 0 else 40 * rng.random()
        late = wind is not None and wind > 20 if carrier == "UA" else rng.random() < 0.2
        rows.append((number, carrier, number % 3 == 0, rng.randrange(100, 3_000), wind, int(late)))
    return rows


TRAIN, VALIDATE = flights(random.Random(1), range(400)), flights(random.Random(2), range(400, 600))
PROBE = [
    (1, "UA", True, 500, 35.0, None),
    (2, "UA", True, 500, 5.0, None),
    (3, "ZZ", True, 500, 35.0, None),  # never seen
    (4, None, None, None, None, None),
    (5, "AA", False, 500, float("nan"), None),
]


ASKED = Asked("binary", 2)


def trained(frame, train: list[tuple], validate: list[tuple]) -> dict[str, object]:
    """Kind -> its trial."""
    made = frame(train, DDL), frame(validate, DDL), frame([], DDL)
    slices = Slices(*made, {"train": {"rows": len(train)}}, datetime(2013, 10, 1, tzinfo=UTC), 0)
    problem = Problem(Binary.learned(made[0]), INPUTS, ("id",))
    return {c.kind: trial(slices, problem, c) for c in (LOGISTIC, BOOST)}


def target(df):
    return df.withColumn(TARGET, F.col("_label").cast("double"))


def answers():
    return {SCORE: Binary().answers(labelled=False)[SCORE]}


def scores(frame, trial) -> dict[int, float]:
    rows = predict(trial.fitted, frame(PROBE, DDL), answers()).collect()
    return {r.id: r[SCORE] for r in rows}


@pytest.fixture(scope="module")
def trials(frame):
    return trained(frame, TRAIN, VALIDATE)


@pytest.fixture(scope="module")
def again(frame):
    """Trained on the same rows in another order, and judged on other rows with other values and carriers."""
    other = [(i, "ZZ" if i % 2 else "UA", None, 9_999, -500.0, i % 2) for i in range(400, 500)]
    return trained(frame, random.Random(3).sample(TRAIN, len(TRAIN)), other)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_learns_what_there_is_to_learn(frame, trials, kind):
    found = scores(frame, trials[kind])

    assert found[1] > 1.5 * found[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_sees_the_training_rows_alone_and_can_be_repeated(frame, trials, again, kind):
    assert scores(frame, again[kind]) == scores(frame, trials[kind])
    assert again[kind].importance == trials[kind].importance
    assert again[kind].metrics != trials[kind].metrics  # those are of the validation rows


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_never_seen_or_is_missing_gets_a_score(frame, trials, kind):
    found = scores(frame, trials[kind])

    assert found.keys() == {1, 2, 3, 4, 5}
    assert all(0 < score < 1 for score in found.values())


@pytest.mark.parametrize("kind", KINDS)
def test_importance_is_shares_of_one(trials, kind):
    names, parts = zip(*trials[kind].importance, strict=True)

    assert sorted(names) == ["carrier", "distance", "late_plane", "wind"]
    assert sum(parts) == pytest.approx(1)
    assert list(parts) == sorted(parts, reverse=True)
    assert set(names[:2]) == {"carrier", "wind"}


def test_trees_see_what_no_line_can_say(trials):
    # wind matters for one carrier alone
    assert trials["xgboost"].metrics["roc_auc"] > trials["logistic_regression"].metrics["roc_auc"]


def test_a_cut_is_always_of_the_same_rows_and_within_every_larger_one(frame):
    df = frame([(i,) for i in range(1000)], "id int")

    fourth, half = ({r.id for r in cut(d, s, ["id"]).collect()} for d, s in ((df, 0.25), (df.repartition(3), 0.5)))

    assert fourth < half
    assert 200 < len(fourth) < 300 and 450 < len(half) < 550
    assert cut(df, 1.0, ["id"]).count() == 1000


def test_predict_leaves_the_rows_as_they_are(frame, trials):
    asked = frame(PROBE[:4], DDL)

    rows = predict(trials["logistic_regression"].fitted, asked, answers())

    assert rows.columns == [*asked.columns, SCORE]
    assert sorted(tuple(r)[:-1] for r in rows.collect()) == sorted(PROBE[:4])


def test_categories_alone_and_numbers_alone_will_do(frame):
    train = target(frame(TRAIN[:100], DDL))

    for inputs in (Inputs(("carrier",), ()), Inputs((), ("wind",))):
        for candidate in (LOGISTIC, Xgboost(kind="xgboost", rounds=1, depth=1)):
            fitted = fit(candidate, train, inputs, ASKED).pipeline
            assert predict(fitted, frame(PROBE, DDL), answers()).count() == 5


def test_what_tells_nothing_is_left_out(frame):
    rows = [(i, "UA", None, 500, float(i), i % 2) for i in range(20)]

    fitted = fit(LOGISTIC, target(frame(rows, DDL)), INPUTS, ASKED)

    assert fitted.left_out == ("carrier", "late_plane", "distance")
    assert fitted.importance == [("wind", 1.0)]


def test_features_that_all_tell_nothing_are_no_model(frame):
    rows = [(i, "UA", None, 500, None, i % 2) for i in range(20)]

    with pytest.raises(DataError) as caught:
        fit(LOGISTIC, target(frame(rows, DDL)), INPUTS, ASKED)

    assert str(caught.value) == "none of the 4 features varies among the training rows"


@pytest.mark.parametrize("name", ["score", "_label", "__features"])
def test_a_feature_has_no_name_that_a_model_makes(frame, name):
    with pytest.raises(SpecError) as caught:
        Inputs.of(frame([], f"{name} double"), [name])

    assert str(caught.value) == f"feature {name} has the name of a column that a model makes; name it otherwise"


def test_no_column_at_all_is_called_prediction(frame):
    with pytest.raises(SpecError) as caught:
        Inputs.of(frame([], "prediction int, wind double"), ["wind"])

    assert str(caught.value) == "column prediction has the name of a column that a model makes; name it otherwise"


@pytest.mark.parametrize("name", ["features", "probability", "carrier_index"])
def test_any_other_name_will_do(frame, name):
    rows = [(float(i), "UA" if i % 3 else "AA", i % 2) for i in range(20)]
    train = target(frame(rows, f"`{name}` double, carrier string, _label int"))

    fitted = fit(LOGISTIC, train, Inputs(("carrier",), (name,)), ASKED).pipeline

    assert predict(fitted, train, answers()).count() == 20


def test_text_and_booleans_are_categories_and_the_rest_are_numbers(frame):
    df = frame([], "a string, b boolean, c tinyint, d bigint, e float, f decimal(5,2), g double, h int")

    assert Inputs.of(df, list("hgfedcba")) == Inputs(("b", "a"), ("h", "g", "f", "e", "d", "c"))


def test_a_list_is_no_feature(frame):
    with pytest.raises(SpecError) as caught:
        Inputs.of(frame([], "a string, at array<int>"), ["a", "at"])

    assert (
        str(caught.value)
        == "feature at is array<int>; a feature is text, number, boolean, timestamp, date or a picture"
    )


def test_shares_of_nothing_are_nothing():
    assert shares({"b": 0.0, "a": 0.0}) == [("a", 0.0), ("b", 0.0)]
    assert shares({"b": 1.0, "c": 2.0, "a": 1.0}) == [("c", 0.5), ("a", 0.25), ("b", 0.25)]
