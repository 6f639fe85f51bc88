"""Search: fit every candidate on the training slice, judge it on the validation slice, keep the best."""

import time
from collections.abc import Callable, Sequence
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
LEARNERS: dict[str, Learner] = {"logistic_regression": sparkml, "xgboost": xgb}


@dataclass(frozen=True)
class Trial:
    """One candidate, fitted and judged."""

    candidate: Candidate
    fitted: PipelineModel
    threshold: float
    metrics: dict[str, float]
    importance: list[tuple[str, float]]
    seconds: float

    def as_json(self) -> dict[str, object]:
        """For the leaderboard."""
        return {
            "kind": self.candidate.kind,
            "params": self.candidate.model_dump(exclude={"kind"}),
            "seconds": round(self.seconds, 2),
            "validate": self.metrics,
        }


def search(
    candidates: Sequence[Candidate],
    slices: Slices,
    inputs: Inputs,
    metric: str,
    keys: Sequence[str],
    tell: Callable[[str], None],
) -> tuple[Trial, ...]:
    """Every candidate as a trial, the best by `metric` first; of equals, the one named first in the conf.

    slices: with the feature columns, LABEL and the keys; training and validation rows are read several times.
    Cost  : one shuffle, fit and scoring pass a candidate, one after another.
    """
    trials = []
    for number, candidate in enumerate(candidates, 1):
        tell(f"fits {candidate.kind} ({number} of {len(candidates)})")
        rows = slices.summary["train"]["rows"]
        trials.append(_trial(candidate, dealt(slices.train, rows, candidate, keys), slices.validate, inputs))
    return tuple(sorted(trials, key=lambda t: -t.metrics[metric]))


def dealt(df: DataFrame, rows: int, candidate: Candidate, keys: Sequence[str]) -> DataFrame:
    """Rows in partitions and in an order that keys and row count alone decide, so that a fit can be repeated."""
    tasks = getattr(candidate, "workers", max(2, -(-rows // ROWS_A_PART)))
    return df.repartition(tasks, *keys).sortWithinPartitions(*keys)


def _trial(candidate: Candidate, train: DataFrame, validate: DataFrame, inputs: Inputs) -> Trial:
    begun = time.monotonic()
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
