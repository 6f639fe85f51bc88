"""What a window over the past computes, and how little of the frame each aggregate has to look at.

Over a sliding frame Spark computes an aggregate anew for every row: rows x rows
in the frame. Where running totals tell the same, they are taken instead: a
count or a sum over [t - over, t) is the one before t less the one before
t - over. Totals of whole numbers are exact; those of floating point numbers
would cancel, so these slide, and so does what has no inverse (min, max, first,
last, percentiles). To add an aggregate, name it in spec/feature.py and here.

A distinct count is one of *spells*. A value is there from just after an event
that has it until `over` after, so events that follow each other closely are
one spell; values in the window are spells that began less spells that ended.

first and last go by the order of events, as in an as-of join. Nulls are passed
over, as by every aggregate.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import Window as Frame
from pyspark.sql import functions as F
from pyspark.sql.types import ByteType, DataType, IntegerType, LongType, ShortType
from pyspark.sql.window import WindowSpec

SMALL = (ByteType, ShortType, IntegerType)  # their squares fit a bigint
Made = tuple[Column, dict[str, Column]]  # a feature, and the columns over the frame that it is made of, by alias


@dataclass(frozen=True)
class Look:
    """One column of some events, looked at over the last `length` microseconds (None: all before).

    Equal aliases stand for equal columns over the frame: lengths and aggregates share what they have in common.
    """

    events: str  # the struct that carries the values; null where a row is none of these events
    column: str
    kind: DataType
    order: Sequence[str]  # fields of the struct that order events
    percentiles: Sequence[str]  # all that are asked of the column: p50, p90
    past: WindowSpec
    length: int | None

    @property
    def value(self) -> Column:
        """Of the column."""
        return self.field(self.column)

    def field(self, name: str) -> Column:
        """Of the struct."""
        return F.col(f"{self.events}.`{name}`")

    def total(self, name: str, added: Column, left: Column | None = None) -> Made:
        """What was added before now, less what had been before the window; 0 for nothing.

        added, left: aggregates; `left` where what leaves is another thing than what came.
        """
        now = self._over(name, added, -1)
        if self.length is None:
            return now
        then = self._over(f"{name}:{self.length}", added if left is None else left, -self.length - 1)
        return now[0] - then[0], now[1] | then[1]

    def slid(self, name: str, aggregate: Column) -> Made:
        """An aggregate over the frame itself."""
        start = Frame.unboundedPreceding if self.length is None else -self.length
        alias = f"{self.events}:{self.column}:{name}:{self.length}:slid"
        return F.col(f"`{alias}`"), {alias: aggregate.over(self.past.rangeBetween(start, -1))}

    def _over(self, name: str, aggregate: Column, end: int) -> Made:
        alias, frame = f"{self.events}:{self.column}:{name}", self.past.rangeBetween(Frame.unboundedPreceding, end)
        return F.coalesce(F.col(f"`{alias}`"), F.lit(0)), {alias: aggregate.over(frame)}


def made(look: Look, aggregate: str) -> Made:
    """One feature of one column over one length. Cost: that of its frame; equal ones are one."""
    if aggregate in look.percentiles:
        every, over = look.slid("percentiles", F.percentile(look.value, [int(p[1:]) / 100 for p in look.percentiles]))
        return every[look.percentiles.index(aggregate)], over
    if aggregate in _TOTALS and isinstance(look.kind, _TOTALS[aggregate][0]):
        return _TOTALS[aggregate][1](look)
    return look.slid(aggregate, _SLID[aggregate](look))


def _count(look: Look) -> Made:
    return look.total("count", F.count(look.value))


def _distinct(look: Look) -> Made:
    began, ended = (F.count(F.when(look.field(flag), 1)) for flag in _spell_names(look.column, look.length))
    return look.total(f"spells:{look.length}", began, ended)


def _sums(look: Look) -> Made:
    exact = look.value.cast("decimal(20,0)" if isinstance(look.kind, LongType) else "bigint")
    return look.total("sum", F.sum(exact))


def _sum(look: Look) -> Made:
    return _of(lambda n, s: F.when(n > 0, s.cast("bigint")), _count(look), _sums(look))


def _avg(look: Look) -> Made:
    return _of(lambda n, s: F.when(n > 0, s.cast("double") / n), _count(look), _sums(look))


def _stddev(look: Look) -> Made:
    """Of whole numbers: n times the sum of squares less the square of the sum has no rounding to cancel."""
    x, whole = look.value.cast("bigint"), "decimal(38,0)"
    squares = look.total("squares", F.sum((x * x).cast("decimal(20,0)")))

    def root(n: Column, s: Column, q: Column) -> Column:
        apart = (n.cast("decimal(19,0)") * q - s.cast("decimal(19,0)") * s.cast("decimal(19,0)")).cast(whole)
        return F.when(n > 1, F.sqrt(apart.cast("double") / (n.cast("double") * (n - 1))))

    return _of(root, _count(look), _sums(look), squares)


def _of(how: Callable[..., Column], *parts: Made) -> Made:
    return how(*[value for value, _ in parts]), {k: v for _, over in parts for k, v in over.items()}


def _ordered(look: Look) -> Column:
    """What orders an event, where it has a value."""
    return F.when(look.value.isNotNull(), F.struct(*[look.field(name) for name in look.order]))


_TOTALS: dict[str, tuple[tuple[type[DataType], ...], Callable[[Look], Made]]] = {  # for which types, and how
    "count": ((DataType,), _count),
    "count_distinct": ((DataType,), _distinct),
    "sum": ((*SMALL, LongType), _sum),
    "avg": ((*SMALL, LongType), _avg),
    "stddev": (SMALL, _stddev),
}
_SLID: dict[str, Callable[[Look], Column]] = {
    "sum": lambda look: F.sum(look.value),
    "avg": lambda look: F.avg(look.value),
    "stddev": lambda look: F.stddev_samp(look.value),
    "min": lambda look: F.min(look.value),
    "max": lambda look: F.max(look.value),
    "first": lambda look: F.min_by(look.value, _ordered(look)),
    "last": lambda look: F.max_by(look.value, _ordered(look)),
}


def spells(column: str, lengths: Iterable[int | None], keys: Sequence[str], time: str) -> list[Column]:
    """For each length two flags of an event: whether a spell of its value begins with it, and whether one ends with it.

    Cost: a sort of the events by keys and value, and their shuffle where they do not lie by the keys yet.
    """
    alike = Frame.partitionBy(*keys, column).orderBy(time)
    since, until = F.col(time) - F.lag(time).over(alike), F.lead(time).over(alike) - F.col(time)
    flags = []
    for length in lengths:
        began, ended = _spell_names(column, length)
        first = since.isNull() if length is None else F.coalesce(since > length, F.lit(True))
        last = F.lit(False) if length is None else F.coalesce(until > length, F.lit(True))
        flags += [(F.col(column).isNotNull() & flag).alias(name) for name, flag in ((began, first), (ended, last))]
    return flags


def _spell_names(column: str, length: int | None) -> tuple[str, str]:
    return f"_{column}_began_{length}", f"_{column}_ended_{length}"
