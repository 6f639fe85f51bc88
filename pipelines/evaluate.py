"""Metrics of a binary score, from one pass: Spark counts, plain Python decides.

Spark counts rows by (group, bin of the score, label); every metric, curve and
interval is arithmetic on those counts. Scores are rounded to 1/4096, so ROC
AUC differs from the exact one by at most half the share of pairs that tie.
Intervals come from leaving out one of 40 groups of rows at a time (the
delete-a-group jackknife; Kott 2001), which also compares two models on the
same rows without assuming them independent.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.errors import DataError

BINS, GROUPS, CURVE_POINTS, CALIBRATION_BINS, MOST_SLICES = 4096, 40, 200, 10, 30
Counts = NDArray[np.float64]  # shape (bins, 2): rows without and with the label, by rising score


@dataclass(frozen=True)
class Histogram:
    """Counts by group, shape (groups, bins, 2): what every figure below is computed from."""

    counts: Counts

    @property
    def whole(self) -> Counts:
        """Over all groups, shape (bins, 2)."""
        return np.asarray(self.counts.sum(axis=0))

    @property
    def rows(self) -> int:
        """Rows counted."""
        return int(self.counts.sum())


def histogram(df: DataFrame, score: str, label: str, key: Column) -> Histogram:
    """Count a scored frame. Cost: one scan, one small shuffle, at most groups x bins x 2 rows to the driver.

    score: column in [0, 1]; label: column 0 or 1, rows where it is null are not counted; key: decides a row's group.
    """
    counted = (
        df.where(F.col(label).isNotNull())
        .select(
            F.pmod(F.xxhash64(key), F.lit(GROUPS)).cast("int").alias("g"),
            F.least((F.col(score) * BINS).cast("int"), F.lit(BINS - 1)).alias("b"),
            F.col(label).cast("int").alias("y"),
        )
        .groupBy("g", "b", "y")
        .count()
    )
    counts = np.zeros((GROUPS, BINS, 2))
    for row in counted.toLocalIterator():
        counts[row.g, row.b, row.y] = row["count"]
    return Histogram(counts)


def by_slice(df: DataFrame, column: str, score: str, label: str) -> dict[str, Counts]:
    """A histogram for each of the most frequent values of a column, at most 30. Cost: one scan, one small shuffle."""
    named = F.coalesce(F.col(column).cast("string"), F.lit("(missing)")).alias("v")
    bins = F.least((F.col(score) * BINS).cast("int"), F.lit(BINS - 1)).alias("b")
    counted = df.where(F.col(label).isNotNull()).select(named, bins, F.col(label).cast("int").alias("y"))
    found: dict[str, Counts] = defaultdict(lambda: np.zeros((BINS, 2)))
    for row in counted.groupBy("v", "b", "y").count().toLocalIterator():
        found[row.v][row.b, row.y] += row["count"]
    ranked = sorted(found, key=lambda v: (-found[v].sum(), v))
    return {value: found[value] for value in ranked[:MOST_SLICES]}


def metrics(counts: Counts, threshold: float) -> dict[str, float]:
    """All metrics of one histogram; threshold splits late from on time for the first four.

    Errors: DataError where rows of both labels are not there.
    """
    negatives, positives = counts.sum(axis=0)
    if not positives or not negatives:
        raise DataError(
            f"cannot evaluate: {int(positives)} rows with the label, {int(negatives)} without; both are needed"
        )
    cut = _cut(threshold)
    tp, fp = counts[cut:, 1].sum(), counts[cut:, 0].sum()
    precision = tp / (tp + fp) if tp + fp else 0.0
    recall = tp / positives
    mid = (np.arange(BINS) + 0.5) / BINS
    rows = positives + negatives
    return {
        "accuracy": float((tp + negatives - fp) / rows),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2 * tp / (2 * tp + fp + positives - tp)),
        "roc_auc": roc_auc(counts),
        "average_precision": average_precision(counts),
        "log_loss": float(-(counts[:, 1] @ np.log(mid) + counts[:, 0] @ np.log(1 - mid)) / rows),
        "brier": float((counts[:, 1] @ (1 - mid) ** 2 + counts[:, 0] @ mid**2) / rows),
    }


def roc_auc(counts: Counts) -> float:
    """The chance that a late row scores above one on time, ties counting half (Mann-Whitney U)."""
    negatives, positives = counts.sum(axis=0)
    below = np.cumsum(counts[:, 0]) - counts[:, 0]
    return float(counts[:, 1] @ (below + counts[:, 0] / 2) / (positives * negatives))


def average_precision(counts: Counts) -> float:
    """Sum over thresholds of precision x gain in recall, without interpolation."""
    tp, fp = (np.cumsum(counts[::-1, i]) for i in (1, 0))
    precision = tp / np.maximum(tp + fp, 1)
    return float(precision @ counts[::-1, 1] / tp[-1])


def best_threshold(counts: Counts) -> float:
    """The score at which F1 is highest; the lowest such."""
    tp, fp = (np.cumsum(counts[::-1, i])[::-1] for i in (1, 0))
    f1 = 2 * tp / np.maximum(tp + fp + counts[:, 1].sum(), 1)
    return float(np.argmax(f1) / BINS)


def interval(
    histogram: Histogram, figure: Callable[[Counts], float], confidence: float = 0.95
) -> tuple[float, float, float]:
    """(value, low, high): two-sided, by leaving out one group at a time."""
    whole = histogram.whole
    value = figure(whole)
    error = _jackknife([figure(rest) for rest in _left_out(histogram.counts)])
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return value, value - reach, value + reach


def surely_better(
    challenger: Histogram, champion: Histogram, figure: Callable[[Counts], float], confidence: float
) -> tuple[bool, float, float]:
    """(is it, difference, its one-sided lower bound), both scored on the same rows in the same groups."""
    pairs = zip(_left_out(challenger.counts), _left_out(champion.counts), strict=True)
    differences = [figure(a) - figure(b) for a, b in pairs]
    difference = figure(challenger.whole) - figure(champion.whole)
    low = difference - NormalDist().inv_cdf(confidence) * _jackknife(differences)
    return low > 0, difference, low


def baseline(counts: Counts, rate: float) -> dict[str, float]:
    """The metrics of giving every row the training slice's rate: what a model must beat."""
    constant = np.zeros_like(counts)
    constant[min(int(rate * BINS), BINS - 1)] = counts.sum(axis=0)
    return metrics(constant, threshold=0.5)


