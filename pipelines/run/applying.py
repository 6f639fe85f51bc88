"""A staged batch into its table: append, MERGE of the newest row a key, or MERGE of the whole history of a key.

Deletions of a key stand beside the table, in <name>_deleted, so that an older
row that arrives later does not bring the key back. Each table is written once
a batch; a replay finds its commit and counts from it.
"""

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines import crash, staging, tables, versions
from pipelines.quality import fused
from pipelines.run.context import Context
from pipelines.spec import Table
from pipelines.state import Intent
from pipelines.tables import Commit
from pipelines.versions import DELETES, GONE, HASH, STANDS, TO

ROW = ("_file", HASH, "_arrived_at")  # where a row came from; beside the columns of the select


@dataclass(frozen=True)
class Applied:
    """What became of a batch's clean rows and deletions; applied + superseded + deleted is all of them."""

    commit: Commit | None
    applied: int
    superseded: int
    deleted: int


def apply(ctx: Context, table: Table, intent: Intent, staged: staging.Staged) -> Applied:
    """Commit the clean rows, then the deletions."""
    commit, applied = _write(ctx, table, intent, staged)
    crash.point("between clean and deleted", ctx.stage.id)
    deleted = _bury(ctx, table, intent, staged)
    whole = staged.of("clean") + staged.of("delete")
    return Applied(commit, applied, whole - applied - deleted, deleted)


def _write(ctx: Context, table: Table, intent: Intent, staged: staging.Staged) -> tuple[Commit | None, int]:
    """(commit, rows applied). Append where no key can be in the table already, else MERGE."""
    path, transaction = ctx.path(), ctx.transaction(intent, "clean")
    if not staged.of("clean") + staged.of("delete") and intent.batch > 0:
        return None, 0
    _grow(ctx, intent)
    if table.stored_as_scd_type == 2:
        return _write_history(ctx, table, intent, staged)
    rows = clean = _clean(ctx, intent, staged)
    if table.keys:
        rows = _newest(ctx, table, intent, staged, clean)
    if intent.batch == 0:
        done = (tables.overwrite if intent.generation else tables.append)(_shown(rows), path, transaction)
        return done, done.applied
    low, high = _bounds(table, staged)
    beyond = not table.apply_as_deletes and low is not None and tables.beyond(path, table.keys[0], low)
    if not table.keys or beyond:
        done = tables.append(rows, path, transaction)
    else:
        on, cheap = _matches(table, "t", low, high), rows is clean
        done = tables.merge(rows, path, on, _upsert(table), transaction, cheap)
    return done, done.applied


def _grow(ctx: Context, intent: Intent) -> None:
    """Add the columns that the table has not yet: a commit of its own, told. A replay finds them there."""
    if intent.batch == 0 or not intent.added:
        return  # the first batch makes the table with them
    there = {name.lower() for name in tables.columns(ctx.path())}
    new = [name for name in intent.added if name.lower() not in there]
    if new:
        ctx.tell(f"adds column{'s' if len(new) > 1 else ''} {', '.join(new)} (STRING) to the table")
        tables.grow(ctx.spark, ctx.path(), new, ctx.transaction(intent, "columns").tag)


def _clean(ctx: Context, intent: Intent, staged: staging.Staged, fate: str = "clean") -> DataFrame:
    rows = staged.read(ctx.spark, fate).drop(fused.FLAWS, fused.WHY, "_record")
    return rows.withColumn("_arrived_at", F.lit(intent.now))


def _shown(rows: DataFrame) -> DataFrame:
    """The rows of a table that is made anew."""
    return rows.where(~F.col(DELETES)).drop(DELETES) if DELETES in rows.columns else rows


def _newest(ctx: Context, table: Table, intent: Intent, staged: staging.Staged, rows: DataFrame) -> DataFrame:
    """At most one row a key, deletions with them. Where no key stands twice, nothing is shuffled."""
    if table.apply_as_deletes:
        return versions.newest(_events(ctx, table, intent, staged), table.keys, table.sequence_by)
    count, distinct = staged.of("clean"), staged.distinct("clean", table.keys)
    if distinct is None:
        distinct = rows.select(*table.keys).distinct().count()
    return rows if distinct == count else versions.newest(rows, table.keys, table.sequence_by)


def _events(ctx: Context, table: Table, intent: Intent, staged: staging.Staged) -> DataFrame:
    """Rows and deletions of the batch, and the deletions of its keys that came before."""
    clean = _clean(ctx, intent, staged).withColumn(DELETES, F.lit(False))
    gone = _clean(ctx, intent, staged, "delete").withColumn(DELETES, F.lit(True))
    new = clean.unionByName(gone)
    before = _buried(ctx, intent, new.select(*table.keys).distinct())
    return new.unionByName(before.withColumn(DELETES, F.lit(True)), allowMissingColumns=True) if before else new


def _buried(ctx: Context, intent: Intent, keys: DataFrame) -> DataFrame | None:
    """What was deleted before of some keys; None where nothing ever was."""
    version = ctx.warehouse.version(ctx.stage.id, "deleted")
    if version is None or intent.batch == 0:
        return None
    return tables.read(ctx.spark, ctx.path("deleted"), version).join(keys, keys.columns, "left_semi")


def _write_history(ctx: Context, table: Table, intent: Intent, staged: staging.Staged) -> tuple[Commit, int]:
    path, transaction = ctx.path(), ctx.transaction(intent, "clean")
    assert table.sequence_by
    events = _events(ctx, table, intent, staged).withColumn(STANDS, F.lit(False))
    if intent.batch == 0:
        rows = versions.history(events, table.keys, table.sequence_by).drop(GONE)
        done = (tables.overwrite if intent.generation else tables.append)(rows, path, transaction)
        return done, done.applied
    version = ctx.warehouse.version(ctx.stage.id)
    assert version is not None
    low, high = _bounds(table, staged)
    standing = tables.read(ctx.spark, path, version).where(_within(table, low, high))
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


def _bury(ctx: Context, table: Table, intent: Intent, staged: staging.Staged) -> int:
    """Commit the deletions; how many of them were not known."""
    path, transaction = ctx.path("deleted"), ctx.transaction(intent, "deleted")
    there = ctx.warehouse.version(ctx.stage.id, "deleted") is not None
    anew = there and intent.batch == 0
    if not staged.of("delete") and not anew:
        return 0
    moment = [c for c in (*table.keys, table.sequence_by) if c]
    rows = _clean(ctx, intent, staged, "delete").select(*moment, *ROW)
    rows = versions.newest(rows, moment, None)
    if anew or not there:
        return (tables.overwrite if anew else tables.append)(rows, path, transaction).applied
    on = " AND ".join(f"t.`{c}` = s.`{c}`" for c in moment)
    when = f"WHEN MATCHED AND s.{HASH} > t.{HASH} THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
    return tables.merge(rows, path, on, when, transaction).applied


def _bounds(table: Table, staged: staging.Staged) -> tuple[object, object]:
    """Least and greatest first key of the batch, where the footers tell."""
    if not table.keys:
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
    if not table.apply_as_deletes:
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
