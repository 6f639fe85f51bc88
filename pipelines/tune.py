"""One trial: a candidate fitted on the training slice and judged on the validation slice."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark import StorageLevel
from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines import evaluate
from pipelines.models import sparkml, xgb
from pipelines.models.base import LABEL, SCORE, Inputs, Learner, predict, prepared
from pipelines.models.splits import Slices
from pipelines.spec import Candidate

ROWS_A_PART = 150_000  # of a training slice, where the candidate does not say how many tasks train
CUTS = 1 << 20  # parts by the hash of the keys, of which a rung takes the first
LEARNERS: dict[str, Learner] = {"logistic_regression": sparkml, "xgboost": xgb}


@dataclass(frozen=True)
class Problem:
    """What all candidates are given."""

    inputs: Inputs
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """One candidate, fitted and judged."""

    candidate: Candidate
    fitted: PipelineModel
    threshold: float
    metrics: dict[str, float]
    importance: list[tuple[str, float]]
    seconds: float


def trial(slices: Slices, problem: Problem, candidate: Candidate, share: float = 1.0) -> Trial:
    """Fit a plain candidate on a share of the training rows, judge it on the validation slice.

    slices: with the feature columns, LABEL and the keys. Cost: a shuffle, a fit, a scoring pass.
    """
    rows = round(share * slices.summary["train"]["rows"])
    train = dealt(cut(slices.train, share, problem.keys), rows, candidate, problem.keys)
    return _trial(candidate, train, slices.validate, problem)


def cut(df: DataFrame, share: float, keys: Sequence[str]) -> DataFrame:
    """A share of the rows, by the hash of their keys: always the same ones, among those of every larger share."""
    return df if share >= 1 else df.where(F.pmod(F.xxhash64(*keys), F.lit(CUTS)) < F.lit(round(share * CUTS)))


def dealt(df: DataFrame, rows: int, candidate: Candidate, keys: Sequence[str]) -> DataFrame:
    """Rows in partitions and in an order that keys and row count alone decide, so that a fit can be repeated."""
    tasks = getattr(candidate, "workers", max(2, -(-rows // ROWS_A_PART)))
    return df.repartition(tasks, *keys).sortWithinPartitions(*keys)


def _trial(candidate: Candidate, train: DataFrame, validate: DataFrame, problem: Problem) -> Trial:
    begun, inputs = time.monotonic(), problem.inputs
    learner = LEARNERS[candidate.kind]
    estimator: Pipeline = learner.estimator(candidate, inputs)
    rows = prepared(train, inputs).persist(StorageLevel.MEMORY_AND_DISK)  # every step of a pipeline reads them again
    try:
        fitted = estimator.fit(rows)
    finally:
        rows.unpersist()
    counts = evaluate.histogram(predict(fitted, validate, inputs), SCORE, LABEL, F.lit(0)).whole
    threshold = evaluate.best_threshold(counts)
    found = evaluate.metrics(counts, threshold)
    return Trial(candidate, fitted, threshold, found, learner.importance(fitted, inputs), time.monotonic() - begun)
