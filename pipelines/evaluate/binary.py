"""Metrics of a binary score, from one histogram: Spark counts, plain Python decides.

Spark counts rows by (bin of the score, label); every metric, curve and
interval is arithmetic on those counts. Scores are rounded to 1/4096, so ROC
AUC differs from the exact one by at most half the share of pairs that tie.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.evaluate.base import Counts
from pipelines.spec.task import LABEL, PREDICTED, PROBABILITY, SCORE

BINS, CURVE_POINTS, CALIBRATION_BINS = 4096, 200, 10
NEVER = 1 + 1 / BINS  # a threshold that no score reaches
MIDDLE = (np.arange(BINS) + 0.5) / BINS  # score of a bin
LOSSES = np.stack([-np.log(1 - MIDDLE), -np.log(MIDDLE)], axis=1)
ERRORS = np.stack([MIDDLE**2, (1 - MIDDLE) ** 2], axis=1)
TENTHS = np.arange(BINS) * CALIBRATION_BINS // BINS


@dataclass(frozen=True)
class Binary:
    """Yes or no. A score row holds the probability of yes as `score`; `predicted` is whether it reaches the threshold.

    Counts have shape (bins, 2): rows without and with the label, by rising score.
    """

    rate: float = 0.5  # of the label among the training rows
    threshold: float = 0.5
    costs: tuple[float, float] | None = None  # of a false positive and a false negative; None: F1 decides
    kind: str = "binary"

    @classmethod
    def learned(cls, train: DataFrame) -> Self:
        """The rate of the label."""
        label = F.col(LABEL)
        found = train.agg(F.avg(label).alias("rate"), F.min(label), F.max(label), F.count(label)).first()
        assert found is not None
        rate, low, high, rows = found
        if low is not None and not 0 <= low <= high <= 1:
            raise DataError(f"a label of task: binary is true or false, 1 or 0; there is {low if low < 0 else high}")
        if low is None or low == high:
            raise DataError(f"the label is {bool(low)} in each of {rows:,} training rows; there is nothing to learn")
        return cls(rate)

    @classmethod
    def restored(cls, tags: Mapping[str, str], fitted: PipelineModel) -> Self:
        """By its tag."""
        return cls.tagged(tags)

    @classmethod
    def tagged(cls, tags: Mapping[str, str]) -> Self:
        """As `restored`; Spark's model is not asked."""
        return cls(threshold=float(tags["lakeloom.threshold"]))

    def tags(self) -> dict[str, str]:
        """The threshold."""
        return {"lakeloom.threshold": repr(self.threshold)}

    @property
    def width(self) -> int:
        """Classes."""
        return 2

    def target(self) -> Column:
        """0 or 1."""
        return F.col(LABEL).cast("double")

    def closing(self) -> list[Transformer]:
        """None."""
        return []

    def answers(self, labelled: bool) -> dict[str, Column]:
        """The probability, and what it is taken for."""
        score = vector_to_array(F.col(PROBABILITY))[1]
        return {SCORE: score, PREDICTED: score >= self.threshold}

    def count(self, scored: DataFrame, by: Column) -> dict[Any, Counts]:
        """At most bins x 2 rows to the driver for each value of `by`."""
        bins = F.least((F.col(SCORE) * BINS).cast("int"), F.lit(BINS - 1))
        rows = scored.where(F.col(LABEL).isNotNull())
        counted = rows.groupBy(by.alias("by"), bins.alias("b"), F.col(LABEL).cast("int").alias("y")).count()
        found: dict[Any, Counts] = {}
        for row in counted.toLocalIterator():
            found.setdefault(row.by, np.zeros((BINS, 2)))[row.b, row.y] = row["count"]
        return found

    def rows(self, counts: Counts) -> int:
        """All."""
        return int(counts.sum())

    def lacks(self, counts: Counts) -> str:
        """Rows of both labels."""
        negatives, positives = counts.sum(axis=0) if counts.size else (0, 0)
        few = f"{int(positives)} rows with the label, {int(negatives)} without; both are needed"
        return "" if positives and negatives else few

    def metrics(self, counts: Counts) -> dict[str, float]:
        """All of them; the threshold splits late from on time for accuracy, precision, recall and F1."""
        if lacks := self.lacks(counts):
            raise DataError(f"cannot evaluate: {lacks}")
        return metrics(counts, self.threshold)

    def baseline(self, counts: Counts) -> dict[str, float]:
        """Of the training slice's rate for every row."""
        constant = np.zeros_like(counts)
        constant[min(int(self.rate * BINS), BINS - 1)] = counts.sum(axis=0)
        return metrics(constant, threshold=0.5)

    def decided(self, counts: Counts) -> Self:
        """With the threshold that costs least, or at which F1 is highest."""
        if self.lacks(counts):
            return self
        found = cheapest_threshold(counts, self.costs) if self.costs else best_threshold(counts)
        return replace(self, threshold=found)

    def said(self, counts: Counts) -> dict[str, int]:
        """Rows with the label."""
        return {"positives": int(counts[:, 1].sum())}

    def span(self, scored: DataFrame) -> tuple[float, float]:
        """That of a probability."""
        return 0.0, 1.0

    def pictures(self, scored: DataFrame, counts: Counts) -> dict[str, Any]:
        """ROC, precision and recall, calibration."""
        return curves(counts)


