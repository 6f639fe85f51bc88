"""Counts by groups of rows, and the intervals that come of them.

Rows fall into 40 groups by the hash of their key. Intervals come from leaving
out one group at a time (the delete-a-group jackknife; Kott 2001), which also
compares two models on the same rows without assuming them independent. Where a
split keeps the rows of a column's value together, so do these groups.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import nan
from statistics import NormalDist

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.evaluate.base import Counts, Task
from pipelines.spec.task import LABEL, METRICS

GROUPS, MOST_SLICES = 40, 30
Interval = tuple[float, float, float]  # value, low, high
Figures = Callable[[Counts], Mapping[str, float]]  # what is made of counts, by name


@dataclass(frozen=True)
class Tally:
    """Counts by group, shape (groups, ...): what every figure is computed from."""

    counts: Counts

    @property
    def whole(self) -> Counts:
        """Over all groups."""
        return np.asarray(self.counts.sum(axis=0))


def tally(task: Task, scored: DataFrame, key: Column) -> Tally:
    """Count a scored frame. Cost: one scan, one small shuffle. key: decides a row's group, whatever its score."""
    found = task.count(scored, F.pmod(F.xxhash64(key), F.lit(GROUPS)).cast("int"))
    none = np.zeros_like(next(iter(found.values()))) if found else np.zeros(0)
    return Tally(np.stack([found.get(group, none) for group in range(GROUPS)]))


def counts(task: Task, scored: DataFrame) -> Counts:
    """The same in one group, where no interval is wanted."""
    found = task.count(scored, F.lit(0))
    return found.get(0, np.zeros(0))


def by_slice(task: Task, scored: DataFrame, column: str) -> dict[str, Counts]:
    """Counts of each of the most frequent values of a column, at most 30. Cost: two scans, two small shuffles."""
    value = F.coalesce(F.col(column).cast("string"), F.lit("(missing)"))
    labelled = scored.where(F.col(LABEL).isNotNull())
    frequent = labelled.groupBy(value.alias("v")).count().orderBy(F.desc("count"), "v").limit(MOST_SLICES).collect()
    found = task.count(labelled.where(value.isin([r.v for r in frequent])), value)
    return {r.v: found[r.v] for r in frequent}


def figures(task: Task, held: Counts) -> dict[str, float]:
    """The metrics, or nothing where the counts do not suffice."""
    return {} if task.lacks(held) else task.metrics(held)


def intervals(task: Task, found: Tally, confidence: float = 0.95) -> dict[str, Interval]:
    """Of each metric. Errors: as of `task.metrics`."""
    task.metrics(found.whole)
    return spread(found.counts, partial(figures, task), confidence)


def spread(groups: Counts, figures_of: Figures, confidence: float = 0.95) -> dict[str, Interval]:
    """Name of a figure -> (value, low, high): two-sided, by leaving out one group at a time.

    groups: counts by group, shape (groups, ...); a figure that the whole has not is left out.
    """
    whole, rests = figures_of(groups.sum(axis=0)), [figures_of(rest) for rest in _left_out(groups)]
    reach = quantile((1 + confidence) / 2, len(rests))
    errors = {name: reach * _jackknife([rest.get(name, nan) for rest in rests]) for name in whole}
    return {name: (value, value - errors[name], value + errors[name]) for name, value in whole.items()}


def surely_better(
    task: Task, challenger: Tally, champion: Tally, metric: str, confidence: float
) -> tuple[bool, float, float]:
    """(is it, by how much, by how much at least), both scored on the same rows in the same groups.

    By how much: greater is better, whatever the metric; at least: the one-sided lower bound.
    """
    pairs = zip(_left_out(challenger.counts), _left_out(champion.counts), strict=True)
    sign = METRICS[metric].sign
    apart = [sign * (figures(task, a).get(metric, nan) - figures(task, b).get(metric, nan)) for a, b in pairs]
    difference = sign * (task.metrics(challenger.whole)[metric] - task.metrics(champion.whole)[metric])
    least = difference - quantile(confidence, len(apart)) * _jackknife(apart)
    return least > 0, difference, least


def quantile(share: float, groups: int) -> float:
    """How many standard errors a bound lies off: of the normal distribution, of Student's t where groups lack rows.

    share: in [0.5, 1). Source: Abramowitz and Stegun 26.7.5; within 1 % from three groups on.
    """
    z = NormalDist().inv_cdf(share)
    if groups >= GROUPS or groups < 2:
        return z
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + float(sum(term / (groups - 1) ** (i + 1) for i, term in enumerate(terms)))


def _left_out(groups: Counts) -> list[Counts]:
    """The whole without each group that has rows."""
    whole = groups.sum(axis=0)
    return [whole - group for group in groups if group.any()]


def _jackknife(left_out: list[float]) -> float:
    """Standard error; infinite where a figure could not be had without some group."""
    n, values = len(left_out), np.asarray(left_out)
    if n < 2 or not np.isfinite(values).all():
        return float("inf")
    return float(np.sqrt((n - 1) / n * ((values - values.mean()) ** 2).sum()))
