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
from pipelines.spec import Feature, Model
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
    by_slice = {c: evaluate.by_slice(scored, c, SCORE, LABEL) for c in model.slices}
    scored.unpersist()
    evidence: dict[str, gates.Evidence] = {}
    for gate in model.gates:
        value, low, high = test[gate.metric]
        versus = _versus(same, gate.metric, winner.threshold, gate.confidence)
        evidence[gate.metric] = gates.Evidence(value, low, high, base[gate.metric], versus)
    return {
        "test": test,
        "baseline": base,
        "champion": evaluate.metrics(same[1].whole, winner.threshold) if same else None,
        "slices": {c: [_slice(v, n, winner.threshold) for v, n in parts.items()] for c, parts in by_slice.items()},
        "curves": evaluate.curves(found.whole),
        "gates": [d.as_json() for d in gates.decide(model.gates, evidence)],
    }


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
    same: tuple[Histogram, Histogram] | None, metric: str, threshold: float, confidence: float
) -> tuple[bool, float, float] | None:
    return evaluate.surely_better(*same, _figure(metric, threshold), confidence) if same else None


def _slice(value: str, counts: Counts, threshold: float) -> dict[str, Any]:
    negatives, positives = counts.sum(axis=0)
    found = evaluate.metrics(counts, threshold) if positives and negatives else {}
    return {"value": value, "rows": int(positives + negatives), "positives": int(positives), "metrics": found}
