"""Build feature rows: for each set of keys the spine and all events become one frame, ordered by when each counts.

A running maximum gives the as-of values, running totals and sliding frames the
windows (aggregates.py). All frames end one microsecond before the spine row's
own time, so a tie never leaks.

Known order decides what may be seen, event order which value wins: the
maximum is taken over struct(event_time, sequence, values).
"""

from collections.abc import Mapping
from functools import reduce
from operator import and_

from pyspark.sql import Column, DataFrame
from pyspark.sql import Window as Frame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType
from pyspark.sql.window import WindowSpec

from pipelines.features.aggregates import Look, made, spells
from pipelines.features.parts import Events, Group, Part, counts_at, groups, micros
from pipelines.spec import PERCENTILES, AsOf, Feature, Table, Window, reach_text

SPINE, TIME = "_spine", "_time"
Seen = tuple[dict[str, Column], dict[str, Column]]  # columns over the frame by alias, and the features made of them


def build(feature: Feature, spine: DataFrame, tables: Mapping[str, DataFrame], specs: dict[str, Table]) -> DataFrame:
    """One row for each spine row: keys, as_of_time, then feature.outputs().

    spine, tables: rows of the pipeline's tables; tables hold at least what the spine's rows can see (cut.py).
    Cost  : one shuffle and one sort of the spine for each distinct set of keys; aggregates.py says which windows cost
            rows x rows in the frame.
    """
    every = groups(feature, specs)
    keys = (k for group in every for k in group.keys)
    frame = spine.select(*dict.fromkeys((*feature.keys, feature.as_of_time, *feature.columns, *keys)))
    for group in every:
        frame = _seen_before(frame, group, feature, tables, specs)
    derived = [F.expr(text).alias(name) for name, text in feature.derive.items()]
    return frame.select(*feature.keys, feature.as_of_time, *feature.seen()).select("*", *derived)


def _seen_before(
    frame: DataFrame, group: Group, feature: Feature, tables: Mapping[str, DataFrame], specs: dict[str, Table]
) -> DataFrame:
    """Append the outputs of all parts that share these keys: one union, one window, one filter."""
    carried = frame.columns
    rows = frame.select(*group.keys, F.unix_micros(feature.as_of_time).alias(TIME), F.struct(*carried).alias(SPINE))
    for part, streams in group.parts:
        for events in streams:
            more = _rows_of(part, events, tables[events.table], group, feature.clock, specs[events.table])
            rows = rows.unionByName(more, allowMissingColumns=True)
    past = Frame.partitionBy(*group.keys).orderBy(TIME)
    seen = [_seen(part, e, rows, past) for part, streams in group.parts for e in streams]
    over = {alias: column for columns, _ in seen for alias, column in columns.items()}
    framed = rows.select(SPINE, TIME, *[column.alias(alias) for alias, column in over.items()])
    return framed.where(F.col(SPINE).isNotNull()).select(
        *[F.col(f"{SPINE}.`{c}`") for c in carried],
        *[column.alias(name) for _, outputs in seen for name, column in outputs.items()],
    )


def _rows_of(part: Part, events: Events, rows: DataFrame, group: Group, clock: str, table: Table) -> DataFrame:
    """Rows of a table as one member of the union: keys, when they count, and their values as a struct."""
    there = reduce(and_, [F.col(c).isNotNull() for c in (events.known_at, *group.keys)])  # a missing key equals none
    timed = rows.where(there).withColumn(TIME, counts_at(events, clock))
    ties = [c for c in (table.sequence_by, "_hash") if c in rows.columns]
    order = [F.col(str(table.event_time)).alias("_event"), *[F.col(str(c)).alias(f"_tie_{c}") for c in ties]]
    values = F.struct(*order, *[F.col(c) for c in events.columns], *_flags(part, events, group))
    return timed.select(*group.keys, TIME, values.alias(events.name))


def _flags(part: Part, events: Events, group: Group) -> list[Column]:
    """What a distinct count needs to know of each event."""
    if isinstance(part, AsOf):
        return []
    counted = [c for c in events.columns if "count_distinct" in part.aggregates[c]]
    return [flag for c in counted for flag in spells(c, [micros(t) for t in part.over], group.keys, TIME)]


def _seen(part: Part, events: Events, rows: DataFrame, past: WindowSpec) -> Seen:
    return _newest(part, events, past) if isinstance(part, AsOf) else _aggregated(part, events, rows, past)


def _newest(part: AsOf, events: Events, past: WindowSpec) -> Seen:
    newest = f"{events.name}_newest"
    oldest = F.col(TIME) - F.lit(micros(part.within))
    held = F.unix_micros(F.col(f"{newest}._event")) >= oldest
    over = F.max(events.name).over(past.rangeBetween(Frame.unboundedPreceding, -1))
    return {newest: over}, {f"{part.table}_{c}": F.when(held, F.col(f"{newest}.`{c}`")) for c in events.columns}


def _aggregated(part: Window, events: Events, rows: DataFrame, past: WindowSpec) -> Seen:
    over: dict[str, Column] = {}
    outputs: dict[str, Column] = {}
    values = rows.schema[events.name].dataType
    assert isinstance(values, StructType)
    order = [f for f in values.fieldNames() if f == "_event" or f.startswith("_tie_")]
    for length in part.over:
        for column in events.columns:
            asked = part.aggregates[column]
            percentiles = [a for a in asked if a in PERCENTILES]
            look = Look(events.name, column, values[column].dataType, order, percentiles, past, micros(length))
            for aggregate in asked:
                feature, columns = made(look, aggregate)
                over |= columns
                outputs[f"{'_'.join(part.keys)}_{column}_{aggregate}_{reach_text(length)}"] = feature
    return over, outputs
