"""A rolling-origin backtest: at each of some moments of the past, what was known by then, and the rows that came next.

A fold is as a training would have been at its origin: it trains and validates
on rows of before it whose label was known before it, and is judged on the
window behind it (Tashman 2000, out-of-sample tests of forecasting accuracy).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.models.splits import Day, Slices, after, counted, nearest, summed
from pipelines.spec import Backtest, Split
from pipelines.spec.task import KNOWN, LABEL


@dataclass(frozen=True)
class Fold:
    """A moment, and the window behind it: origin <= time < until."""

    origin: datetime
    until: datetime


def folds(df: DataFrame, time: str, how: Backtest) -> list[Fold]:
    """The folds of labelled rows, the oldest first. Cost: one small aggregate. Errors: as `windows`."""
    rows = df.where(F.col(time).isNotNull() & F.col(LABEL).isNotNull())
    return windows(counted(rows, time), how)


def windows(days: Sequence[Day], how: Backtest) -> list[Fold]:
    """Windows that follow each other and end with the newest labelled day: of one length, or of as many rows.

    Errors: DataError where rows or days are too few.
    """
    if not any(d.labelled for d in days):
        raise DataError("backtest: there is no labelled row")
    last = after(max(d.day for d in days if d.labelled))
    if how.window:
        ends = [last - how.window * i for i in range(how.folds, -1, -1)]
    else:
        shares = [i / (how.folds + 1) for i in range(1, how.folds + 1)]
        ends = [*(after(day) for day in nearest(days, shares)), last]
    if len(set(ends)) < len(ends) or ends[0] <= after(days[0].day):
        number = sum(d.labelled for d in days)
        raise DataError(f"backtest: {number:,} labelled rows on {len(days)} days do not make {how.folds} folds")
    return [Fold(origin, until) for origin, until in pairwise(ends)]


def slices(df: DataFrame, time: str, fold: Fold, how: Backtest, shares: Split) -> Slices:
    """The rows of a fold: nothing that trains or chooses was known at its origin or later.

    Cost: two small aggregates. Errors: DataError where a side has no labelled row.
    """
    rows, at = df.where(F.col(LABEL).isNotNull()), F.col(time)
    known = rows.where(F.greatest(at, F.col(KNOWN)) < fold.origin)
    seen = known.where(at >= fold.origin - how.history) if how.history else known
    test = rows.where((at >= fold.origin) & (at < fold.until))
    days, tested = counted(seen, time), counted(test, time)
    ends = nearest(days, [shares.train / (shares.train + shares.validate_)])
    sides = [d for d in days if d.day <= ends[0]], [d for d in days if d.day > ends[0]], tested
    if not all(sides):
        raise DataError(f"at {fold.origin:%Y-%m-%d} {_missing(sides)}")
    cut = after(ends[0])
    summary = dict(zip(("train", "validate", "test"), map(summed, sides), strict=True))
    return Slices(seen.where(at < cut), seen.where(at >= cut), test, summary, fold.origin, 0)


def _missing(sides: Sequence[Sequence[Day]]) -> str:
    names = [name for name, days in zip(("train on", "choose by", "judge by"), sides, strict=True) if not days]
    return f"there is no labelled row to {' or to '.join(names)}"
