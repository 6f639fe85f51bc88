"""Metrics from counts, against scikit-learn on the same rows; intervals against what they promise."""

from math import erf, log, sqrt

import numpy as np
import pytest
from pyspark.sql import functions as F
from sklearn import metrics as sk

from pipelines import evaluate
from pipelines.errors import DataError
from pipelines.evaluate import Binary, Tally, binary
from pipelines.evaluate.binary import BINS
from pipelines.evaluate.tally import GROUPS, quantile

pytestmark = pytest.mark.spark

GRID = 1 / BINS


def counted(scores, labels, groups=None) -> Tally:
    """What Spark would count."""
    counts = np.zeros((GROUPS, BINS, 2))
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    np.add.at(counts, (np.arange(len(scores)) % GROUPS if groups is None else groups, bins, labels), 1)
    return Tally(counts)


def normal(x) -> np.ndarray:
    """The normal distribution function: keeps the order and brings every score into (0, 1)."""
    return np.vectorize(lambda v: (1 + erf(v / sqrt(2))) / 2)(x)


def simulated(rng, rows: int = 2_000, shift: float = 1.0):
    """(scores, labels): a normal score that a late row has `shift` higher."""
    labels = (rng.random(rows) < 0.25).astype(int)
    return normal(rng.standard_normal(rows) + shift * labels - shift / 2), labels


def auc_interval(found: Tally) -> tuple[float, float, float]:
    return evaluate.intervals(Binary(), found)["roc_auc"]


def compared(challenger: Tally, champion: Tally) -> tuple[bool, float, float]:
    return evaluate.surely_better(Binary(), challenger, champion, "roc_auc", 0.95)


def calibration_error(labels, scores) -> float:
    """By its definition: the share of rows in each tenth of the scale times how far mean score and rate are apart."""
    tenth = (scores * 10).astype(int)
    parts = [(scores[tenth == t], labels[tenth == t]) for t in np.unique(tenth)]
    return sum(len(p) / len(labels) * abs(p.mean() - y.mean()) for p, y in parts)


@pytest.fixture(scope="module")
def on_grid():
    """Scores that rounding leaves alone, with many ties."""
    rng = np.random.default_rng(1)
    scores, labels = simulated(rng)
    return np.floor(scores * 64) / 64, labels


@pytest.mark.parametrize("threshold", [0.25, 0.5, 63 / 64])
def test_metrics_of_scores_on_the_grid_are_scikit_learns(on_grid, threshold):
    scores, labels = on_grid

    actual = binary.metrics(counted(scores, labels).whole, threshold)

    predicted, middle = scores >= threshold, scores + GRID / 2
    assert actual == pytest.approx({
        "accuracy": sk.accuracy_score(labels, predicted),
        "precision": sk.precision_score(labels, predicted, zero_division=0),
        "recall": sk.recall_score(labels, predicted),
        "f1": sk.f1_score(labels, predicted),
        "roc_auc": sk.roc_auc_score(labels, scores),
        "average_precision": sk.average_precision_score(labels, scores),
        "log_loss": sk.log_loss(labels, middle),
        "brier": sk.brier_score_loss(labels, middle),
        "expected_calibration_error": calibration_error(labels, middle),
    }, abs=1e-12)  # fmt: skip


def test_metrics_of_any_scores_are_within_their_rounding():
    scores, labels = simulated(np.random.default_rng(2), 5_000)
    bins = np.floor(scores * BINS)
    negatives, positives = bins[labels == 0], bins[labels == 1]
    ties = sum(np.sum(negatives == b) for b in positives) / (len(negatives) * len(positives))

    actual = binary.metrics(counted(scores, labels).whole, 0.5)

    assert abs(actual["roc_auc"] - sk.roc_auc_score(labels, scores)) <= ties / 2
    assert actual["average_precision"] == pytest.approx(sk.average_precision_score(labels, scores), abs=0.002)
    assert actual["brier"] == pytest.approx(sk.brier_score_loss(labels, scores), abs=GRID)
    assert actual["log_loss"] == pytest.approx(sk.log_loss(labels, scores), abs=0.001)


