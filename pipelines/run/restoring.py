"""A table taken back to what a run published, with all that lies beside it; what follows is made again from it.

It begins a new generation: transaction ids start anew, what was taken from the
source after that run is new again, and tables downstream see that they have to
be rebuilt. Nothing is erased: the versions that were undone can be read until
upkeep removes their files.
"""

from typing import Any

from pipelines import crash, log, tables
from pipelines.errors import DataError
from pipelines.run import erasing
from pipelines.run.context import Context
from pipelines.run.order import Restore
from pipelines.run.waiting import publication
from pipelines.spec import Table
from pipelines.state import RESTORE, Intent, Record, parts


def asked(ctx: Context, table: Table, ask: Restore) -> tuple[dict[str, Any], str]:
    """What is taken back to what, for the intent; and by which definition that was made. Errors: SpecError."""
    record = publication(ctx.history, ctx.stage.id, ask.to)
    versions = {"": record.published_version, **record.detail.get("beside", {})}
    for part, version in versions.items():
        if not log.readable(ctx.path(part), version):
            raise DataError(
                f"{ctx.stage.id}: what run {ask.to} published cannot be read any more, for its files were removed "
                f"as somebody was forgotten, or by hand"
            )
    taken = ctx.history.taken(ctx.stage.id, table.source, record) if table.source else ()
    return {"run": record.run_id, "versions": versions, "taken": list(taken)}, record.definition


def restore(ctx: Context, intent: Intent) -> Record:
    """Carry an intent out; a replay finds what was done. Cost: a commit for each part; no row is rewritten."""
    asked = intent.inputs[RESTORE]
    for part in parts(ctx.stage.id):
        if ctx.warehouse.version(ctx.stage.id, part) is not None:
            transaction = ctx.transaction(intent, f"restore {part}")
            tables.restore(ctx.spark, ctx.path(part), asked["versions"].get(part), transaction)
            crash.point("between the parts of a restore", ctx.stage.id)
    erasing.taken_out(ctx, intent)  # those who were forgotten since
    record = publication(ctx.history, ctx.stage.id, asked["run"])
    detail = {**record.detail, "restored": asked["run"], "beside": ctx.beside()}
    version = ctx.warehouse.version(ctx.stage.id)
    return ctx.record(intent, counts=_by_then(ctx, record), detail=detail, published_version=version)


def _by_then(ctx: Context, record: Record) -> dict[str, int]:
    """The sums of a generation up to a record: what sums of the new one begin with."""
    mine = [r for r in ctx.history.records if (r.stage, r.generation) == (record.stage, record.generation)]
    then = [r.counts for r in mine if r.batch <= record.batch and r.status != "failed"]
    return {k: sum(c.get(k, 0) for c in then) for k in record.counts}
