"""Watch what was scored: count what is new, say what each window is, and what follows."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines import crash, log, tables
from pipelines.errors import DataError
from pipelines.lineage import graph
from pipelines.monitor import counting
from pipelines.monitor.broken import with_broken
from pipelines.monitor.causes import with_causes
from pipelines.monitor.deciding import MOST_NAMED
from pipelines.monitor.tallies import Key, Totals
from pipelines.monitor.trained import Trained, trained
from pipelines.run import scratch
from pipelines.run.attributing import Attributed, attributed
from pipelines.run.context import Context
from pipelines.run.locating import located
from pipelines.run.replaying import came_anew
from pipelines.run.tallying import NEXT, VERSION, Watched, counted, label_known_at, learned_rows, new_rows, within
from pipelines.run.watching import Hang, Subject, watched
from pipelines.spending import prediction, priced
from pipelines.state import Intent, Record
from pipelines.told import Tally

COUNTS = "counts"  # among an intent's inputs: how it counts, which has to stay the same within a generation


def watch(ctx: Context) -> Record:
    """One batch: what is new is counted, the windows that it touched are judged. Acts: a few small Spark jobs."""
    seen = Watched.of(ctx)
    intent = ctx.history.open_intent(ctx.stage.id)
    if intent is None or ctx.full_refresh:
        intent = _intend(ctx, seen)
    before = [t for t in ctx.warehouse.tallies(ctx.stage.id) if _earlier(t, intent)]
    found = list(counted(ctx, seen, intent, Totals.of(before)))
    next_label, until = _ahead(ctx, seen, intent)
    crash.point("before the clean commit", ctx.stage.id)
    ctx.lock.confirm()
    ctx.warehouse.remember(found)
    totals = Totals.of([*before, *found])
    task, usd = ctx.pipeline.models[seen.model].task, _training_usd(ctx, seen)
    subject = Subject(ctx.stage.id, seen.monitor, seen.model, seen.features, task, usd, until)
    touched = _touched(ctx, intent, found, totals)
    hang = _hang(ctx, seen, intent, touched)
    judged = watched(ctx.history, subject, totals, touched, hang)
    earlier = [r for r in ctx.history.records if r.stage == ctx.stage.id and r.status == "ok"]
    judged["windows"] = [_with_slices(ctx, seen, intent, totals, window) for window in judged["windows"]]
    drawn, quality = graph(ctx.pipeline), came_anew(ctx.warehouse.quality(), ctx.history.intents)
    detail = with_causes(judged, earlier, drawn, seen.features, quality)
    detail = with_broken(detail, earlier, drawn, seen.scores, quality)
    read = intent.inputs[seen.scores]
    counts = {"rows_in": new_rows(ctx, seen.scores, read), "windows": len(detail["windows"]), "columns": len(found)}
    return ctx.record(intent, counts=counts, detail={**detail, NEXT: next_label})


def _training_usd(ctx: Context, seen: Watched) -> Decimal | None:
    """What the next training is likely to cost. Errors: SpecError where a budget asks and the target has no prices."""
    if not seen.monitor.retrain or seen.monitor.retrain.budget_usd is None:
        return None
    stage = f"models.{seen.model}"
    return prediction(ctx.history, stage, priced(ctx.target))


def _hang(ctx: Context, seen: Watched, intent: Intent, touched: Collection[Key]) -> Hang:
    """What the answers of the touched windows hang on, where that is asked for."""
    asked, found = seen.monitor.attribution, dict[Key, Any]()
    for version in sorted({v for _, v in touched}) if asked else ():
        assert asked
        made = _held(ctx, seen, version)
        if made is None:
            continue
        ctx.tell(f"asks what the answers of version {version} hang on")
        model = Attributed.of(ctx, seen.model, version, asked.rows, scratch.place(ctx.warehouse, intent))
        starts = {int(start.timestamp()) for start, v in touched if v == version}
        said = attributed(ctx, model, partial(_answered, ctx, seen, intent, made), starts)
        found |= {(counting.moment_of(start), version): each for start, each in said.items()}
    scratch.clear(ctx.warehouse, intent)
    return found


def _with_slices(ctx: Context, seen: Watched, intent: Intent, totals: Totals, window: dict[str, Any]) -> dict[str, Any]:
    """A window, with the slice in which each of its drifted features moved most, where the model has slices."""
    model, version = ctx.pipeline.models[seen.model], window["model_version"]
    made = _held(ctx, seen, version) if window["drifted"] and model.slices else None
    if made is None or "where" in window:
        return window
    bins = {f: b for f, b in totals.references[version].bins.items() if f in window["drifted"][:MOST_NAMED]}
    start = int(datetime.fromisoformat(window["window"]).timestamp())
    before, now = (_answered(ctx, seen, intent, made, side) for side in (None, start))
    columns = [c for c in model.slices if c in now.columns]  # the spine's own have no place among features
    return {**window, "where": located(before, now, bins, columns, seen.monitor.rows)}


def _held(ctx: Context, seen: Watched, version: int) -> Trained | None:
    """How a version was trained, if its slice can still be read: a person may have been forgotten since."""
    made = trained(ctx.history, seen.model, seen.features, version)
    return made if made and log.readable(ctx.warehouse.path(seen.features), made.features) else None


def _answered(ctx: Context, seen: Watched, intent: Intent, made: Trained, start: int | None) -> DataFrame:
    """The feature rows that a version answered in a window; those that it learned from where none is named."""
    if start is None:
        return learned_rows(ctx, seen, made)
    scores = tables.read(ctx.spark, ctx.warehouse.path(seen.scores), intent.inputs[seen.scores]["upto"])
    mine = within(scores, seen, {start}).where(F.col(VERSION) == made.version).select(*seen.feature.keys)
    rows = tables.read(ctx.spark, ctx.warehouse.path(seen.features), intent.inputs[seen.features]["upto"])
    return within(rows, seen, {start}).join(mine, list(seen.feature.keys), "left_semi")


def _touched(ctx: Context, intent: Intent, found: Sequence[Tally], totals: Totals) -> set[Key]:
    """The windows that are judged: those counted now; all of them where the conf judges otherwise than before."""
    last = ctx.history.last(ctx.stage.id, "ok")
    if last and last.definition == intent.definition:
        return {(t.window, t.model_version) for t in found if t.window}
    return set(totals.windows)


def _earlier(tally: Tally, intent: Intent) -> bool:
    return tally.generation == intent.generation and tally.batch < intent.batch


def _intend(ctx: Context, seen: Watched) -> Intent:
    """From the versions counted last to the published ones; from the beginning where those are of another making."""
    last, task = ctx.history.last(ctx.stage.id, "ok"), ctx.pipeline.models[seen.model].task
    asked = {"window": seen.monitor.window, **({} if task == "binary" else {"task": task})}
    before = last.inputs if last and not ctx.full_refresh and last.inputs.get(COUNTS) == asked else {}
    scored = ctx.history.last(seen.scores, "ok")
    assert scored, "a monitor runs after its scores"
    versions = {
        seen.scores: ctx.published(seen.scores),
        seen.features: scored.inputs[seen.features]["upto"],
        seen.spine: ctx.published(seen.spine),
    }
    if missing := [s for s, v in versions.items() if v is None]:
        raise DataError(f"{ctx.stage.id} reads {missing[0]}, of which no version was published")
    inputs = {s: {"upto": v, "generation": ctx.history.generation(s)} for s, v in versions.items()}
    kept = {s: before[s]["upto"] for s in inputs if s in before and before[s]["generation"] == inputs[s]["generation"]}
    anew = not {seen.scores, seen.features} <= set(kept)
    for stage, read in inputs.items():
        read["after"] = -1 if anew else kept.get(stage, -1)
    return ctx.intend({**inputs, COUNTS: asked}, new_generation=anew)


def _ahead(ctx: Context, seen: Watched, intent: Intent) -> tuple[str | None, datetime | None]:
    """When the next label that is there, but lies in the future, becomes known; the time of the spine's newest row.

    Cost: an aggregate over the spine.
    """
    spine = tables.read(ctx.spark, ctx.warehouse.path(seen.spine), intent.inputs[seen.spine]["upto"])
    at = label_known_at(ctx, seen, spine)
    waits = F.when(at >= F.lit(intent.now), at)
    asked = (F.min(waits), F.max(F.col(seen.feature.as_of_time).cast("timestamp")))
    found: Any = spine.agg(*[F.unix_micros(moment) for moment in asked]).first()
    label, until = (datetime.fromtimestamp(each / 1e6, UTC) if each is not None else None for each in found)
    return label.isoformat() if label else None, until
