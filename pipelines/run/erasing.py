"""A person's rows leave one stage: a table with its quarantine and its deletions, or what is made of it row by row.

The batch's intent names the person by tokens alone. It is obeyed for good: what a later batch, full refresh, replay or
backfill reads, and what a restore brings back, is held against the intents of all generations (`forgotten`).
"""

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines import crash, log, pii, tables
from pipelines.errors import DataError, SpecError
from pipelines.run.context import Context
from pipelines.run.order import Forget
from pipelines.run.waiting import cut_off
from pipelines.spec import Pipeline
from pipelines.state import FORGET, Intent, Record, parts
from pipelines.subject import found_by
from pipelines.versions import HASH

WHY = "forgotten"  # the reason of a record that comes again


def erase(ctx: Context) -> Record:
    """One batch that only takes rows away. A replay finds what was done. Errors: DataError where the key is another."""
    open_intent = cut_off(ctx.warehouse, ctx.history, ctx.stage.id)
    record = _erased(ctx, open_intent) if open_intent else None
    if record and not isinstance(ctx.ask, Forget):
        return record
    return _erased(ctx, _intend(ctx))


def _intend(ctx: Context) -> Intent:
    """Read on from where the stage is: what it read last stands in the record that follows."""
    assert isinstance(ctx.ask, Forget)
    last = ctx.history.last(ctx.stage.id, "ok")
    assert last, "nothing is erased where nothing was published"
    asked: dict[str, Any] = {"tokens": dict(ctx.ask.tokens), "key": pii.mark(pii.key())}
    spine = _spine(ctx)
    if spine:
        asked["upto"] = ctx.warehouse.version(spine)
    read = {} if ctx.stage.kind == "tables" else last.inputs
    return ctx.intend({**read, FORGET: asked}, new_generation=False, defined=last.definition)


def _spine(ctx: Context) -> str:
    """The table by whose rows those of a feature table or of scores are found; '' of a table."""
    if ctx.stage.kind == "tables":
        return ""
    name = ctx.stage.name if ctx.stage.kind == "features" else ctx.pipeline.scores[ctx.stage.name].of
    return f"tables.{ctx.pipeline.features[name].spine}"


def _erased(ctx: Context, intent: Intent) -> Record:
    gone = taken_out(ctx, intent) if ctx.stage.kind == "tables" else _made_of(ctx, intent)
    last = ctx.history.last(ctx.stage.id, "ok")
    version = ctx.warehouse.version(ctx.stage.id)
    assert last and version is not None
    counts = {**dict.fromkeys(last.counts, 0), "erased": sum(gone.values())}
    detail = {**last.detail, "rows": log.row_count(ctx.path(), version), "beside": ctx.beside()}
    return ctx.record(intent, counts=counts, detail=detail, published_version=version)


def taken_out(ctx: Context, intent: Intent) -> dict[str, int]:
    """Rows of all who were ever forgotten, deleted from a table and what lies beside it; how many, by part."""
    known = ctx.warehouse.forgets()  # with the intent that is obeyed just now
    who = forgotten(ctx.spark, ctx.pipeline, known, ctx.stage.name)
    gone = {}
    for part in parts(ctx.stage.id):
        version = ctx.warehouse.version(ctx.stage.id, part)
        columns = tables.columns(ctx.path(part)) if version is not None else []
        found = {column: match for column, match in who.items() if column in columns}
        if version is not None and found:
            rows = tables.read(ctx.spark, ctx.path(part), version).where(reduce(or_, found.values()))
            gone[part] = _delete(ctx, intent, part, rows.select(HASH).distinct(), (HASH,))
            crash.point("between the parts of an erasure", ctx.stage.id)
    return gone


def _made_of(ctx: Context, intent: Intent) -> dict[str, int]:
    """By part, rows with the keys of the person's rows in the spine, as it was before any of them was erased."""
    spine, upto = _spine(ctx), intent.inputs[FORGET]["upto"]
    name = ctx.stage.name if ctx.stage.kind == "features" else ctx.pipeline.scores[ctx.stage.name].of
    keys = ctx.pipeline.features[name].keys
    who = _matches(ctx.spark, ctx.pipeline, spine.removeprefix("tables."), [intent.inputs[FORGET]])
    rows = tables.read(ctx.spark, ctx.warehouse.path(spine), upto).where(reduce(or_, who.values()))
    there = [part for part in parts(ctx.stage.id) if ctx.warehouse.version(ctx.stage.id, part) is not None]
    return {part: _delete(ctx, intent, part, rows.select(*keys).distinct(), keys) for part in there}


def _delete(ctx: Context, intent: Intent, part: str, rows: DataFrame, keys: tuple[str, ...]) -> int:
    transaction = ctx.transaction(intent, f"forget {part}".strip())
    done = log.find(ctx.path(part), transaction)
    if done is None and rows.isEmpty():
        return 0
    on = " AND ".join(f"t.`{k}` = s.`{k}`" for k in keys)
    commit = done or tables.merge(rows, ctx.path(part), on, "WHEN MATCHED THEN DELETE", transaction)
    return commit.count("numTargetRowsDeleted")


def forgotten(spark: SparkSession, pipeline: Pipeline, known: Iterable[Intent], table: str) -> dict[str, Column]:
    """Column of a table -> true where its row is of somebody who was forgotten; nothing where nobody was.

    Errors: DataError where they could not be known again: under another key, or without the column.
    """
    asked = [i.inputs[FORGET] for i in known if i.stage == f"tables.{table}" and FORGET in i.inputs]
    return _matches(spark, pipeline, table, asked) if asked else {}


def _matches(spark: SparkSession, pipeline: Pipeline, table: str, asked: list[Mapping[str, Any]]) -> dict[str, Column]:
    if any(a["key"] != pii.mark(pii.key()) for a in asked):
        raise DataError(
            f"tables.{table}: people were forgotten under another {pii.VARIABLE}, and without it their rows would "
            f"come back unseen; give that one"
        )
    tokens: dict[str, set[str]] = {}
    for each in asked:
        for column, token in each["tokens"].items():
            tokens.setdefault(column, set()).add(token)
    try:
        how = found_by(pipeline, table, tokens)
    except SpecError as lost:
        raise DataError(f"people were forgotten, and would come back unseen: {lost}") from None
    made = pii.Tokens(spark) if not all(how.values()) else None
    return {column: _is(column, sorted(known), how[column], made) for column, known in tokens.items()}


def _is(column: str, tokens: list[str], held_as_token: bool, made: pii.Tokens | None) -> Column:
    value = F.col(f"`{column}`")
    known = value if held_as_token or made is None else made.of(value.cast("string"))
    return F.coalesce(known.isin(tokens), F.lit(False))
