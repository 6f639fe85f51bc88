"""Labels that lie ahead: what the same series will have one horizon after a row, and had one season before that.

The label of a row at time t is the value of the row of its series at t +
horizon, null until that is known; it became known when that row's did, not
before t + horizon. Beside it stands the value at t + horizon - season, the
seasonal naive forecast, which was known at t since a season is no shorter than
the horizon. Rows have to lie on the grid: where one is missing,
so is the label that it would be.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.models import splits
from pipelines.spec import Feature, Model
from pipelines.spec.settings import Forecasting
from pipelines.spec.task import KNOWN, LABEL, NAIVE


def labels(
    spine: DataFrame,
    feature: Feature,
    model: Model,
    known_at: Mapping[str, str],
    now: datetime,
    beside: Sequence[str] = (),
) -> DataFrame:
    """Keys, LABEL as known before `now`, and KNOWN; of a forecast NAIVE as well, and the label is that ahead.

    beside: more columns of the spine to keep; a forecast reads none.
    """
    if model.forecasting is None:
        return splits.labels(spine, (*feature.keys, *beside), model, known_at, now)
    own = splits.labels(spine, feature.keys, model, known_at, now)
    placed = spine.select(*dict.fromkeys((*feature.keys, *model.forecasting.series, feature.as_of_time)))
    return shifted(placed.join(own, list(feature.keys)), feature.keys, feature.as_of_time, model.forecasting)


def shifted(values: DataFrame, keys: Sequence[str], time: str, asked: Forecasting) -> DataFrame:
    """Keys, LABEL, KNOWN and NAIVE of rows of keys, series, time, LABEL and KNOWN.

    Cost: two joins of the spine with itself.
    """
    rows = values.select(*dict.fromkeys((*keys, *asked.series, time)))
    known = F.max(F.when(F.col(LABEL).isNotNull(), F.greatest(F.col(time).cast("timestamp"), KNOWN))).alias(KNOWN)
    parts = (
        (asked.horizon, [F.avg(LABEL).alias(LABEL), known]),
        (asked.horizon - asked.season, [F.avg(LABEL).alias(NAIVE)]),
    )
    for offset, made in parts:
        rows = rows.join(_moved(values, time, offset, asked.series, made), [*asked.series, time], "left")
    return rows.select(*keys, LABEL, KNOWN, NAIVE)


def _moved(values: DataFrame, time: str, offset: timedelta, series: Sequence[str], made: Sequence[Column]) -> DataFrame:
    """What is made of the rows `offset` later, one for each moment of a series: of several values their mean."""
    at = (F.col(time) - F.lit(offset)).alias(time)
    return values.groupBy(*series, at).agg(*made)
