"""Regression and classes: what Spark sums gives scikit-learn's metrics, baselines and intervals that hold."""

from dataclasses import replace
from math import log

import numpy as np
import pytest
from pyspark.sql import functions as F
from sklearn import metrics as sk

from pipelines import evaluate
from pipelines.errors import DataError
from pipelines.evaluate import Multiclass, Regression, Tally
from pipelines.spec import METRICS, TASKS

pytestmark = pytest.mark.spark

NUMBERS = "id int, origin string, score double, _label double"
CLASSES = "id int, predicted string, score double, _likelihood double, _label string"
KNOWN = Multiclass(("on time", "late", "cancelled"), (0.5, 0.3, 0.2))


@pytest.fixture(scope="module")
def numbers():
    """(scores, labels): far from 0, as a year is, with a label of 0 among them and an error that is biased."""
    rng = np.random.default_rng(1)
    labels = 2_000 + 30 * rng.standard_normal(400)
    labels[7] = 0.0
    return labels + 3 + 10 * rng.standard_normal(400), labels


@pytest.fixture(scope="module")
def scored(frame, numbers):
    scores, labels = numbers
    rows = [(i, "EWR" if i % 4 else None, float(s), float(y)) for i, (s, y) in enumerate(zip(*numbers, strict=True))]
    assert len(rows) == len(scores) == len(labels)
    return frame([*rows, (1_000, "EWR", 5.0, None)], NUMBERS)


def test_metrics_of_numbers_are_scikit_learns(scored, numbers):
    scores, labels = numbers
    task = Regression.learned(scored)

    found = task.metrics(evaluate.tally(task, scored, F.col("id")).whole)

    kept = labels != 0
    assert found == pytest.approx({
        "rmse": sk.root_mean_squared_error(labels, scores),
        "mae": sk.mean_absolute_error(labels, scores),
        "r2": sk.r2_score(labels, scores),
        "mape": sk.mean_absolute_percentage_error(labels[kept], scores[kept]),
        "bias": (scores - labels).mean(),
    }, rel=1e-9)  # fmt: skip


def test_the_baseline_of_numbers_is_the_training_mean(scored, numbers):
    _, labels = numbers
    task = Regression(mean=1_990.0)

    found = task.baseline(evaluate.tally(task, scored, F.col("id")).whole)

    constant = np.full(len(labels), 1_990.0)
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(labels, constant))
    assert found["r2"] == pytest.approx(sk.r2_score(labels, constant))
    assert found["bias"] == pytest.approx(1_990.0 - labels.mean())


def summed(scores, labels, mean: float = 0.0) -> Tally:
    """What Spark would sum."""
    rows = []
    for s, y in zip(scores, labels, strict=True):
        e, m = s - y, mean - y
        rows.append([1, e, abs(e), e * e, m, abs(m), m * m, float(y != 0), abs(e / y), abs(m / y)])
    counts = np.zeros((40, 10))
    np.add.at(counts, np.arange(len(rows)) % 40, np.asarray(rows))
    return Tally(counts)


def test_an_interval_of_an_rmse_holds_the_truth_in_about_95_of_100_trials():
    rng, held = np.random.default_rng(3), 0
    for _ in range(200):
        labels = 50 + rng.standard_normal(1_000)
        _, low, high = evaluate.intervals(Regression(), summed(labels + 2 * rng.standard_normal(1_000), labels))["rmse"]
        held += low <= 2 <= high

    assert 0.90 <= held / 200 <= 0.99


def test_of_errors_the_smaller_is_surely_better():
    rng = np.random.default_rng(4)
    labels = 50 + rng.standard_normal(1_000)
    small, large = (summed(labels + spread * rng.standard_normal(1_000), labels) for spread in (1.0, 1.2))

    better, by, least = evaluate.surely_better(Regression(), small, large, "rmse", 0.95)

    assert better and 0 < least < by == pytest.approx(0.2, abs=0.1)
    assert not evaluate.surely_better(Regression(), large, small, "rmse", 0.95)[0]


