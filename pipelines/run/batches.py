"""The intake of a batch: what it reads, written down before it is read; then staged once, split by fate.

A replay of the intent finds the staged batch, if it lies there whole, or reads
the same again. Staging reads the source once and its footers give exact
counts for nothing; they are held against the source's own witness.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from operator import or_
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines import adopt, crash, ingest, log, staging
from pipelines.columns import relations
from pipelines.errors import DataError, SpecError
from pipelines.intake import KINDS, Reading, counted, keyed
from pipelines.quality import fused
from pipelines.run import backfilling, erasing, losing, replaying, restoring
from pipelines.run.context import Context
from pipelines.run.order import Backfill, Replay, Restore
from pipelines.run.selecting import of_source
from pipelines.run.waiting import added, asked_of, side_tables
from pipelines.spec import HISTORY, Expectation, Table
from pipelines.state import ADDED, BACKFILL, RESTORE, Intent, Json


def intend(ctx: Context, table: Table) -> Intent:
    """Write down what the next batch reads. Errors: DataError where a side table or the source cannot give it."""
    if isinstance(ctx.ask, Restore):
        back, defined = restoring.asked(ctx, table, ctx.ask)
        return ctx.intend({RESTORE: back}, new_generation=True, defined=defined)
    inputs: dict[str, Any] = {}
    for name in side_tables(ctx.pipeline, table):
        version = ctx.published(f"tables.{name}")
        if version is None:
            raise DataError(f"{ctx.stage.id} reads {name}, of which no version was published")
        inputs[f"tables.{name}"] = {"upto": version, "generation": ctx.history.generation(f"tables.{name}")}
    if not table.source and not ctx.full_refresh:
        onto, _ = added(ctx.pipeline, ctx.target, ctx.history, ctx.stage)
        inputs.update({ADDED: onto} if onto else {})
    if table.source and isinstance(ctx.ask, Replay):
        inputs[replaying.REPLAY] = replaying.asked(ctx, ctx.ask)
    elif table.source and isinstance(ctx.ask, Backfill):
        inputs[BACKFILL] = backfilling.asked(ctx, table, ctx.ask)
    elif table.source:
        asked = asked_of(ctx.pipeline, ctx.target, ctx.history, ctx.stage, ctx.anew)
        inputs[table.source] = keyed(asked, KINDS[asked.source.kind].take(asked))
        inputs[table.source].update(losing.lost(ctx, table, asked, inputs))
        if lost := inputs[table.source].get("lost"):
            ctx.tell(f"loses {counted(lost['rows'], 'row')}, as allowed{_gone(lost)}")
    return ctx.intend(inputs, new_generation=ctx.full_refresh)


def _gone(lost: Json) -> str:
    return f", with {counted(lost['files'], 'file')} gone" if "files" in lost else ""


def staged(
    ctx: Context, table: Table, intent: Intent, rules: tuple[Expectation, ...]
) -> tuple[staging.Staged, dict[str, int]]:
    """The batch of an intent on disk, and what its source's witness counted of it.

    Cost  : one pass over what the batch reads; none where a run that was cut off left it whole.
    Errors: DataError where a file cannot be read, or the select made other rows than were read.
    """
    path = _staged_at(ctx, intent)
    found = staging.resumed(path, fused.FATE)
    if found:
        ctx.tell(f"goes on with {found[0].rows:,} rows that were staged before")
        return found
    forget(ctx)
    with _reading(ctx, table, intent) as reading:
        ctx.tell(f"reads {reading.expected:,} rows, checks {len(rules)} rules in the pass that writes")
        flagged = _flagged(ctx, table, intent, reading.frame, rules)
        made = _written(ctx.stage.id, flagged, path, bool(table.keys))
        counted = reading.witness(made.rows)
    crash.point("before the batch is whole", ctx.stage.id)
    _refuse_other_rows(ctx.stage.id, table, made.rows, counted.rows)
    staging.complete(made, counted.as_counts())
    return made, counted.as_counts()


def _written(stage: str, flagged: DataFrame, path: str, keyed: bool) -> staging.Staged:
    """The one pass. Errors: DataError where a file turns out to be damaged as Spark reads it."""
    try:
        return staging.write(flagged, path, fused.FATE, keyed)
    except Exception as error:
        file = ingest.unread(error)
        if file:
            raise DataError(f"{stage}: {file} is damaged, for Spark cannot read it; land it again whole") from error
        raise


def _reading(ctx: Context, table: Table, intent: Intent) -> AbstractContextManager[Reading]:
    assert table.source
    if replaying.REPLAY in intent.inputs:
        return nullcontext(replaying.reading(ctx, ctx.pipeline.sources[table.source], intent))
    asked = asked_of(ctx.pipeline, ctx.target, ctx.history, ctx.stage, ctx.anew)
    return KINDS[asked.source.kind].reading(asked, ctx.spark, keyed(asked, _taken(table, intent)))


def _taken(table: Table, intent: Intent) -> Json:
    """What the batch reads of its source."""
    again = intent.inputs.get(BACKFILL)
    return again["again"] if again else intent.inputs[str(table.source)]


def forget(ctx: Context) -> None:
    """Remove what the stage's batches left on disk."""
    adopt.remove(_folder(ctx))


