"""Search: fit every candidate on the training slice, judge it on the validation slice, keep the best."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from pyspark import StorageLevel
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame

from pipelines import evaluate
from pipelines.evaluate import Task
from pipelines.models import learners
from pipelines.models.base import Asked, Inputs, predict
from pipelines.models.splits import Slices
from pipelines.spec import METRICS, Candidate
from pipelines.spec.task import TARGET

ROWS_A_PART = 150_000  # of a training slice, where the candidate does not say how many tasks train


@dataclass(frozen=True)
class Problem:
    """What all candidates are given, and by what they are judged."""

    task: Task
    inputs: Inputs
    metric: str
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """One candidate, fitted and judged."""

    candidate: Candidate
    fitted: PipelineModel
    task: Task  # with what the validation rows decided
    metrics: dict[str, float]
    importance: list[tuple[str, float]]
    left_out: tuple[str, ...]  # features that tell nothing
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
    candidates: Sequence[Candidate], slices: Slices, problem: Problem, tell: Callable[[str], None]
) -> tuple[Trial, ...]:
    """Every candidate as a trial, the best by the problem's metric first; of equals, the one named first in the conf.

    slices: with the feature columns, LABEL and the keys; training and validation rows are read several times.
    Cost  : one shuffle, fit and scoring pass a candidate, one after another.
    """
    trials = []
    for number, candidate in enumerate(candidates, 1):
        tell(f"fits {candidate.kind} ({number} of {len(candidates)})")
        rows = slices.summary["train"]["rows"]
        trials.append(_trial(candidate, dealt(slices.train, rows, candidate, problem.keys), slices.validate, problem))
    return tuple(sorted(trials, key=lambda t: -_merit(t, problem.metric)))


def _merit(trial: Trial, metric: str) -> float:
    """Greater is better; a metric that could not be had is worst."""
    return METRICS[metric].sign * trial.metrics[metric] if metric in trial.metrics else -inf


def dealt(df: DataFrame, rows: int, candidate: Candidate, keys: Sequence[str]) -> DataFrame:
    """Rows in partitions and in an order that keys and row count alone decide, so that a fit can be repeated."""
    tasks = getattr(candidate, "workers", max(2, -(-rows // ROWS_A_PART)))
    return df.repartition(tasks, *keys).sortWithinPartitions(*keys)


def _trial(candidate: Candidate, train: DataFrame, validate: DataFrame, problem: Problem) -> Trial:
    begun, task = time.monotonic(), problem.task
    asked = Asked(task.kind, task.width, problem.keys, tuple(task.closing()))
    rows = train.withColumn(TARGET, task.target()).persist(StorageLevel.MEMORY_AND_DISK)  # read by every step
    try:
        fitted = learners.fit(candidate, rows, problem.inputs, asked)
    finally:
        rows.unpersist()
    held = evaluate.counts(task, predict(fitted.pipeline, validate, task.answers(labelled=True)))
    decided = task.decided(held)
    found = decided.metrics(held)
    seconds = time.monotonic() - begun
    return Trial(candidate, fitted.pipeline, decided, found, fitted.importance, fitted.left_out, seconds)
