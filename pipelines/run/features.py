"""Refresh a feature table: the spine rows that changed, and those that late rows reach, from what these can see.

Under `clock: event` a feature table is what one batch over all events would
make, however they arrived: rows that a late event enters, or had entered, are
made again and merged. Under `clock: arrival` what was made stays as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from operator import or_
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines import crash, features, log, tables
from pipelines.errors import DataError
from pipelines.features.cut import Span
from pipelines.log import Commit
from pipelines.run import lateness
from pipelines.run.context import Context
from pipelines.spec import Feature
from pipelines.state import Intent, Record

LATE, GONE = "_late", "_gone"
UNORDERED = ("map", "variant")  # types of which Spark compares no values


@dataclass(frozen=True)
class Batch:
    """Spine rows whose features are to be made; their days as spans, or None where they are all rows."""

    rows: DataFrame
    spans: list[Span] | None
    new: int
    late: int


def refresh(ctx: Context) -> Record:
    """One batch: the spine rows published since the last refresh, late ones; all where the definition changed."""
    feature = ctx.pipeline.features[ctx.stage.name]
    intent = ctx.history.open_intent(ctx.stage.id)
    if intent is None or ctx.full_refresh:
        intent = _intend(ctx, feature)
    ctx.tell(_said(feature, intent))
    with _taken(ctx, feature, intent) as batch:
        crash.point("before the clean commit", ctx.stage.id)
        commit = _write(ctx, feature, intent, batch)
    version = commit.version if commit else ctx.published(ctx.stage.id)
    assert version is not None
    counts = {"rows_in": batch.new + batch.late, "applied": commit.applied if commit else 0, "late": batch.late}
    detail = {"columns": list(feature.outputs()), "path": ctx.path(), "rows": log.row_count(ctx.path(), version)}
    return ctx.record(intent, counts=counts, detail=detail, published_version=version)


def _intend(ctx: Context, feature: Feature) -> Intent:
    """What is read: each table up to which version, after which its changes count, and whether some may be late."""
    inputs: dict[str, Any] = {}
    for name in feature.tables():
        upto = ctx.published(f"tables.{name}")
        if upto is None:
            raise DataError(f"{ctx.stage.id} reads {name}, of which no version was published")
        inputs[f"tables.{name}"] = {"upto": upto, "generation": ctx.history.generation(f"tables.{name}")}
    last, whole = ctx.history.last(ctx.stage.id, "ok"), ctx.full_refresh
    late = lateness.late(ctx.pipeline, ctx.warehouse, ctx.history, ctx.stage)
    if whole or last is None or lateness.anew(ctx.pipeline, ctx.history, ctx.stage):
        return _whole(ctx, inputs)
    if any(_retyped(ctx, feature, t, (last.inputs, inputs)) for t in late):
        return _whole(ctx, inputs)
    for stage, read in inputs.items():
        read["after"], name = last.inputs[stage]["upto"], stage.removeprefix("tables.")
        if name in late:  # a view is written whole, and so is a table that was made anew: versions are compared
            same = last.inputs[stage]["generation"] == read["generation"]
            read |= {"late": late[name], "feed": same and ctx.pipeline.tables[name].source is not None}
    return ctx.intend(inputs, new_generation=False)


def _whole(ctx: Context, inputs: dict[str, Any]) -> Intent:
    return ctx.intend({stage: {**read, "after": -1} for stage, read in inputs.items()}, new_generation=True)


def _retyped(ctx: Context, feature: Feature, table: str, inputs: tuple[dict[str, Any], dict[str, Any]]) -> bool:
    """Whether a joined table's columns are of another type than before, so that its versions cannot be compared."""
    stage, columns = f"tables.{table}", features.read_of(feature, table, ctx.pipeline.tables)
    kinds = [log.types(ctx.warehouse.path(stage), read[stage]["upto"]) for read in inputs]
    return any(kinds[0].get(c) != kinds[1].get(c) for c in columns)


def _said(feature: Feature, intent: Intent) -> str:
    spine = intent.inputs[f"tables.{feature.spine}"]
    if spine["after"] < 0:
        return f"reads all of {feature.spine}"
    late = {k.removeprefix("tables."): v["late"] for k, v in intent.inputs.items() if v.get("late")}
    return "; ".join([f"reads {feature.spine} after version {spine['after']}", *filter(None, [lateness.words(late)])])


@contextmanager
def _taken(ctx: Context, feature: Feature, intent: Intent) -> Iterator[Batch]:
    """The batch of an intent; late rows are looked for once, and held until they are written."""
    spine, path = intent.inputs[f"tables.{feature.spine}"], ctx.warehouse.path(f"tables.{feature.spine}")
    new = tables.changes(ctx.spark, path, spine["after"], spine["upto"], feature.keys)
    if spine["after"] < 0:
        yield Batch(new, None, log.row_count(path, spine["upto"]), 0)
        return
    late = _late(ctx, feature, intent)
    marked = new.withColumn(LATE, F.lit(False))
    if late is not None:
        others = late.join(new.select(*feature.keys), list(feature.keys), "left_anti")
        marked = marked.unionByName(others.withColumn(LATE, F.lit(True))).persist()
    try:
        days = _days(feature, marked)
        new_rows, late_rows = (sum(n for _, came_late, n in days if came_late is flag) for flag in (False, True))
        yield Batch(marked.drop(LATE), features.spans(d for d, _, _ in days if d), new_rows, late_rows)
    finally:
        if late is not None:
            marked.unpersist()


