"""After an attempt of a stage: its run record as OpenLineage events, where the target asks for them."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines import log
from pipelines.deferring import warehouse_of
from pipelines.lineage import Parent, Told, events, send
from pipelines.plan import Stage
from pipelines.spec import Pipeline, Target
from pipelines.state import Record, Warehouse

PRIMITIVE = re.compile(r'^PrimitiveType\("(.*)"\)$')  # as delta-rs writes it
ABOVE = ("OPENLINEAGE_PARENT_ID", "OPENLINEAGE_ROOT_PARENT_ID")  # namespace/job/run: who started this process, and it


@contextmanager
def traced(pipeline: Pipeline, target: Target, at: tuple[Stage, str], tell: Callable[[str], None]) -> Iterator[None]:
    """What is recorded of (stage, run) within is sent as it ends, however it ends; what cannot be sent is told.

    Cost: where the target asks for lineage, two small reads of the warehouse; else nothing.
    """
    try:
        yield
    finally:
        if target.lineage:
            try:
                said = _sent(pipeline, target, *at)
            except Exception as found:  # an event is worth less than the run that it tells of
                said = f"lineage was not sent: {type(found).__name__}: {found}"
            if said:
                tell(said)


def _sent(pipeline: Pipeline, target: Target, stage: Stage, run_id: str) -> str:
    warehouse = warehouse_of(pipeline, target)
    mine = [r for r in warehouse.records() if (r.stage, r.run_id) == (stage.id, run_id)]
    if not mine:
        return ""
    quality = [q for q in warehouse.quality() if (q.stage, q.run_id) == (stage.id, run_id)]
    told = Told(mine[-1], quality, _types(warehouse, mine[-1]), warehouse.lent)
    return send(target, events(pipeline, target, told, Parent.of(*(os.environ.get(name, "") for name in ABOVE))))


def _types(warehouse: Warehouse, record: Record) -> dict[str, str] | None:
    """Of the columns that readers see."""
    if record.published_version is None:
        return None
    found = log.types(warehouse.path(record.stage), record.published_version)
    return {name: PRIMITIVE.sub(r"\1", kind) for name, kind in found.items() if not name.startswith("_")}
