"""What a refresh found of every promise of its table: those over time judged here, all written to `_quality`."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from pyspark.sql import functions as F

from pipelines import tables
from pipelines.quality import overtime
from pipelines.quality.judgement import Judgement, of_rows
from pipelines.run import replaying
from pipelines.run.context import Context
from pipelines.spec import Expectation, Table
from pipelines.state import Intent, moment
from pipelines.told import Quality

ARRIVAL = "_arrived_at"


def over_time(
    ctx: Context, table: Table, intent: Intent, version: int, counts: Mapping[str, int]
) -> Iterator[Judgement]:
    """Freshness by the log's statistics, or one aggregate where they do not tell; volume by the run records."""
    if table.freshness:
        yield overtime.fresh(table.freshness, _newest(ctx, version, table.event_time or ARRIVAL), intent.now)
    if table.volume:
        mine = [r for r in ctx.history.records if (r.stage, r.generation) == (intent.stage, intent.generation)]
        before = [r for r in mine if r.batch < intent.batch and r.status != "failed"]
        yield overtime.enough(table.volume, counts, before, whole=table.source is None)


def _newest(ctx: Context, version: int, column: str) -> datetime | None:
    found = ctx.warehouse.newest(ctx.stage.id, version, column)
    if found is None:
        newest = F.date_format(F.max(F.col(column).try_cast("timestamp")), "yyyy-MM-dd'T'HH:mm:ss")
        (row,) = tables.read(ctx.spark, ctx.path(), version).agg(newest.alias("newest")).collect()
        found = moment(datetime.fromisoformat(row.newest)) if row.newest else None
    return found


def remember(ctx: Context, intent: Intent, found: Sequence[Judgement]) -> None:
    """Write a row of `_quality` for each; a replay of the batch takes its own place. Errors: ConflictError."""
    ctx.lock.confirm()
    ctx.warehouse.remember([_row(ctx, intent, judged) for judged in found])


def _row(ctx: Context, intent: Intent, judged: Judgement) -> Quality:
    return Quality(
        pipeline=intent.pipeline,
        stage=intent.stage,
        run_id=ctx.run_id,
        generation=intent.generation,
        batch=intent.batch,
        at=intent.now,
        expectation=judged.name,
        label=judged.label,
        on_fail=judged.on_fail,
        severity=judged.severity,
        tier=judged.tier,
        success=judged.success,
        element_count=judged.element_count,
        unexpected_count=judged.unexpected_count,
        unexpected_percent=judged.unexpected_percent,
        observed=judged.observed,
    )


def refused(
    rules: Sequence[Expectation], intent: Intent, counts: Mapping[str, int], reasons: Mapping[str, int]
) -> Iterator[Judgement]:
    """What each rule of the writing pass refused of the batch; two rules that say the same are one."""
    rows = intent.inputs.get(replaying.REPLAY, {}).get("rows", counts["rows_in"])
    for label, rule in {r.label: r for r in rules}.items():
        yield of_rows(rule, rows, rows, reasons.get(label, 0))
