"""Feature tables: as-of joins and windows over the past, one shuffle for each set of keys.

For each set of keys the spine and all event tables become one frame, ordered
by the microsecond at which each row became known; a running maximum gives the
as-of values, a sliding frame the windows. Both frames end one microsecond
before the spine row's own time, so a tie never leaks.

Known order decides what may be seen, event order which value wins: the
maximum is taken over struct(event_time, sequence, values).
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

from pipelines.spec import AsOf, Feature, Table, length_text
from pipelines.spec import Window as Past

SPINE, TIME = "_spine", "_time"
AGGREGATES: dict[str, Callable[[Column], Column]] = {
    "count": F.count, "sum": F.sum, "avg": F.avg, "min": F.min, "max": F.max, "stddev": F.stddev_samp,
}  # fmt: skip


@dataclass(frozen=True)
class Events:
    """Rows of one table that share the column at which they become known: one part of the union."""

    name: str  # of the struct column that carries the values
    table: str
    known_at: str
    columns: tuple[str, ...]


def build(feature: Feature, spine: DataFrame, tables: Mapping[str, DataFrame], specs: Mapping[str, Table]) -> DataFrame:
    """One row for each spine row: keys, as_of_time, then feature.outputs().

    spine, tables: rows of the pipeline's tables; tables reach back the longest look-back before the oldest spine row.
    Cost  : one shuffle and one sort of the spine for each distinct set of keys; windows cost rows x rows in the frame.
    """
    frame = spine.select(*dict.fromkeys((*feature.keys, feature.as_of_time, *feature.columns, *_join_keys(feature))))
    for keys, parts in _by_keys(feature).items():
        frame = _seen_before(frame, keys, parts, feature.as_of_time, tables, specs)
    return frame.select(*feature.keys, feature.as_of_time, *feature.outputs())


def look_back(feature: Feature) -> timedelta:
    """The longest time before as_of_time that any feature reaches back to."""
    lengths = [a.within for a in feature.as_of] + [t for w in feature.windows for t in w.over]
    return max(lengths, default=timedelta(0))


def _parts(feature: Feature) -> list[AsOf | Past]:
    return [*feature.as_of, *feature.windows]


def _join_keys(feature: Feature) -> tuple[str, ...]:
    return tuple(k for part in _parts(feature) for k in part.keys)


def _by_keys(feature: Feature) -> dict[tuple[str, ...], list[AsOf | Past]]:
    grouped: dict[tuple[str, ...], list[AsOf | Past]] = defaultdict(list)
    for part in _parts(feature):
        grouped[part.keys].append(part)
    return dict(grouped)


def _seen_before(
    frame: DataFrame,
    keys: tuple[str, ...],
    parts: list[AsOf | Past],
    as_of_time: str,
    tables: Mapping[str, DataFrame],
    specs: Mapping[str, Table],
) -> DataFrame:
    """Append the outputs of all parts that share these keys: one union, one window, one filter."""
    carried = frame.columns
    rows = frame.select(*keys, F.unix_micros(as_of_time).alias(TIME), F.struct(*carried).alias(SPINE))
    streams = {(n, e.name): e for n, part in enumerate(parts) for e in _events(n, part, specs[part.table])}
    for events in streams.values():
        rows = rows.unionByName(
            _rows_of(events, tables[events.table], keys, specs[events.table]), allowMissingColumns=True
        )
    past = Window.partitionBy(*keys).orderBy(TIME)
    outputs = [c for n, part in enumerate(parts) for c in _outputs(n, part, specs[part.table], past)]
    seen = rows.select(SPINE, TIME, *[c for _, group in outputs for c in group])
    return seen.where(F.col(SPINE).isNotNull()).select(
        *[F.col(f"{SPINE}.`{c}`") for c in carried], *[c for finish, _ in outputs for c in finish()]
    )


def _events(number: int, part: AsOf | Past, table: Table) -> list[Events]:
    """A part's rows, split by the column at which the wanted values become known; never known means never seen."""
    wanted = part.columns if isinstance(part, AsOf) else tuple(part.aggregates)
    grouped: dict[str, list[str]] = defaultdict(list)
    for column in wanted:
        known = table.known(column)
        assert known, f"{part.table} has no event_time; check refuses that"
        grouped[known].append(column)
    return [Events(f"_{number}_{known}", part.table, known, tuple(columns)) for known, columns in grouped.items()]


def _rows_of(events: Events, rows: DataFrame, keys: tuple[str, ...], table: Table) -> DataFrame:
    assert table.event_time
    ties = [c for c in (table.sequence_by, "_hash") if c in rows.columns]
    order = [F.col(table.event_time).alias("_event"), *[F.col(c).alias(f"_tie_{c}") for c in ties]]
    values = F.struct(*order, *[F.col(c) for c in events.columns])
    there = reduce(and_, [F.col(c).isNotNull() for c in (events.known_at, *keys)])  # a missing key equals none
    return rows.where(there).select(*keys, F.unix_micros(events.known_at).alias(TIME), values.alias(events.name))


Finish = Callable[[], list[Column]]


def _outputs(number: int, part: AsOf | Past, table: Table, past: WindowSpec) -> list[tuple[Finish, list[Column]]]:
    streams = _events(number, part, table)
    if isinstance(part, AsOf):
        return [_newest(events, part, past) for events in streams]
    return [_aggregated(events, part, past) for events in streams]


def _newest(events: Events, part: AsOf, past: WindowSpec) -> tuple[Finish, list[Column]]:
    before = past.rangeBetween(Window.unboundedPreceding, -1)
    newest = F.max(events.name).over(before).alias(f"{events.name}_newest")
    oldest = F.col(TIME) - F.lit(_micros(part.within))
    held = F.unix_micros(F.col(f"{events.name}_newest._event")) >= oldest
    outputs = [(c, f"{part.table}_{c}") for c in events.columns]

    def finish() -> list[Column]:
        return [F.when(held, F.col(f"{events.name}_newest.`{c}`")).alias(name) for c, name in outputs]

    return finish, [newest]


def _aggregated(events: Events, part: Past, past: WindowSpec) -> tuple[Finish, list[Column]]:
    names, columns = [], []
    for length in part.over:
        frame = past.rangeBetween(-_micros(length), -1)
        for column in events.columns:
            for aggregate in part.aggregates[column]:
                name = f"{'_'.join(part.keys)}_{column}_{aggregate}_{length_text(length)}"
                columns.append(AGGREGATES[aggregate](F.col(f"{events.name}.`{column}`")).over(frame).alias(name))
                names.append(name)
    return lambda: [F.col(n) for n in names], columns


def _micros(length: timedelta) -> int:
    return int(length.total_seconds()) * 1_000_000
