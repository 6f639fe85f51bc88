"""Refresh a table: read what is new, split clean from refused in one pass, write each once, judge, publish.

A batch goes census -> intent -> staged Parquet, one folder a fate -> clean
commit -> quarantine commit -> judgement -> run record. Staging reads the
source once and its footers give exact counts for nothing; every commit after
it can be replayed, because the intent fixes what the batch reads.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines import crash, ingest, landing, staging, tables
from pipelines.columns import carry, replace_now
from pipelines.errors import DataError
from pipelines.plan import definition
from pipelines.quality import fused, suites
from pipelines.run.context import Context
from pipelines.run.waiting import fresh_files, side_tables
from pipelines.spec import Expectation, Table
from pipelines.state import Intent, Record
from pipelines.tables import Commit


def refresh(ctx: Context) -> Record:
    """One batch of one table. Errors: DataError where the batch cannot be read or must not be published."""
    table = ctx.pipeline.tables[ctx.stage.name]
    intent = ctx.history.open_intent(ctx.stage.id)
    if intent and intent.definition != definition(ctx.pipeline, ctx.stage):
        ctx = replace(ctx, full_refresh=True)  # cut off under another definition: one batch is never of two
    if intent is None or ctx.full_refresh:
        intent = _intend(ctx, table)
    if table.source is None:
        return _publish(ctx, table, intent, _view(ctx, table, intent), {})
    counts, clean, reasons = _batch(ctx, table, intent)
    record = _publish(ctx, table, intent, clean, counts, reasons)
    staging.remove(_staging(ctx))
    return record


def _intend(ctx: Context, table: Table) -> Intent:
    inputs: dict[str, Any] = {}
    for name in side_tables(ctx.pipeline, table):
        version = ctx.published(f"tables.{name}")
        if version is None:
            raise DataError(f"{ctx.stage.id} reads {name}, of which no version was published")
        inputs[f"tables.{name}"] = {"upto": version}
    if table.source:
        inputs[table.source] = {"files": _files(ctx, table)}
    return ctx.intend(inputs, new_generation=ctx.full_refresh)


def _files(ctx: Context, table: Table) -> list[dict[str, Any]]:
    """The census of the new files; a file whose content was taken before is marked, and will not be read."""
    assert table.source
    source = ctx.pipeline.sources[table.source]
    taken = ctx.history.files(ctx.stage.id, table.source)
    if ctx.full_refresh:
        new, before = landing.arrivals(source, ctx.target.landing), set()
    else:
        new, before = fresh_files(ctx.pipeline, ctx.target, ctx.history, ctx.stage), {f["content"] for f in taken}
    ctx.tell(f"takes {len(new)} file{'' if len(new) == 1 else 's'} of {table.source}")
    found = landing.census(source, new)
    if ctx.full_refresh:
        _refuse_loss(ctx.stage.id, taken, {f.content for f in found})
    elif not table.keys:
        _refuse_changed(taken, found)
    marked = []
    for file in found:
        marked.append({**vars(file), "duplicate": file.content in before})
        before.add(file.content)
    return marked


def _refuse_loss(stage: str, taken: Sequence[Any], held: set[str]) -> None:
    gone = [f["path"] for f in taken if f["content"] not in held and not f["duplicate"]]
    if gone:
        raise DataError(
            f"{stage}: a full refresh would lose the rows of {gone[0]} ({len(gone)} files): it is gone; land it again"
        )


def _refuse_changed(taken: Sequence[Any], found: Sequence[landing.Landed]) -> None:
    before = {f["path"]: f["content"] for f in taken}
    for file in found:
        if before.get(file.path, file.content) != file.content:
            raise DataError(
                f"{file.path}: was changed after it was read, and a table without keys cannot tell which rows "
                f"are new; land it under a new name"
            )


def _batch(ctx: Context, table: Table, intent: Intent) -> tuple[dict[str, int], Commit | None, dict[str, int]]:
    """Stage, then commit clean and quarantine. Returns counts, the clean commit, and rows by reason."""
    assert table.source
    files = intent.inputs[table.source]["files"]
    rules = _rules(table)
    rows_in = sum(f["rows"] for f in files)
    again = sum(f["rows"] for f in files if f["duplicate"])
    ctx.tell(f"reads {rows_in - again:,} rows, checks {len(rules)} rules in the pass that writes")
    flagged = _flagged(ctx, table, intent, [f["path"] for f in files if not f["duplicate"]], rules)
    staged = staging.write(flagged, _staging(ctx), fused.FATE)
    _refuse_multiplied(ctx.stage.id, staged.rows, rows_in - again)
    crash.point("before the clean commit", ctx.stage.id)
    clean, superseded = _write_clean(ctx, table, intent, staged)
    crash.point("between clean and quarantine", ctx.stage.id)
    reasons = _write_quarantine(ctx, intent, staged, rules)
    counts = {
        "rows_in": rows_in,
        "applied": clean.applied if clean else 0,
        "superseded": superseded + again,
        "quarantined": staged.of("quarantine"),
        "dropped": staged.of("drop"),
        "files": len(files),
        "duplicate_files": sum(f["duplicate"] for f in files),
    }
    _conserve(ctx.stage.id, counts)
    return counts, clean, reasons


def _staging(ctx: Context) -> str:
    return f"{ctx.warehouse.root}/{ctx.pipeline.pipeline}/_staging/{ctx.stage.name}"


def _rules(table: Table) -> tuple[Expectation, ...]:
    """What the pass decides: keys are never missing, then the conf's drop and quarantine rules."""
    keys = tuple(
        Expectation.model_validate({"expect_column_values_to_not_be_null": {"column": k}, "on_fail": "quarantine"})
        for k in table.keys
    )
    return (*keys, *fused.fuse(table.expect))


