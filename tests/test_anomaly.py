"""What is unusual in a small table: scores, thresholds, metrics are scikit-learn's, or algebra's, on the same rows."""

import numpy as np
import pytest
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F
from sklearn import metrics, mixture

from pipelines import evaluate
from pipelines.errors import DataError
from pipelines.evaluate import Anomaly
from pipelines.evaluate.unusual import RIDGE, usual
from pipelines.models.base import Asked, Inputs, predict
from pipelines.models.learners import fit
from pipelines.spec import Feature, Model
from pipelines.spec.candidate import KINDS, learners
from pipelines.spec.task import LABEL, TARGET

pytestmark = pytest.mark.spark

ROWS, TRAIN, DDL = 500, 400, "id int, wind double, temp double, _label int"
INPUTS = Inputs((), ("wind", "temp"))
SPECS = {kind.named(): kind for kind in KINDS}
SHARE = 0.05
HOURS = Feature(spine="weather", keys=("id",), as_of_time="at", columns=("wind", "temp"))


def model(**said) -> Model:
    candidates = ({"kind": "kmeans"},)
    return Model.model_validate({"features": "hours", "task": "anomaly", "candidates": candidates, **said})


@pytest.fixture(scope="module")
def slices(frame):
    """Two kinds of hours, and every tenth of the newer ones is a storm; half of those have a label, others -1."""
    rng = np.random.default_rng(8)
    points = np.where(rng.random((ROWS, 1)) < 0.5, [[5.0, 10.0]], [[20.0, 60.0]])
    points += rng.standard_normal((ROWS, 2)) * [2, 5]
    storm = (np.arange(ROWS) >= TRAIN) & (np.arange(ROWS) % 10 == 0)
    points[storm] += rng.choice([-1, 1], (storm.sum(), 2)) * [9, 40]
    labels = [int(s) if i >= TRAIN and i % 2 == 0 else -1 for i, s in enumerate(storm)]
    rows = [(i, float(w), float(t), y) for i, ((w, t), y) in enumerate(zip(points, labels, strict=True))]
    train, test = (frame(part, DDL) for part in (rows[:TRAIN], rows[TRAIN:]))
    return train.withColumn(TARGET, F.lit(0.0)).cache(), test.cache()


@pytest.fixture(scope="module")
def answered(slices):
    """Kind -> its task, the fitted pipeline, both slices with its answers and features."""
    found = {}
    for kind in learners("anomaly"):
        fitted = fit(SPECS[kind](kind=kind, k=2), slices[0], INPUTS, Asked("anomaly", 0, ("id",)))
        asked = evaluate.learned(model(anomaly={"contamination": SHARE}), HOURS, slices[0])
        task = evaluate.completed(asked, fitted.pipeline, slices[0])
        answers = {**task.answers(labelled=True), "x": vector_to_array("__features")}
        found[kind] = task, fitted.pipeline, *(predict(fitted.pipeline, df, answers).toPandas() for df in slices)
    return found


def counted(slices, answered, kind: str):
    task, fitted, *_ = answered[kind]
    return task, evaluate.tally(task, predict(fitted, slices[1], task.answers(labelled=True)), F.col("id")).whole


def test_a_distance_is_that_from_the_nearest_centre(answered):
    _, fitted, _, test = answered["kmeans"]
    centres = np.array(fitted.stages[-1].clusterCenters())

    features = np.stack(test["x"])

    expected = np.linalg.norm(features[:, None] - centres[None], axis=2).min(axis=1)
    assert test["score"].to_numpy() == pytest.approx(expected)


def test_a_mixture_gives_scikit_learns_log_likelihood(answered):
    _, fitted, _, test = answered["gaussian_mixture"]
    found = usual(fitted)
    twin = mixture.GaussianMixture(2)
    twin.weights_, twin.means_ = found.weights, found.means
    covariances = found.covariances + RIDGE * np.eye(2)
    twin.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(covariances))

    assert test["score"].to_numpy() == pytest.approx(-twin.score_samples(np.stack(test["x"])), rel=1e-9)


def test_a_mixture_that_was_fitted_is_scikit_learns(answered):
    _, _, train, test = answered["gaussian_mixture"]

    twin = mixture.GaussianMixture(2, random_state=0, n_init=3).fit(np.stack(train["x"]))

    assert test["score"].to_numpy() == pytest.approx(-twin.score_samples(np.stack(test["x"])), rel=0.02, abs=0.05)


@pytest.mark.parametrize("kind", ["kmeans", "gaussian_mixture"])
def test_the_stated_share_of_training_rows_lies_above_the_threshold(answered, kind):
    task, _, train, test = answered[kind]

    assert train["predicted"].mean() == pytest.approx(SHARE, abs=1 / TRAIN)
    assert (test["predicted"] == (test["score"] > task.threshold)).all()


@pytest.mark.parametrize("kind", ["kmeans", "gaussian_mixture"])
def test_metrics_against_labels_are_scikit_learns(slices, answered, kind):
    task, counts = counted(slices, answered, kind)
    test = answered[kind][3]
    known = test[test[LABEL] >= 0]
    pairs = known[LABEL], known["predicted"]

    assert task.metrics(counts) == pytest.approx({
        "flagged": test["predicted"].mean(),
        "flagged_error": abs(test["predicted"].mean() - SHARE),
        "roc_auc": metrics.roc_auc_score(known[LABEL], known["score"]),
        "average_precision": metrics.average_precision_score(known[LABEL], known["score"]),
        "precision": metrics.precision_score(*pairs),
        "recall": metrics.recall_score(*pairs),
        "f1": metrics.f1_score(*pairs),
    }, abs=1e-3)  # fmt: skip
    assert task.said(counts) == {"flagged": test["predicted"].sum(), "positives": known[LABEL].sum()}


def test_the_baseline_flags_by_chance_and_without_labels_nothing(slices, answered):
    task, counts = counted(slices, answered, "kmeans")

    # 50 labelled rows, 10 of them storms: precision 1/5, recall 1/20
    found = task.baseline(counts)
    assert found == pytest.approx({
        "flagged": 0.0, "flagged_error": 0.05, "roc_auc": 0.5, "average_precision": 0.2, "precision": 0.2,
        "recall": 0.05, "f1": 0.08,
    })  # fmt: skip
    assert task.baseline(counts * [1, 0, 0]) == {"flagged": 0.0, "flagged_error": 0.05}
    assert set(task.metrics(counts * [1, 0, 0])) == {"flagged", "flagged_error"}


def test_a_registered_model_answers_alike(answered):
    task, fitted, *_ = answered["gaussian_mixture"]

    again = evaluate.restored({evaluate.TASK: "anomaly", **task.tags()}, fitted)

    assert again == task
    assert np.array_equal(again.usual.means, task.usual.means)


def test_a_label_that_is_neither_yes_nor_no_is_refused(frame):
    with pytest.raises(DataError) as caught:
        Anomaly.learned(frame([(0,), (37,)], "_label int"))

    assert str(caught.value) == "a label of task: anomaly is true or false, 1 or 0; there is 37"


def test_without_a_label_the_share_chooses_and_with_one_the_ranking():
    assert model().chosen_by == "flagged_error" and model().aim == "-1"
    assert model(label="late > 0").chosen_by == "average_precision"
    assert model(label="late > 0").aim == "coalesce(CAST((late > 0) AS INT), -1)"
