"""Metrics of a predicted number, from ten sums: of errors, and of what the training mean would have erred.

Errors are prediction - label, so a positive bias says that a model predicts
too much. MAPE leaves out rows whose label is 0; R² is not defined where all
labels are equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, Self

import numpy as np
from pyspark.ml import PipelineModel, Transformer
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.evaluate.base import Counts, bars, grouped, widened
from pipelines.spec.task import LABEL, PREDICTION, SCORE

DECILES = 10
ROUGH = 1_000  # of percentile_approx: within a thousandth of the rows
LEAST_SPREAD = 1e-12  # of a label, relative: below it all labels are equal
OWN, MEAN = slice(1, 4), slice(4, 7)  # sums of error, |error|, error squared: of the model, of the training mean
WITH_SHARE, OWN_SHARE, MEAN_SHARE = 7, 8, 9  # rows whose label is not 0, and sums of |error / label| over them


@dataclass(frozen=True)
class Regression:
    """A number; a score row holds it as `score`."""

    mean: float = 0.0  # of the training labels
    kind: str = "regression"

    @classmethod
    def learned(cls, train: DataFrame) -> Self:
        """The mean of the label."""
        label = F.col(LABEL)
        found = train.agg(F.avg(label).alias("mean"), F.min(label), F.max(label), F.count(label)).first()
        assert found is not None
        mean, low, high, rows = found
        if low is None or low == high:
            raise DataError(f"the label is {low} in each of {rows:,} training rows; there is nothing to learn")
        return cls(mean)

    @classmethod
    def restored(cls, tags: Mapping[str, str], fitted: PipelineModel) -> Self:
        """By its tag."""
        return cls.tagged(tags)

    @classmethod
    def tagged(cls, tags: Mapping[str, str]) -> Self:
        """As `restored`; Spark's model is not asked."""
        return cls(float(tags["lakeloom.mean"]))

    def tags(self) -> dict[str, str]:
        """The mean, about which sums of squares stay exact."""
        return {"lakeloom.mean": repr(self.mean)}

    @property
    def width(self) -> int:
        """Classes."""
        return 0

    def target(self) -> Column:
        """As it is."""
        return F.col(LABEL).cast("double")

    def closing(self) -> list[Transformer]:
        """None."""
        return []

    def answers(self, labelled: bool) -> dict[str, Column]:
        """The number."""
        return {SCORE: F.col(PREDICTION).cast("double")}

    def count(self, scored: DataFrame, by: Column) -> dict[Any, Counts]:
        """Ten sums, in the order of the constants above, rows first."""
        label, one = F.col(LABEL), F.lit(1.0)
        errors = F.col(SCORE) - label, F.lit(self.mean) - label
        sizes = [part for e in errors for part in (e, F.abs(e), e * e)]
        shares = [F.when(label != 0, part).otherwise(0.0) for part in (one, *(F.abs(e / label) for e in errors))]
        return grouped(scored, by, [one, *sizes, *shares])

    def rows(self, counts: Counts) -> int:
        """The first sum."""
        return int(counts[0]) if counts.size else 0

    def lacks(self, counts: Counts) -> str:
        """Rows, or numbers."""
        if not self.rows(counts):
            return "no labelled row"
        return "" if np.isfinite(counts).all() else "a score that is no finite number"

    def metrics(self, counts: Counts) -> dict[str, float]:
        """RMSE, MAE, R², MAPE, bias."""
        if lacks := self.lacks(counts):
            raise DataError(f"cannot evaluate: {lacks}")
        return _metrics(counts, counts[OWN], counts[OWN_SHARE])

    def baseline(self, counts: Counts) -> dict[str, float]:
        """Of the training mean for every row."""
        return _metrics(counts, counts[MEAN], counts[MEAN_SHARE])

    def decided(self, counts: Counts) -> Self:
        """Nothing to decide."""
        return self

    def said(self, counts: Counts) -> dict[str, int]:
        """Nothing more."""
        return {}

    def span(self, scored: DataFrame) -> tuple[float, float]:
        """From the least to the greatest score. Cost: one small aggregate."""
        least, most = scored.agg(F.min(SCORE), F.max(SCORE)).first() or (None, None)
        return widened(least, most)

    def pictures(self, scored: DataFrame, counts: Counts) -> dict[str, Any]:
        """Predicted against actual by decile of the prediction; a histogram of errors. Cost: three small aggregates."""
        rows = scored.where(F.col(LABEL).isNotNull())
        error = F.col(SCORE) - F.col(LABEL)
        tenths = [i / DECILES for i in range(1, DECILES)]
        found = rows.agg(
            F.percentile_approx(SCORE, tenths, ROUGH), F.percentile_approx(error, [0.005, 0.995], ROUGH)
        ).first()
        assert found is not None
        span = widened(*(found[1] or (None, None)))
        return {
            "deciles": _deciles(rows, found[0] or []),
            "residuals": {"low": span[0], "high": span[1], "counts": bars(rows, error, span)},
        }


def _metrics(counts: Counts, errors: Counts, share: float) -> dict[str, float]:
    rows = counts[0]
    bias, absolute, squared = errors / rows
    off, _, off_squared = counts[MEAN] / rows
    found = {"rmse": sqrt(squared), "mae": absolute, "bias": bias}
    spread = off_squared - off * off  # variance of the label, about its training mean: no cancellation
    if spread > LEAST_SPREAD * off_squared:
        found["r2"] = 1 - squared / spread
    if counts[WITH_SHARE]:
        found["mape"] = share / counts[WITH_SHARE]
    return {name: float(value) for name, value in found.items()}


def _deciles(rows: DataFrame, edges: list[float]) -> list[list[float]]:
    """[mean prediction, mean label, rows] of each part between the edges, by rising prediction."""
    place = sum((F.when(F.col(SCORE) > edge, 1).otherwise(0) for edge in edges), F.lit(0))
    means = rows.groupBy(place.alias("at")).agg(
        F.avg(SCORE).alias("p"), F.avg(LABEL).alias("y"), F.count("*").alias("n")
    )
    found = sorted(means.collect(), key=lambda r: int(r["at"]))
    return [[round(r.p, 5), round(r.y, 5), r.n] for r in found]