def _flagged(
    ctx: Context, table: Table, intent: Intent, files: Sequence[str], rules: tuple[Expectation, ...]
) -> DataFrame:
    """Every record of the batch, selected, with its fate; `_record` holds a refused row's source."""
    assert table.source
    source = ctx.pipeline.sources[table.source]
    raw = ingest.read(ctx.spark, source, files)
    select = carry(replace_now(table.select, intent.now), table.source, ingest.ROW)
    row = F.col(ingest.ROW)
    selected = _select(ctx.spark, select, {table.source: raw, **_sides(ctx, intent)})
    flagged = fused.flag(selected, rules, malformed=row.text.isNotNull())
    refused = F.when(F.col(fused.FLAWS) != 0, F.coalesce(row.text, F.to_json(row.record)))
    outputs = [F.col(f"`{c}`") for c in selected.columns if c != ingest.ROW]
    return flagged.select(
        *outputs,
        row.hash.alias("_hash"),
        row.file.alias("_file"),
        fused.FLAWS,
        refused.alias("_record"),
        fused.fate(rules),
    )


def _sides(ctx: Context, intent: Intent) -> dict[str, DataFrame]:
    """The side tables at the versions that the intent fixed, their own bookkeeping columns left out."""
    found = {k.removeprefix("tables."): v["upto"] for k, v in intent.inputs.items() if k.startswith("tables.")}
    read = {n: tables.read(ctx.spark, ctx.warehouse.path(f"tables.{n}"), v) for n, v in found.items()}
    return {n: df.select(*[c for c in df.columns if not c.startswith("_")]) for n, df in read.items()}


def _select(spark: SparkSession, select: str, relations: dict[str, DataFrame]) -> DataFrame:
    for name, df in relations.items():
        df.createOrReplaceTempView(name)
    return spark.sql(select)


def _refuse_multiplied(stage: str, staged: int, read: int) -> None:
    if staged != read:
        raise DataError(
            f"{stage}: its select made {staged:,} rows of {read:,}; a LEFT JOIN that finds several rows multiplies them"
        )


def _write_clean(ctx: Context, table: Table, intent: Intent, staged: staging.Staged) -> tuple[Commit | None, int]:
    """(commit, superseded rows). Append where no key can be in the table already, else MERGE."""
    path, transaction = ctx.path(), ctx.transaction(intent, "clean")
    if not staged.of("clean") and intent.batch > 0:
        return None, 0
    rows = staged.read(ctx.spark, "clean").drop(fused.FLAWS, "_record").withColumn("_arrived_at", F.lit(intent.now))
    if not table.keys:
        return tables.append(rows, path, transaction), 0
    rows, repeated = _newest(rows, table, staged)
    if intent.batch == 0:
        write = tables.overwrite if intent.generation else tables.append
        return write(rows, path, transaction), repeated
    low, high = staged.bounds("clean", table.keys[0])
    if low is not None and tables.beyond(path, table.keys[0], low):
        return tables.append(rows, path, transaction), repeated
    done = tables.merge(rows, path, _matches(table, low, high), _newer(table), transaction)
    merged = max(done.count("numSourceRows"), done.applied)  # a replay may find its batch appended
    return done, repeated + merged - done.applied