def curves(counts: Counts) -> dict[str, list[list[float]]]:
    """ROC, precision-recall and calibration, thinned for drawing."""
    negatives, positives = counts.sum(axis=0)
    tp, fp = (np.concatenate([[0.0], np.cumsum(counts[::-1, i])]) for i in (1, 0))
    keep = np.unique(np.searchsorted(tp + fp, np.linspace(0, positives + negatives, CURVE_POINTS)).clip(0, BINS))
    precision = np.where(tp + fp > 0, tp / np.maximum(tp + fp, 1), 1.0)
    return {
        "roc": np.stack([fp / negatives, tp / positives], axis=1)[keep].round(5).tolist(),
        "pr": np.stack([tp / positives, precision], axis=1)[keep][1:].round(5).tolist(),
        "calibration": _calibration(counts),
    }


def _calibration(counts: Counts) -> list[list[float]]:
    """[mean score, share of late rows, rows] for tenths of the rows by score."""
    rows = counts.sum(axis=1)
    tenth = np.minimum((np.cumsum(rows) - rows) * CALIBRATION_BINS // rows.sum(), CALIBRATION_BINS - 1)
    mid = (np.arange(BINS) + 0.5) / BINS
    found = []
    for part in range(CALIBRATION_BINS):
        held = (tenth == part) & (rows > 0)
        if held.any():
            n = rows[held].sum()
            found.append(
                [round(float(mid[held] @ rows[held] / n), 5), round(float(counts[held, 1].sum() / n), 5), int(n)]
            )
    return found


def _cut(threshold: float) -> int:
    return min(int(threshold * BINS), BINS - 1)


def _left_out(groups: Counts) -> list[Counts]:
    """The whole without each group that has rows; nothing where a label would be gone with one."""
    rests = [groups.sum(axis=0) - g for g in groups if g.sum()]
    return rests if all(rest.sum(axis=0).all() for rest in rests) else []


def _jackknife(left_out: list[float]) -> float:
    n, values = len(left_out), np.asarray(left_out)
    return float(np.sqrt((n - 1) / n * ((values - values.mean()) ** 2).sum())) if n > 1 else float("inf")
