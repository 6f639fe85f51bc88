"""A challenger in the champion's shadow: it answers the same rows of the same batch, into a table that nobody acts on.

Its table lies beside the scores, `NAME_shadow`: each answer with the clock of its batch, so that it can be laid beside
the champion's. Whatever becomes of a challenger, the champion's answers stand: a failure is told, and recorded.
"""

from typing import Any

from pyspark.sql import DataFrame

from pipelines import tables
from pipelines.run.context import Context
from pipelines.run.scorer import challenger
from pipelines.spec import Score
from pipelines.state import SHADOW, Intent


def shadowed(ctx: Context, score: Score, rows: DataFrame, intent: Intent, champion: int) -> dict[str, Any]:
    """Score feature rows of a batch once more; for the record's detail. Nothing where no other version challenges."""
    if not score.shadow:
        return {}
    try:
        found = challenger(ctx.pipeline, ctx.target, score.model, ctx.loaded)
        if found is None or found[1].number == champion:
            return {}
        scorer, version = found
        ctx.tell(f"and in its shadow by version {version.number}")
        anew = intent.batch == 0 and intent.generation > 0 and ctx.warehouse.version(ctx.stage.id, SHADOW) is not None
        write, transaction = tables.overwrite if anew else tables.append, ctx.transaction(intent, SHADOW)
        commit = write(scorer.score(rows, intent.now), ctx.path(SHADOW), transaction)
    except Exception as error:  # of a model that decides nothing
        said = (str(error).splitlines() or [type(error).__name__])[0][:300]
        ctx.tell(f"its challenger did not score: {said}")
        return {SHADOW: {"error": said}}
    return {SHADOW: {"model_version": version.number, "rows": commit.applied}}
