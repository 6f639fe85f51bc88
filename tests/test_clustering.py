"""Clusters on a small table with three of them: silhouettes, distances, centres are scikit-learn's on the same rows."""

import numpy as np
import pytest
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import functions as F
from sklearn import cluster, metrics

from pipelines import evaluate
from pipelines.errors import DataError
from pipelines.evaluate import Clustering
from pipelines.models.base import Asked, Inputs, predict
from pipelines.models.learners import fit
from pipelines.spec.candidate import KINDS
from pipelines.spec.task import LABEL, TARGET, VECTOR

pytestmark = pytest.mark.spark

ROWS, TRAIN, DDL = 240, 160, "id int, wind double, temp double, sky string"
INPUTS = Inputs(("sky",), ("wind", "temp"))
SPECS = {kind.named(): kind for kind in KINDS}
MIDDLES = np.array([[0.0, 0.0], [30.0, 0.0], [0.0, 60.0]])  # of calm, windy and warm hours


@pytest.fixture(scope="module")
def slices(frame):
    rng = np.random.default_rng(5)
    kinds = rng.integers(0, 3, ROWS)
    points = MIDDLES[kinds] + 4 * rng.standard_normal((ROWS, 2))
    skies = np.where(kinds == 2, "clear", "grey")
    rows = [(i, float(w), float(t), str(s)) for i, ((w, t), s) in enumerate(zip(points, skies, strict=True))]
    train, test = (frame(part, DDL).withColumn(LABEL, F.lit(1)) for part in (rows[:TRAIN], rows[TRAIN:]))
    return train.withColumn(TARGET, F.lit(0.0)).cache(), test.cache()


@pytest.fixture(scope="module")
def answered(slices):
    """Kind -> its task, the fitted pipeline, and the test rows with its answers: once for all tests."""
    found = {}
    for kind in ("kmeans", "bisecting_kmeans", "gaussian_mixture"):
        fitted = fit(SPECS[kind](kind=kind, k=3), slices[0], INPUTS, Asked("clustering", 0, ("id",)))
        task = evaluate.completed(Clustering.learned(slices[0]), fitted.pipeline, slices[0])
        found[kind] = task, fitted, predict(fitted.pipeline, slices[1], task.answers(labelled=True)).cache()
    return found


def points(scored) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, clusters and scores, by id."""
    rows = scored.select("id", vector_to_array(VECTOR).alias("x"), "predicted", "score").orderBy("id").collect()
    return np.array([r.x for r in rows]), np.array([r.predicted for r in rows]), np.array([r.score for r in rows])


@pytest.mark.parametrize("kind", ["kmeans", "bisecting_kmeans", "gaussian_mixture"])
def test_a_silhouette_is_scikit_learns(answered, kind):
    task, _, scored = answered[kind]
    features, clusters, _ = points(scored)

    found = task.metrics(evaluate.tally(task, scored, F.col("id")).whole)

    assert found["silhouette"] == pytest.approx(metrics.silhouette_score(features, clusters, metric="sqeuclidean"))
    assert found["smallest_cluster"] == pytest.approx(np.bincount(clusters).min() / len(clusters))
    assert len(np.unique(clusters)) == 3


def test_kmeans_finds_the_clusters_of_scikit_learn(answered):
    task, _, scored = answered["kmeans"]
    features, clusters, _ = points(scored)

    twin = cluster.KMeans(3, n_init=10, random_state=0).fit(features)

    assert metrics.adjusted_rand_score(clusters, twin.labels_) == 1.0
    assert len(task.centres) == 3


def test_a_score_is_the_distance_from_the_centre_and_of_a_mixture_a_probability(answered):
    task, _, scored = answered["kmeans"]
    features, clusters, scores = points(scored)
    apart = np.linalg.norm(features[:, None] - np.array(task.centres)[None], axis=2)

    assert scores == pytest.approx(apart.min(axis=1))
    assert (clusters == apart.argmin(axis=1)).all()
    chances = points(answered["gaussian_mixture"][2])[2]
    assert (chances > 1 / 3).all() and (chances <= 1 + 1e-12).all()


def test_a_registered_model_answers_alike(answered):
    task, fitted, _ = answered["kmeans"]

    again = evaluate.restored({evaluate.TASK: "clustering", **task.tags()}, fitted.pipeline)

    assert again == task and again.centres == task.centres


def test_of_each_cluster_is_told_what_tells_it_apart(answered):
    task, fitted, scored = answered["kmeans"]
    features, clusters, _ = points(scored)

    found = task.pictures(scored, np.zeros(0))["clusters"]

    assert [c["rows"] for c in found] == sorted(np.bincount(clusters), reverse=True)
    windy = next(c for c in found if c["traits"][0][0] == "wind")
    wind = features[:, -2]
    apart = (wind[clusters == windy["cluster"]].mean() - wind.mean()) / wind.std()
    assert windy["traits"][0][1] == pytest.approx(apart, abs=0.01)
    assert {name for name, _ in fitted.importance} == {"wind", "temp", "sky"}


def clustered(frame, rows):
    """(number, cluster) -> a scored frame with one feature."""
    made = frame([(i, float(x), k) for i, (x, k) in enumerate(rows)], "id int, x double, predicted int")
    return made.withColumn(VECTOR, array_to_vector(F.array("x"))).withColumn(LABEL, F.lit(1))


def test_a_row_alone_in_its_cluster_has_a_silhouette_of_0(frame):
    # rows 0 and 2 of one cluster: a = 4; from 10: b = 100 and 64, so 96/100 and 60/64; the third is alone
    counts = evaluate.counts(Clustering(), clustered(frame, [(0, 0), (2, 0), (10, 7)]))

    assert Clustering().metrics(counts)["silhouette"] == pytest.approx((0.96 + 0.9375) / 3)


def test_one_cluster_for_all_has_no_silhouette_and_is_no_error(frame):
    counts = evaluate.counts(Clustering(), clustered(frame, [(0, 4), (2, 4)]))

    assert Clustering().metrics(counts) == Clustering().baseline(counts) == {"smallest_cluster": 1.0}


def test_rows_dealt_by_chance_have_a_silhouette_near_the_baselines_0(frame):
    rng = np.random.default_rng(6)
    rows = clustered(frame, list(zip(rng.standard_normal(2_000), map(int, rng.integers(0, 4, 2_000)), strict=True)))

    counts = evaluate.counts(Clustering(), rows)

    found, base = Clustering().metrics(counts), Clustering().baseline(counts)
    assert base == {"silhouette": 0.0, "smallest_cluster": 0.25}
    assert -0.1 < found["silhouette"] <= 0 and found["smallest_cluster"] == pytest.approx(0.25, abs=0.03)


def test_published_clusters_are_counted_and_not_judged(frame):
    counts = evaluate.counts(Clustering(), clustered(frame, [(0, 0), (2, 1)]).drop(VECTOR))

    assert Clustering().said(counts) == {"clusters": 2}
    with pytest.raises(DataError, match="rows without the features they were clustered by"):
        Clustering().metrics(counts)
