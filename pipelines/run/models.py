"""Train a model: label, split, search, judge on the test slice, verify, register, move the alias."""

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from math import isclose
from typing import Any

from pyspark import StorageLevel
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession

from pipelines import crash, evaluate, provenance, tables, tune
from pipelines.cost import cost
from pipelines.errors import DataError, SpecError
from pipelines.explain import Asked, explain
from pipelines.metering import reading
from pipelines.models import base, splits
from pipelines.models.ahead import labels
from pipelines.models.base import SEED, Inputs, predict
from pipelines.models.disguise import disguised
from pipelines.models.embargo import embargoed
from pipelines.models.splits import Slices
from pipelines.plan import keyed
from pipelines.registry import CUTOFF, GRAPH_TAG, Logged, Registry, Version
from pipelines.run import certifying, promoting, scratch, training
from pipelines.run.backtesting import backtest
from pipelines.run.context import Context
from pipelines.run.example import NAME, made
from pipelines.run.judging import HELD, Rival, finite, judge
from pipelines.search import Found, search
from pipelines.spec import Feature, Model, Pipeline
from pipelines.spec.task import SCORE, TARGET
from pipelines.state import Intent, Record, Warehouse
from pipelines.trials import Kept

INTENT = "lakeloom.intent"  # tag of a registered version: the batch that made it
PRETRAINED = "lakeloom.pretrained"  # SHA-256 of the weights that a net began with
VERIFY_ROWS, LARGEST_DIFFERENCE = 200, 1e-9


def train(ctx: Context) -> Record:
    """One training, or one move of the alias by hand.

    Errors: DataError where a gate refuses (the champion stays) or rows do not suffice.
    """
    if promoting.asked(ctx):
        moved = promoting.promote(ctx)
        if not ctx.full_refresh:
            return moved
        ctx = replace(ctx)  # with the move in its history
    model = ctx.pipeline.models[ctx.stage.name]
    feature = ctx.pipeline.features[model.features]
    intent = ctx.history.open_intent(ctx.stage.id)
    if intent is None or ctx.full_refresh:
        intent = _intend(ctx, model, feature)
    registry = Registry(ctx.target)
    done = registry.tagged(_name(ctx), INTENT, ctx.transaction(intent, "model").tag)
    if done:
        return _admitted(ctx, intent, registry, registry.detail(done), done)
    rows = labelled(ctx.spark, ctx.warehouse, ctx.pipeline, model, intent).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        inputs = Inputs.of(rows, feature.outputs(), model.prepare)
        slices = sliced(rows, model, feature)
        detail, version = _train(ctx, intent, registry, slices, Material(rows, inputs))
    except (DataError, SpecError) as error:
        raise type(error)(f"{ctx.stage.id}: {error}") from error
    finally:
        rows.unpersist()
    return _admitted(ctx, intent, registry, detail, version)


def _name(ctx: Context) -> str:
    return ctx.target.registered(ctx.pipeline.pipeline, ctx.stage.name)


def _intend(ctx: Context, model: Model, feature: Feature) -> Intent:
    inputs: dict[str, Any] = {}
    for stage in (f"features.{model.features}", f"tables.{feature.spine}"):
        last = ctx.history.last(stage, "ok")
        if last is None:
            raise DataError(f"{ctx.stage.id} reads {stage}, of which no version was published")
        inputs[stage] = {"upto": ctx.published(stage), "definition": last.definition}
    return ctx.intend(inputs, new_generation=ctx.full_refresh)


def labelled(spark: SparkSession, warehouse: Warehouse, pipeline: Pipeline, model: Model, intent: Intent) -> DataFrame:
    """Feature rows with their label, null where it is not known by the batch's `now`, and what is read beside them."""
    feature = pipeline.features[model.features]
    rows, spine = (tables.read(spark, warehouse.path(s), r["upto"]) for s, r in intent.inputs.items())
    known_at = pipeline.tables[feature.spine].known_at
    beside = tuple(dict.fromkeys(column for column in model.beside if column not in rows.columns))
    found = labels(spine, feature, model, known_at, intent.now, beside)
    return rows.join(found, list(feature.keys), "left")


def sliced(rows: DataFrame, model: Model, feature: Feature) -> Slices:
    """Training, validation and test rows; where labels lie ahead, without those that were not known at the cut."""
    slices = splits.split(rows, feature.as_of_time, feature.keys, model.split)
    if model.observed:
        slices = splits.seen(slices, model.observed)
    return embargoed(slices, feature.as_of_time, model.forecasting.horizon) if model.forecasting else slices


@dataclass(frozen=True)
class Material:
    """All rows, labelled or not, and what of them is a feature."""

    rows: DataFrame
    inputs: Inputs


