"""Publish scores: in batch, or as a stream of what the feature table gains. Both call the one scoring function.

A stream is the same batches, begun where the model went live, and each row is kept as it was first answered. What
makes it live is the loop that asks for them (streaming.py).

A champion that was trained in the run in which rows arrive may have learned from them: those are answered by the
version before it.
"""

from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines import crash, evaluate, log, sinks, tables
from pipelines.errors import DataError, SpecError
from pipelines.evaluate import TASK
from pipelines.log import Commit
from pipelines.models import ahead
from pipelines.registry import CUTOFF, Version
from pipelines.run.context import Context
from pipelines.run.scorer import champion, registered
from pipelines.run.shadowing import shadowed
from pipelines.score import Scorer
from pipelines.spec import Score
from pipelines.spec.task import SCORE
from pipelines.state import Intent, Record

NEVER = "1900-01-01T00:00:00+00:00"


def publish(ctx: Context) -> Record:
    """Score what is new. Errors: DataError where there is no champion."""
    score = ctx.pipeline.scores[ctx.stage.name]
    for sink in score.sinks:
        sinks.brokers(ctx.target, ctx.stage.id, sink)  # refused before anything is written
    scorer, version = champion(ctx.pipeline, ctx.target, score.model, ctx.loaded)
    intent = ctx.history.open_intent(ctx.stage.id)
    if intent is None or ctx.full_refresh:
        intent = _intend(ctx, score, version)
    return (_batch if score.mode == "batch" else _stream)(ctx, score, scorer, intent)


def _intend(ctx: Context, score: Score, version: Version) -> Intent:
    """A batch begins with every row after the model's cutoff, a stream with the first row after it went live.

    A feature table made anew holds rows that were scored already: the stream begins again behind it. Of the scores
    those are kept whose rows are still there.
    """
    features = f"features.{score.of}"
    last, upto, made = ctx.history.last(ctx.stage.id, "ok"), ctx.published(features), ctx.history.generation(features)
    for needed in (features, f"tables.{ctx.pipeline.features[score.of].spine}"):
        if ctx.published(needed) is None:
            raise DataError(f"{ctx.stage.id} reads {needed}, of which no version was published")
    rebuilt = last is not None and last.inputs[features].get("generation", made) != made
    anew = ctx.full_refresh or rebuilt
    last = None if anew else last
    begin = -1 if score.mode == "batch" else upto
    after = last.inputs[features]["upto"] if last else begin
    former = _former(score, last, version)
    since = version.tags[CUTOFF] if score.mode == "batch" or former else NEVER
    before = ctx.warehouse.version(ctx.stage.id)
    keeps = rebuilt and not ctx.full_refresh and before is not None
    read = {"after": after, "upto": upto, "since": since, "before": -1 if before is None else before, **former}
    return ctx.intend({features: {**read, "generation": made, "keeps": keeps}}, new_generation=anew)


def _former(score: Score, last: Record | None, version: Version) -> dict[str, Any]:
    """The version that answered last, and from when on, where it is another and of the same task."""
    if last is None or last.detail["model_version"] == version.number or last.detail["task"] != version.tags.get(TASK):
        return {}
    since = last.inputs[f"features.{score.of}"]["since"] if score.mode == "batch" else NEVER
    return {"former": {"version": last.detail["model_version"], "since": since}}


def _answered(ctx: Context, score: Score, scorer: Scorer, rows: DataFrame, intent: Intent) -> DataFrame:
    """Rows from the champion's cutoff on by it; those before by the version that answered until now."""
    read, at = intent.inputs[f"features.{score.of}"], F.col(scorer.as_of_time)
    since = F.lit(read["since"]).cast("timestamp")
    try:
        found = scorer.score(rows.where(at >= since), intent.now, score.explain)
    except DataError as error:
        raise DataError(f"{ctx.stage.id}: {error}") from error
    if "former" not in read:
        return found
    older = rows.where((at < since) & (at >= F.lit(read["former"]["since"]).cast("timestamp")))
    try:
        former = registered(ctx.pipeline, ctx.target, score.model, str(read["former"]["version"]), ctx.loaded)
        answered = former.score(older, intent.now, score.explain)
    except (DataError, SpecError) as error:  # a batch leaves such rows out, a stream has to answer
        ctx.tell(f"the version before cannot answer: {error}")
        return found if score.mode == "batch" else scorer.score(rows, intent.now, score.explain)
    ctx.tell(f"what version {scorer.model_version} may have learned from is answered by version {former.model_version}")
    return found.unionByName(answered)