def test_labels_that_are_all_equal_have_no_r2_and_zeros_no_mape():
    found = Regression().metrics(summed([1.0, 3.0], [2.0, 2.0], mean=2.0).whole)

    assert found == {"rmse": 1.0, "mae": 1.0, "bias": 0.0, "mape": 0.5}


@pytest.mark.parametrize(
    ("score", "sentence"),
    [
        (None, "cannot evaluate: no labelled row"),
        (float("nan"), "cannot evaluate: a score that is no finite number"),
        (float("inf"), "cannot evaluate: a score that is no finite number"),
    ],
)
def test_what_is_no_number_is_not_evaluated(frame, score, sentence):
    rows = [(1, "EWR", score, 3.0)] if score is not None else []

    with pytest.raises(DataError) as caught:
        Regression().metrics(evaluate.counts(Regression(), frame(rows, NUMBERS)))

    assert str(caught.value) == sentence


def test_pictures_of_numbers_are_tenths_and_errors(scored, numbers):
    scores, labels = numbers

    found = Regression().pictures(scored, np.zeros(10))

    assert [n for *_, n in found["deciles"]] == pytest.approx([40] * 10, abs=1)
    lowest = np.argsort(scores)[:40]
    assert found["deciles"][0][:2] == pytest.approx([scores[lowest].mean(), labels[lowest].mean()], rel=1e-3)
    assert sum(found["residuals"]["counts"]) == 400
    assert found["residuals"]["low"] < 3 < found["residuals"]["high"]


def test_a_slice_of_numbers_has_metrics_of_its_own(scored, numbers):
    scores, labels = numbers

    found = evaluate.by_slice(Regression(), scored, "origin")

    missing = np.arange(400) % 4 == 0
    assert list(found) == ["EWR", "(missing)"]
    rmse = Regression().metrics(found["(missing)"])["rmse"]
    assert rmse == pytest.approx(sk.root_mean_squared_error(labels[missing], scores[missing]))


@pytest.fixture(scope="module")
def classes():
    """(likelihoods, labels, predicted): of three known classes and one that training never saw."""
    rng = np.random.default_rng(2)
    names = np.array([*KNOWN.classes, "diverted"])
    labels = rng.choice(4, 300, p=[0.5, 0.3, 0.15, 0.05])
    chances = rng.dirichlet([1, 1, 1], 300) + np.eye(4)[labels][:, :3]
    chances /= chances.sum(axis=1, keepdims=True)
    given = np.array([row[y] if y < 3 else 0.0 for row, y in zip(chances, labels, strict=True)])
    return given, names[labels], names[chances.argmax(axis=1)], chances


@pytest.fixture(scope="module")
def answered(frame, classes):
    given, labels, predicted, chances = classes
    parts = zip(predicted, chances.max(axis=1), given, labels, strict=True)
    rows = [(i, str(p), float(s), float(g), str(y)) for i, (p, s, g, y) in enumerate(parts)]
    return frame([*rows, (1_000, "late", 0.5, None, None)], CLASSES)


def test_metrics_of_classes_are_scikit_learns(answered, classes):
    given, labels, predicted, _ = classes

    found = KNOWN.metrics(evaluate.tally(KNOWN, answered, F.col("id")).whole)

    averages = {}
    for kind in ("macro", "weighted"):
        parts = sk.precision_recall_fscore_support(labels, predicted, average=kind, zero_division=0)
        averages |= dict(zip([f"{kind}_precision", f"{kind}_recall", f"{kind}_f1"], parts[:3], strict=True))
    assert found == pytest.approx({
        "accuracy": sk.accuracy_score(labels, predicted),
        "log_loss": -np.log(np.maximum(given, 1e-15)).mean(),
        **averages,
    }, rel=1e-9)  # fmt: skip