def _train(
    ctx: Context, intent: Intent, registry: Registry, slices: Slices, material: Material
) -> tuple[dict[str, Any], Version]:
    """Search, judge, log, load again and compare, register: in this order."""
    model = ctx.pipeline.models[ctx.stage.name]
    feature = ctx.pipeline.features[model.features]
    task = evaluate.learned(model, feature, slices.train)
    place = scratch.place(ctx.warehouse, intent), ctx.target.extensions, model.observed or ""
    problem = tune.Problem(task, material.inputs, feature.keys, feature.as_of_time, model.pair, *place)
    told = _disguised(ctx, slices, problem)
    found = _searched(ctx, intent, slices, problem)
    detail = {**_said(ctx, slices, found), **_judged(ctx, registry, slices, problem, found.winner)}
    detail |= {"features": list(material.inputs.columns), "disguised": told, "defined": keyed(model)}
    if model.backtest:
        detail["backtest"] = backtest(material.rows, model, feature, problem, found.winner.candidate, ctx.tell)
    return detail, _registered(ctx, intent, registry, slices, found.winner, detail)


def _disguised(ctx: Context, slices: Slices, problem: tune.Problem) -> dict[str, str]:
    """Features that tell the label by themselves, and why it seems so."""
    task, learned = problem.task, slices.train.withColumn(TARGET, problem.task.target())
    told = disguised(learned, problem.inputs, base.Asked(task.kind, task.width), slices.summary["train"]["rows"])
    for name, why in told.items():
        ctx.tell(f"{name} tells the label by itself: {why}; is it known in time?")
    return told


def _searched(ctx: Context, intent: Intent, slices: Slices, problem: tune.Problem) -> Found[tune.Trial]:
    """The winner, and what else was tried."""
    model, rows = ctx.pipeline.models[ctx.stage.name], slices.summary["train"]["rows"]
    kept = Kept.of(ctx.warehouse, intent) if model.searched else None
    found = search(model, rows, partial(tune.trial, slices, problem), kept, ctx.tell, _usd_hour(ctx, model))
    training.remember(ctx, intent, found.winner.told)
    return found


def _judged(
    ctx: Context, registry: Registry, slices: Slices, problem: tune.Problem, winner: tune.Trial
) -> dict[str, Any]:
    """What the test slice says of the winner, beside the champion; and which features it hangs on, where asked."""
    model, rows = ctx.pipeline.models[ctx.stage.name], slices.summary["test"]["rows"]
    feature, champion = ctx.pipeline.features[model.features], registry.champion(_name(ctx))
    ctx.tell(f"judges {winner.candidate.kind} on {rows:,} rows that it has not seen")
    judged = judge(model, feature, slices, winner, Rival(registry, champion, feature) if champion else None)
    if model.explain:
        ctx.tell("asks which features its answers hang on")
        asked = Asked(slices.test, rows, feature.keys, model.chosen_by, model.explain, problem.scratch)
        judged["explained"] = finite(explain(winner, problem.inputs.columns, asked))
    return judged


def _registered(
    ctx: Context, intent: Intent, registry: Registry, slices: Slices, winner: tune.Trial, detail: dict[str, Any]
) -> Version:
    """The winner logged, loaded again and compared, certified, with its evidence beside it; then a version."""
    feature = ctx.pipeline.features[ctx.pipeline.models[ctx.stage.name].features]
    run = _run(ctx, intent, detail, winner)
    experiment, example = ctx.target.registered(ctx.pipeline.pipeline), slices.train.select(*feature.outputs())
    if all(g["passed"] for g in detail["gates"]):
        promoting.expect(ctx)
    logged = registry.log(experiment, winner.fitted, example, run)
    crash.point("after the model is logged", ctx.stage.id)
    loaded = registry.load(logged)
    detail["gates"].append(_verify(loaded, winner, slices.test))
    tags = _tags(ctx, intent, slices, winner)
    certificate = certifying.certify(registry, _asked(ctx, intent, logged, winner, tags), slices.test)
    detail["onnx"] = certificate.as_json()
    if certificate.sha256:
        detail["gates"].append(certificate.as_gate())
        tags[GRAPH_TAG] = certificate.sha256
    else:
        ctx.tell(f"has no ONNX graph: {certificate.why}")
    version = Version(_name(ctx), 0, logged.run_id, tags, intent.now)
    registry.keep(logged.run_id, NAME, _example(loaded, slices, feature, version))
    registry.keep(logged.run_id, "detail", detail)
    return registry.register(_name(ctx), logged, tags)


def _usd_hour(ctx: Context, model: Model) -> float:
    """What the cluster costs, for a search that may spend so much; 0 where none asks.

    Errors: SpecError where nobody can tell.
    """
    if model.search.budget_usd is None:
        return 0.0
    now, prices = reading(ctx.spark), ctx.target.prices
    usd = cost(now.for_an_hour(), prices) if now and prices else Decimal(0)
    if not usd:
        raise SpecError("search.budget_usd asks what an hour costs, and the target does not say; add prices to it")
    return float(usd)