def _scored(ctx: Context, score: Score, scorer: Scorer, rows: DataFrame, intent: Intent) -> DataFrame:
    """Answers, each with the version of the features that it was made of, and the run that asked."""
    upto = intent.inputs[f"features.{score.of}"]["upto"]
    said = {"features_version": F.lit(upto).cast("bigint"), "run": F.lit(intent.run_id)}
    return _answered(ctx, score, scorer, rows, intent).withColumns(said)


def _batch(ctx: Context, score: Score, scorer: Scorer, intent: Intent) -> Record:
    """Rows of (after, upto] that are newer than the model's cutoff: appended; replaced by key where rows changed."""
    read = intent.inputs[f"features.{score.of}"]
    path = ctx.warehouse.path(f"features.{score.of}")
    new = tables.changes(ctx.spark, path, read["after"], read["upto"], scorer.keys)
    newer = new.where(F.col(scorer.as_of_time) >= F.lit(read["since"]).cast("timestamp"))
    fresh = log.inserts_only(path, read["after"], read["upto"])
    ctx.tell(f"scores by version {scorer.model_version}")
    crash.point("before the clean commit", ctx.stage.id)
    scored = _scored(ctx, score, scorer, new, intent)
    if read["keeps"]:
        keys = list(scorer.keys)
        kept = _kept(ctx, score, scorer, read).join(scored.select(*keys), keys, "left_anti")
        scored = scored.unionByName(kept, allowMissingColumns=True)
    commit = _write(ctx, scorer, intent, scored, fresh)
    written = tables.changes(ctx.spark, ctx.path(), commit.version - 1, commit.version)
    if read["keeps"]:
        written = written.where(F.col("scored_at") == F.lit(intent.now))
    held = log.row_count(ctx.path(), commit.version)
    detail = {"rows": held, **_seen(ctx, score, written, scorer, intent.now)}
    counts = dict.fromkeys(("rows_in", "scored"), sum(detail["histogram"]))
    counts |= _sent(ctx, score, scorer, written, counts["scored"])
    detail |= shadowed(ctx, score, newer, intent, scorer.model_version) | _said(ctx, scorer)
    return ctx.record(intent, counts=counts, detail=detail, published_version=commit.version)


def _kept(ctx: Context, score: Score, scorer: Scorer, read: dict[str, Any]) -> DataFrame:
    """The scores of before whose feature rows are still there."""
    keys = list(scorer.keys)
    there = tables.read(ctx.spark, ctx.warehouse.path(f"features.{score.of}"), read["upto"]).select(*keys)
    return tables.read(ctx.spark, ctx.path(), read["before"]).join(there, keys, "left_semi")


def _write(ctx: Context, scorer: Scorer, intent: Intent, rows: DataFrame, fresh: bool) -> Commit:
    transaction = ctx.transaction(intent, "scores")
    if intent.batch == 0 and intent.generation:
        return tables.overwrite(rows, ctx.path(), transaction)
    rows = _fitted(ctx, intent, rows)
    if fresh or intent.batch == 0:
        return tables.append(rows, ctx.path(), transaction)
    on = " AND ".join(f"t.`{k}` = s.`{k}`" for k in scorer.keys)
    return tables.merge(rows, ctx.path(), on, tables.UPSERT, transaction)


def _fitted(ctx: Context, intent: Intent, rows: DataFrame) -> DataFrame:
    """Rows as a table that is there has them; it first gains what it lacks. A replay finds it there."""
    if ctx.warehouse.version(ctx.stage.id) is None:
        return rows
    return tables.fitted(rows, ctx.path(), ctx.transaction(intent, "columns").tag)


