"""What a feature table reads: rows of its tables, by the moment at which their values become known.

A row *counts* from that moment (under `clock: arrival` not before it arrived
here), strictly: a spine row of the same microsecond does not see it. It can
be seen *until* its reach ends: an as-of row is too old `within` after its
event, a window's row `over` after it began to count.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

from pipelines.spec import AsOf, Feature, Table, Window

ARRIVED = "_arrived_at"  # of a row of a table with `from`
FOREVER = 1 << 62  # microseconds

Part = AsOf | Window


@dataclass(frozen=True)
class Events:
    """Values of one part that become known together: rows of one table, one member of the union."""

    name: str  # of the struct column that carries the values
    table: str
    known_at: str
    columns: tuple[str, ...]
    reach: timedelta | None  # None: without end
    from_event: bool  # reach is counted from the event, else from when the row counts


@dataclass(frozen=True)
class Group:
    """The parts of a feature table that have the same keys, each with its events."""

    keys: tuple[str, ...]
    parts: tuple[tuple[Part, tuple[Events, ...]], ...]

    @property
    def events(self) -> tuple[Events, ...]:
        """Of all its parts."""
        return tuple(e for _, events in self.parts for e in events)


def groups(feature: Feature, specs: dict[str, Table]) -> tuple[Group, ...]:
    """The parts by their keys, in the order of the conf."""
    by_keys: dict[tuple[str, ...], list[Part]] = defaultdict(list)
    every: tuple[Part, ...] = (*feature.as_of, *feature.windows)
    for part in every:
        by_keys[part.keys].append(part)
    return tuple(
        Group(keys, tuple((part, _events(n, part, specs[part.table])) for n, part in enumerate(parts)))
        for keys, parts in by_keys.items()
    )


def _events(number: int, part: Part, table: Table) -> tuple[Events, ...]:
    """A part's rows, split by the column at which the wanted values become known; never known means never seen."""
    of_as_of = isinstance(part, AsOf)
    wanted = part.columns if isinstance(part, AsOf) else tuple(part.aggregates)
    reach = part.within if isinstance(part, AsOf) else _longest(part.over)
    grouped: dict[str, list[str]] = defaultdict(list)
    for column in wanted:
        known = table.known(column)
        assert known, f"{part.table} has no event_time; check refuses that"
        grouped[known].append(column)
    return tuple(Events(f"_{number}_{k}", part.table, k, tuple(c), reach, of_as_of) for k, c in grouped.items())


def _longest(over: tuple[timedelta | None, ...]) -> timedelta | None:
    return None if None in over else max(t for t in over if t)


def read_of(feature: Feature, table: str, specs: dict[str, Table]) -> tuple[str, ...]:
    """The columns of a joined table of which features are made: keys, moments, order, values."""
    mine = [(g.keys, e) for g in groups(feature, specs) for e in g.events if e.table == table]
    order = [c for c in (specs[table].event_time, specs[table].sequence_by) if c]
    return tuple(dict.fromkeys(c for keys, e in mine for c in (*keys, e.known_at, *order, *e.columns)))


def counts_at(events: Events, clock: str) -> Column:
    """The microsecond after which a row may be seen; null for never."""
    known = F.col(events.known_at)
    if clock == "arrival":
        known = F.when(known.isNotNull(), F.greatest(known, F.col(ARRIVED)))
    return F.unix_micros(known)


def seen_until(events: Events, table: Table, clock: str) -> Column:
    """The last microsecond at which a row may be seen; null for never."""
    start, length = counts_at(events, clock), micros(events.reach)
    if length is None:
        return F.when(start.isNotNull(), F.lit(FOREVER))
    return (F.unix_micros(str(table.event_time)) if events.from_event else start) + F.lit(length)


def micros(length: timedelta | None) -> int | None:
    """Of whole seconds, as the conf has them."""
    return None if length is None else int(length.total_seconds()) * 1_000_000