def test_a_threshold_over_every_score_gives_no_precision():
    actual = binary.metrics(counted(np.array([0.1, 0.2]), np.array([0, 1])).whole, 0.5)

    assert (actual["precision"], actual["recall"], actual["f1"], actual["accuracy"]) == (0, 0, 0, 0.5)


@pytest.mark.parametrize(("label", "with_", "without"), [(0, 0, 3), (1, 3, 0)])
def test_rows_of_one_label_alone_cannot_be_evaluated(label, with_, without):
    with pytest.raises(DataError) as caught:
        Binary().metrics(counted(np.array([0.1, 0.5, 0.9]), np.full(3, label)).whole)

    assert str(caught.value) == f"cannot evaluate: {with_} rows with the label, {without} without; both are needed"


def test_the_best_threshold_has_the_highest_f1(on_grid):
    scores, labels = on_grid
    f1 = {t: sk.f1_score(labels, scores >= t) for t in np.unique(scores)}

    threshold = binary.best_threshold(counted(scores, labels).whole)

    assert sk.f1_score(labels, scores >= threshold) == pytest.approx(max(f1.values()), abs=1e-12)
    assert threshold <= min(t for t, found in f1.items() if found == max(f1.values()))


def test_an_interval_of_95_percent_holds_the_truth_in_about_95_of_100_trials():
    rng, truth = np.random.default_rng(3), float(normal(np.array([1 / sqrt(2)]))[0])  # AUC of two normals 1 apart

    found = [auc_interval(counted(*simulated(rng))) for _ in range(200)]

    covered = sum(low <= truth <= high for _, low, high in found) / 200
    assert 0.90 <= covered <= 0.99
    assert all(low < value < high for value, low, high in found)


@pytest.mark.parametrize(("groups", "table"), [(3, 4.303), (5, 2.776), (10, 2.262), (30, 2.045), (40, 1.960)])
def test_few_groups_widen_an_interval_as_students_t_does(groups, table):
    assert quantile(0.975, groups) == pytest.approx(table, rel=0.01)


def test_a_model_no_better_is_surely_better_in_about_5_of_100_trials():
    rng, wins = np.random.default_rng(4), 0
    for _ in range(200):
        labels = (rng.random(2_000) < 0.25).astype(int)
        shared = rng.standard_normal(2_000) + labels
        a, b = (normal(shared + 0.5 * rng.standard_normal(2_000)) for _ in range(2))
        wins += compared(counted(a, labels), counted(b, labels))[0]

    assert 0.01 <= wins / 200 <= 0.10


def test_a_better_model_is_surely_better_on_the_same_rows():
    rng = np.random.default_rng(5)
    scores, labels = simulated(rng)
    blurred = normal(rng.standard_normal(2_000) + 2 * scores)

    better, difference, low = compared(counted(scores, labels), counted(blurred, labels))

    expected = sk.roc_auc_score(labels, scores) - sk.roc_auc_score(labels, blurred)
    assert better and 0 < low < difference == pytest.approx(expected, abs=1e-3)
    assert not compared(counted(blurred, labels), counted(scores, labels))[0]


def test_a_model_is_not_better_than_itself(on_grid):
    same = counted(*on_grid)

    assert compared(same, same) == (False, 0, 0)


def test_late_rows_in_one_group_alone_make_nothing_sure(on_grid):
    scores, labels = on_grid
    alone = counted(scores, labels, groups=np.where(labels == 1, 0, np.arange(len(labels)) % GROUPS))
    worse = counted(1 - scores, labels, groups=np.where(labels == 1, 0, np.arange(len(labels)) % GROUPS))

    value, low, high = auc_interval(alone)

    assert (low, high) == (-float("inf"), float("inf")) and 0.5 < value < 1
    assert not compared(alone, worse)[0]


def test_the_baseline_knows_the_rate_alone():
    # 1 of 4 late: any constant score orders nothing
    actual = Binary(rate=0.25).baseline(counted(np.linspace(0, 1, 400), (np.arange(400) % 4 == 0).astype(int)).whole)

    assert actual["roc_auc"] == 0.5
    assert actual["average_precision"] == 0.25
    assert (actual["accuracy"], actual["recall"]) == (0.75, 0)
    assert actual["brier"] == pytest.approx(0.25 * 0.75, abs=1e-6)
    assert actual["log_loss"] == pytest.approx(-0.25 * log(0.25) - 0.75 * log(0.75), abs=1e-6)


