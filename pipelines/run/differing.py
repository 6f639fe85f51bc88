"""A staged batch of snapshots as the events of a keyed table: what came, changed or went since the newest before."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import or_

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines import snapshots, staging, tables, versions
from pipelines.errors import DataError
from pipelines.quality import fused
from pipelines.run.context import Context
from pipelines.snapshots import KNOWN, PLACE
from pipelines.spec import Table
from pipelines.state import Intent
from pipelines.versions import FROM, STANDS, TO

NEWEST = "snapshot"  # of a record's detail: the newest that was applied, its `sequence_by` as text


@dataclass(frozen=True)
class Differences:
    """What a batch of snapshots changes, and the newest of them (or the one before, where none is newer)."""

    events: DataFrame
    newest: str | None


@contextmanager
def differences(
    ctx: Context, table: Table, intent: Intent, staged: staging.Staged, base: int | None
) -> Iterator[Differences]:
    """Valid inside the context. base: the table's version before the batch.

    Cost: the keys and rows of the whole table are compared with each snapshot; the changes are kept until the end.
    """
    assert table.sequence_by
    before, arrived = _before(ctx, intent), _arrived(ctx, table, intent, staged)
    newer = _newer(arrived, table.sequence_by, before)
    if len(newer) > snapshots.MOST:
        raise DataError(f"{ctx.stage.id}: {len(newer)} snapshots in one batch; the most is {snapshots.MOST}")
    whole = _whole(ctx, table, staged)
    if not whole:
        ctx.tell("deletes nothing: a row without its key could not be read; the next snapshot tells")
    placed = snapshots.placed(arrived, table.sequence_by, before, newer)
    one = versions.newest(placed, (*table.keys, PLACE), KNOWN).withColumn(STANDS, F.lit(False))
    rows = one.unionByName(_standing(ctx, table, base)) if base is not None else one
    events = snapshots.changes(rows, table.keys, table.sequence_by, newer, whole)
    events.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield Differences(events, newer[-1] if newer else before)
    finally:
        events.unpersist()


def _before(ctx: Context, intent: Intent) -> str | None:
    mine = [r for r in ctx.history.records if (r.stage, r.generation) == (intent.stage, intent.generation)]
    return next((r.detail[NEWEST] for r in reversed(mine) if r.detail.get(NEWEST) is not None), None)


def _arrived(ctx: Context, table: Table, intent: Intent, staged: staging.Staged) -> DataFrame:
    """All rows of the batch of which the key and the snapshot are known."""
    kept = [staged.read(ctx.spark, fate).withColumn(KNOWN, F.lit(fate == "clean")) for fate in _FATES]
    return reduce(DataFrame.unionByName, kept).where(~_lost(table)).drop(fused.FLAWS, "_record")


_FATES = ("clean", "quarantine", "drop")


def _whole(ctx: Context, table: Table, staged: staging.Staged) -> bool:
    refused = [f for f in _FATES[1:] if staged.of(f)]
    return all(staged.read(ctx.spark, fate).where(_lost(table)).isEmpty() for fate in refused)


def _lost(table: Table) -> Column:
    return reduce(or_, [F.col(f"`{c}`").isNull() for c in table.needed])


def _newer(arrived: DataFrame, sequence: str, before: str | None) -> list[str]:
    """The snapshots of a batch after the newest before, in their order."""
    kind = arrived.schema[sequence].dataType
    after = F.lit(True) if before is None else F.col(f"`{sequence}`") > F.lit(before).cast(kind)
    found = arrived.where(after).select(sequence, F.col(f"`{sequence}`").cast("string").alias("_text")).distinct()
    return [row._text for row in found.orderBy(sequence).collect()]


def _standing(ctx: Context, table: Table, base: int) -> DataFrame:
    """The present rows of the table."""
    rows = tables.read(ctx.spark, ctx.path(), base)
    present = rows.where(F.col(TO).isNull()).drop(FROM, TO) if table.stored_as_scd_type == 2 else rows
    return present.withColumns({PLACE: F.lit(0), KNOWN: F.lit(True), STANDS: F.lit(True)})
