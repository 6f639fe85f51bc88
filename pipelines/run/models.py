"""Train a model: label, split by time, search, judge on the newest slice, verify, register, move the alias."""

from math import isclose
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame

from pipelines import crash, evaluate, tables, tune
from pipelines.errors import DataError, SpecError
from pipelines.models import splits
from pipelines.models.base import Asked, Inputs, predict
from pipelines.models.disguise import disguised
from pipelines.models.splits import Slices
from pipelines.registry import Logged, Registry, Version
from pipelines.run.context import Context
from pipelines.run.judging import Rival, judge
from pipelines.spec import Feature, Model
from pipelines.spec.task import SCORE, TARGET
from pipelines.state import Intent, Record

INTENT = "lakeloom.intent"  # tag of a registered version: the batch that made it
VERIFY_ROWS, LARGEST_DIFFERENCE = 200, 1e-9


def train(ctx: Context) -> Record:
    """One training. Errors: DataError where a gate refuses (the champion stays) or rows do not suffice."""
    model = ctx.pipeline.models[ctx.stage.name]
    feature = ctx.pipeline.features[model.features]
    intent = ctx.history.open_intent(ctx.stage.id)
    if intent is None or ctx.full_refresh:
        intent = _intend(ctx, model, feature)
    registry = Registry(ctx.target)
    done = registry.tagged(_name(ctx), INTENT, ctx.transaction(intent, "model").tag)
    if done:
        return _promote(ctx, intent, registry, registry.detail(done), done)
    labelled = _labelled(ctx, model, feature, intent).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        slices = splits.split(labelled, feature.as_of_time, model.split)
        detail, version = _train(ctx, intent, registry, slices, Inputs.of(labelled, feature.outputs(), model.prepare))
    except (DataError, SpecError) as error:
        raise type(error)(f"{ctx.stage.id}: {error}") from error
    finally:
        labelled.unpersist()
    return _promote(ctx, intent, registry, detail, version)


def _name(ctx: Context) -> str:
    return f"{ctx.pipeline.pipeline}.{ctx.stage.name}"


def _intend(ctx: Context, model: Model, feature: Feature) -> Intent:
    inputs: dict[str, Any] = {}
    for stage in (f"features.{model.features}", f"tables.{feature.spine}"):
        last = ctx.history.last(stage, "ok")
        if last is None:
            raise DataError(f"{ctx.stage.id} reads {stage}, of which no version was published")
        inputs[stage] = {"upto": ctx.published(stage), "definition": last.definition}
    return ctx.intend(inputs, new_generation=ctx.full_refresh)


def _labelled(ctx: Context, model: Model, feature: Feature, intent: Intent) -> DataFrame:
    """Feature rows with their label, null where it is not known by the batch's `now`."""
    rows, spine = (tables.read(ctx.spark, ctx.warehouse.path(s), r["upto"]) for s, r in intent.inputs.items())
    known_at = ctx.pipeline.tables[feature.spine].known_at
    return rows.join(splits.labels(spine, feature.keys, model, known_at, intent.now), list(feature.keys), "left")


def _train(
    ctx: Context, intent: Intent, registry: Registry, slices: Slices, inputs: Inputs
) -> tuple[dict[str, Any], Version]:
    """Search, judge, log, load again and compare, register: in this order."""
    model = ctx.pipeline.models[ctx.stage.name]
    feature = ctx.pipeline.features[model.features]
    task = evaluate.TASKS[model.task].learned(slices.train)
    problem = tune.Problem(task, inputs, model.chosen_by, feature.keys)
    told = disguised(slices.train.withColumn(TARGET, task.target()), inputs, Asked(task.kind, task.width))
    for name, why in told.items():
        ctx.tell(f"{name} tells the label by itself: {why}; is it known in time?")
    trials = tune.search(model.candidates, slices, problem, ctx.tell)
    winner, champion = trials[0], registry.champion(_name(ctx))
    ctx.tell(f"judges {winner.candidate.kind} on {slices.summary['test']['rows']:,} rows that are newer")
    judged = judge(model, feature, slices, winner, Rival(registry, champion, feature) if champion else None)
    detail = {**_said(ctx, slices, trials), **judged, "features": list(inputs.columns), "disguised": told}
    run = _run(ctx, intent, detail)
    logged = registry.log(ctx.pipeline.pipeline, winner.fitted, slices.train.select(*feature.outputs()), run)
    crash.point("after the model is logged", ctx.stage.id)
    _verify(registry, logged, winner, slices.test)
    return detail, registry.register(_name(ctx), logged, _tags(ctx, intent, slices, winner))