def _stream(ctx: Context, score: Score, scorer: Scorer, intent: Intent) -> Record:
    """Rows of (after, upto], each as often as it was changed: appended, so that what was answered stays."""
    read = intent.inputs[f"features.{score.of}"]
    before = read["before"]
    if read["keeps"]:
        kept = _kept(ctx, score, scorer, read)
        before = tables.overwrite(kept, ctx.path(), ctx.transaction(intent, "kept")).version
    sent, beside = dict[str, int](), dict[str, Any]()
    if read["upto"] > read["after"]:
        ctx.tell(f"scores by version {scorer.model_version}")
        new = tables.changes(ctx.spark, ctx.warehouse.path(f"features.{score.of}"), read["after"], read["upto"])
        answered = _fitted(ctx, intent, _scored(ctx, score, scorer, new, intent))
        commit = tables.append(answered, ctx.path(), ctx.transaction(intent, "scores"))
        crash.point("between scores and their progress", ctx.stage.id)
        written = tables.changes(ctx.spark, ctx.path(), commit.version - 1, commit.version)
        sent = _sent(ctx, score, scorer, written, commit.applied)
        beside = shadowed(ctx, score, new, intent, scorer.model_version)
    version = ctx.warehouse.version(ctx.stage.id)
    rows = log.row_count(ctx.path(), version) if version is not None else 0
    done = -1 if version is None else version  # counted from the log: a replay finds what the cut-off attempt wrote
    scored = log.applied(ctx.path(), before, done)
    counts = {"rows_in": scored, "scored": scored, **sent}
    detail = {"rows": rows, **beside, **_said(ctx, scorer)}
    return ctx.record(intent, counts=counts, detail=detail, published_version=version)


def _sent(ctx: Context, score: Score, scorer: Scorer, rows: DataFrame, count: int) -> dict[str, int]:
    """Rows of a commit to all sinks; how many each got, for the record. Nothing where there is no sink or no row."""
    if not score.sinks or not count:
        return {}
    for sink in score.sinks:
        ctx.tell(f"sends {count:,} rows to {sink.topic}")
        sinks.send(rows, scorer.keys, sinks.brokers(ctx.target, ctx.stage.id, sink), sink.topic)
    return {"sent": count}


def _said(ctx: Context, scorer: Scorer) -> dict[str, Any]:
    said = {"model_version": scorer.model_version, "task": scorer.task.kind, "path": ctx.path()}
    return {**said, "beside": ctx.beside()}


def _seen(ctx: Context, score: Score, written: DataFrame, scorer: Scorer, now: datetime) -> dict[str, Any]:
    """The histogram of what was published, and where labels are known already, how it compares with what happened."""
    model = ctx.pipeline.models[score.model]
    feature = ctx.pipeline.features[score.of]
    stage = f"tables.{feature.spine}"
    version = ctx.published(stage)
    assert version is not None
    spine = tables.read(ctx.spark, ctx.warehouse.path(stage), version)
    known_at = ctx.pipeline.tables[feature.spine].known_at
    beside = [c for c in model.pair[:1] if c not in written.columns]  # of whose list a row is
    if model.observed:
        beside.append(model.observed)
    labels = ahead.labels(spine, feature, model, known_at, now, beside)
    if model.observed:
        labels = labels.where(F.col(model.observed)).drop(model.observed)
    joined = written.join(labels, list(feature.keys), "left").cache()
    span = scorer.task.span(joined)
    bars = evaluate.bars(joined, F.col(SCORE), span)
    counts = evaluate.counts(scorer.task, joined)
    joined.unpersist()
    found = evaluate.figures(scorer.task, counts)
    truth = {**found, "rows": scorer.task.rows(counts)} if found and model.label else None
    said = {} if model.label else scorer.task.said(counts)
    return {"histogram": bars, "histogram_span": list(span), "truth": truth, "said": said}
