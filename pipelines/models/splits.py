"""Labels and slices: which rows may train, which choose, which judge; by time, at midnights."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.columns import refuse_expression
from pipelines.errors import DataError
from pipelines.spec import TASKS, Model, Split
from pipelines.spec.task import LABEL


@dataclass(frozen=True)
class Day:
    """Rows of one day (UTC) and how many of them have a label."""

    day: date
    rows: int
    labelled: int


@dataclass(frozen=True)
class Slices:
    """Labelled rows from oldest to newest. `cutoff`: no row at or after it was fitted on or chose anything."""

    train: DataFrame
    validate: DataFrame
    test: DataFrame
    summary: dict[str, dict[str, Any]]
    cutoff: datetime
    unlabelled: int


def labels(
    spine: DataFrame, keys: Sequence[str], model: Model, known_at: Mapping[str, str], now: datetime
) -> DataFrame:
    """Keys and LABEL (0 or 1, a number, a class); null where it is missing, no number, or not known before `now`.

    known_at: column of the spine -> the timestamp column at which it becomes known.
    """
    value, read = F.expr(model.aim).cast(TASKS[model.task].label), refuse_expression(model.aim, spine.columns)
    if TASKS[model.task].label == "double":
        value = F.when(~F.isnan(value) & (F.abs(value) < float("inf")), value)
    for moment in sorted({known_at[column] for column in read if column in known_at}):
        value = F.when(F.col(moment) < F.lit(now), value)
    return spine.select(*keys, value.alias(LABEL))


def split(df: DataFrame, time: str, shares: Split) -> Slices:
    """Cut labelled rows at the midnights (UTC) that come nearest to the shares. Spark counts days, Python cuts.

    A row without a time belongs to no slice. Cost: one small aggregate. Errors: DataError where a slice would have no
    labelled row.
    """
    df, day = df.where(F.col(time).isNotNull()), F.to_date(time).alias("day")
    counted = df.groupBy(day).agg(F.count("*").alias("rows"), F.count(LABEL).alias("labelled")).collect()
    days = sorted((Day(**r.asDict()) for r in counted), key=lambda d: d.day)
    first, second = cuts(days, shares)
    at, rows = F.col(time), df.where(F.col(LABEL).isNotNull())
    parts = {"train": at < first, "validate": (at >= first) & (at < second), "test": at >= second}
    summary = {
        "train": _summary([d for d in days if d.day < first.date()]),
        "validate": _summary([d for d in days if first.date() <= d.day < second.date()]),
        "test": _summary([d for d in days if d.day >= second.date()]),
    }
    train, validate, test = (rows.where(condition) for condition in parts.values())
    return Slices(train, validate, test, summary, second, sum(d.rows - d.labelled for d in days))


def cuts(days: Sequence[Day], shares: Split) -> tuple[datetime, datetime]:
    """The midnights that end the training and the validation slice. Errors: DataError where one would be empty."""
    reached = dict(zip((d.day for d in days), accumulate(d.labelled for d in days), strict=True))
    whole = sum(d.labelled for d in days)
    ends = [_nearest(reached, whole * share) for share in (shares.train, shares.train + shares.validate_)]
    labelled = [reached.get(end, 0) for end in ends]
    if not whole or not 0 < labelled[0] < labelled[1] < whole:
        raise DataError(
            f"{whole} labelled rows on {len(days)} days do not make a training, a validation and a test slice"
        )
    first, second = (datetime(e.year, e.month, e.day, tzinfo=UTC) + timedelta(days=1) for e in ends)
    return first, second


def _nearest(reached: Mapping[date, int], wanted: float) -> date:
    return min(reached, key=lambda d: abs(reached[d] - wanted), default=date.min)


def _summary(days: Sequence[Day]) -> dict[str, Any]:
    return {"rows": sum(d.labelled for d in days), "from": str(days[0].day), "to": str(days[-1].day)}