def _said(ctx: Context, slices: Slices, trials: tuple[tune.Trial, ...]) -> dict[str, Any]:
    model, winner = ctx.pipeline.models[ctx.stage.name], trials[0]
    return {
        "task": model.task,
        "metric": model.chosen_by,
        "winner": winner.candidate.kind,
        "candidates": [t.as_json() for t in trials],
        "importance": [list(i) for i in winner.importance],
        "left_out": list(winner.left_out),
        "splits": slices.summary,
        "unlabelled": slices.unlabelled,
        "cutoff": slices.cutoff.isoformat(),
        "registered": _name(ctx),
    }


def _run(ctx: Context, intent: Intent, detail: dict[str, Any]) -> dict[str, Any]:
    """What MLflow is told: parameters, test metrics, the tables and versions that were read, the whole detail."""
    chosen = detail["candidates"][0]
    return {
        "name": f"{ctx.stage.name} {intent.generation}.{intent.batch}",
        "params": {"kind": chosen["kind"], **chosen["params"]},
        "metrics": {f"test_{k}": v[0] for k, v in detail["test"].items()},
        "tags": {"lakeloom.run": ctx.run_id, **{f"lakeloom.{s}": str(r["upto"]) for s, r in intent.inputs.items()}},
        "dicts": {"detail": detail},
    }


def _tags(ctx: Context, intent: Intent, slices: Slices, winner: tune.Trial) -> dict[str, str]:
    return {
        INTENT: ctx.transaction(intent, "model").tag,
        "lakeloom.cutoff": slices.cutoff.isoformat(),
        evaluate.TASK: winner.task.kind,
        **winner.task.tags(),
    }


def _verify(registry: Registry, logged: Logged, winner: tune.Trial, rows: DataFrame) -> None:
    """Load what was logged and compare its scores with the fitted model's, on a sample. Errors: DataError."""
    sample = rows.limit(VERIFY_ROWS).cache()
    loaded = registry.load(logged.uri, logged.manifest)
    answers = winner.task.answers(labelled=False)
    scores = (predict(m, sample, answers).select(SCORE).collect() for m in (winner.fitted, loaded))
    pairs = [(a[0], b[0]) for a, b in zip(*scores, strict=True)]
    apart = max((abs(a - b) for a, b in pairs), default=0.0)
    sample.unpersist()
    if any(not isclose(a, b, rel_tol=LARGEST_DIFFERENCE, abs_tol=LARGEST_DIFFERENCE) for a, b in pairs):
        raise DataError(f"the logged model scores {apart:g} apart from the fitted one; it is not registered")


def _promote(ctx: Context, intent: Intent, registry: Registry, detail: dict[str, Any], version: Version) -> Record:
    """Move the alias if every gate passed; else record the refusal and say which gate."""
    counts = {name: part["rows"] for name, part in detail["splits"].items()}
    detail = {**detail, "version": version.number, "run_id": version.run_id}
    closed = [g for g in detail["gates"] if not g["passed"]]
    if closed:
        why = "; ".join(f"{g['gate']}: {g['why']}" for g in closed)
        error = f"{ctx.stage.id}: version {version.number} is not promoted: {why}"
        ctx.record(intent, "refused", counts=counts, detail=detail, error=error)
        raise DataError(error)
    crash.point("before the alias moves", ctx.stage.id)
    registry.promote(version)
    return ctx.record(intent, counts=counts, detail=detail, model_version=version.number)