def metrics(counts: Counts, threshold: float) -> dict[str, float]:
    """All metrics of a histogram with rows of both labels; threshold splits late from on time for the first four."""
    negatives, positives = counts.sum(axis=0)
    cut = _cut(threshold)
    tp, fp = counts[cut:, 1].sum(), counts[cut:, 0].sum()
    rows = positives + negatives
    return {
        "accuracy": float((tp + negatives - fp) / rows),
        "precision": float(tp / (tp + fp)) if tp + fp else 0.0,
        "recall": float(tp / positives),
        "f1": float(2 * tp / (2 * tp + fp + positives - tp)),
        "roc_auc": roc_auc(counts),
        "average_precision": average_precision(counts),
        "log_loss": float((counts * LOSSES).sum() / rows),
        "brier": float((counts * ERRORS).sum() / rows),
        "expected_calibration_error": calibration_error(counts),
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


def cheapest_threshold(counts: Counts, costs: tuple[float, float]) -> float:
    """The score from which on a yes costs least in all; the lowest such. Over 1 where no yes pays."""
    negatives, positives = (np.concatenate([[0.0], np.cumsum(counts[:, i])]) for i in (0, 1))
    whole = costs[0] * (negatives[-1] - negatives) + costs[1] * positives  # at each of BINS + 1 cuts
    cut = int(np.argmin(whole))
    return cut / BINS if cut < BINS else NEVER


def cost(counts: Counts, costs: tuple[float, float], threshold: float) -> float:
    """What a row costs on average where every score from the threshold on is a yes."""
    cut = _cut(threshold)
    return float((costs[0] * counts[cut:, 0].sum() + costs[1] * counts[:cut, 1].sum()) / counts.sum())


def calibration_error(counts: Counts) -> float:
    """The mean distance of score and share of late rows, over ten equal bins of the score (Naeini and others 2015)."""
    rows = counts.sum(axis=1)
    apart = np.bincount(TENTHS, weights=counts[:, 1] - MIDDLE * rows)
    return float(np.abs(apart).sum() / rows.sum())


def curves(counts: Counts) -> dict[str, list[list[float]]]:
    """ROC, precision-recall and calibration, thinned for drawing."""
    negatives, positives = counts.sum(axis=0)
    tp, fp = (np.concatenate([[0.0], np.cumsum(counts[::-1, i])]) for i in (1, 0))
    keep = np.unique(np.searchsorted(tp + fp, np.linspace(0, positives + negatives, CURVE_POINTS)).clip(0, BINS))
    precision = np.where(tp + fp > 0, tp / np.maximum(tp + fp, 1), 1.0)
    return {
        "roc": np.stack([fp / negatives, tp / positives], axis=1)[keep].round(5).tolist(),
        "pr": np.stack([tp / positives, precision], axis=1)[keep][1:].round(5).tolist(),
        "calibration": calibration(counts),
    }


def calibration(counts: Counts) -> list[list[float]]:
    """[mean score, share of the second column, rows] for tenths of the rows by score; counts: shape (BINS, 2)."""
    rows = counts.sum(axis=1)
    tenth = np.minimum((np.cumsum(rows) - rows) * CALIBRATION_BINS // rows.sum(), CALIBRATION_BINS - 1)
    found = []
    for part in range(CALIBRATION_BINS):
        held = (tenth == part) & (rows > 0)
        if held.any():
            n = rows[held].sum()
            found.append(
                [round(float(MIDDLE[held] @ rows[held] / n), 5), round(float(counts[held, 1].sum() / n), 5), int(n)]
            )
    return found


def _cut(threshold: float) -> int:
    return BINS if threshold > 1 else min(int(threshold * BINS), BINS - 1)
