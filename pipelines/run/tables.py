"""Refresh a table: read what is new, split clean from refused in one pass, write each once, judge, publish.

A batch goes what is new -> intent -> staged Parquet, one folder a fate (so
far batches.py) -> clean commit -> quarantine commit -> judgement -> run
record. Every commit can be replayed, because the intent fixes what the batch
reads.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines import crash, log, staging, tables
from pipelines.errors import DataError, LakeloomError
from pipelines.log import Commit
from pipelines.plan import definition, same_rows
from pipelines.quality import fused, suites
from pipelines.run import backfilling, batches, differing, remembering, replaying, restoring, validating, views
from pipelines.run.applying import apply
from pipelines.run.context import Context
from pipelines.run.order import FullRefresh, Restore
from pipelines.run.waiting import cut_off
from pipelines.spec import Expectation, Table
from pipelines.state import BACKFILL, RESTORE, Intent, Record

OUT = ("applied", "superseded", "deleted", "quarantined", "dropped")
MOST_REASONS = 1_000  # in a run record; the quarantine has all


def refresh(ctx: Context) -> Record:
    """One batch of one table. Errors: DataError where the batch cannot be read or must not be published."""
    table = ctx.pipeline.tables[ctx.stage.name]
    intent = cut_off(ctx.warehouse, ctx.history, ctx.stage.id)
    restored = intent is not None and RESTORE in intent.inputs
    if intent and not restored and not same_rows(intent.definition, definition(ctx.pipeline, ctx.stage)):
        ctx = replace(ctx, ask=ctx.anew or FullRefresh())  # cut off under another definition: one batch is never of two
    if intent and not restored and not batches.stands(ctx, table, intent):
        ctx.tell("takes the batch anew, for what it was to read has changed; nothing of it was written")
        ctx, intent = ctx.undone(intent), None
    anew = isinstance(ctx.ask, Restore) and intent and RESTORE not in intent.inputs  # what was cut off is undone
    if intent is None or ctx.full_refresh or anew:
        intent = batches.intend(ctx, table)
    if RESTORE in intent.inputs:
        return restoring.restore(ctx, intent)
    if table.source is None:
        return _publish(ctx, table, intent, Made(views.make(ctx, table, intent)))
    record = _publish(ctx, table, intent, _batch(ctx, table, intent))
    batches.forget(ctx)
    return record


@dataclass(frozen=True)
class Made:
    """What a batch made: its commit to the table if it had one, its counts, rows by reason, more for its record."""

    commit: Commit | None
    counts: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)


def _batch(ctx: Context, table: Table, intent: Intent) -> Made:
    """Stage, then commit clean and quarantine."""
    rules = _rules(table)
    staged, came = batches.staged(ctx, table, intent, rules)
    if BACKFILL in intent.inputs:
        return _interval(ctx, table, intent, staged, rules)
    crash.point("before the clean commit", ctx.stage.id)
    done = apply(ctx, table, intent, staged)
    crash.point("between clean and quarantine", ctx.stage.id)
    reasons = _write_quarantine(ctx, intent, staged, rules)
    counts = {
        **came,
        "applied": done.applied,
        "superseded": done.superseded + came["superseded"],
        "deleted": done.deleted,
        "quarantined": staged.of("quarantine"),
        "dropped": staged.of("drop"),
    }
    _conserve(ctx.stage.id, counts)
    if replaying.REPLAY in intent.inputs:
        counts = replaying.as_changes(counts)
    more = {differing.NEWEST: done.snapshot} if table.snapshots else {}
    return Made(done.commit, {**counts, "removed": done.removed} if table.snapshots else counts, reasons, more)


def _interval(
    ctx: Context, table: Table, intent: Intent, staged: staging.Staged, rules: tuple[Expectation, ...]
) -> Made:
    """Replace the rows of an interval, then those of them that are refused."""
    crash.point("before the clean commit", ctx.stage.id)
    done = apply(ctx, table, intent, staged)
    crash.point("between clean and quarantine", ctx.stage.id)
    held, refused, before = backfilling.quarantine(ctx, table, intent, staged)
    rows, path = _quarantined(intent, refused, rules), ctx.path("quarantine")
    if before >= 0:
        tables.overwrite(held.unionByName(rows), path, ctx.transaction(intent, "quarantine"))
    elif not refused.isEmpty():
        tables.append(rows, path, ctx.transaction(intent, "quarantine"))
    more = backfilling.more(ctx, "quarantine", before)
    counts = backfilling.as_changes(table, done.applied, more, done.deleted)
    said = {k: intent.inputs[BACKFILL][k] for k in ("since", "until")}
    return Made(done.commit, counts, dict(_by_reason(_with_reasons(refused, rules)).most_common()), {BACKFILL: said})


def _rules(table: Table) -> tuple[Expectation, ...]:
    """What the pass decides: what orders events is never missing, then the conf's drop and quarantine rules."""
    needed = tuple(
        Expectation.model_validate({"expect_column_values_to_not_be_null": {"column": c}, "on_fail": "quarantine"})
        for c in table.needed
    )
    return (*needed, *fused.fuse(table.expect))


