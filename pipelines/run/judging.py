"""What is said of a trained model on the test slice: metrics beside baseline and champion, pictures, gates."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines import evaluate, gates
from pipelines.evaluate import Counts, Tally, Task
from pipelines.evaluate.multiclass import GIVEN
from pipelines.models.base import Inputs, predict
from pipelines.models.hashed import HeldOut
from pipelines.models.splits import Slices
from pipelines.monitor import counting
from pipelines.registry import CUTOFF, Registry, Version
from pipelines.run.answers import ANSWERS
from pipelines.run.tallying import VERSION
from pipelines.spec import METRICS, Feature, Model
from pipelines.spec.task import LABEL, SCORE
from pipelines.tune import Trial

HELD = "lakeloom.held"  # tag of a registered version: which rows its split kept from it
FIGURES = 9  # significant, of a metric in a record


def judge(model: Model, feature: Feature, slices: Slices, winner: Trial, rival: "Rival | None") -> dict[str, Any]:
    """The winner on the test slice, as the run record holds it. Cost: one scoring pass, a few small aggregates."""
    key, task = F.concat_ws("/", *feature.keys), winner.task
    group = together(model, feature)
    answered = predict(winner.fitted, slices.test, task.answers(labelled=True))
    scored = answered.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        found = evaluate.tally(task, scored, group)
        test, base = bounded(task, found), task.baseline(found.whole)
        same = rival.on(task, scored, slices.test, group) if rival else None
        by_slice = {c: evaluate.by_slice(task, scored, c) for c in model.sliced}
        tested = _hash(scored, key)
        pictures = task.pictures(scored, found.whole)
        fair = _fairness(model, scored, key, group)
        outline = _outlined(task, scored, found.whole)
        weak = evaluate.weakness(task, scored, _looked(model, feature, winner, scored), key, task.rows(found.whole))
    finally:
        scored.unpersist()
    parts = {c: [_slice(task, v, n) for v, n in found.items()] for c, found in by_slice.items()}
    versus = _versus(model, task, same) if same else {}
    largest = {column: each["largest"] for column, each in fair.items()}
    evidence = gates.Evidence(test, base, _parts(parts), versus, largest, champion=rival is not None)
    parity = gates.parity(model.fairness, evidence) if model.fairness else ()
    decided = [*gates.decide(model.admission, evidence), *parity]
    return {
        "test": test,
        "tested": tested,
        "baseline": base,
        **_decision(task, found),
        "champion": task.metrics(same[1].whole) if same else None,
        "slices": parts,
        "curves": pictures,
        **({"scores": outline} if outline else {}),
        **({"classes": list(task.classes)} if isinstance(task, evaluate.Multiclass) else {}),
        "fairness": fair,
        "weakness": finite(weak),
        "gates": [d.as_json() for d in decided],
    }


def together(model: Model, feature: Feature) -> Column:
    """What decides in which group of an interval a row falls: its key, or what the split keeps on one side.

    Of a forecast the stretch of one horizon in which it was made: neighbours err alike, and one by one they would make
    an interval as if each told something new. Of a recommendation the user, whose rows are one list.
    """
    if model.forecasting:
        return F.floor(F.unix_seconds(feature.as_of_time) / int(model.forecasting.horizon.total_seconds()))
    if model.recommendation:
        return F.coalesce(F.col(model.recommendation.user).cast("string"), F.lit(""))
    if model.split.column:
        return F.coalesce(F.col(model.split.column).cast("string"), F.lit(""))
    return F.concat_ws("/", *feature.keys)


def _hash(scored: DataFrame, key: Column) -> str:
    """Of the rows that were tested on, in any order: two models of the same hash were judged on the same rows."""
    row = scored.agg(F.hex(F.bit_xor(F.xxhash64(key, LABEL))).alias("tested")).first()
    return str(row.tested) if row else ""


class Rival:
    """The present champion, to be beaten on rows that neither model has seen."""

    def __init__(self, registry: Registry, version: Version, feature: Feature) -> None:
        self.registry, self.version, self.time = registry, version, feature.as_of_time

    def on(self, task: Task, scored: DataFrame, test: DataFrame, key: Column) -> tuple[Tally, Tally] | None:
        """(challenger, champion) on the rows that neither has seen, counted as the challenger's task counts.

        None where the champion had another task, or its columns are gone.
        """
        if self.version.tags.get(evaluate.TASK) != task.kind:
            return None
        if not set(self.registry.detail(self.version)["features"]) <= set(test.columns):
            return None
        unseen = self._unseen(test)
        fitted = self.registry.load_version(self.version)
        answers = evaluate.restored(self.version.tags, fitted).answers(labelled=True)
        rows = predict(fitted, test.where(unseen), answers)
        pair = evaluate.tally(task, scored.where(unseen), key), evaluate.tally(task, rows, key)
        return None if any(task.lacks(each.whole) for each in pair) else pair

    def _unseen(self, test: DataFrame) -> Column:
        """True of a row newer than the champion's cutoff, and of one that its split by a hash held out."""
        newer = F.col(self.time) >= F.lit(self.version.tags[CUTOFF]).cast("timestamp")
        held = HeldOut.of(self.version.tags[HELD]) if HELD in self.version.tags else None
        return newer | held.holds() if held and set(held.columns) <= set(test.columns) else newer


