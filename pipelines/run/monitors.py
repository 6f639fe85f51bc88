"""Watch what was scored: count what is new into windows, once; then say what each window is, and what follows.

Features are counted as they were scored: new score rows beside their feature rows, both read from the last counted
version on. Where rows were changed and not only added, their windows are counted whole. The scores of a window are
counted by label, and again whenever a label of the window may have become known.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines import crash, log, tables
from pipelines.columns import refuse_expression
from pipelines.evaluate.binary import BINS
from pipelines.lineage import graph
from pipelines.models import splits
from pipelines.models.base import Inputs
from pipelines.monitor import counting
from pipelines.monitor.causes import with_causes
from pipelines.monitor.deciding import MOST_NAMED
from pipelines.monitor.tallies import SCORE as THE_SCORE
from pipelines.monitor.tallies import Key, Totals
from pipelines.run import scratch
from pipelines.run.attributing import Attributed, attributed
from pipelines.run.context import Context
from pipelines.run.locating import located
from pipelines.run.watching import Hang, Subject, Trained, trained, watched
from pipelines.spec import Feature, Monitor
from pipelines.spec.task import LABEL, SCORE
from pipelines.spending import prediction, priced
from pipelines.state import Intent, Record
from pipelines.told import Tally

COUNTS = "counts"  # among an intent's inputs: how it counts, which has to stay the same within a generation
VERSION, NEXT = "model_version", "next_label_at"
Seconds = Collection[int]  # starts of windows


@dataclass(frozen=True)
class Watched:
    """What a monitor looks at, by name and by stage."""

    monitor: Monitor
    model: str
    feature: Feature
    scores: str
    features: str
    spine: str

    @classmethod
    def of(cls, ctx: Context) -> "Watched":
        """As the conf has it."""
        monitor = ctx.pipeline.monitors[ctx.stage.name]
        score = ctx.pipeline.scores[monitor.scores]
        feature = ctx.pipeline.features[score.of]
        stages = (f"scores.{monitor.scores}", f"features.{score.of}", f"tables.{feature.spine}")
        return cls(monitor, score.model, feature, *stages)

    @property
    def window(self) -> Column:
        """The start of a row's window."""
        return counting.window_of(self.feature.as_of_time, self.monitor.window)


def watch(ctx: Context) -> Record:
    """One batch: what is new is counted, the windows that it touched are judged. Acts: a few small Spark jobs."""
    seen = Watched.of(ctx)
    intent = ctx.history.open_intent(ctx.stage.id)
    if intent is None or ctx.full_refresh:
        intent = _intend(ctx, seen)
    before = [t for t in ctx.warehouse.tallies(ctx.stage.id) if _earlier(t, intent)]
    found = list(_counted(ctx, seen, intent, Totals.of(before)))
    next_label, until = _ahead(ctx, seen, intent)
    crash.point("before the clean commit", ctx.stage.id)
    ctx.lock.confirm()
    ctx.warehouse.remember(found)
    totals = Totals.of([*before, *found])
    subject = Subject(ctx.stage.id, seen.monitor, seen.model, seen.features, _training_usd(ctx, seen), until)
    touched = _touched(ctx, intent, found, totals)
    hang = _hang(ctx, seen, intent, touched)
    judged = watched(ctx.history, subject, totals, touched, hang)
    earlier = [r for r in ctx.history.records if r.stage == ctx.stage.id and r.status == "ok"]
    judged["windows"] = [_with_slices(ctx, seen, intent, totals, window) for window in judged["windows"]]
    detail = with_causes(judged, earlier, graph(ctx.pipeline), seen.features, ctx.warehouse.quality())
    read = intent.inputs[seen.scores]
    counts = {"rows_in": _new_rows(ctx, seen.scores, read), "windows": len(detail["windows"]), "columns": len(found)}
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
    if made is None:
        return window
    bins = {f: b for f, b in totals.references[version].bins.items() if f in window["drifted"][:MOST_NAMED]}
    start = int(datetime.fromisoformat(window["window"]).timestamp())
    before, now = (_answered(ctx, seen, intent, made, side) for side in (None, start))
    return {**window, "where": located(before, now, bins, model.slices, seen.monitor.rows)}


