"""What each stage would find if it ran now; read from logs, folders and servers, without a JVM."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
from deltalake import DeltaTable

from pipelines import log
from pipelines.columns import additive, relations
from pipelines.deferring import warehouse_of
from pipelines.errors import SpecError
from pipelines.intake import KINDS, Asked
from pipelines.plan import Stage, Waiting, definition, following, keyed, same_rows
from pipelines.quality import overtime
from pipelines.run.lateness import late, words
from pipelines.run.order import FullRefresh
from pipelines.spec import Pipeline, Table, Target
from pipelines.state import BACKFILL, History, Intent, Json, Record, Warehouse, dataset


def waiting(
    pipeline: Pipeline, target: Target, history: History, stage: Stage, warehouse: Warehouse | None = None
) -> Waiting:
    """Cost: a streaming table asks its source, a feature table logs, others nothing.

    warehouse : as a run sees it that makes stages its own; the target's else.

    Errors: SpecError, PlatformError without a source.
    """
    good, warehouse = history.ended(stage.id), warehouse or warehouse_of(pipeline, target)
    if stage.id in warehouse.lent:
        return Waiting(lent=f"read at version {history.published(stage.id)} from {warehouse.path(stage.id)}")
    news = _NEWS[stage.kind](pipeline, target, history, stage, good)
    return Waiting(
        news=news,
        definition=definition(pipeline, stage),
        last_definition=good.definition if good else None,
        unfinished=cut_off(warehouse, history, stage.id) is not None,
        refused=good.error if good and good.status == "refused" else "",
        stale=_stale(pipeline, history, stage) if stage.kind == "tables" else "",
        **(_of_model(pipeline, history, stage, good) if good and stage.kind == "models" else {}),
    )


def cut_off(warehouse: Warehouse, history: History, stage: str) -> Intent | None:
    """The batch that an attempt began and did not end. A backfill that wrote nothing yet is none: it is asked again."""
    intent = history.open_intent(stage)
    wrote = intent and (BACKFILL not in intent.inputs or log.find(warehouse.path(stage), transaction(intent, "clean")))
    return intent if wrote else None


def transaction(intent: Intent, part: str) -> log.Transaction:
    """The id of one write of a batch: its version rises with the batch."""
    return log.Transaction(f"{intent.pipeline}/{intent.stage}/{part}/{intent.generation}", intent.batch)


def _stale(pipeline: Pipeline, history: History, stage: Stage) -> str:
    """By what the last publication found: nothing is read."""
    promise = pipeline.tables[stage.name].freshness
    published = next((r for r in reversed(history.records) if r.stage == stage.id and r.status == "ok"), None)
    return overtime.stale(promise, published, datetime.now(UTC)) if promise and published else ""


def asked_of(
    pipeline: Pipeline, target: Target, history: History, stage: Stage, anew: FullRefresh | None = None
) -> Asked:
    """What a streaming table asks its source with; anew: all that the source still holds is new."""
    table = pipeline.tables[stage.name]
    assert table.source
    taken = history.taken(stage.id, table.source)
    asked = Asked(stage.id, table, table.source, pipeline.sources[table.source], target, taken)
    return replace(asked, anew=True, allow_loss=anew.allow_loss) if anew else asked


def side_tables(pipeline: Pipeline, table: Table) -> tuple[str, ...]:
    """The pipeline's own tables that a select reads beside its source."""
    return tuple(r for r in relations(table.select) if r in pipeline.tables)


def _table(pipeline: Pipeline, target: Target, history: History, stage: Stage, last: Record | None) -> str:
    table = pipeline.tables[stage.name]
    if table.source:
        asked = asked_of(pipeline, target, history, stage)
        return KINDS[asked.source.kind].news(asked)
    moved = _moved(history, last, [f"tables.{t}" for t in side_tables(pipeline, table)])
    way = added(pipeline, target, history, stage)[1] if moved and last else ""
    return f"{moved}; {way}" if way else moved


