"""What came late: the spine rows that a changed row of another table enters, or had entered.

The same union and running frame as in past.py, with the moment until which a
changed row can be seen in the place of its values: no join of rows with rows,
however many share a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import and_

from pyspark.sql import DataFrame
from pyspark.sql import Window as Frame
from pyspark.sql import functions as F

from pipelines.features.parts import FOREVER, Events, Group, counts_at, groups, seen_until
from pipelines.spec import Feature, Table

SPINE, TIME, UNTIL, TOUCHED = "_spine", "_time", "_until", "_touched"


@dataclass(frozen=True)
class Frontier:
    """Between these microseconds of as_of_time lie all rows that some changes reach: (after, until]."""

    after: int
    until: int


def frontier(feature: Feature, changed: Mapping[str, DataFrame], specs: dict[str, Table]) -> Frontier | None:
    """The bounds of what changes reach; None where they reach nothing. Acts: reads the changes once."""
    reached = [
        _reach(e, changed[e.table], group.keys, feature.clock, specs[e.table]).select(TIME, UNTIL)
        for group in groups(feature, specs)
        for e in group.events
        if e.table in changed
    ]
    if not reached:
        return None
    every = reduce(DataFrame.unionByName, reached)
    (row,) = every.agg(F.min(TIME).alias("after"), F.max(UNTIL).alias("until")).collect()
    return Frontier(row.after, row.until) if row.after is not None and row.until is not None else None


def touched(
    feature: Feature, spine: DataFrame, changed: Mapping[str, DataFrame], specs: dict[str, Table], bounds: Frontier
) -> DataFrame:
    """The rows of spine that some changes reach, whole.

    changed: table -> its rows as they were and as they are, of all that changed.
    bounds : their frontier; as literals, so that files are passed over by their statistics.
    Cost   : one shuffle of these rows for each distinct set of keys that joins a changed table.
    """
    near = F.col(feature.as_of_time) > F.timestamp_micros(F.lit(bounds.after))
    if bounds.until < FOREVER:
        near &= F.col(feature.as_of_time) <= F.timestamp_micros(F.lit(bounds.until))
    rows = spine.where(near).withColumn(TOUCHED, F.lit(False))
    for group in groups(feature, specs):
        if any(e.table in changed for e in group.events):
            rows = _marked(rows, group, feature, changed, specs)
    return rows.where(TOUCHED).drop(TOUCHED)


def _marked(
    frame: DataFrame, group: Group, feature: Feature, changed: Mapping[str, DataFrame], specs: dict[str, Table]
) -> DataFrame:
    time = F.unix_micros(feature.as_of_time).alias(TIME)
    rows = frame.select(*group.keys, time, F.struct(*frame.columns).alias(SPINE))
    for events in (e for e in group.events if e.table in changed):
        reach = _reach(events, changed[events.table], group.keys, feature.clock, specs[events.table])
        rows = rows.unionByName(reach, allowMissingColumns=True)
    before = Frame.partitionBy(*group.keys).orderBy(TIME).rangeBetween(Frame.unboundedPreceding, -1)
    reached = F.max(UNTIL).over(before) >= F.col(TIME)
    seen = rows.select(SPINE, F.coalesce(reached, F.lit(False)).alias("_reached")).where(F.col(SPINE).isNotNull())
    kept = [F.col(f"{SPINE}.`{c}`") for c in frame.columns if c != TOUCHED]
    return seen.select(*kept, (F.col(f"{SPINE}.{TOUCHED}") | F.col("_reached")).alias(TOUCHED))


def _reach(events: Events, rows: DataFrame, keys: tuple[str, ...], clock: str, table: Table) -> DataFrame:
    """Of rows that can be seen at all: keys, the moment after which, and that until which."""
    there = reduce(and_, [F.col(k).isNotNull() for k in keys])
    found = rows.where(there).select(
        *keys, counts_at(events, clock).alias(TIME), seen_until(events, table, clock).alias(UNTIL)
    )
    return found.where(F.col(UNTIL) > F.col(TIME))
