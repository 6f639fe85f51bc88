"""A staged batch into its table: append, MERGE of the newest row a key, or MERGE of the whole history of a key.

Deletions of a key stand beside the table, in <name>_deleted, so that an older
row that arrives later does not bring the key back. Each table is written once
a batch; a replay finds its commit and counts from it.
"""

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines import crash, log, staging, tables, versions
from pipelines.log import Commit, Transaction
from pipelines.quality import fused
from pipelines.run import backfilling, differing
from pipelines.run.context import Context
from pipelines.spec import Table
from pipelines.state import BACKFILL, Intent
from pipelines.versions import DELETES, GONE, HASH, STANDS, TO

ROW = ("_file", HASH, "_arrived_at")  # where a row came from; beside the columns of the select


@dataclass(frozen=True)
class Applied:
    """What became of a batch's clean rows and deletions; applied + superseded + deleted is all of them."""

    commit: Commit | None
    applied: int
    superseded: int
    deleted: int
    removed: int = 0  # rows of the table that a snapshot did not have any more
    snapshot: str | None = None  # the newest that was applied


def apply(ctx: Context, table: Table, intent: Intent, staged: staging.Staged) -> Applied:
    """Commit the clean rows, then the deletions."""
    if table.snapshots:
        return _apply_snapshots(ctx, table, intent, staged)
    if BACKFILL in intent.inputs:
        return _apply_interval(ctx, table, intent, staged)
    events = _events(ctx, table, intent, staged) if table.ordered else None
    commit, applied = _write(ctx, table, intent, staged, events)
    crash.point("between clean and deleted", ctx.stage.id)
    gone = _clean(ctx, intent, staged, "delete") if staged.of("delete") else None
    deleted = _bury(ctx, table, intent, gone)
    whole = staged.of("clean") + staged.of("delete")
    return Applied(commit, applied, whole - applied - deleted, deleted)


def _apply_snapshots(ctx: Context, table: Table, intent: Intent, staged: staging.Staged) -> Applied:
    done = log.find(ctx.path(), ctx.transaction(intent, "clean"))
    base = done.version - 1 if done else ctx.warehouse.version(ctx.stage.id)
    with differing.differences(ctx, table, intent, staged, None if intent.batch == 0 else base) as found:
        commit, applied = _write(ctx, table, intent, staged, found.events)
        crash.point("between clean and deleted", ctx.stage.id)
        gone = found.events.where(DELETES)
        removed = _bury(ctx, table, intent, None if gone.isEmpty() else gone)
    return Applied(commit, applied, staged.of("clean") - applied, 0, removed, found.newest)


def _apply_interval(ctx: Context, table: Table, intent: Intent, staged: staging.Staged) -> Applied:
    events = _events(ctx, table, intent, staged) if table.ordered else None
    clean = _clean(ctx, intent, staged)
    rows = _shown(_newest(table, staged, clean, events)) if table.keys else clean
    commit, more = backfilling.replaced(ctx, table, intent, staged, rows)
    crash.point("between clean and deleted", ctx.stage.id)
    gone = _clean(ctx, intent, staged, "delete") if staged.of("delete") else None
    return Applied(commit, more, 0, _bury(ctx, table, intent, gone))


def _write(
    ctx: Context, table: Table, intent: Intent, staged: staging.Staged, events: DataFrame | None
) -> tuple[Commit | None, int]:
    """(commit, rows applied). Append where no key can be in the table already, else MERGE."""
    path, transaction = ctx.path(), ctx.transaction(intent, "clean")
    if not staged.of("clean") + staged.of("delete") and intent.batch > 0 and not table.snapshots:
        return None, 0
    _grow(ctx, intent)
    if table.stored_as_scd_type == 2:
        assert events is not None
        return _write_history(ctx, table, intent, staged, events)
    clean = _clean(ctx, intent, staged)
    rows = _newest(table, staged, clean, events) if table.keys else clean
    if intent.batch == 0 and intent.generation:
        done = tables.overwrite(_shown(rows), path, transaction)
        return done, done.applied
    if intent.batch == 0:
        done = _append(staged, _shown(rows), rows is clean, path, transaction)
        return done, done.applied
    low, high = _bounds(table, staged)
    beyond = events is None and low is not None and log.beyond(path, table.keys[0], low)
    if not table.keys or beyond:
        done = _append(staged, rows, rows is clean, path, transaction)
    else:
        on, cheap = _matches(table, "t", low, high), rows is clean
        done = tables.merge(rows, path, on, _upsert(table), transaction, cheap)
    return done, done.applied