def _newest(rows: DataFrame, table: Table, staged: staging.Staged) -> tuple[DataFrame, int]:
    """At most one row a key, the greatest by sequence and content; and how many gave way. Reads the keys once."""
    count = staged.of("clean")
    distinct = staged.distinct("clean", table.keys)
    if distinct is None:
        distinct = rows.select(*table.keys).distinct().count()
    if distinct == count:
        return rows, 0
    order = [F.col(c) for c in (table.sequence_by, "_hash") if c]
    best = F.max(F.struct(*order, F.struct(*rows.columns).alias("_all"))).alias("_best")
    return rows.groupBy(*table.keys).agg(best).select("_best._all.*"), count - distinct


def _matches(table: Table, low: object, high: object) -> str:
    on = [f"t.`{k}` = s.`{k}`" for k in table.keys]
    first = f"t.`{table.keys[0]}`"
    bounds = [f"{first} >= {_literal(low)} AND {first} <= {_literal(high)}"] if low is not None else []
    return " AND ".join(on + bounds)


def _literal(value: object) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"


def _newer(table: Table) -> str:
    """A row replaces one of the same key if its sequence is greater, or equal and its content hash greater."""
    if not table.sequence_by:
        return "s._hash > t._hash"
    new, old = f"s.`{table.sequence_by}`", f"t.`{table.sequence_by}`"
    return f"({new} > {old} OR ({new} <=> {old} AND s._hash > t._hash) OR ({old} IS NULL AND {new} IS NOT NULL))"


def _write_quarantine(
    ctx: Context, intent: Intent, staged: staging.Staged, rules: tuple[Expectation, ...]
) -> dict[str, int]:
    """Commit the refused rows with their reasons; returns rows by reason, dropped ones included."""
    found: Counter[str] = Counter()
    for fate in ("quarantine", "drop"):
        if staged.of(fate):
            rows = staged.read(ctx.spark, fate).withColumn("_reasons", fused.reasons(rules))
            grouped = rows.select(F.explode("_reasons").alias("reason")).groupBy("reason").count().collect()
            found.update({r.reason: r["count"] for r in grouped})
    path, anew = (
        ctx.path("quarantine"),
        intent.batch == 0 and ctx.warehouse.version(ctx.stage.id, "quarantine") is not None,
    )
    if staged.of("quarantine") or anew:
        rows = staged.read(ctx.spark, "quarantine").withColumn("_reasons", fused.reasons(rules)).drop(fused.FLAWS)
        marked = rows.withColumns({"_arrived_at": F.lit(intent.now), "_batch": F.lit(intent.batch)})
        (tables.overwrite if anew else tables.append)(marked, path, ctx.transaction(intent, "quarantine"))
    return dict(found.most_common())


def _conserve(stage: str, counts: dict[str, int]) -> None:
    """rows in = applied + superseded + quarantined + dropped, each counted by another witness."""
    out = sum(counts[k] for k in ("applied", "superseded", "quarantined", "dropped"))
    assert out == counts["rows_in"], f"{stage}: {counts['rows_in']} rows in, {out} out: {counts}"


def _view(ctx: Context, table: Table, intent: Intent) -> Commit:
    rows = _select(ctx.spark, replace_now(table.select, intent.now), _sides(ctx, intent))
    return tables.overwrite(rows, ctx.path(), ctx.transaction(intent, "view"))


def _publish(
    ctx: Context,
    table: Table,
    intent: Intent,
    commit: Commit | None,
    counts: dict[str, int],
    reasons: dict[str, int] | None = None,
) -> Record:
    """Judge the version just written; publish it only if no promise that fails is broken."""
    version = commit.version if commit else ctx.warehouse.version(ctx.stage.id)
    assert version is not None
    rows = tables.row_count(ctx.path(), version)
    judged = suites.judge(lambda: tables.read(ctx.spark, ctx.path(), version), rows, table.expect)
    broken = suites.failures(judged)
    detail = {"reasons": reasons or {}, "expectations": [j.as_json() for j in judged], "rows": rows, "path": ctx.path(),
              "quarantine_path": ctx.path("quarantine")}  # fmt: skip
    counts = counts or {"rows_in": rows, "applied": rows}
    if broken:
        error = f"{ctx.stage.id}: version {version} is not published: {broken}"
        ctx.record(intent, "refused", counts=counts, detail=detail, error=error)
        raise DataError(error)
    return ctx.record(intent, counts=counts, detail=detail, published_version=version)
