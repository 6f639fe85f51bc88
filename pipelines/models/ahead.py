"""Labels that lie ahead: what the same series will have one horizon after a row, and had one season before that.

The label of a row at time t is the value of the row of its series at t +
horizon, null until that is known; beside it stands the value at t + horizon -
season, the seasonal naive forecast, which was known at t since a season is no
shorter than the horizon. Rows have to lie on the grid: where one is missing,
so is the label that it would be.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.models import splits
from pipelines.spec import Feature, Model
from pipelines.spec.settings import Forecasting
from pipelines.spec.task import LABEL, NAIVE


def labels(spine: DataFrame, feature: Feature, model: Model, known_at: Mapping[str, str], now: datetime) -> DataFrame:
    """Keys and LABEL of each row as known before `now`; of a forecast NAIVE as well, and the label is that ahead."""
    own = splits.labels(spine, feature.keys, model, known_at, now)
    if model.forecasting is None:
        return own
    placed = spine.select(*dict.fromkeys((*feature.keys, *model.forecasting.series, feature.as_of_time)))
    return shifted(placed.join(own, list(feature.keys)), feature.keys, feature.as_of_time, model.forecasting)


def shifted(values: DataFrame, keys: Sequence[str], time: str, asked: Forecasting) -> DataFrame:
    """Keys, LABEL and NAIVE of rows of keys, series, time and LABEL. Cost: two joins of the spine with itself."""
    rows = values.select(*dict.fromkeys((*keys, *asked.series, time)))
    for name, offset in ((LABEL, asked.horizon), (NAIVE, asked.horizon - asked.season)):
        rows = rows.join(_moved(values, name, time, offset, asked.series), [*asked.series, time], "left")
    return rows.select(*keys, LABEL, NAIVE)


def _moved(values: DataFrame, name: str, time: str, offset: timedelta, series: Sequence[str]) -> DataFrame:
    """The values of rows `offset` later, one for each moment of a series: of several their mean."""
    at = (F.col(time) - F.lit(offset)).alias(time)
    return values.groupBy(*series, at).agg(F.avg(LABEL).alias(name))