def _append(staged: staging.Staged, rows: DataFrame, whole: bool, path: str, transaction: Transaction) -> Commit:
    """Append rows; where they are all clean ones as they were staged, the files themselves."""
    if whole:
        return tables.take(rows, staged.footers.get("clean", {}), path, transaction)
    return tables.append(rows, path, transaction)


def _grow(ctx: Context, intent: Intent) -> None:
    """Add the columns that the table has not yet: a commit of its own, told. A replay finds them there."""
    if intent.batch == 0 or not intent.added:
        return  # the first batch makes the table with them
    there = {name.lower() for name in tables.columns(ctx.path())}
    new = [name for name in intent.added if name.lower() not in there]
    if new:
        ctx.tell(f"adds column{'s' if len(new) > 1 else ''} {', '.join(new)} (STRING) to the table")
        tables.grow(ctx.spark, ctx.path(), dict.fromkeys(new, "STRING"), ctx.transaction(intent, "columns").tag)
        crash.point("between columns and rows", ctx.stage.id)


def _clean(ctx: Context, intent: Intent, staged: staging.Staged, fate: str = "clean") -> DataFrame:
    return staged.read(ctx.spark, fate).drop(fused.FLAWS, fused.WHY, "_record")


def _shown(rows: DataFrame) -> DataFrame:
    """The rows of a table that is made anew."""
    return rows.where(~F.col(DELETES)).drop(DELETES) if DELETES in rows.columns else rows


def _newest(table: Table, staged: staging.Staged, rows: DataFrame, events: DataFrame | None) -> DataFrame:
    """At most one row a key, deletions with them. Where no key stands twice, nothing is shuffled."""
    if events is not None:
        return versions.newest(events, table.keys, table.sequence_by).drop(STANDS)
    count, distinct = staged.of("clean"), staged.distinct("clean", table.keys)
    if distinct is None:
        distinct = rows.select(*table.keys).distinct().count()
    return rows if distinct == count else versions.newest(rows, table.keys, table.sequence_by)


def _events(ctx: Context, table: Table, intent: Intent, staged: staging.Staged) -> DataFrame:
    """Rows and deletions of the batch, and the deletions of its keys that came before."""
    clean = _clean(ctx, intent, staged).withColumn(DELETES, F.lit(False))
    gone = _clean(ctx, intent, staged, "delete").withColumn(DELETES, F.lit(True))
    return _with_buried(ctx, table, intent, clean.unionByName(gone).withColumn(STANDS, F.lit(False)))


def _with_buried(ctx: Context, table: Table, intent: Intent, new: DataFrame) -> DataFrame:
    before = _buried(ctx, intent, new.select(*table.keys).distinct())
    if before is None:
        return new
    marked = before.withColumns({DELETES: F.lit(True), STANDS: F.lit(False)})
    return new.unionByName(marked, allowMissingColumns=True)


def _buried(ctx: Context, intent: Intent, keys: DataFrame) -> DataFrame | None:
    """What was deleted before of some keys; None where nothing ever was."""
    version = ctx.warehouse.version(ctx.stage.id, "deleted")
    if version is None or intent.batch == 0:
        return None
    return tables.read(ctx.spark, ctx.path("deleted"), version).join(keys, keys.columns, "left_semi")


