"""Build feature rows: for each set of keys the spine and all events become one frame, ordered by when each counts.

A running maximum gives the as-of values, a sliding frame the windows. Both
frames end one microsecond before the spine row's own time, so a tie never
leaks.

Known order decides what may be seen, event order which value wins: the
maximum is taken over struct(event_time, sequence, values).
"""

from collections.abc import Callable, Mapping
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as Frame
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

from pipelines.features.parts import Events, Group, Part, counts_at, groups, micros
from pipelines.spec import AsOf, Feature, Table, Window, length_text

SPINE, TIME = "_spine", "_time"
AGGREGATES: dict[str, Callable[[Column], Column]] = {
    "count": F.count, "sum": F.sum, "avg": F.avg, "min": F.min, "max": F.max, "stddev": F.stddev_samp,
}  # fmt: skip


def build(feature: Feature, spine: DataFrame, tables: Mapping[str, DataFrame], specs: dict[str, Table]) -> DataFrame:
    """One row for each spine row: keys, as_of_time, then feature.outputs().

    spine, tables: rows of the pipeline's tables; tables hold at least what the spine's rows can see (cut.py).
    Cost  : one shuffle and one sort of the spine for each distinct set of keys; windows cost rows x rows in the frame.
    """
    every = groups(feature, specs)
    keys = (k for group in every for k in group.keys)
    frame = spine.select(*dict.fromkeys((*feature.keys, feature.as_of_time, *feature.columns, *keys)))
    for group in every:
        frame = _seen_before(frame, group, feature, tables, specs)
    return frame.select(*feature.keys, feature.as_of_time, *feature.outputs())


def _seen_before(
    frame: DataFrame, group: Group, feature: Feature, tables: Mapping[str, DataFrame], specs: dict[str, Table]
) -> DataFrame:
    """Append the outputs of all parts that share these keys: one union, one window, one filter."""
    carried = frame.columns
    rows = frame.select(*group.keys, F.unix_micros(feature.as_of_time).alias(TIME), F.struct(*carried).alias(SPINE))
    for events in group.events:
        more = _rows_of(events, tables[events.table], group.keys, feature.clock, specs[events.table])
        rows = rows.unionByName(more, allowMissingColumns=True)
    past = Frame.partitionBy(*group.keys).orderBy(TIME)
    outputs = [_outputs(part, e, past) for part, events in group.parts for e in events]
    seen = rows.select(SPINE, TIME, *[c for _, columns in outputs for c in columns])
    return seen.where(F.col(SPINE).isNotNull()).select(
        *[F.col(f"{SPINE}.`{c}`") for c in carried], *[c for finish, _ in outputs for c in finish()]
    )


def _rows_of(events: Events, rows: DataFrame, keys: tuple[str, ...], clock: str, table: Table) -> DataFrame:
    ties = [c for c in (table.sequence_by, "_hash") if c in rows.columns]
    order = [F.col(str(table.event_time)).alias("_event"), *[F.col(str(c)).alias(f"_tie_{c}") for c in ties]]
    values = F.struct(*order, *[F.col(c) for c in events.columns])
    there = reduce(and_, [F.col(c).isNotNull() for c in (events.known_at, *keys)])  # a missing key equals none
    return rows.where(there).select(*keys, counts_at(events, clock).alias(TIME), values.alias(events.name))


Finish = Callable[[], list[Column]]


def _outputs(part: Part, events: Events, past: WindowSpec) -> tuple[Finish, list[Column]]:
    return _newest(events, part, past) if isinstance(part, AsOf) else _aggregated(events, part, past)


def _newest(events: Events, part: AsOf, past: WindowSpec) -> tuple[Finish, list[Column]]:
    before = past.rangeBetween(Frame.unboundedPreceding, -1)
    newest = F.max(events.name).over(before).alias(f"{events.name}_newest")
    oldest = F.col(TIME) - F.lit(micros(part.within))
    held = F.unix_micros(F.col(f"{events.name}_newest._event")) >= oldest
    outputs = [(c, f"{part.table}_{c}") for c in events.columns]

    def finish() -> list[Column]:
        return [F.when(held, F.col(f"{events.name}_newest.`{c}`")).alias(name) for c, name in outputs]

    return finish, [newest]


def _aggregated(events: Events, part: Window, past: WindowSpec) -> tuple[Finish, list[Column]]:
    names, columns = [], []
    for length in part.over:
        frame = past.rangeBetween(-micros(length), -1)
        for column in events.columns:
            for aggregate in part.aggregates[column]:
                name = f"{'_'.join(part.keys)}_{column}_{aggregate}_{length_text(length)}"
                columns.append(AGGREGATES[aggregate](F.col(f"{events.name}.`{column}`")).over(frame).alias(name))
                names.append(name)
    return lambda: [F.col(n) for n in names], columns