def added(pipeline: Pipeline, target: Target, history: History, stage: Stage) -> tuple[dict[str, Json] | None, str]:
    """To which version of a view what rows are added, and that in words; (None, why not) where it is made whole."""
    found, last = additive(pipeline.tables[stage.name].select), history.last(stage.id, "ok")
    if isinstance(found, str):
        return None, found and f"made whole, for {found}"
    read, held = f"tables.{found.relation}", last.inputs.get(f"tables.{found.relation}", {}) if last else {}
    if not last or not same_rows(last.definition, definition(pipeline, stage)):
        return None, ""
    path, upto = warehouse_of(pipeline, target).path(read), history.published(read)
    same = held.get("generation") == history.generation(read)
    if upto is None or not same or not log.inserts_only(path, held["upto"], upto):
        return None, f"made whole, for rows of {found.relation} were changed"
    return {"after": held["upto"], "base": last.published_version}, "its groups are added to"


def _features(pipeline: Pipeline, target: Target, history: History, stage: Stage, last: Record | None) -> str:
    spine = f"tables.{pipeline.features[stage.name].spine}"
    moved = _moved(history, last, [spine, *(t for t in stage.needs if t != spine and _replaced(history, last, t))])
    found = late(pipeline, warehouse_of(pipeline, target), history, stage) if last else {}
    return "; ".join(text for text in (moved, words(found)) if text)


def _model(pipeline: Pipeline, target: Target, history: History, stage: Stage, last: Record | None) -> str:
    """New rows alone never retrain; what the model is made of does, and a monitor that may ask for it."""
    of = f"features.{pipeline.models[stage.name].features}"
    made_of = last.inputs.get(of, {}).get("definition") if last else None
    now = history.last(of)
    redefined = f"{of} was redefined" if last and now and made_of != now.definition else ""
    return redefined or (_asked(pipeline, history, last) if last else "")


def _of_model(pipeline: Pipeline, history: History, stage: Stage, last: Record) -> dict[str, Any]:
    """Which of its keys changed since it was trained, and whether its features are to be made anew first."""
    model, now = pipeline.models[stage.name], keyed(pipeline.models[stage.name])
    trained = (r for r in reversed(history.records) if (r.stage, r.definition) == (stage.id, last.definition))
    then = next((r.detail["defined"] for r in trained if "defined" in r.detail), now)
    features = Stage("features", model.features)
    made = history.last(features.id, "ok")
    redefined = made and made.definition != definition(pipeline, features)
    changed = tuple(sorted(key for key in {*now, *then} if now.get(key) != then.get(key)))
    return {"changed": changed, "redefined": features.id if redefined else ""}


def _asked(pipeline: Pipeline, history: History, trained: Record) -> str:
    """Which monitor asks for a training, and why; '' once there was one since, whatever came of it."""
    for name, monitor in pipeline.monitors.items():
        found = history.last(f"monitors.{name}", "ok")
        if not monitor.retrain or not found or found.started_at < trained.started_at:
            continue
        decision, same = found.detail["decision"], f"models.{found.detail['model']}" == trained.stage
        if same and decision["verdict"] == "retrain":
            return f"{name} asks to retrain: {decision['reasons'][0]}"
    return ""


def _score(pipeline: Pipeline, target: Target, history: History, stage: Stage, last: Record | None) -> str:
    score = pipeline.scores[stage.name]
    version, moved = champion(history, f"models.{score.model}"), _moved(history, last, [f"features.{score.of}"])
    return f"{moved}; scored by version {version}" if version is not None and moved else ""