def _write_quarantine(
    ctx: Context, intent: Intent, staged: staging.Staged, rules: tuple[Expectation, ...]
) -> dict[str, int]:
    """Commit the refused rows with their reasons; returns rows by reason, dropped ones included."""
    found: Counter[str] = Counter()
    for fate in ("quarantine", "drop"):
        if staged.of(fate):
            found.update(_by_reason(_with_reasons(staged.read(ctx.spark, fate), rules)))
    path, there = ctx.path("quarantine"), ctx.warehouse.version(ctx.stage.id, "quarantine") is not None
    anew = there and (intent.batch == 0 or replaying.REPLAY in intent.inputs)
    if staged.of("quarantine") or anew:
        rows = _quarantined(intent, staged.read(ctx.spark, "quarantine"), rules)
        (tables.overwrite if anew else tables.append)(rows, path, ctx.transaction(intent, "quarantine"))
    return dict(found.most_common())


def _by_reason(rows: DataFrame) -> Counter[str]:
    grouped = rows.select(F.explode(fused.REASONS).alias("reason")).groupBy("reason").count()
    return Counter(
        {r.reason: r["count"] for r in grouped.orderBy(F.desc("count"), "reason").limit(MOST_REASONS).collect()}
    )


def _quarantined(intent: Intent, rows: DataFrame, rules: tuple[Expectation, ...]) -> DataFrame:
    """Refused rows as their quarantine holds them."""
    marks = {"_arrived_at": F.lit(intent.now), "_batch": F.lit(intent.batch)}
    return _with_reasons(rows, rules).drop(*intent.added).withColumns(marks)


def _with_reasons(rows: DataFrame, rules: tuple[Expectation, ...]) -> DataFrame:
    why = F.coalesce(F.col(fused.WHY), F.lit(fused.MALFORMED))
    return rows.withColumn(fused.REASONS, fused.reasons(rules, why)).drop(fused.FLAWS, fused.WHY)


def _conserve(stage: str, counts: dict[str, int]) -> None:
    """rows in = applied + superseded + deleted + quarantined + dropped, each counted by another witness.

    Errors: LakeloomError, a bug of ours, where they are not equal; nothing is published then.
    """
    out = sum(counts[k] for k in OUT)
    if out != counts["rows_in"]:
        found = ", ".join(f"{counts[k]:,} {k}" for k in OUT)
        raise LakeloomError(f"{stage}: {counts['rows_in']:,} rows came in, and {out:,} are accounted for: {found}")


def _publish(ctx: Context, table: Table, intent: Intent, made: Made) -> Record:
    """Judge the version just written; publish it only if no promise that fails is broken."""
    crash.point("before judging", ctx.stage.id)
    version = made.commit.version if made.commit else ctx.warehouse.version(ctx.stage.id)
    assert version is not None
    rows = log.row_count(ctx.path(), version)
    counts = made.counts or {"rows_in": rows, "applied": rows}
    judged = suites.judge(lambda: tables.read(ctx.spark, ctx.path(), version), rows, table.expect)
    judged += tuple(remembering.over_time(ctx, table, intent, version, counts))
    judged += validating.gate(ctx, version) if table.validated else ()
    rules = _rules(table) if table.source else ()
    remembering.remember(ctx, intent, [*remembering.refused(rules, intent, counts, made.reasons), *judged])
    crash.point("between results and publication", ctx.stage.id)
    broken = suites.failures(judged)
    detail = {"reasons": made.reasons, "expectations": [j.as_json() for j in judged], "rows": rows, "path": ctx.path(),
              "quarantine_path": ctx.path("quarantine"), "beside": ctx.beside(), **made.detail}  # fmt: skip
    if broken:
        error = f"{ctx.stage.id}: version {version} is not published: {broken}"
        ctx.record(intent, "refused", counts=counts, detail=detail, error=error)
        raise DataError(error)
    return ctx.record(intent, counts=counts, detail=detail, published_version=version)