def _held(ctx: Context, seen: Watched, version: int) -> Trained | None:
    """How a version was trained, if its slice can still be read: a person may have been forgotten since."""
    made = trained(ctx.history, seen.model, seen.features, version)
    return made if made and log.readable(ctx.warehouse.path(seen.features), made.features) else None


def _slice(ctx: Context, seen: Watched, made: Trained) -> DataFrame:
    """The feature rows that a version learned from."""
    rows = tables.read(ctx.spark, ctx.warehouse.path(seen.features), made.features)
    return rows.where(F.to_date(seen.feature.as_of_time).between(F.lit(made.first), F.lit(made.last)))


def _answered(ctx: Context, seen: Watched, intent: Intent, made: Trained, start: int | None) -> DataFrame:
    """The feature rows that a version answered in a window; those that it learned from where none is named."""
    if start is None:
        return _slice(ctx, seen, made)
    scores = tables.read(ctx.spark, ctx.warehouse.path(seen.scores), intent.inputs[seen.scores]["upto"])
    mine = _within(scores, seen, {start}).where(F.col(VERSION) == made.version).select(*seen.feature.keys)
    rows = tables.read(ctx.spark, ctx.warehouse.path(seen.features), intent.inputs[seen.features]["upto"])
    return _within(rows, seen, {start}).join(mine, list(seen.feature.keys), "left_semi")


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
    last, asked = ctx.history.last(ctx.stage.id, "ok"), {"window": seen.monitor.window}
    before = last.inputs if last and not ctx.full_refresh and last.inputs.get(COUNTS) == asked else {}
    scored = ctx.history.last(seen.scores, "ok")
    assert scored, "a monitor runs after its scores"
    versions = {
        seen.scores: ctx.published(seen.scores),
        seen.features: scored.inputs[seen.features]["upto"],
        seen.spine: ctx.published(seen.spine),
    }
    inputs = {s: {"upto": v, "generation": ctx.history.generation(s)} for s, v in versions.items()}
    kept = {s: before[s]["upto"] for s in inputs if s in before and before[s]["generation"] == inputs[s]["generation"]}
    anew = not {seen.scores, seen.features} <= set(kept)
    for stage, read in inputs.items():
        read["after"] = -1 if anew else kept.get(stage, -1)
    return ctx.intend({**inputs, COUNTS: asked}, new_generation=anew)


def _all_scored(ctx: Context, seen: Watched, intent: Intent) -> bool:
    """True where rows were only ever added since, and as many scores as features: a score is of one feature row."""
    scores, features = (intent.inputs[stage] for stage in (seen.scores, seen.features))
    added = all(
        log.inserts_only(ctx.warehouse.path(stage), intent.inputs[stage]["after"], intent.inputs[stage]["upto"])
        for stage in (seen.scores, seen.features)
    )
    return added and _new_rows(ctx, seen.scores, scores) == _new_rows(ctx, seen.features, features)


def _new_rows(ctx: Context, stage: str, read: dict[str, int]) -> int:
    path = ctx.warehouse.path(stage)
    whole = log.row_count(path, read["upto"]) if read["after"] < 0 else 0
    return whole or log.applied(path, read["after"], read["upto"])


def _counted(ctx: Context, seen: Watched, intent: Intent, before: Totals) -> Iterator[Tally]:
    touched: set[int] = set()
    if _moved(intent, seen.scores):
        changed = _changed(ctx, seen, intent)
        scored = _rows(ctx, seen, intent, seen.scores, changed)
        found = scored.select(seen.window.alias("w"), VERSION).distinct().collect()
        held = {(w, v) for w, v in _known(before) if changed and w in changed}
        pairs = held | {(row.w, row[VERSION]) for row in found if row.w is not None}
        alone = len({v for _, v in pairs}) == 1 and _all_scored(ctx, seen, intent)
        for version in sorted({v for _, v in pairs}):
            yield from _features(ctx, seen, intent, before, Part(scored, version, changed, alone))
        touched = {w for w, _ in pairs}
    touched |= _relabelled(ctx, seen, intent, {w for w, _ in _known(before)})
    yield from _scores(ctx, seen, intent, before, touched)


@dataclass(frozen=True)
class Part:
    """New score rows of one model version; changed: the windows that are counted whole, None where rows were added.

    alone: every new row of the features is among them, so that none has to be looked for.
    """

    scored: DataFrame
    version: int
    changed: set[int] | None
    alone: bool


