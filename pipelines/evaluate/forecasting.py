"""Forecasts: a number some time ahead, held against the season before.

A row is an origin: all its features were known then, and its label lies one
horizon later. Errors are counted as those of any number; beside them those of
the seasonal naive forecast, which says what was one season before the moment
that is forecast. MASE is the mean absolute error over that of the naive
forecast on the training rows (Hyndman and Koehler 2006): below 1 it is better.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.evaluate.base import Counts, grouped
from pipelines.evaluate.regression import OWN, OWN_SHARE, Regression
from pipelines.spec import Feature, Model, length_words
from pipelines.spec.settings import Forecasting as Settings
from pipelines.spec.task import LABEL, NAIVE, SCORE

PLAIN = 10  # sums of any number's errors stand before ours
SEASON, SEASON_SHARE = slice(10, 13), 13  # sums of error, |error|, error squared, |error / label| of the naive forecast
MOST_WEEKS = 26  # shown, the newest


@dataclass(frozen=True)
class Forecasting(Regression):
    """A number one horizon ahead, as `score`. Counts have shape (14,): a regression's ten sums, four of the naive."""

    origin: str = ""  # the column that says when a forecast is made
    scale: float = 1.0  # mean absolute error of the naive forecast on the training rows
    kind: str = "forecasting"

    @classmethod
    def restored(cls, tags: Mapping[str, str], fitted: PipelineModel) -> Self:
        """By its tags."""
        return cls(float(tags["lakeloom.mean"]), scale=float(tags["lakeloom.scale"]))

    def tags(self) -> dict[str, str]:
        """The mean, and the naive forecast's error on the training rows."""
        return {**super().tags(), "lakeloom.scale": repr(self.scale)}

    def asked(self, model: Model, feature: Feature, train: DataFrame) -> Self:
        """With the naive forecast. Cost: two small aggregates.

        Errors: DataError where a series is not at its frequency, or the naive forecast never errs.
        """
        assert model.forecasting is not None  # a model of this task has it
        _refuse_unsteady(train, model.forecasting, feature.as_of_time)
        task = replace(self, origin=feature.as_of_time)
        found = train.agg(F.avg(F.abs(task._guess() - F.col(LABEL)))).first()
        if not found or not found[0]:
            raise DataError("the seasonal naive forecast is right in every training row; there is nothing to learn")
        return replace(task, scale=float(found[0]))

    def completed(self, fitted: PipelineModel, train: DataFrame) -> Self:
        """Nothing more."""
        return self

    def _guess(self) -> Column:
        """The naive forecast; the training mean where the season before is not known."""
        return F.coalesce(F.col(NAIVE), F.lit(self.mean))

    def count(self, scored: DataFrame, by: Column) -> dict[Any, Counts]:
        """Two scans where the season before is there; published scores do not hold it."""
        found = super().count(scored, by)
        error = self._guess() - F.col(LABEL) if NAIVE in scored.columns else F.lit(0.0)
        share = F.when(F.col(LABEL) != 0, F.abs(error / F.col(LABEL))).otherwise(0.0)
        beside = grouped(scored, by, [error, F.abs(error), error * error, share])
        return {value: np.concatenate([held, beside[value]]) for value, held in found.items()}

    def metrics(self, counts: Counts) -> dict[str, float]:
        """Those of a number, and MASE."""
        found = super().metrics(counts[:PLAIN])
        return {**found, "mase": found["mae"] / self.scale}

    def baseline(self, counts: Counts) -> dict[str, float]:
        """Of the seasonal naive forecast."""
        as_own = counts.copy()
        as_own[OWN], as_own[OWN_SHARE] = counts[SEASON], counts[SEASON_SHARE]
        return self.metrics(as_own)

    def pictures(self, scored: DataFrame, counts: Counts) -> dict[str, Any]:
        """As of a number; and by the week of the origin how far model and naive forecast erred: a rolling backtest."""
        label, week = F.col(LABEL), F.to_date(F.date_trunc("week", self.origin)).alias("week")
        model, naive = F.abs(F.col(SCORE) - label), F.abs(self._guess() - label)
        rows = scored.where(label.isNotNull()).groupBy(week)
        weeks = rows.agg(F.count("*").alias("rows"), F.avg(model).alias("model"), F.avg(naive).alias("naive"))
        found = weeks.orderBy(F.desc("week")).limit(MOST_WEEKS).collect()
        origins = [{**r.asDict(), "week": str(r.week)} for r in reversed(found)]
        return {**super().pictures(scored, counts), "origins": origins}


def _refuse_unsteady(train: DataFrame, asked: Settings, origin: str) -> None:
    """Errors: DataError where a series has two rows of one origin, or rows between two steps of its frequency."""
    step = F.pmod(F.unix_seconds(origin), F.lit(int(asked.every.total_seconds())))
    steady = train.groupBy(*asked.series).agg(
        F.count("*").alias("rows"), F.count_distinct(origin).alias("origins"), F.count_distinct(step).alias("steps")
    )
    found = steady.where((F.col("rows") > F.col("origins")) | (F.col("steps") > 1)).orderBy(*asked.series).first()
    if found:
        name = ", ".join(f"{c} {found[c]}" for c in asked.series)
        what = "two rows of one origin" if found["rows"] > found["origins"] else "rows between its steps"
        raise DataError(f"the series of {name} has {what}; forecasting.every says {length_words(asked.every)}")
