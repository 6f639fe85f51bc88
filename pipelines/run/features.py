"""Refresh a feature table: features of the spine rows that are new, from tables cut to the look-back."""

from datetime import datetime
from functools import reduce
from operator import or_

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines import crash, features, log, tables
from pipelines.errors import DataError
from pipelines.log import Commit
from pipelines.plan import definition
from pipelines.run.context import Context
from pipelines.spec import Feature, Table
from pipelines.state import Intent, Record


def refresh(ctx: Context) -> Record:
    """One batch: the spine rows published since the last refresh; all of them where the definition changed."""
    feature = ctx.pipeline.features[ctx.stage.name]
    intent = ctx.history.open_intent(ctx.stage.id)
    if intent is None or ctx.full_refresh:
        intent = _intend(ctx, feature)
    spine = intent.inputs[f"tables.{feature.spine}"]
    new = tables.changes(ctx.spark, ctx.warehouse.path(f"tables.{feature.spine}"), spine["after"], spine["upto"])
    ctx.tell(
        f"reads {feature.spine} after version {spine['after']}"
        if spine["after"] >= 0
        else f"reads all of {feature.spine}"
    )
    rows = features.build(feature, new, _events(ctx, feature, intent, new), ctx.pipeline.tables)
    crash.point("before the clean commit", ctx.stage.id)
    commit = _write(ctx, feature, intent, rows)
    counts = {"rows_in": _changed(ctx, feature, spine), "applied": commit.applied}
    detail = {
        "columns": list(feature.outputs()),
        "path": ctx.path(),
        "rows": log.row_count(ctx.path(), commit.version),
    }
    return ctx.record(intent, counts=counts, detail=detail, published_version=commit.version)


def _intend(ctx: Context, feature: Feature) -> Intent:
    last = ctx.history.last(ctx.stage.id, "ok")
    whole = ctx.full_refresh or last is None or last.definition != definition(ctx.pipeline, ctx.stage)
    inputs = {}
    for name in feature.tables():
        upto = ctx.published(f"tables.{name}")
        if upto is None:
            raise DataError(f"{ctx.stage.id} reads {name}, of which no version was published")
        generation = ctx.history.generation(f"tables.{name}")
        inputs[f"tables.{name}"] = {"upto": upto, "generation": generation}
    spine = inputs[f"tables.{feature.spine}"]
    before = last.inputs[f"tables.{feature.spine}"] if last and not whole else None
    whole = before is None or before["generation"] != spine["generation"]
    spine["after"] = -1 if whole or before is None else before["upto"]
    return ctx.intend(inputs, new_generation=whole)


def _events(ctx: Context, feature: Feature, intent: Intent, new: DataFrame) -> dict[str, DataFrame]:
    """Every table at its fixed version, cut to what the new spine rows can see."""
    read = {
        name: tables.read(ctx.spark, ctx.warehouse.path(f"tables.{name}"), intent.inputs[f"tables.{name}"]["upto"])
        for name in feature.tables()
    }
    if intent.inputs[f"tables.{feature.spine}"]["after"] < 0:
        return read
    first, last = new.agg(F.min(feature.as_of_time), F.max(feature.as_of_time)).first()  # type: ignore[misc]
    if first is None:
        return read
    return {n: _cut(df, ctx.pipeline.tables[n], first - features.look_back(feature), last) for n, df in read.items()}


def _cut(df: DataFrame, table: Table, since: datetime, until: datetime) -> DataFrame:
    """Rows of which some column became known in [since, until]."""
    known = [c for c in dict.fromkeys((table.event_time, *table.known_at.values())) if c]
    return df.where(reduce(or_, [F.col(c).between(since, until) for c in known]))


def _write(ctx: Context, feature: Feature, intent: Intent, rows: DataFrame) -> Commit:
    spine, transaction = intent.inputs[f"tables.{feature.spine}"], ctx.transaction(intent, "features")
    if intent.batch == 0:
        write = tables.overwrite if intent.generation else tables.append
        return write(rows, ctx.path(), transaction)
    if log.inserts_only(ctx.warehouse.path(f"tables.{feature.spine}"), spine["after"], spine["upto"]):
        return tables.append(rows, ctx.path(), transaction)
    on = " AND ".join(f"t.`{k}` = s.`{k}`" for k in feature.keys)
    return tables.merge(rows, ctx.path(), on, tables.UPSERT, transaction)


def _changed(ctx: Context, feature: Feature, spine: dict[str, int]) -> int:
    """Spine rows that the batch reads, as the log counts them."""
    path = ctx.warehouse.path(f"tables.{feature.spine}")
    return (
        log.row_count(path, spine["upto"]) if spine["after"] < 0 else log.applied(path, spine["after"], spine["upto"])
    )
