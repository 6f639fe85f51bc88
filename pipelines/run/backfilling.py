"""An interval of a table made anew from what was taken before and its source still holds.

The batch reads no more than earlier batches took, so nothing of it counts as
taken again. It replaces the rows whose event_time lies in [since, until), and
refuses where rows would be lost, or where the select of now moves a row over
a bound. Its counts are changes, as those of a replayed quarantine.
"""

from datetime import UTC, datetime
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines import log, staging, tables
from pipelines.errors import DataError
from pipelines.intake import KINDS, keyed
from pipelines.log import Commit
from pipelines.run.context import Context
from pipelines.run.order import Backfill
from pipelines.run.waiting import asked_of
from pipelines.spec import Table
from pipelines.state import BACKFILL, Intent
from pipelines.versions import HASH

ARRIVED, INSIDE = "_arrived_at", "_inside"
FATES = ("clean", "delete", "quarantine", "drop")


def asked(ctx: Context, table: Table, ask: Backfill) -> dict[str, Any]:
    """The interval and what is read for it, for the intent. Errors: DataError where nothing was taken yet."""
    assert table.source
    if not ctx.history.taken(ctx.stage.id, table.source):
        raise DataError(f"{ctx.stage.id}: nothing of {table.source} was taken yet; `lakeloom run` takes it")
    source = asked_of(ctx.pipeline, ctx.target, ctx.history, ctx.stage)
    again = keyed(source, KINDS[source.source.kind].again(source))
    added = {"added": again["added"]} if again.get("added") else {}
    return {"since": ask.since.isoformat(), "until": ask.until.isoformat(), "again": again, **added}


def condition(table: Table, intent: Intent) -> str:
    """SQL: the row lies in the interval."""
    since, until = (
        datetime.fromisoformat(intent.inputs[BACKFILL][k]).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%fZ")
        for k in ("since", "until")
    )
    return f"`{table.event_time}` >= TIMESTAMP '{since}' AND `{table.event_time}` < TIMESTAMP '{until}'"


def replaced(
    ctx: Context, table: Table, intent: Intent, staged: staging.Staged, newest: DataFrame
) -> tuple[Commit, int]:
    """Replace the interval's rows by those of `newest` in it; (commit, rows more than before).

    newest: what the table would be if it were made anew from all that is read again.
    Cost  : two joins by the hash of every row; one write of the interval.
    Errors: DataError where the source does not hold a row any more, or a row changes sides.
    """
    transaction = ctx.transaction(intent, "clean")
    stood = _stood(ctx, table, intent)
    done, base = log.find(ctx.path(), transaction), _before(ctx, intent)
    if done is None:
        made = newest.withColumn(INSIDE, _inside(table, intent))
        _refuse_lost(ctx, stood, staged)
        _refuse_moved(ctx, table, stood, made)
        rows = _as_they_arrived(made.where(INSIDE).drop(INSIDE), stood)
        done = tables.replace(rows, ctx.path(), condition(table, intent), transaction)
    return done, more(ctx, "", base)


def quarantine(ctx: Context, table: Table, intent: Intent, staged: staging.Staged) -> tuple[DataFrame, DataFrame, int]:
    """(rows of the quarantine that stay, refused rows of the interval, the quarantine's version before; -1: none)."""
    stood = _stood(ctx, table, intent).where(INSIDE).select(HASH)
    whole = _whole(ctx, staged).withColumn(INSIDE, _inside(table, intent))
    touched = whole.where(INSIDE).select(HASH).unionByName(stood).distinct()
    refused = staged.read(ctx.spark, "quarantine").join(touched, HASH, "left_semi")
    before = _before(ctx, intent, "quarantine")
    held = tables.read(ctx.spark, ctx.path("quarantine"), before) if before >= 0 else refused
    return held.join(touched, HASH, "left_anti"), refused, before