def _write_history(
    ctx: Context, table: Table, intent: Intent, staged: staging.Staged, events: DataFrame
) -> tuple[Commit, int]:
    path, transaction = ctx.path(), ctx.transaction(intent, "clean")
    assert table.sequence_by
    if table.snapshots:
        events = _with_buried(ctx, table, intent, events)
    if intent.batch == 0:
        rows = versions.history(events, table.keys, table.sequence_by).drop(GONE)
        done = (tables.overwrite if intent.generation else tables.append)(rows, path, transaction)
        return done, done.applied
    version = ctx.warehouse.version(ctx.stage.id)
    assert version is not None
    low, high = _bounds(table, staged)
    standing = tables.read(ctx.spark, path, version, in_part=True).where(_within(table, low, high))
    standing = standing.join(events.select(*table.keys).distinct(), list(table.keys), "left_semi")
    marked = standing.drop(versions.FROM, TO).withColumns({DELETES: F.lit(False), STANDS: F.lit(True)})
    rows = versions.history(events.unionByName(marked), table.keys, table.sequence_by)
    on = f"{_matches(table, 't', low, high)} AND t.{versions.FROM} = s.{versions.FROM} AND t.{HASH} = s.{HASH}"
    done = tables.merge(rows, path, on, _REWRITTEN, transaction)
    return done, done.count("numTargetRowsInserted")


_REWRITTEN = (
    f"WHEN MATCHED AND s.{GONE} THEN DELETE "
    f"WHEN MATCHED AND NOT s.{TO} <=> t.{TO} THEN UPDATE SET {TO} = s.{TO} "
    f"WHEN NOT MATCHED AND NOT s.{GONE} THEN INSERT *"
)


def _bury(ctx: Context, table: Table, intent: Intent, gone: DataFrame | None) -> int:
    """Commit the deletions; how many of them were not known."""
    path, transaction = ctx.path("deleted"), ctx.transaction(intent, "deleted")
    there = ctx.warehouse.version(ctx.stage.id, "deleted") is not None
    anew = there and intent.batch == 0
    if gone is None and not anew:
        return 0
    if gone is None:
        gone = tables.read(ctx.spark, path, 0).limit(0)
    moment = [c for c in (*table.keys, table.sequence_by) if c]
    rows = versions.newest(gone.select(*moment, *ROW), moment, None)
    if anew or not there:
        return (tables.overwrite if anew else tables.append)(rows, path, transaction).applied
    on = " AND ".join(f"t.`{c}` = s.`{c}`" for c in moment)
    when = f"WHEN MATCHED AND s.{HASH} > t.{HASH} THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    return tables.merge(rows, path, on, when, transaction).applied


def _bounds(table: Table, staged: staging.Staged) -> tuple[object, object]:
    """Least and greatest first key of the batch, where the footers tell."""
    if not table.keys or table.snapshots:
        return None, None
    found = [staged.bounds(fate, table.keys[0]) for fate in ("clean", "delete") if staged.of(fate)]
    if not found or any(low is None for low, _ in found):
        return None, None
    return min(low for low, _ in found), max(high for _, high in found)


def _matches(table: Table, target: str, low: object, high: object) -> str:
    """The condition under which a row and an event are of the same key; literal bounds prune files."""
    return " AND ".join([*(f"{target}.`{k}` = s.`{k}`" for k in table.keys), *_pruned(f"{target}.", table, low, high)])


def _within(table: Table, low: object, high: object) -> str:
    return " AND ".join(_pruned("", table, low, high)) or "true"


def _pruned(target: str, table: Table, low: object, high: object) -> list[str]:
    first = f"{target}`{table.keys[0]}`"
    return [f"{first} >= {_literal(low)} AND {first} <= {_literal(high)}"] if low is not None else []


def _literal(value: object) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _upsert(table: Table) -> str:
    """A row replaces one of the same key if its sequence is greater, or equal and its content hash greater."""
    newer = _newer(table)
    if not table.ordered:
        return f"WHEN MATCHED AND {newer} THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    return (
        f"WHEN MATCHED AND {newer} AND s.{DELETES} THEN DELETE WHEN MATCHED AND {newer} THEN UPDATE SET * "
        f"WHEN NOT MATCHED AND NOT s.{DELETES} THEN INSERT *"
    )


def _newer(table: Table) -> str:
    if not table.sequence_by:
        return f"s.{HASH} > t.{HASH}"
    new, old = f"s.`{table.sequence_by}`", f"t.`{table.sequence_by}`"
    return f"({new} > {old} OR ({new} <=> {old} AND s.{HASH} > t.{HASH}) OR ({old} IS NULL AND {new} IS NOT NULL))"
