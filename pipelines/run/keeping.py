"""Upkeep of all tables of a pipeline, each under the lock of its stage; what is in use is read from the run records."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pipelines import locks
from pipelines.deferring import warehouse_of
from pipelines.plan import stages
from pipelines.spec import Pipeline, Target
from pipelines.state import History, Warehouse, named, parts


def keep(pipeline: Pipeline, target: Target, dry_run: bool) -> Iterator[dict[str, Any]]:
    """One line for each table: what would be done, or what was. Errors: ConflictError while a run is at a table."""
    from pipelines import upkeep
    from pipelines.spark import session

    warehouse, now = warehouse_of(pipeline, target), datetime.now(UTC)
    history = History.of(warehouse)
    with nullcontext() if dry_run else session(target, pipeline.pipeline) as spark:
        for stage, part in _tables(pipeline, warehouse):
            versions = beside(history, stage, part) if part else used(history, stage)
            what = upkeep.todo(warehouse.path(stage, part), versions, now, _key(pipeline, stage))
            line = {"table": named(stage, part), **asdict(what)}
            if spark:
                with locks.held(warehouse.lock(stage), "upkeep"):
                    line |= asdict(upkeep.carry_out(spark, what))
            yield line
    if not dry_run:
        warehouse.compact()


def _tables(pipeline: Pipeline, warehouse: Warehouse) -> list[tuple[str, str]]:
    found = [(s.id, part) for s in stages(pipeline) if s.kind not in ("models", "monitors") for part in parts(s.id)]
    return [(s, part) for s, part in found if s not in warehouse.lent and warehouse.delta(s, part)]


def _key(pipeline: Pipeline, stage: str) -> str:
    """The first key of a table, by which a MERGE looks for rows."""
    kind, name = stage.split(".")
    spec = getattr(pipeline, kind)[name]
    keys = pipeline.features[spec.of].keys if kind == "scores" else spec.keys
    return str(keys[0]) if keys else ""


def used(history: History, stage: str) -> set[int]:
    """Versions of a stage's table that are published, that others go on from, or that a model learned from."""
    published = history.published(stage)
    found = {published} if published is not None else set()
    last = {r.stage: r for r in history.records if r.status == "ok"}
    models = [r for r in history.records if r.stage.startswith("models.") and "version" in r.detail]  # challengers too
    for record in (*last.values(), *models):
        read = record.inputs.get(stage, {}).get("upto")
        found |= {read} if read is not None else set()
    return found


def beside(history: History, stage: str, part: str) -> set[int]:
    """Versions of what lies beside a table, that its publication in use had."""
    last = history.last(stage, "ok")
    version = last.detail.get("beside", {}).get(part) if last else None
    return {version} if version is not None else set()