def _days(feature: Feature, rows: DataFrame) -> list[tuple[date | None, bool, int]]:
    day = F.to_date(feature.as_of_time).alias("day")
    return [(r.day, r[LATE], r["count"]) for r in rows.groupBy(day, LATE).count().collect()]


def _late(ctx: Context, feature: Feature, intent: Intent) -> DataFrame | None:
    """The spine's rows that late rows reach; None where none can."""
    specs, spine = ctx.pipeline.tables, f"tables.{feature.spine}"
    newest = lateness.horizon(feature, ctx.warehouse, ctx.history, ctx.stage)
    late = [name for name in feature.joined() if intent.inputs[f"tables.{name}"].get("late")]
    changed = {name: _changed(ctx, feature, intent, name, newest) for name in late}
    bounds = features.frontier(feature, changed, specs) if changed else None
    if bounds is None:
        return None
    rows = tables.read(ctx.spark, ctx.warehouse.path(spine), intent.inputs[spine]["upto"], in_part=True)
    published = rows if newest is None else rows.where(F.col(feature.as_of_time) <= F.lit(newest))
    return features.touched(feature, published, changed, specs, bounds)


def _changed(ctx: Context, feature: Feature, intent: Intent, name: str, newest: datetime | None) -> DataFrame:
    """A joined table's rows as they were and as they are, of those that changed and count before the newest feature."""
    read, table = intent.inputs[f"tables.{name}"], ctx.pipeline.tables[name]
    between = ctx.spark, ctx.warehouse.path(f"tables.{name}"), read["after"], read["upto"]
    columns = features.read_of(feature, name, ctx.pipeline.tables)
    rows = tables.altered(*between) if read["feed"] else tables.unlike(*between, columns)
    if newest is None:
        return rows
    return rows.where(reduce(or_, [F.col(k) < F.lit(newest) for k in lateness.moments(feature, name, table)]))


def _made(ctx: Context, feature: Feature, intent: Intent, batch: Batch) -> DataFrame:
    """Features of the batch, from every table at its fixed version, cut to what the batch can see."""
    specs, read = ctx.pipeline.tables, {}
    for name in feature.joined():
        path, upto = ctx.warehouse.path(f"tables.{name}"), intent.inputs[f"tables.{name}"]["upto"]
        read[name] = tables.read(ctx.spark, path, upto, in_part=batch.spans is not None)
        if batch.spans is not None:
            read[name] = read[name].where(features.within_reach(feature, name, specs, batch.spans))
    return features.build(feature, batch.rows, read, specs)


def _write(ctx: Context, feature: Feature, intent: Intent, batch: Batch) -> Commit | None:
    """Append where no row can be there already, else MERGE; None where there is nothing to write."""
    spine, transaction = intent.inputs[f"tables.{feature.spine}"], ctx.transaction(intent, "features")
    rows, path = _made(ctx, feature, intent, batch), ctx.path()
    if intent.batch == 0:
        return (tables.overwrite if intent.generation else tables.append)(rows, path, transaction)
    fresh = log.inserts_only(ctx.warehouse.path(f"tables.{feature.spine}"), spine["after"], spine["upto"])
    if fresh and not batch.late:
        return tables.append(rows, path, transaction) if batch.new else None
    on = [f"t.`{k}` = s.`{k}`" for k in feature.keys]
    if fresh and batch.spans:  # no row that was there before has moved in time
        (first, _), (_, last), moment = batch.spans[0], batch.spans[-1], f"t.`{feature.as_of_time}`"
        on.append(f"{moment} = s.`{feature.as_of_time}`")
        on.append(f"{moment} >= TIMESTAMP '{first}' AND {moment} < TIMESTAMP '{last}'")
    source = _with_gone(ctx, feature, intent, rows)
    return tables.merge(source, path, " AND ".join(on), _when(feature, rows), transaction)


def _with_gone(ctx: Context, feature: Feature, intent: Intent, rows: DataFrame) -> DataFrame:
    """With the keys of spine rows that were deleted, marked."""
    marked, spine = rows.withColumn(GONE, F.lit(False)), intent.inputs[f"tables.{feature.spine}"]
    path = ctx.warehouse.path(f"tables.{feature.spine}")
    if log.inserts_only(path, spine["after"], spine["upto"]):
        return marked
    gone = tables.gone(ctx.spark, path, spine["after"], spine["upto"], feature.keys).withColumn(GONE, F.lit(True))
    return marked.unionByName(gone, allowMissingColumns=True)


def _when(feature: Feature, rows: DataFrame) -> str:
    """What a MERGE does; a row that was made again and is the same is left, so that nothing follows from it."""
    if feature.clock == "arrival":
        return f"WHEN NOT MATCHED AND NOT s.{GONE} THEN INSERT *"
    kinds = {f.name: f.dataType.simpleString() for f in rows.schema}
    same = [f"t.`{c}` <=> s.`{c}`" for c in (feature.as_of_time, *feature.outputs())]
    differs = "" if any(u in k for u in UNORDERED for k in kinds.values()) else f" AND NOT ({' AND '.join(same)})"
    return (
        f"WHEN MATCHED AND s.{GONE} THEN DELETE WHEN MATCHED{differs} THEN UPDATE SET * "
        f"WHEN NOT MATCHED AND NOT s.{GONE} THEN INSERT *"
    )
