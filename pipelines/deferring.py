"""A target that defers to another: what it has not made itself it reads where the other published it.

So a branch works on production's tables without a copy and without a write there. A table or feature table is borrowed
as long as the conf says of it, and of all that it is made of, what the other target's last run did, and nothing of it
was made here; models, scores and monitors are always a target's own.
"""

from collections.abc import Collection
from dataclasses import replace

from pipelines.plan import Stage, definition, stages
from pipelines.spec import Pipeline, Target
from pipelines.state import History, Warehouse

LENT = ("tables", "features")  # kinds


def warehouse_of(pipeline: Pipeline, target: Target, own: Collection[str] = ()) -> Warehouse:
    """The tables of a pipeline as a target sees them; own: stages that are to be made there."""
    warehouse = Warehouse(target.warehouse, pipeline.pipeline)
    if target.defer_to is None:
        return warehouse
    lender = Warehouse(target.defer_to, pipeline.pipeline)
    return replace(warehouse, lender=lender, lent=_lent(pipeline, warehouse, lender, own))


def _lent(pipeline: Pipeline, warehouse: Warehouse, lender: Warehouse, own: Collection[str]) -> frozenset[str]:
    begun = {*own, *(intent.stage for intent in warehouse.intents())}
    theirs, found = History.of(lender), set[str]()
    for stage in stages(pipeline):
        if stage.kind in LENT and stage.id not in begun and found.issuperset(stage.needs):
            found |= {stage.id} if _same(pipeline, stage, theirs) else set()
    return frozenset(found)


def _same(pipeline: Pipeline, stage: Stage, theirs: History) -> bool:
    last = theirs.last(stage.id, "ok")
    return last is not None and last.definition == definition(pipeline, stage)