def more(ctx: Context, part: str, before: int) -> int:
    """Rows that a part of the table has more than at a version; -1 is none."""
    now = ctx.warehouse.version(ctx.stage.id, part)
    rows = [log.row_count(ctx.path(part), v) if v is not None and v >= 0 else 0 for v in (now, before)]
    return rows[0] - rows[1]


def as_changes(table: Table, applied: int, quarantined: int, deleted: int) -> dict[str, int]:
    """The counts of a backfill, each a change: no row came in, so what is more here was passed over before."""
    passed = "superseded" if table.keys else "dropped"
    zero = dict.fromkeys(("rows_in", "superseded", "dropped"), 0)
    changes = {"applied": applied, "quarantined": quarantined, "deleted": deleted}
    return {**zero, **changes, passed: -sum(changes.values())}


def _whole(ctx: Context, staged: staging.Staged) -> DataFrame:
    """All records that were read again, whatever became of them."""
    return reduce(DataFrame.union, [staged.read(ctx.spark, fate) for fate in FATES])


def _before(ctx: Context, intent: Intent, part: str = "") -> int:
    """The version that the batch replaces, the same in a replay; -1 where there was none."""
    done = log.find(ctx.path(part), ctx.transaction(intent, part or "clean"))
    version = done.version - 1 if done else ctx.warehouse.version(ctx.stage.id, part)
    return -1 if version is None else version


def _inside(table: Table, intent: Intent) -> Column:
    return F.coalesce(F.expr(condition(table, intent)), F.lit(False))


def _stood(ctx: Context, table: Table, intent: Intent) -> DataFrame:
    """A row a record that the table had: its hash, whether in the interval, how often, since when, and its keys."""
    rows = tables.read(ctx.spark, ctx.path(), _before(ctx, intent)).withColumn(INSIDE, _inside(table, intent))
    since = F.min(ARRIVED).alias(ARRIVED)
    return rows.groupBy(HASH, INSIDE, *table.keys).agg(F.count("*").alias("_rows"), since)


def _refuse_lost(ctx: Context, stood: DataFrame, staged: staging.Staged) -> None:
    again = _whole(ctx, staged).groupBy(HASH).agg(F.count("*").alias("_again"))
    short = F.greatest(F.col("_rows") - F.coalesce("_again", F.lit(0)), F.lit(0))
    (row,) = stood.where(INSIDE).join(again, HASH, "left").agg(F.sum(short).alias("lost")).collect()
    if row.lost:
        raise DataError(
            f"{ctx.stage.id}: {row.lost:,} rows of the interval would be lost, for their records are not held as they "
            f"were taken (gone from the source, or repaired in quarantine); land them again"
        )


def _refuse_moved(ctx: Context, table: Table, stood: DataFrame, made: DataFrame) -> None:
    """No row leaves the interval, and none comes into it that stands outside."""
    before = stood.select(HASH, F.col(INSIDE).alias("_was"), *table.keys)
    sides = made.select(HASH, INSIDE).distinct().join(before.select(HASH, "_was").distinct(), HASH)
    moved = sides.where(F.col(INSIDE) != F.col("_was")).count()
    if not moved and table.keys:
        outside = before.where(~F.col("_was")).select(*table.keys)
        moved = made.where(INSIDE).join(outside, list(table.keys), "left_semi").count()
    if moved:
        raise DataError(
            f"{ctx.stage.id}: {moved:,} rows stand on another side of a bound of the interval under the select of now; "
            f"take a wider one, or `lakeloom run --full-refresh {ctx.stage.id}`"
        )


def _as_they_arrived(rows: DataFrame, stood: DataFrame) -> DataFrame:
    """A row that was there keeps the moment of its arrival."""
    since = stood.groupBy(HASH).agg(F.min(ARRIVED).alias("_since"))
    joined = rows.join(since, HASH, "left")
    return joined.withColumn(ARRIVED, F.coalesce("_since", ARRIVED)).select(*rows.columns)