def _moved(intent: Intent, stage: str) -> bool:
    return bool(intent.inputs[stage]["upto"] > intent.inputs[stage]["after"])


def _changed(ctx: Context, seen: Watched, intent: Intent) -> set[int] | None:
    """The windows in which rows were replaced or deleted; None where rows were only added."""
    found: set[int] = set()
    for stage in (seen.scores, seen.features):
        read, path = intent.inputs[stage], ctx.warehouse.path(stage)
        if read["after"] >= 0 and not log.inserts_only(path, read["after"], read["upto"]):
            found |= _windows(_feed(ctx, stage, intent), seen)
    return found or None


def _windows(rows: DataFrame, seen: Watched) -> set[int]:
    return {row.w for row in rows.select(seen.window.alias("w")).distinct().collect() if row.w is not None}


def _feed(ctx: Context, stage: str, intent: Intent) -> DataFrame:
    """Every change of a table's rows since the last batch, as they were and as they are."""
    read = intent.inputs[stage]
    feed = ctx.spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", read["after"] + 1)
    return feed.option("endingVersion", read["upto"]).load(ctx.warehouse.path(stage))


def _new(ctx: Context, stage: str, intent: Intent) -> DataFrame:
    read = intent.inputs[stage]
    if not _moved(intent, stage):
        return tables.read(ctx.spark, ctx.warehouse.path(stage), read["upto"]).limit(0)
    return tables.changes(ctx.spark, ctx.warehouse.path(stage), read["after"], read["upto"])


def _features(ctx: Context, seen: Watched, intent: Intent, before: Totals, part: Part) -> Iterator[Tally]:
    """The features of what one version scored, by window; and its reference where that is new."""
    reference = before.references.get(part.version)
    bins = reference.bins if reference else {}
    if not bins:
        learned = list(_learned(ctx, seen, intent, part.version))
        yield from learned
        bins = Totals.of(learned).references[part.version].bins if learned else {}
    features = _rows(ctx, seen, intent, seen.features, part.changed)
    there = {c: b for c, b in bins.items() if c in features.columns}
    keys = list(seen.feature.keys)
    mine = part.scored.where(F.col(VERSION) == part.version).select(*keys)
    rows = features if part.alone else features.join(mine, keys)
    found = counting.count(rows, there, seen.window) if there else {}
    blank = replace(_blank(ctx, intent), model_version=part.version, whole=part.changed is not None)
    for start, columns in _filled(found, before, part, there).items():
        for column, counts in columns.items():
            yield replace(blank, window=counting.moment_of(start), column=column, counts=counts)


def _rows(ctx: Context, seen: Watched, intent: Intent, stage: str, changed: set[int] | None) -> DataFrame:
    if changed is None:
        return _new(ctx, stage, intent)
    whole = tables.read(ctx.spark, ctx.warehouse.path(stage), intent.inputs[stage]["upto"])
    return _within(whole, seen, changed)


def _filled(
    found: dict[int | None, dict[str, Any]], before: Totals, part: Part, bins: dict[str, Any]
) -> dict[int, dict[str, Any]]:
    """Rows without a time left out; windows of which no row is left filled with no rows."""
    timed = {w: columns for w, columns in found.items() if w is not None}
    for start in set(part.changed or ()) - set(timed):
        held = before.windows.get((counting.moment_of(start), part.version), {})
        timed[start] = {c: counting.empty(bins[c]) for c in held if c in bins}
    return timed


def _learned(ctx: Context, seen: Watched, intent: Intent, version: int) -> Iterator[Tally]:
    """The training slice of a version, binned and counted; nothing where it is unknown or can no longer be read."""
    made = trained(ctx.history, seen.model, seen.features, version)
    if made is None:
        return
    ctx.tell(f"learns the reference of version {version} from its training slice")
    try:
        rows = _slice(ctx, seen, made)
        inputs = Inputs.of(rows, [c for c in seen.feature.outputs() if c in rows.columns])
        bins = counting.learn(rows, inputs.numbers, inputs.categories)
        counted = counting.count(rows, bins, F.lit(0)).get(0, {})
    except PySparkException as error:
        ctx.tell(f"version {version} has no reference: {str(error).splitlines()[0][:200]}")
        return
    blank = replace(_blank(ctx, intent), model_version=version)
    for column, counts in counted.items():
        yield replace(blank, column=column, counts=counts, bins=bins[column].as_json())


