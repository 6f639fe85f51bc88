"""One trial: a candidate fitted on the training slice and judged on the validation slice."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark import StorageLevel
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines import evaluate
from pipelines.evaluate import Task
from pipelines.models import learners
from pipelines.models.base import Asked, Block, Inputs, predict
from pipelines.models.splits import Slices
from pipelines.spec import Candidate
from pipelines.spec.task import TARGET

ROWS_A_PART = 150_000  # of a training slice, where the candidate does not say how many tasks train
CUTS = 1 << 20  # parts by the hash of the keys, of which a rung takes the first


@dataclass(frozen=True)
class Problem:
    """What all candidates are given."""

    task: Task
    inputs: Inputs
    keys: tuple[str, ...]
    time: str = ""  # as_of_time
    pair: tuple[str, ...] = ()  # user and item, of a recommendation
    scratch: str = ""  # a folder that all machines see
    extensions: tuple[str, ...] = ()  # modules that hold nets and estimators of a team's own
    observed: str = ""  # column that is false where a label is too low; of a survival


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
    blocks: tuple[Block, ...] = ()  # what stands where in the vector
    told: Mapping[str, Any] = field(default_factory=dict)  # what the learner says of its training


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
    begun, task = time.monotonic(), problem.task
    place = problem.scratch, problem.extensions, problem.observed
    asked = Asked(task.kind, task.width, problem.keys, tuple(task.closing()), problem.pair, *place)
    rows = train.withColumn(TARGET, task.target()).persist(StorageLevel.MEMORY_AND_DISK)  # read by every step
    try:
        fitted = learners.fit(candidate, rows, problem.inputs, asked)
        task = evaluate.completed(task, fitted.pipeline, rows)
    finally:
        rows.unpersist()
    held = evaluate.counts(task, predict(fitted.pipeline, validate, task.answers(labelled=True)))
    decided = task.decided(held)
    found = decided.metrics(held)
    seconds = time.monotonic() - begun
    told = fitted.importance, fitted.left_out, seconds, fitted.blocks, fitted.told
    return Trial(candidate, fitted.pipeline, decided, found, *told)
