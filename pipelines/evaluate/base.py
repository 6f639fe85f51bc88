"""The one protocol of a task: what a score row holds, what is counted, what is made of the counts.

A task is a frozen value, made by `learned` of the training slice: it knows the
classes, the share or the mean that a model has to beat. Spark counts, plain
Python decides: `count` is the only pass over rows, and metrics are arithmetic
on what it brings. To add a task: its words in spec/task.py, a class here that
keeps this protocol, a line in TASKS of __init__.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pyspark.ml import PipelineModel, Transformer
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.spec import Feature, Model
from pipelines.spec.task import LABEL

Counts = NDArray[np.float64]  # sums over rows; of what, the task says. Sums of two sets of rows add up
BARS = 20  # of a histogram


class Task(Protocol):
    """What belongs to one kind of prediction problem."""

    @property
    def kind(self) -> str:
        """Its name in a conf."""

    @classmethod
    def learned(cls, train: DataFrame) -> Self:
        """What a training slice says of its LABEL. Cost: one small aggregate. Errors: DataError: nothing to learn."""

    @classmethod
    def restored(cls, tags: Mapping[str, str], fitted: PipelineModel) -> Self:
        """The task of a registered model: enough to score and to count, not to give a baseline."""

    def tags(self) -> dict[str, str]:
        """What `restored` needs beside the fitted pipeline."""

    @property
    def width(self) -> int:
        """Classes of a label; 0 of a number."""

    def target(self) -> Column:
        """LABEL as a learner sees it: a double."""

    def closing(self) -> list[Transformer]:
        """Stages that end every pipeline of the task."""

    def answers(self, labelled: bool) -> dict[str, Column]:
        """Columns of a score row, of what a fitted pipeline gives; for rows with a LABEL, also those for counting."""

    def count(self, scored: DataFrame, by: Column) -> dict[Any, Counts]:
        """Value of `by` -> counts of its rows that have a LABEL. Cost: one scan, one small shuffle."""

    def rows(self, counts: Counts) -> int:
        """Rows counted."""

    def lacks(self, counts: Counts) -> str:
        """Why metrics cannot be had of these counts; empty where they can."""

    def metrics(self, counts: Counts) -> dict[str, float]:
        """Name -> value of those that are defined. Errors: DataError where counts do not suffice."""

    def baseline(self, counts: Counts) -> dict[str, float]:
        """The same of an answer that knows the training labels alone: what a model must beat."""

    def decided(self, counts: Counts) -> Self:
        """With what validation decides: a threshold, where there is one."""

    def said(self, counts: Counts) -> dict[str, int]:
        """What is said of a slice beside its metrics."""

    def span(self, scored: DataFrame) -> tuple[float, float]:
        """Between what a histogram of scores lies."""

    def pictures(self, scored: DataFrame, counts: Counts) -> dict[str, Any]:
        """What the report draws, as JSON."""


@runtime_checkable
class Extended(Protocol):
    """A task that is more than its label: of it a block of the conf says something, or only a fitted pipeline does."""

    def asked(self, model: Model, feature: Feature, train: DataFrame) -> Task:
        """With what the conf says of the task, and the training slice of that. Cost: at most a small aggregate."""

    def completed(self, fitted: PipelineModel, train: DataFrame) -> Task:
        """With what the fitted pipeline says, and its answers to the training rows. Cost: at most a scoring pass."""


def grouped(scored: DataFrame, by: Column, sums: Sequence[Column]) -> dict[Any, Counts]:
    """Value of `by` -> the sums of its rows with a LABEL, in their order. Cost: one scan, one small shuffle."""
    rows = scored.where(F.col(LABEL).isNotNull()).groupBy(by.alias("by"))
    found = rows.agg(F.array(*[F.sum(c).cast("double") for c in sums]).alias("sums"))
    return {row.by: np.asarray(row.sums) for row in found.toLocalIterator()}


def bars(df: DataFrame, value: Column, span: tuple[float, float], number: int = BARS) -> list[int]:
    """Rows in `number` equal bins of a span; what lies beyond an end is in the last bin there.

    A row without a value is in no bin; one that is not a number (NaN) is in the last. Cost: one small aggregate.
    """
    low, high = span
    at = F.nanvl((value - low) / (high - low), F.lit(1.0)) * number
    place = F.greatest(
        F.least(F.floor(F.greatest(F.least(at, F.lit(float(number))), F.lit(-1.0))), F.lit(number - 1)), F.lit(0)
    )
    counted = df.where(value.isNotNull()).groupBy(place.cast("int").alias("at")).count()
    found = {row["at"]: row["count"] for row in counted.collect()}
    return [found.get(i, 0) for i in range(number)]


def widened(low: float | None, high: float | None) -> tuple[float, float]:
    """A span of some width around two values, which may be equal, missing or not finite."""
    a, b = (v if v is not None and np.isfinite(v) else None for v in (low, high))
    a, b = (b if a is None else a), (a if b is None else b)
    if a is None or b is None:
        return 0.0, 1.0
    return (a, b) if b > a else (a - 0.5 * max(1.0, abs(a)), a + 0.5 * max(1.0, abs(a)))
