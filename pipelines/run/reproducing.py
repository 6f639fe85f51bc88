"""A registered version made once more from what it was made of, and compared; nothing is written or registered.

Its tags say which table versions, which clock and which definition it had, its
conf artifact which candidate won. The same rows dealt the same way give the
same model where one task trains it; where several do, sums are taken in the
order in which tasks end.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import SparkSession

from pipelines import evaluate, log, provenance, tune
from pipelines.deep.job import Folder
from pipelines.deferring import warehouse_of
from pipelines.errors import DataError
from pipelines.models.base import Inputs
from pipelines.plan import Stage, definition, same_rows
from pipelines.registry import Registry, Version
from pipelines.run import scratch
from pipelines.run.judging import judge
from pipelines.run.models import labelled, sliced
from pipelines.spark import session
from pipelines.spec import Candidate, Model, Pipeline, Target
from pipelines.state import Intent, Warehouse

Json = dict[str, Any]
SEVERAL_WORKERS, SEVERAL_PARTS = 1e-3, 1e-6  # of a metric; what was seen was far below


def reproduce(pipeline: Pipeline, target: Target, version: Version, stage: Stage, tell: Callable[[str], None]) -> Json:
    """What came of it: each metric as it was and as it is, and whether they agree.

    Errors: DataError where the version does not say what it was made of, or that cannot be read any more.
    """
    registry, warehouse = Registry(target), warehouse_of(pipeline, target)
    model, intent = made_of(pipeline, target, version, stage)
    with session(target, f"reproduce {version.name}") as spark:
        found = _again(spark, warehouse, pipeline, model, (intent, target.extensions, tell))
    return _compared(version, registry.detail(version), found, model.candidates[0], target.extensions)


def made_of(pipeline: Pipeline, target: Target, version: Version, stage: Stage) -> tuple[Model, Intent]:
    """Its conf, the winner its one candidate, and the batch that it was trained in: table versions and a clock.

    Errors: DataError where the version does not say so, or that cannot be read any more.
    """
    conf = Registry(target).kept(version.run_id, "conf")
    if conf is None or "lakeloom.inputs" not in version.tags:
        raise DataError(f"{_at(version)}: it was trained before versions kept what they were made of")
    model, intent = Model.model_validate_json(json.dumps(conf)), _intent(pipeline, stage, version)
    _refuse_other(pipeline, model, version, intent)
    _refuse_gone(warehouse_of(pipeline, target), version, intent)
    return model, intent


def _at(version: Version) -> str:
    return f"{version.name}@{version.number}"


def _intent(pipeline: Pipeline, stage: Stage, version: Version) -> Intent:
    """As it was: of its training nothing else mattered."""
    tags = {k: version.tags[f"lakeloom.{k}"] for k in ("definition", "now", "inputs")}
    now, inputs = datetime.fromisoformat(tags["now"]), json.loads(tags["inputs"])
    return Intent(pipeline.pipeline, stage.id, 0, 0, "", tags["definition"], now, inputs)


def _refuse_other(pipeline: Pipeline, model: Model, version: Version, intent: Intent) -> None:
    """Keys, times and the columns that a label waits for are the conf's: it has to be that of the training."""
    for stage, read in intent.inputs.items():
        kind, _, name = stage.partition(".")
        there = name in getattr(pipeline, kind)
        now = definition(pipeline, Stage(kind, name)) if there else ""  # type: ignore[arg-type]
        if not same_rows(now, read["definition"], refused=False):
            raise DataError(f"{_at(version)}: {stage} was redefined since its training; take the conf of that time")


def _refuse_gone(warehouse: Warehouse, version: Version, intent: Intent) -> None:
    """Removed by a VACUUM of somebody else's, or since a person in them was forgotten."""
    for stage, read in intent.inputs.items():
        if not log.readable(warehouse.path(stage), read["upto"]):
            raise DataError(
                f"{_at(version)}: version {read['upto']} of {stage} cannot be read any more: its files are gone; "
                f"`lakeloom run --full-refresh {intent.stage}` trains anew"
            )


def _again(
    spark: SparkSession,
    warehouse: Warehouse,
    pipeline: Pipeline,
    model: Model,
    made: tuple[Intent, tuple[str, ...], Callable[[str], None]],
) -> Json:
    """Fit the winner again and judge it. Cost: as a training of one candidate."""
    intent, extensions, tell = made
    feature, place = pipeline.features[model.features], f"{scratch.place(warehouse, intent)}-again"
    rows = labelled(spark, warehouse, pipeline, model, intent).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        slices = sliced(rows, model, feature)
        tell(f"fits {model.candidates[0].kind} on {slices.summary['train']['rows']:,} rows")
        task = evaluate.learned(model, feature, slices.train)
        inputs = Inputs.of(rows, feature.outputs(), model.prepare)
        given = {"pair": model.pair, "scratch": place, "extensions": extensions, "observed": model.observed or ""}
        problem = tune.Problem(task, inputs, feature.keys, **given)  # type: ignore[arg-type]  # each of its own type
        done = tune.trial(slices, problem, model.candidates[0])
        return {**judge(model, feature, slices, done, None), "validate": done.metrics, "splits": slices.summary}
    finally:
        rows.unpersist()
        Folder(place).remove()


def _compared(version: Version, was: Json, now: Json, winner: Candidate, extensions: tuple[str, ...]) -> Json:
    """Metrics of both slices, within the tolerance; and the rows that were tested on."""
    allowed = tolerance(winner, int(was["splits"]["train"]["rows"]))
    before = {**_flat("test", was["test"]), **_flat("validate", was["candidates"][0]["validate"])}
    after = {**_flat("test", now["test"]), **_flat("validate", now["validate"])}
    figures = {k: {"was": v, "is": after.get(k), "same": _near(v, after.get(k), allowed)} for k, v in before.items()}
    tags = version.tags
    return {
        "version": _at(version),
        "same": was["tested"] == now["tested"] and all(f["same"] for f in figures.values()),
        "same_rows": was["tested"] == now["tested"],
        "tolerance": allowed,
        "metrics": figures,
        "same_code": tags["lakeloom.code"] == provenance.code(extensions if winner.foreign else ()),
        "same_packages": tags["lakeloom.packages"] == provenance.packages(),
    }


def tolerance(winner: Candidate, rows: int) -> float:
    """How far a metric may lie from what it was: not at all where one task trains, or two, whose sum has one order."""
    if getattr(winner, "workers", 1) > 1:
        return SEVERAL_WORKERS
    return SEVERAL_PARTS if not hasattr(winner, "workers") and rows > 2 * tune.ROWS_A_PART else 0.0


def _flat(slice: str, found: Mapping[str, Any]) -> dict[str, float]:
    return {f"{slice} {m}": v[0] if isinstance(v, list) else v for m, v in found.items()}


def _near(was: float, now: float | None, allowed: float) -> bool:
    return now is not None and abs(was - now) <= allowed * max(1.0, abs(was))
