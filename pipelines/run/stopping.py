"""Files that cannot be taken stand in the run records, though no batch was begun of them; `show` lists them."""

import time
from itertools import islice

from pipelines.errors import FilesError
from pipelines.plan import definition
from pipelines.run.context import Context
from pipelines.state import FILES, Record

MOST_FILES = 1_000  # in a run record
UNSAID = "cannot be taken; what the run said of it may hold a person's data, and is not kept"


def stopped(ctx: Context, error: FilesError) -> None:
    """Record the attempt as failed, with each file and its reason; nothing, if the newest record says just that.

    It bears the number of the batch to come, and does not close it.
    """
    files = _kept(ctx, error)
    last, begun = ctx.history.last(ctx.stage.id), ctx.history.open_intent(ctx.stage.id)
    if last and last.status == "failed" and last.detail.get(FILES) == files:
        return
    ctx.lock.confirm()
    row = Record(
        pipeline=ctx.pipeline.pipeline,
        stage=ctx.stage.id,
        generation=ctx.history.generation(ctx.stage.id),
        batch=begun.batch if begun else ctx.history.next_batch(ctx.stage.id),
        run_id=ctx.run_id,
        definition=definition(ctx.pipeline, ctx.stage),
        status="failed",
        started_at=ctx.started_at,
        seconds=round(time.monotonic() - ctx.begun, 3),
        why=ctx.why,
        detail={FILES: files},
        error=str(FilesError(files))[:500],
    )
    ctx.warehouse.write(row)


def _kept(ctx: Context, error: FilesError) -> dict[str, str]:
    """What may be written down: a reason can cite a line."""
    source = ctx.pipeline.sources[str(ctx.pipeline.tables[ctx.stage.name].source)]
    return {path: UNSAID if source.pii else why for path, why in islice(error.files.items(), MOST_FILES)}
