"""Labels and slices: which rows may train, which choose, which judge. Only rows whose label is known are on a side.

By time, at midnights; or by a hash (hashed.py). A row's side depends on what
the row is, never on where it lies. To add a way: a word in spec/split.py and
a line of `split`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.columns import refuse_expression
from pipelines.errors import DataError
from pipelines.models import hashed
from pipelines.models.hashed import HeldOut
from pipelines.spec import TASKS, Model, Split
from pipelines.spec.task import KNOWN, LABEL


@dataclass(frozen=True)
class Day:
    """Rows of one day (UTC) and how many of them have a label."""

    day: date
    rows: int
    labelled: int


@dataclass(frozen=True)
class Slices:
    """Labelled rows of three sides. `cutoff`: no row at or after it was fitted on or chose anything."""

    train: DataFrame
    validate: DataFrame
    test: DataFrame
    summary: dict[str, dict[str, Any]]
    cutoff: datetime
    unlabelled: int
    held: HeldOut | None = None  # the test rows by a rule that finds them among later rows too


def labels(
    spine: DataFrame, keys: Sequence[str], model: Model, known_at: Mapping[str, str], now: datetime
) -> DataFrame:
    """Keys, LABEL (0 or 1, a number, a class) and KNOWN, when it became known; null: with the row.

    LABEL is null where it is missing, no number, or not known before `now`.
    known_at: column of the spine -> the timestamp column at which it becomes known.
    """
    value, read = F.expr(model.aim).cast(TASKS[model.task].label), refuse_expression(model.aim, spine.columns)
    if TASKS[model.task].label == "double":
        value = F.when(~F.isnan(value) & (F.abs(value) < float("inf")), value)
    moments = sorted({known_at[column] for column in read if column in known_at})
    for moment in moments:
        value = F.when(F.col(moment) < F.lit(now), value)
    never = F.lit(None).cast("timestamp")  # greatest wants two
    known = F.greatest(never, never, *[F.col(moment).cast("timestamp") for moment in moments])
    return spine.select(*keys, value.alias(LABEL), known.alias(KNOWN))


def split(df: DataFrame, time: str, keys: Sequence[str], how: Split) -> Slices:
    """Three sides of the labelled rows. A row without a time belongs to none.

    Cost: one small aggregate; two by classes. Errors: DataError where a side would have no labelled row.
    """
    timed = df.where(F.col(time).isNotNull())
    if how.by == "time":
        return by_time(timed, time, how)
    sides = hashed.split(timed, time, keys, how)
    return Slices(*sides.parts, sides.summary, sides.cutoff, sides.unlabelled, sides.held)


def seen(slices: Slices, observed: str) -> Slices:
    """The same slices, judged by rows whose time is over: of the others nobody knows the label yet. They train.

    Cost: two counts. Errors: DataError where such a slice has none.
    """
    sides = {name: getattr(slices, name).where(F.col(observed)) for name in ("validate", "test")}
    rows = {name: side.count() for name, side in sides.items()}
    if not all(rows.values()):
        raise DataError(f"{observed} is true in no row of the validation or the test slice; nothing can be judged")
    summary = {name: {**said, "rows": rows.get(name, said["rows"])} for name, said in slices.summary.items()}
    return replace(slices, **sides, summary=summary)


def by_time(df: DataFrame, time: str, shares: Split) -> Slices:
    """Cut at the midnights (UTC) that come nearest to the shares. Spark counts days, Python cuts."""
    days = counted(df, time)
    first, second = cuts(days, shares)
    at, rows = F.col(time), df.where(F.col(LABEL).isNotNull())
    parts = {"train": at < first, "validate": (at >= first) & (at < second), "test": at >= second}
    summary = {
        "train": summed([d for d in days if d.day < first.date()]),
        "validate": summed([d for d in days if first.date() <= d.day < second.date()]),
        "test": summed([d for d in days if d.day >= second.date()]),
    }
    train, validate, test = (rows.where(condition) for condition in parts.values())
    return Slices(train, validate, test, summary, second, sum(d.rows - d.labelled for d in days))


def counted(df: DataFrame, time: str) -> list[Day]:
    """Rows by day, the oldest first. Cost: one small aggregate."""
    found = df.groupBy(F.to_date(time).alias("day")).agg(F.count("*").alias("rows"), F.count(LABEL).alias("labelled"))
    return sorted((Day(**r.asDict()) for r in found.collect()), key=lambda d: d.day)


def cuts(days: Sequence[Day], shares: Split) -> tuple[datetime, datetime]:
    """The midnights that end the training and the validation slice. Errors: DataError where one would be empty."""
    ends = nearest(days, [shares.train, shares.train + shares.validate_])
    whole, labelled = sum(d.labelled for d in days), [reached(days).get(end, 0) for end in ends]
    if not whole or not 0 < labelled[0] < labelled[1] < whole:
        raise DataError(
            f"{whole} labelled rows on {len(days)} days do not make a training, a validation and a test slice"
        )
    first, second = (after(e) for e in ends)
    return first, second


def nearest(days: Sequence[Day], shares: Sequence[float]) -> list[date]:
    """The day by whose end the labelled rows come nearest to each share of them all."""
    by_day, whole = reached(days), sum(d.labelled for d in days)
    return [min(by_day, key=lambda d: abs(by_day[d] - whole * share), default=date.min) for share in shares]


def reached(days: Sequence[Day]) -> dict[date, int]:
    """Labelled rows up to the end of each day."""
    return dict(zip((d.day for d in days), accumulate(d.labelled for d in days), strict=True))


def after(day: date) -> datetime:
    """The midnight (UTC) that ends a day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def summed(days: Sequence[Day]) -> dict[str, Any]:
    """Labelled rows of some days, the first and the last of them."""
    return {"rows": sum(d.labelled for d in days), "from": str(days[0].day), "to": str(days[-1].day)}