def _monitor(pipeline: Pipeline, target: Target, history: History, stage: Stage, last: Record | None) -> str:
    """Scores that it has not counted, or labels that may have become known."""
    monitor = pipeline.monitors[stage.name]
    scores, spine = f"scores.{monitor.scores}", pipeline.features[pipeline.scores[monitor.scores].of].spine
    if history.published(scores) is None:
        return ""
    due = last.detail.get("next_label_at") if last else None
    labels = "labels became known" if due and datetime.fromisoformat(due) < datetime.now(UTC) else ""
    return _moved(history, last, [scores, f"tables.{spine}"]) or labels


def interval(pipeline: Pipeline, target: Target, stage: Stage, since: datetime, until: datetime) -> dict[str, Any]:
    """What a backfill would read again, replace and make anew behind it. Cost: reads one column of the interval."""
    warehouse = warehouse_of(pipeline, target)
    history, column = History.of(warehouse), pipeline.tables[stage.name].event_time
    version = history.published(stage.id)
    if stage.id in warehouse.lent:
        raise SpecError(f"{stage.id}: it is read from {warehouse.path(stage.id)}; it is backfilled there")
    if version is None:
        raise SpecError(f"{stage.id}: no version of it was published yet; `lakeloom run` makes it")
    asked = asked_of(pipeline, target, history, stage)
    again = KINDS[asked.source.kind].again(asked)
    field = pads.field(column).cast(pa.timestamp("us", tz="UTC"))
    inside = (field >= since) & (field < until)
    rows = dataset(DeltaTable(warehouse.path(stage.id), version=version))
    files = (
        {"files": len(again["files"]), "records": sum(f["rows"] for f in again["files"])} if "files" in again else {}
    )
    said = {"stage": stage.id, "rows": rows.count_rows(filter=inside), "of": rows.count_rows(), "event_time": column}
    return {**said, "source": asked.name, **files, "then": list(following(pipeline, stage.id))}


def publication(history: History, stage: str, run: str) -> Record:
    """The record with which a run published a stage's table. Errors: SpecError, naming those that did."""
    mine = [r for r in history.records if r.stage == stage and r.published_version is not None]
    found = [r for r in mine if r.run_id == run]
    if not found:
        known = ", ".join(r.run_id for r in mine[-5:]) or "none yet"
        raise SpecError(f"{stage}: run '{run}' published nothing of it; those that did: {known}")
    return found[-1]


def champion(history: History, stage: str) -> int | None:
    """The version that a model stage promoted last; None before the first."""
    return next(
        (r.model_version for r in reversed(history.records) if r.stage == stage and r.model_version is not None), None
    )


def _replaced(history: History, last: Record | None, stage: str) -> bool:
    """Whether another target's table was read, and one that was made here stands in its place."""
    first = history.begun(stage)
    return last is not None and bool(last.inputs.get(stage, {}).get("generation", first) < first)


def _moved(history: History, last: Record | None, stages: list[str]) -> str:
    def read(stage: str) -> int | None:
        return last.inputs.get(stage, {}).get("upto") if last else None

    moved = [(s, read(s), history.published(s)) for s in stages]
    moved = [(s, None if _replaced(history, last, s) else a, b) for s, a, b in moved if b is not None]
    told = [
        f"{s} went from version {a} to {b}" if a is not None else f"{s} is at version {b}"
        for s, a, b in moved
        if a != b
    ]
    return "; ".join(told)


_NEWS = {"tables": _table, "features": _features, "models": _model, "scores": _score, "monitors": _monitor}


def touched(pipeline: Pipeline, history: History, stage: Stage) -> str:
    """What making a stage anew means: 'that reads 308,641 rows again; features.departures, scores.daily follow'."""
    now = history.generation(stage.id)
    done = [r for r in history.records if r.stage == stage.id and r.generation == now and r.status == "ok"]
    rows, after = sum(r.counts.get("rows_in", 0) for r in done), following(pipeline, stage.id)
    follow = f"{', '.join(after)} follow{'s' if len(after) == 1 else ''}" if after else "nothing follows"
    return f"that reads {rows:,} rows again; {follow}"