def bounded(task: Task, found: Tally) -> dict[str, list[float]]:
    """Metric -> value, low, high; finite, for JSON has no infinity: too few rows make an interval of no bound."""
    said = evaluate.intervals(task, found)
    return {n: [_rounded(METRICS[n].bounded(v)) for v in values] for n, values in said.items()}


def _outlined(task: Task, scored: DataFrame, counts: Counts) -> Mapping[str, Any]:
    """How its scores are spread, in few bins, so that a monitor can hold later ones against them.

    Of a task that none watches nothing. Cost: of numbers a small aggregate.
    """
    found: Mapping[str, Any] = {}
    match task:
        case evaluate.Binary():
            found = {"unknown": {str(place): rows for place, rows in enumerate(counts.sum(axis=1).tolist()) if rows}}
        case evaluate.Multiclass():
            found = {"given": dict(zip(task.classes, map(int, counts[:, GIVEN]), strict=False))}
        case evaluate.Regression(kind="regression"):
            numbered = scored.withColumn(VERSION, F.lit(0))
            found = counting.count_numbers(numbered, SCORE, LABEL, F.lit(0)).get((0, 0), {})
    return ANSWERS[task.kind].outlined(found) if found else {}


def _decision(task: Task, found: Tally) -> dict[str, Any]:
    """From which score on it says yes, and what that costs; nothing of a task that does not decide."""
    if not isinstance(task, evaluate.Binary):
        return {}
    asked = dict(zip(("false_positive", "false_negative"), task.costs, strict=True)) if task.costs else None
    return {"decision": {"threshold": task.threshold, "cost": asked, "per_row": finite(evaluate.costs(task, found))}}


def _fairness(model: Model, scored: DataFrame, key: Column, unit: Column) -> dict[str, Any]:
    """Column -> its groups and how far they are apart; empty where the conf asks for none.

    unit: what is left out together; of the very column that the split keeps whole, there are rows alone to leave out.
    """
    if model.fairness is None:
        return {}
    by = {c: key if c == model.split.column else unit for c in model.fairness.columns}
    groups = {c: evaluate.by_group(scored, c, each) for c, each in by.items()}
    return {c: finite(evaluate.compared(each, model.fairness.rows)) for c, each in groups.items()}


def _looked(model: Model, feature: Feature, winner: Trial, df: DataFrame) -> dict[str, bool]:
    """Features that may be cut into slices, what weighs most first -> is it a number."""
    inputs = Inputs.of(df, feature.outputs(), model.prepare)
    known = dict.fromkeys([*(name for name, _ in winner.importance), *inputs.columns])
    return {c: c in inputs.numbers for c in known if c in (*inputs.numbers, *inputs.categories)}


def finite(found: Any) -> Any:
    """The same with figures rounded, and none where they have no bound: JSON has no infinity."""
    if isinstance(found, dict):
        return {name: finite(each) for name, each in found.items()}
    if isinstance(found, list | tuple):
        return [finite(each) for each in found]
    if isinstance(found, float):
        return _rounded(found) if isfinite(found) else None
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.{FIGURES}g}")


def _versus(model: Model, task: Task, same: tuple[Tally, Tally]) -> dict[tuple[str, float], tuple[bool, float, float]]:
    """By metric and confidence, as gates.Evidence has it: what is smaller and better counts as greater."""
    asked = {(gate.metric, gate.confidence) for gate in model.admission if gate.versus == "champion"}
    return {(m, c): evaluate.surely_better(task, *same, m, c) for m, c in asked}


def _parts(slices: dict[str, list[dict[str, Any]]]) -> dict[str, list[gates.Part]]:
    return {c: [gates.Part(p["value"], p["rows"], p["metrics"]) for p in parts] for c, parts in slices.items()}


def _slice(task: Task, value: str, counts: Counts) -> dict[str, Any]:
    said = {"rows": task.rows(counts), **task.said(counts)}
    return {"value": value, **said, "metrics": evaluate.figures(task, counts)}
