"""Figures of many numbers in one pass, in the Python workers: Spark compiles an aggregate of hundreds for minutes.

Sums are of deviations, merged in the order of batches and partitions (Chan and others 1979), so that large means lose
no digits and the same partitions give the same figures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

FOUND = "c int, f array<double>"  # place of the column, its figures over one task's rows


@dataclass(frozen=True)
class Moments:
    """Of the rows in which a number is there; y is the label beside it."""

    n: float = 0.0
    low: float = np.inf
    high: float = -np.inf
    mean: float = 0.0
    squares: float = 0.0  # of deviations from the mean
    y: float = 0.0  # mean
    y_squares: float = 0.0
    products: float = 0.0  # of both deviations

    @property
    def variance(self) -> float:
        """Of the population."""
        return self.squares / self.n if self.n else 0.0

    @property
    def correlation(self) -> float:
        """With the label; 0 where one of the two does not vary."""
        both = self.squares * self.y_squares
        return self.products / float(np.sqrt(both)) if both > 0 else 0.0

    def merged(self, other: "Moments") -> "Moments":
        """Of the rows of both."""
        n = self.n + other.n
        if not self.n or not other.n:
            return self if self.n else other
        x, y, weight = other.mean - self.mean, other.y - self.y, self.n * other.n / n
        return Moments(
            n,
            min(self.low, other.low),
            max(self.high, other.high),
            self.mean + x * other.n / n,
            self.squares + other.squares + x * x * weight,
            self.y + y * other.n / n,
            self.y_squares + other.y_squares + y * y * weight,
            self.products + other.products + x * y * weight,
        )


def moments(rows: DataFrame, columns: Sequence[str], label: str | None = None) -> list[Moments]:
    """Of each column, double or null. Cost: one scan, the columns to Python; a row a column and task comes back."""
    y = F.col(label).cast("double") if label else F.lit(0.0)
    asked = rows.select(*[F.col(c).cast("double").alias(f"c{i}") for i, c in enumerate(columns)], y.alias("y"))
    found = [Moments()] * len(columns)
    for row in asked.mapInArrow(partial(_summed, len(columns)), FOUND).collect():
        found[row.c] = found[row.c].merged(Moments(*row.f))
    return found


def _summed(width: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    held = [Moments()] * width
    for batch in batches:
        *xs, y = [batch.column(i).to_numpy(zero_copy_only=False) for i in range(width + 1)]
        held = [before.merged(_of(x, y)) for before, x in zip(held, xs, strict=True)]
    figures = pa.array([list(astuple(each)) for each in held], pa.list_(pa.float64()))
    yield pa.RecordBatch.from_arrays([pa.array(range(width), pa.int32()), figures], names=["c", "f"])


def _of(x: NDArray[np.float64], y: NDArray[np.float64]) -> Moments:
    there = ~np.isnan(x)
    if not there.any():
        return Moments()
    x, y = (x, y) if there.all() else (x[there], y[there])
    dx, dy = x - x.mean(), y - y.mean()
    sums = (float(a @ b) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    squares, y_squares, products = sums
    return Moments(len(x), x.min(), x.max(), x.mean(), squares, y.mean(), y_squares, products)
