"""Feature tables: one row per spine row, every value as it was known at that row's timestamp."""

from datetime import timedelta
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from pipelines.spec.base import LENGTH, Column, Length, Name, Spec, length_of, length_text

Clock = Literal["event", "arrival"]
Percentile = Literal["p01", "p05", "p10", "p25", "p50", "p75", "p90", "p95", "p99"]
Aggregate = Literal["count", "count_distinct", "sum", "avg", "stddev", "min", "max", "first", "last"] | Percentile
PERCENTILES: tuple[str, ...] = get_args(Percentile)
ALL = "all"


def _reach(text: object) -> timedelta | None:
    return None if text == ALL else length_of(text)


Reach = Annotated[
    timedelta | None,
    BeforeValidator(_reach),
    PlainSerializer(lambda t: ALL if t is None else f"{int(t.total_seconds())} seconds", return_type=str),
    WithJsonSchema({"type": "string", "pattern": rf"^({ALL}|{LENGTH.pattern})$", "examples": ["3 hours"]}),
]


def reach_text(reach: timedelta | None) -> str:
    """Three hours -> '3h', no end -> 'all': for column names."""
    return ALL if reach is None else length_text(reach)


class AsOf(Spec):
    """The newest row of `table` with the same keys that was known strictly before as_of_time."""

    table: Name
    keys: tuple[Column, ...] = Field(min_length=1, description="equal in the spine and the table")
    within: Length = Field(description="older than this counts as missing")
    columns: tuple[Column, ...] = Field(min_length=1, description="become <table>_<column>")

    def outputs(self) -> tuple[str, ...]:
        """The feature columns it adds, in order."""
        return tuple(f"{self.table}_{c}" for c in self.columns)


class Window(Spec):
    """Aggregates over the rows of `table` with the same keys that became known in [as_of_time - over, as_of_time).

    Nulls are passed over; first and last go by event_time and sequence_by; p50 is the median, percentiles are exact.
    """

    table: Name
    keys: tuple[Column, ...] = Field(min_length=1, description="equal in the spine and the table")
    over: tuple[Reach, ...] = Field(min_length=1, description="how far each looks back; `all`: without end")
    aggregates: dict[Column, tuple[Aggregate, ...]] = Field(description="column -> aggregates")

    def outputs(self) -> tuple[str, ...]:
        """The feature columns it adds, in order: <keys>_<column>_<aggregate>_<length>."""
        return tuple(
            f"{'_'.join(self.keys)}_{column}_{aggregate}_{reach_text(length)}"
            for length in self.over
            for column, aggregates in self.aggregates.items()
            for aggregate in aggregates
        )


class Feature(Spec):
    """One feature table; `columns` are taken from the spine, the rest is joined as of as_of_time."""

    spine: Name = Field(description="the table that gives one feature row for each of its rows")
    keys: tuple[Column, ...] = Field(min_length=1, description="the spine's keys")
    as_of_time: Column = Field(description="nothing known later than this may be seen")
    clock: Clock = Field(
        default="event",
        description="from when a joined row counts: since it was known in the world (what comes late is made good), or "
        "not before it arrived here (what was made stays)",
    )
    columns: tuple[Column, ...] = Field(default=(), description="the spine's own columns that are known at as_of_time")
    as_of: tuple[AsOf, ...] = Field(default=(), description="the newest earlier row of another table")
    windows: tuple[Window, ...] = Field(default=(), description="aggregates over the past")
    derive: dict[Column, str] = Field(
        default={}, description="column -> SQL over the other columns of the row: 'weather_temp - origin_temp_avg_1d'"
    )
    allow_pii: tuple[Column, ...] = Field(
        default=(), description="columns made of a source's `pii` that may be features all the same"
    )

    def outputs(self) -> tuple[str, ...]:
        """All feature columns in order: spine's, as-of, windows, derived; keys and as_of_time not among them."""
        return (*self.seen(), *self.derive)

    def seen(self) -> tuple[str, ...]:
        """Those that are not derived."""
        as_of = (name for part in self.as_of for name in part.outputs())
        windows = (name for part in self.windows for name in part.outputs())
        return (*self.columns, *as_of, *windows)

    def joined(self) -> tuple[str, ...]:
        """Every table that it looks back into, each once; the spine may be among them."""
        return tuple(dict.fromkeys((*(a.table for a in self.as_of), *(w.table for w in self.windows))))

    def tables(self) -> tuple[str, ...]:
        """Every table it reads, the spine first, each once."""
        return tuple(dict.fromkeys((self.spine, *self.joined())))
