"""What is said of a trained model on the newest slice: metrics beside baseline and champion, curves, gates."""

from typing import Any

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines import evaluate, gates
from pipelines.evaluate import Counts, Histogram
from pipelines.models.base import LABEL, SCORE, Inputs, predict
from pipelines.models.splits import Slices
from pipelines.registry import Registry, Version
from pipelines.run.scorer import inputs_of
from pipelines.spec import Feature, Metric, Model, smaller_is_better
from pipelines.tune import Trial


def judge(
    model: Model, feature: Feature, slices: Slices, inputs: Inputs, winner: Trial, rival: "Rival | None"
) -> dict[str, Any]:
    """The winner on the test slice, as the run record holds it. Cost: one scoring pass, a few small aggregates."""
    key = F.concat_ws("/", *feature.keys)
    scored = predict(winner.fitted, slices.test, inputs).persist(StorageLevel.MEMORY_AND_DISK)
    found = evaluate.histogram(scored, SCORE, LABEL, key)
    test = _intervals(found, winner.threshold)
    train = slices.train.agg(F.avg(LABEL).alias("rate")).first()
    assert train is not None
    base = evaluate.baseline(found.whole, train.rate)
    same = rival.on(scored, slices.test, key) if rival else None
    columns = dict.fromkeys([*model.slices, *[gate.slice for gate in model.admission if gate.slice]])
    by_slice = {c: evaluate.by_slice(scored, c, SCORE, LABEL) for c in columns}
    tested = _hash(scored, key)
    scored.unpersist()
    parts = {c: [_slice(v, n, winner.threshold) for v, n in found.items()] for c, found in by_slice.items()}
    versus = _versus(model, same, winner.threshold) if same else {}
    evidence = gates.Evidence(test, base, _parts(parts), versus, champion=rival is not None)
    return {
        "test": test,
        "tested": tested,
        "baseline": base,
        "champion": evaluate.metrics(same[1].whole, winner.threshold) if same else None,
        "slices": parts,
        "curves": evaluate.curves(found.whole),
        "gates": [d.as_json() for d in gates.decide(model.admission, evidence)],
    }


def _hash(scored: DataFrame, key: Column) -> str:
    """Of the rows that were tested on, in any order: two models of the same hash were judged on the same rows."""
    row = scored.agg(F.hex(F.bit_xor(F.xxhash64(key, LABEL))).alias("tested")).first()
    return str(row.tested) if row else ""


WIDEST = 100.0  # the high end of an interval that has none; every metric is far below


class Rival:
    """The present champion, to be beaten on rows that neither model has seen."""

    def __init__(self, registry: Registry, version: Version, feature: Feature) -> None:
        self.registry, self.version, self.time = registry, version, feature.as_of_time

    def on(self, scored: DataFrame, test: DataFrame, key: Column) -> tuple[Histogram, Histogram] | None:
        """(challenger, champion) on the rows newer than both cutoffs; None where the champion's columns are gone."""
        inputs = inputs_of(self.version)
        if not {*inputs.categories, *inputs.numbers} <= set(test.columns):
            return None
        newer = F.col(self.time) >= F.lit(self.version.tags["lakeloom.cutoff"]).cast("timestamp")
        rows = predict(self.registry.load_version(self.version), test.where(newer), inputs)
        pair = evaluate.histogram(scored.where(newer), SCORE, LABEL, key), evaluate.histogram(rows, SCORE, LABEL, key)
        return pair if all(pair[0].whole.sum(axis=0)) else None


def _intervals(found: Histogram, threshold: float) -> dict[str, list[float]]:
    names = evaluate.metrics(found.whole, threshold)
    return {n: [_bounded(v) for v in evaluate.interval(found, _figure(n, threshold))] for n in names}


def _bounded(value: float) -> float:
    """Six digits, and no infinity, which JSON has not: too few rows make an interval of no bound."""
    return round(min(max(value, 0.0), WIDEST), 6)


def _figure(name: str, threshold: float) -> Any:
    direct = {"roc_auc": evaluate.roc_auc, "average_precision": evaluate.average_precision}
    return direct.get(name) or (lambda counts: evaluate.metrics(counts, threshold)[name])


def _versus(
    model: Model, same: tuple[Histogram, Histogram], threshold: float
) -> dict[tuple[str, float], tuple[bool, float, float]]:
    """By metric and confidence, as gates.Evidence has it: what is smaller and better counts as greater."""
    asked = {(gate.metric, gate.confidence) for gate in model.admission if gate.versus == "champion"}
    return {(m, c): evaluate.surely_better(*same, _merit(m, threshold), c) for m, c in asked}


def _merit(metric: Metric, threshold: float) -> Any:
    figure = _figure(metric, threshold)
    return (lambda counts: -figure(counts)) if smaller_is_better(metric) else figure


def _parts(slices: dict[str, list[dict[str, Any]]]) -> dict[str, list[gates.Part]]:
    return {c: [gates.Part(p["value"], p["rows"], p["metrics"]) for p in parts] for c, parts in slices.items()}


def _slice(value: str, counts: Counts, threshold: float) -> dict[str, Any]:
    negatives, positives = counts.sum(axis=0)
    found = evaluate.metrics(counts, threshold) if positives and negatives else {}
    return {"value": value, "rows": int(positives + negatives), "positives": int(positives), "metrics": found}