def stands(ctx: Context, table: Table, intent: Intent) -> bool:
    """True where a batch that was begun can be gone on with: it lies there whole, or can be read as it was taken."""
    if not table.source or table.source not in intent.inputs:
        return True
    begun = staging.resumed(_staged_at(ctx, intent), fused.FATE) or log.find(
        ctx.path(), ctx.transaction(intent, "clean")
    )
    asked = asked_of(ctx.pipeline, ctx.target, ctx.history, ctx.stage)
    return bool(begun) or KINDS[asked.source.kind].stands(asked, intent.inputs[table.source])


def _staged_at(ctx: Context, intent: Intent) -> str:
    return f"{_folder(ctx)}/{intent.generation}-{intent.batch}"


def _folder(ctx: Context) -> str:
    return f"{ctx.warehouse.root}/{ctx.pipeline.pipeline}/_staging/{ctx.stage.name}"


def _flagged(ctx: Context, table: Table, intent: Intent, raw: DataFrame, rules: tuple[Expectation, ...]) -> DataFrame:
    """Every record of the batch, selected, with its fate; `_record` holds a refused row's source."""
    row, made = F.col(ingest.ROW), of_source(ctx, table, intent.inputs, raw, intent.now)
    _refuse_no_condition(ctx.stage.id, table, made)
    who = erasing.forgotten(ctx.spark, ctx.pipeline, ctx.warehouse.forgets(), ctx.stage.name)
    gone = reduce(or_, who.values(), F.lit(False))
    flagged = fused.flag(made, rules, malformed=row.text.isNotNull() | gone)
    came = F.coalesce(row.text, F.to_json(row.record, ingest.AS_JSON))
    refused = F.when((F.col(fused.FLAWS) != 0) & ~gone, came)
    outputs = [F.col(f"`{c}`") for c in made.columns if c != ingest.ROW]
    _refuse_twice(ctx.stage.id, table, made.columns, intent.added)
    return flagged.select(
        *outputs,
        *[row.added[name].alias(name) for name in intent.added],
        row.hash.alias("_hash"),
        row.file.alias("_file"),
        F.lit(intent.now).alias("_arrived_at"),
        fused.FLAWS,
        refused.alias("_record"),
        F.when(gone, erasing.WHY).otherwise(row.why).alias(fused.WHY),
        F.when(gone, "drop").otherwise(_fate(table, rules)).alias(fused.FATE),
    )


def _refuse_twice(stage: str, table: Table, made: list[str], added: Sequence[str]) -> None:
    """A column that is added takes no other's place."""
    there = {name.lower() for name in (*made, *(HISTORY if table.stored_as_scd_type == 2 else ()))}
    for name in added:
        if name.lower() in there:
            raise DataError(
                f"{stage}: {table.source} adds column '{name}', and the table's select makes one of that name; "
                f"rename it where it comes from, or declare it in the source's schema"
            )


def _refuse_no_condition(stage: str, table: Table, made: DataFrame) -> None:
    if table.apply_as_deletes:
        kind = made.select(F.expr(table.apply_as_deletes)).schema[0].dataType.simpleString()
        if kind != "boolean":
            raise SpecError(f"{stage}: apply_as_deletes '{table.apply_as_deletes}' is of type {kind}, and no condition")


def _fate(table: Table, rules: tuple[Expectation, ...]) -> Column:
    """As the rules say; a deletion has to hold only what orders it, for its other columns are often empty."""
    if not table.apply_as_deletes:
        return fused.fate(rules)
    needed = F.lit((1 << (len(table.needed) + 1)) - 1).cast("bigint")
    sound = F.col(fused.FLAWS).bitwiseAND(needed) == 0
    deletes = F.coalesce(F.expr(table.apply_as_deletes), F.lit(False))
    return F.when(sound & deletes, "delete").otherwise(fused.fate(rules)).alias(fused.FATE)


def _refuse_other_rows(stage: str, table: Table, staged: int, read: int) -> None:
    if staged == read:
        return
    if staged > read and len(relations(table.select)) > 1:
        raise DataError(
            f"{stage}: its select made {staged:,} rows of {read:,}; a LEFT JOIN that finds several rows multiplies them"
        )
    raise DataError(
        f"{stage}: Spark read {staged:,} rows of {table.source}, which counts {read:,}; "
        f"something of it is damaged, or changed as it was read"
    )