def _scores(ctx: Context, seen: Watched, intent: Intent, before: Totals, windows: Seconds) -> Iterator[Tally]:
    """The scores of whole windows by label; a window of which no row is left has no scores."""
    if not windows:
        return
    ctx.tell(f"counts the scores of {len(windows)} windows by label")
    scored = _within(tables.read(ctx.spark, ctx.warehouse.path(seen.scores), intent.inputs[seen.scores]["upto"]),
                     seen, windows)  # fmt: skip
    labels = _labels(ctx, seen, intent, windows, intent.now)
    rows = scored.join(labels, list(seen.feature.keys), "left")
    found: dict[Any, Any] = counting.count_scores(rows, SCORE, LABEL, seen.window, BINS)
    gone = {(w, v) for w, v in _known(before) if w in windows} - set(found)
    for (start, version), counts in {**found, **{key: counting.no_scores() for key in gone}}.items():
        yield replace(_blank(ctx, intent), model_version=version, window=counting.moment_of(start), counts=counts)


def _known(before: Totals) -> set[tuple[int, int]]:
    return {(int(start.timestamp()), version) for start, version in before.windows}


def _within(rows: DataFrame, seen: Watched, windows: Seconds) -> DataFrame:
    """Rows of some windows; the bound lets Delta skip files of earlier ones."""
    first = F.timestamp_seconds(F.lit(min(windows)))
    return rows.where((F.col(seen.feature.as_of_time) >= first) & seen.window.isin(*windows))


def _labels(ctx: Context, seen: Watched, intent: Intent, windows: Seconds, now: datetime) -> DataFrame:
    """Keys and label of the spine rows of some windows, as known at `now`."""
    spine = tables.read(ctx.spark, ctx.warehouse.path(seen.spine), intent.inputs[seen.spine]["upto"])
    table, model = ctx.pipeline.tables[seen.feature.spine], ctx.pipeline.models[seen.model]
    return splits.labels(_within(spine, seen, windows), seen.feature.keys, model, table.known_at, now)


def _relabelled(ctx: Context, seen: Watched, intent: Intent, known: set[int]) -> set[int]:
    """Windows counted before in which a label may have become known or changed since."""
    last = ctx.history.last(ctx.stage.id, "ok")
    due = last.detail.get(NEXT) if last else None
    if not known or (due and datetime.fromisoformat(due) < intent.now):
        return known
    if not _moved(intent, seen.spine):
        return set()
    if intent.inputs[seen.spine]["after"] < 0:
        return known
    return known & _windows(_feed(ctx, seen.spine, intent), seen)


def _ahead(ctx: Context, seen: Watched, intent: Intent) -> tuple[str | None, datetime | None]:
    """When the next label that is there, but lies in the future, becomes known; the time of the spine's newest row.

    Cost: an aggregate over the spine.
    """
    table, model = ctx.pipeline.tables[seen.feature.spine], ctx.pipeline.models[seen.model]
    spine = tables.read(ctx.spark, ctx.warehouse.path(seen.spine), intent.inputs[seen.spine]["upto"])
    read = refuse_expression(model.label, spine.columns)
    moments = sorted({table.known_at[c] for c in read if c in table.known_at})
    nothing = F.lit(None).cast("timestamp")
    at = F.greatest(*moments) if len(moments) > 1 else F.col(moments[0]) if moments else nothing
    waits = F.when((at >= F.lit(intent.now)) & F.expr(model.label).isNotNull(), at)
    asked = (F.min(waits), F.max(F.col(seen.feature.as_of_time).cast("timestamp")))
    found: Any = spine.agg(*[F.unix_micros(moment) for moment in asked]).first()
    label, until = (datetime.fromtimestamp(each / 1e6, UTC) if each is not None else None for each in found)
    return label.isoformat() if label else None, until


def _blank(ctx: Context, intent: Intent) -> Tally:
    """A row of the batch, to be filled."""
    who = (intent.pipeline, intent.stage, ctx.run_id, intent.generation, intent.batch, intent.now)
    return Tally(*who, model_version=0, window=None, column=THE_SCORE, whole=True)