def test_curves_begin_and_end_where_they_must(on_grid):
    scores, labels = on_grid

    curves = binary.curves(counted(scores, labels).whole)

    assert curves["roc"][0] == [0, 0]
    assert curves["roc"][-1] == [1, 1]
    assert curves["pr"][-1] == pytest.approx([1, labels.mean()], abs=1e-5)
    assert all(
        a <= b
        for one, two in zip(curves["roc"], curves["roc"][1:], strict=False)
        for a, b in zip(one, two, strict=True)
    )
    assert all(0 < precision <= 1 for _, precision in curves["pr"])


def test_points_of_the_curves_are_scikit_learns(on_grid):
    scores, labels = on_grid
    fpr, tpr, _ = sk.roc_curve(labels, scores, drop_intermediate=False)

    curves = binary.curves(counted(scores, labels).whole)

    known = set(zip(fpr.round(5).tolist(), tpr.round(5).tolist(), strict=True))
    assert {tuple(point) for point in curves["roc"]} == known  # 65 points; so few are not thinned


def test_curves_are_thinned_for_drawing():
    curves = binary.curves(counted(*simulated(np.random.default_rng(6), 50_000)).whole)

    assert 150 <= len(curves["roc"]) <= binary.CURVE_POINTS


def test_calibration_holds_scores_against_shares():
    # 100 rows score 1/4, of which 20 are late; 100 score 3/4, of which 90 are
    scores = np.repeat([0.25, 0.75], 100)
    labels = np.concatenate([np.arange(100) < 20, np.arange(100) < 90]).astype(int)

    points = binary.curves(counted(scores, labels).whole)["calibration"]

    assert points == [[round(0.25 + GRID / 2, 5), 0.2, 100], [round(0.75 + GRID / 2, 5), 0.9, 100]]


def test_spark_counts_what_numpy_counts(frame):
    rows = [(0, 0.0, 1), (1, 1.0, 1), (2, 0.5, 0), (3, 0.5, None), (4, 0.99999, 0), (5, 0.5, 1), (6, 0.5, 1)]

    found = evaluate.tally(Binary(), frame(rows, "id int, score double, _label int"), F.col("id")).whole

    assert Binary().rows(found) == 6  # one has no label
    assert {(b, y): n for (b, y), n in np.ndenumerate(found) if n} == {
        (0, 1): 1, (4095, 1): 1, (2048, 0): 1, (4095, 0): 1, (2048, 1): 2,
    }  # fmt: skip


def test_a_row_stays_in_its_group_whatever_its_score(frame):
    rows = [(i, i / 100, 1 - i / 100, i % 2) for i in range(100)]
    df = frame(rows, "id int, one double, other double, _label int")

    one, other = (
        evaluate.tally(Binary(), df.withColumnRenamed(score, "score"), F.col("id")) for score in ("one", "other")
    )

    assert (one.counts.sum(axis=1) == other.counts.sum(axis=1)).all()
    assert (one.counts.sum(axis=(1, 2)) > 0).sum() > 30  # of 40 groups


def test_slices_are_the_most_frequent_values(frame):
    rows = [("EWR", 0.5, 1)] * 2 + [(None, 0.5, 1)] + [("JFK", 0.5, 0)] * 3 + [("LGA", 0.5, None)] * 9
    many = [(f"v{i:02}", 0.5, 1) for i in range(40)]
    ddl = "origin string, score double, _label int"

    found = evaluate.by_slice(Binary(), frame(rows, ddl), "origin")

    assert {value: counts[2048].tolist() for value, counts in found.items()} == {
        "JFK": [3, 0], "EWR": [0, 2], "(missing)": [0, 1],
    }  # fmt: skip
    assert list(found) == ["JFK", "EWR", "(missing)"]
    assert list(evaluate.by_slice(Binary(), frame(many, ddl), "origin")) == [f"v{i:02}" for i in range(30)]