def _said(ctx: Context, slices: Slices, found: Found[tune.Trial]) -> dict[str, Any]:
    model, winner = ctx.pipeline.models[ctx.stage.name], found.winner
    return {
        "task": model.task,
        "metric": model.chosen_by,
        "winner": winner.candidate.kind,
        "candidates": [t.as_json() for t in found.board],
        "importance": [list(i) for i in winner.importance],
        "left_out": list(winner.left_out),
        "blocks": [[block.feature, block.width] for block in winner.blocks],
        **({"training": dict(winner.told)} if winner.told else {}),
        "splits": slices.summary,
        "split": model.split.model_dump(mode="json", include={"by", "column", "seed"}, exclude_none=True),
        "unlabelled": slices.unlabelled,
        "cutoff": slices.cutoff.isoformat(),
        "registered": _name(ctx),
    }


def _run(ctx: Context, intent: Intent, detail: dict[str, Any], winner: tune.Trial) -> dict[str, Any]:
    """What MLflow is told: parameters, test metrics, the tables and versions that were read, every trial."""
    board, model = detail["candidates"], ctx.pipeline.models[ctx.stage.name]
    trials = [
        {"name": f"trial {t['number']}", "params": {"kind": t["kind"], "rows_share": t["rows_share"], **t["params"]},
         "metrics": {f"validate_{k}": v for k, v in t["validate"].items()}} for t in board
    ]  # fmt: skip
    return {
        "name": f"{ctx.stage.name} {intent.generation}.{intent.batch}",
        "params": {"kind": board[0]["kind"], **board[0]["params"]},
        "metrics": {f"test_{k}": v[0] for k, v in detail["test"].items()},
        "tags": {"lakeloom.run": ctx.run_id, **{f"lakeloom.{s}": str(r["upto"]) for s, r in intent.inputs.items()}},
        "dicts": {"conf": model.won_by(winner.candidate)},
        "trials": trials if len(trials) > 1 else [],
    }


def _tags(ctx: Context, intent: Intent, slices: Slices, winner: tune.Trial) -> dict[str, str]:
    """Enough to score by, and to make the same model again."""
    return {
        INTENT: ctx.transaction(intent, "model").tag,
        CUTOFF: slices.cutoff.isoformat(),
        **({HELD: slices.held.text()} if slices.held else {}),
        evaluate.TASK: winner.task.kind,
        **winner.task.tags(),
        "lakeloom.definition": intent.definition,
        "lakeloom.now": intent.now.isoformat(),
        "lakeloom.inputs": json.dumps(intent.inputs),
        "lakeloom.seed": str(SEED),
        "lakeloom.code": provenance.code(ctx.target.extensions if winner.candidate.foreign else ()),
        "lakeloom.packages": provenance.packages(),
        **({PRETRAINED: begun["sha256"]} if (begun := winner.told.get("pretrained")) else {}),
    }


def _example(loaded: PipelineModel, slices: Slices, feature: Feature, version: Version) -> dict[str, Any]:
    """What is asked and answered, by the model as it was logged."""
    rows = slices.test.select(*feature.keys, feature.as_of_time, *feature.outputs())
    return made(rows, loaded, version, feature.keys, feature.as_of_time)


def _asked(ctx: Context, intent: Intent, logged: Logged, winner: tune.Trial, tags: dict[str, str]) -> certifying.Asked:
    feature = ctx.pipeline.features[ctx.pipeline.models[ctx.stage.name].features]
    beside, answers = (*feature.keys, feature.as_of_time), winner.task.answers(labelled=False)
    blocks = winner.blocks, scratch.place(ctx.warehouse, intent)
    return certifying.Asked(logged, winner.fitted, answers, tags, feature.outputs(), beside, *blocks)


def _verify(loaded: PipelineModel, winner: tune.Trial, rows: DataFrame) -> dict[str, Any]:
    """Compare the scores of what was logged with the fitted model's, as a gate. Errors: DataError."""
    sample = rows.limit(VERIFY_ROWS).cache()
    answers = winner.task.answers(labelled=False)
    scores = (predict(m, sample, answers).select(SCORE).collect() for m in (winner.fitted, loaded))
    pairs = [(a[0], b[0]) for a, b in zip(*scores, strict=True)]
    apart = max((abs(a - b) for a, b in pairs), default=0.0)
    sample.unpersist()
    if any(not isclose(a, b, rel_tol=LARGEST_DIFFERENCE, abs_tol=LARGEST_DIFFERENCE) for a, b in pairs):
        raise DataError(f"the logged model scores {apart:g} apart from the fitted one; it is not registered")
    return {"gate": "loaded again it scores the same", "passed": True, "why": f"{len(pairs)} rows, {apart:g} apart"}


def _admitted(ctx: Context, intent: Intent, registry: Registry, detail: dict[str, Any], version: Version) -> Record:
    """With the record the trials of its search are of no more use."""
    try:
        return promoting.admit(ctx, intent, registry, detail, version)
    finally:
        Kept.of(ctx.warehouse, intent).clear()
        scratch.clear(ctx.warehouse, intent)
