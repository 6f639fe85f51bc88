"""Count what was scored into windows, once: what a monitor's rows of `_metrics` hold.

Features are counted as they were scored: new score rows beside their feature rows, both read from the last counted
version on. Where rows were changed and not only added, their windows are counted whole. The scores of a window are
counted by label, and again whenever a label of the window may have become known.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines import log, tables
from pipelines.columns import refuse_expression
from pipelines.evaluate.binary import BINS
from pipelines.models import splits
from pipelines.models.base import Inputs
from pipelines.monitor import counting
from pipelines.monitor.tallies import BY, Totals
from pipelines.monitor.tallies import SCORE as THE_SCORE
from pipelines.monitor.trained import Trained, classes, slices, trained
from pipelines.run.context import Context
from pipelines.run.slicing import Slices
from pipelines.spec import Feature, Monitor
from pipelines.spec.task import LABEL, SCORE
from pipelines.state import Intent
from pipelines.told import Tally

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


def counted(ctx: Context, seen: Watched, intent: Intent, before: Totals) -> Iterator[Tally]:
    touched: set[int] = set()
    if _moved(intent, seen.scores):
        changed = _changed(ctx, seen, intent)
        scored = _of_task(ctx, seen, _rows(ctx, seen, intent, seen.scores, changed))
        found = scored.select(seen.window.alias("w"), VERSION).distinct().collect()
        held = {(w, v) for w, v in _known(before) if changed and w in changed}
        pairs = held | {(row.w, row[VERSION]) for row in found if row.w is not None}
        alone = len({v for _, v in pairs}) == 1 and _all_scored(ctx, seen, intent)
        for version in sorted({v for _, v in pairs}):
            yield from _features(ctx, seen, intent, before, Part(scored, version, changed, alone))
        touched = {w for w, _ in pairs}
    touched |= _relabelled(ctx, seen, intent, {w for w, _ in _known(before)})
    yield from _scores(ctx, seen, intent, before, touched)


def _of_task(ctx: Context, seen: Watched, scored: DataFrame) -> DataFrame:
    """Without the rows of versions that were trained for another task: those are counted in another way."""
    mine = [r.detail for r in ctx.history.records if r.stage == f"models.{seen.model}" and "version" in r.detail]
    task = ctx.pipeline.models[seen.model].task
    others = sorted({d["version"] for d in mine if d.get("task", task) != task})
    return scored.where(~F.col(VERSION).isin(*others)) if others else scored


@dataclass(frozen=True)
class Part:
    """New score rows of one model version; changed: the windows that are counted whole, None where rows were added.

    alone: every new row of the features is among them, so that none has to be looked for.
    """

    scored: DataFrame
    version: int
    changed: set[int] | None
    alone: bool


def _all_scored(ctx: Context, seen: Watched, intent: Intent) -> bool:
    """True where rows were only ever added since, and as many scores as features: a score is of one feature row."""
    scores, features = (intent.inputs[stage] for stage in (seen.scores, seen.features))
    added = all(
        log.inserts_only(ctx.warehouse.path(stage), intent.inputs[stage]["after"], intent.inputs[stage]["upto"])
        for stage in (seen.scores, seen.features)
    )
    return added and new_rows(ctx, seen.scores, scores) == new_rows(ctx, seen.features, features)


def new_rows(ctx: Context, stage: str, read: dict[str, int]) -> int:
    path = ctx.warehouse.path(stage)
    whole = log.row_count(path, read["upto"]) if read["after"] < 0 else 0
    return whole or log.applied(path, read["after"], read["upto"])


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
    return within(whole, seen, changed)


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
        rows = learned_rows(ctx, seen, made)
        inputs = Inputs.of(rows, [c for c in seen.feature.outputs() if c in rows.columns])
        bins = counting.learn(rows, inputs.numbers, inputs.categories)
        counted = counting.count(rows, bins, F.lit(0)).get(0, {})
    except PySparkException as error:
        ctx.tell(f"version {version} has no reference: {str(error).splitlines()[0][:200]}")
        return
    blank = replace(_blank(ctx, intent), model_version=version)
    for column, counts in counted.items():
        yield replace(blank, column=column, counts=counts, bins=bins[column].as_json())


def learned_rows(ctx: Context, seen: Watched, made: Trained) -> DataFrame:
    """The feature rows that a version learned from."""
    rows = tables.read(ctx.spark, ctx.warehouse.path(seen.features), made.features)
    return rows.where(F.to_date(seen.feature.as_of_time).between(F.lit(made.first), F.lit(made.last)))


def _scores(ctx: Context, seen: Watched, intent: Intent, before: Totals, windows: Seconds) -> Iterator[Tally]:
    """The scores of whole windows by label; a window of which no row is left has no scores."""
    if not windows:
        return
    ctx.tell(f"counts the scores of {len(windows)} windows by label")
    read = tables.read(ctx.spark, ctx.warehouse.path(seen.scores), intent.inputs[seen.scores]["upto"])
    scored = _of_task(ctx, seen, within(read, seen, windows))
    parts = Slices(slices(ctx.history, seen.model, ctx.pipeline.models[seen.model].sliced))
    rows = parts.spread(_labelled(ctx, seen, intent, windows, scored, parts.columns))
    counted, none = _by_task(ctx, seen, rows, parts.window(seen.window))
    found = parts.apart(counted)
    gone = {(w, v) for w, v in _known(before) if w in windows} - {(w, v) for _, w, v in found}
    found |= {(THE_SCORE, *key): none() for key in gone} | {(BY + c, *key): {} for key in gone for c in parts.columns}
    for (column, start, version), counts in found.items():
        at = counting.moment_of(start)
        yield replace(_blank(ctx, intent), model_version=version, window=at, column=column, counts=counts)


def _by_task(
    ctx: Context, seen: Watched, rows: DataFrame, window: Column
) -> tuple[dict[Any, Any], Callable[[], counting.Counts]]:
    """The scores by window and version, as the task counts them; and the counts of none."""
    match ctx.pipeline.models[seen.model].task:
        case "regression":
            return counting.count_numbers(rows, SCORE, LABEL, window), counting.no_numbers
        case "multiclass":
            known = classes(ctx.history, seen.model)
            found = counting.count_classes(rows, SCORE, LABEL, window, known, BINS)
            return found, counting.no_classes
        case _:
            return counting.count_scores(rows, SCORE, LABEL, window, BINS), counting.no_scores


def _known(before: Totals) -> set[tuple[int, int]]:
    return {(int(start.timestamp()), version) for start, version in before.windows}


def within(rows: DataFrame, seen: Watched, windows: Seconds) -> DataFrame:
    """Rows of some windows; the bound lets Delta skip files of earlier ones."""
    first = F.timestamp_seconds(F.lit(min(windows)))
    return rows.where((F.col(seen.feature.as_of_time) >= first) & seen.window.isin(*windows))


def _labelled(
    ctx: Context, seen: Watched, intent: Intent, windows: Seconds, scored: DataFrame, columns: Sequence[str]
) -> DataFrame:
    """Score rows of some windows with their label as known at the batch's `now`, and columns that they have not.

    Those are the spine's; what it has not either is a feature, which costs a join more.
    """
    spine = tables.read(ctx.spark, ctx.warehouse.path(seen.spine), intent.inputs[seen.spine]["upto"])
    table, model, keys = ctx.pipeline.tables[seen.feature.spine], ctx.pipeline.models[seen.model], seen.feature.keys
    wanted = [c for c in columns if c not in scored.columns]
    beside = [*(c for c in wanted if c in spine.columns), *([model.observed] if model.observed else ())]
    told = dict.fromkeys((*keys, *beside))
    labels = splits.labels(within(spine, seen, windows), tuple(told), model, table.known_at, intent.now)
    if model.observed:  # of a time that goes on nobody knows the end
        labels = labels.withColumn(LABEL, F.when(F.col(model.observed), F.col(LABEL)))
    rows, rest = scored.join(labels, list(keys), "left"), [c for c in wanted if c not in spine.columns]
    if not rest:
        return rows
    features = tables.read(ctx.spark, ctx.warehouse.path(seen.features), intent.inputs[seen.features]["upto"])
    return rows.join(within(features, seen, windows).select(*keys, *rest), list(keys), "left")


def _relabelled(ctx: Context, seen: Watched, intent: Intent, known: set[int]) -> set[int]:
    """Windows counted before in which a label became known or may have changed since."""
    if not known or intent.inputs[seen.spine]["after"] < 0:
        return known
    changed = _windows(_feed(ctx, seen.spine, intent), seen) if _moved(intent, seen.spine) else set()
    return known & (changed | _ripened(ctx, seen, intent))


def _ripened(ctx: Context, seen: Watched, intent: Intent) -> set[int]:
    """Windows of labels that waited when the last batch was counted, and are known now. Cost: a scan of the spine."""
    last = ctx.history.last(ctx.stage.id, "ok")
    due = datetime.fromisoformat(last.detail[NEXT]) if last and last.detail.get(NEXT) else None
    if due is None or due >= intent.now:
        return set()
    spine = tables.read(ctx.spark, ctx.warehouse.path(seen.spine), intent.inputs[seen.spine]["upto"])
    at = label_known_at(ctx, seen, spine)
    return _windows(spine.where((at >= F.lit(due)) & (at < F.lit(intent.now))), seen)


def label_known_at(ctx: Context, seen: Watched, spine: DataFrame) -> Column:
    """When a row's label becomes known; null where there is none, or where it is known with the row."""
    table, model = ctx.pipeline.tables[seen.feature.spine], ctx.pipeline.models[seen.model]
    read = refuse_expression(model.label, spine.columns)
    never = F.lit(None).cast("timestamp")  # greatest wants two
    at = F.greatest(never, never, *[F.col(m) for m in sorted({table.known_at[c] for c in read if c in table.known_at})])
    return F.when(F.expr(model.label).isNotNull(), at)


def _blank(ctx: Context, intent: Intent) -> Tally:
    """A row of the batch, to be filled."""
    who = (intent.pipeline, intent.stage, ctx.run_id, intent.generation, intent.batch, intent.now)
    return Tally(*who, model_version=0, window=None, column=THE_SCORE, whole=True)