def test_the_baseline_of_classes_says_the_most_frequent_one(answered, classes):
    _, labels, *_ = classes
    rates = {name: (labels == name).mean() for name in np.unique(labels)}

    found = KNOWN.baseline(evaluate.tally(KNOWN, answered, F.col("id")).whole)

    chances = dict(zip(KNOWN.classes, KNOWN.shares, strict=True)) | {"diverted": 1e-15}
    assert found["accuracy"] == pytest.approx(rates["on time"])
    assert found["macro_recall"] == pytest.approx(1 / 4)
    assert found["log_loss"] == pytest.approx(-sum(rate * log(chances[name]) for name, rate in rates.items()))


def test_published_scores_tell_no_log_loss(answered):
    found = KNOWN.metrics(evaluate.counts(KNOWN, answered.drop("_likelihood")))

    assert "log_loss" not in found and found["accuracy"] > 0


def test_the_confusion_matrix_counts_pairs(answered, classes):
    _, labels, predicted, _ = classes

    found = KNOWN.pictures(answered, np.zeros(0))["confusion"]

    assert found["classes"] == ["on time", "late", "cancelled", "(other)"]
    names = ["on time", "late", "cancelled", "diverted"]
    assert found["rows"] == sk.confusion_matrix(labels, predicted, labels=names).tolist()


def test_classes_are_those_of_the_training_rows_the_most_frequent_first(frame):
    train = frame([("b",), ("a",), ("b",), ("c",), (None,)], "_label string")

    assert Multiclass.learned(train) == Multiclass(("b", "a", "c"), (0.5, 0.25, 0.25))


@pytest.mark.parametrize(
    ("kind", "labels", "ddl", "sentence"),
    [
        ("binary", [0, 0], "int", "the label is False in each of 2 training rows; there is nothing to learn"),
        ("binary", [0, 1, 37], "int", "a label of task: binary is true or false, 1 or 0; there is 37"),
        ("regression", [2.5], "double", "the label is 2.5 in each of 1 training rows; there is nothing to learn"),
        ("multiclass", ["a", "a"], "string", "the label is a in each of 2 training rows; there is nothing to learn"),
        (
            "multiclass", [str(i) for i in range(1_002)], "string",
            "the label has 1,002 classes among the training rows; the most is 1,000: "
            "is it a number (task: regression), or a key?",
        ),
    ],
)  # fmt: skip
def test_a_label_that_cannot_be_learned_is_refused(frame, kind, labels, ddl, sentence):
    with pytest.raises(DataError) as caught:
        evaluate.TASKS[kind].learned(frame([(y,) for y in labels], f"_label {ddl}"))

    assert str(caught.value) == sentence


def test_bars_hold_every_row_once(frame):
    df = frame([(v,) for v in (-9.0, 0.0, 0.5, 1.0, 9.0, float("nan"), float("inf"), None)], "x double")

    assert evaluate.bars(df, F.col("x"), (0.0, 1.0), 4) == [2, 0, 1, 4]


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_a_task_has_the_metrics_that_its_vocabulary_names(kind, numbers, scored, answered):
    task, counts = {
        "binary": lambda: (replace(evaluate.Binary(), rate=0.25), np.ones((4096, 2))),
        "regression": lambda: (Regression(), evaluate.counts(Regression(), scored)),
        "multiclass": lambda: (KNOWN, evaluate.counts(KNOWN, answered)),
        "clustering": lambda: (evaluate.Clustering(), np.ones(201)),
        "forecasting": lambda: (evaluate.Forecasting(), np.append(evaluate.counts(Regression(), scored), np.ones(4))),
        "anomaly": lambda: (evaluate.Anomaly(), np.ones((4096, 3))),
        "recommendation": lambda: (
            evaluate.Recommendation(),
            np.append(evaluate.counts(Regression(), scored), np.ones(6)),
        ),
    }[kind]()

    assert set(task.metrics(counts)) == set(TASKS[kind].metrics) <= set(METRICS)
