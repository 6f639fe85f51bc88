"""What weights of 8 bits cost: a version's test slice answered by its certified graph and by the quantised one.

The slice is made again from the table versions that the training read, so both
graphs answer the rows that the version was judged on; nothing is written.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines import evaluate
from pipelines.deferring import warehouse_of
from pipelines.errors import DataError
from pipelines.evaluate import Task
from pipelines.plan import Stage
from pipelines.registry import Registry, Version
from pipelines.run.judging import finite
from pipelines.run.models import labelled, sliced
from pipelines.run.reproducing import made_of
from pipelines.score import by_graph
from pipelines.spark import session
from pipelines.spec import Pipeline, Target
from pipelines.spec.task import METRICS, PREDICTED, SCORE

FULL = "_full_"  # before the name of what the certified graph answers


@dataclass(frozen=True)
class Pair:
    """A certified graph, and the same quantised."""

    full: bytes
    quantised: bytes


def cost(
    pipeline: Pipeline, target: Target, version: Version, stage: Stage, pair: Pair, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Metrics and scores of both on the test slice, as JSON. Cost: two passes over it.

    Errors: DataError where what the version was made of cannot be read any more.
    """
    model, intent = made_of(pipeline, target, version, stage)
    registry = Registry(target)
    with session(target, f"quantise {version.name}") as spark:
        task = evaluate.restored(version.tags, registry.load_version(version))
        rows = labelled(spark, warehouse_of(pipeline, target), pipeline, model, intent)
        test = sliced(rows, model, pipeline.features[model.features]).test
        tell("answers the test slice by the certified graph and by the quantised one")
        answered = _both(test, pair).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            found = _compared(task, registry.detail(version)["metric"], answered)
        finally:
            answered.unpersist()
    sizes = {"full": len(pair.full), "quantised": len(pair.quantised)}
    return {"of": hashlib.sha256(pair.full).hexdigest(), "bytes": sizes, **finite(found)}


def refuse_loss(version: Version, found: Mapping[str, Any], allowed: float) -> None:
    """Errors: DataError where the metric loses a greater share than is allowed."""
    if found["lost"] > allowed:
        was, now = found["metrics"][found["metric"]]
        said = f"{METRICS[found['metric']].words} goes from {was:.4f} to {now:.4f}"
        raise DataError(
            f"{version.name}@{version.number}: quantised its {said}, and --quantised {allowed:g} allows a loss of "
            f"{allowed:.2%}; allow more, or export it as it is"
        )


def _both(rows: DataFrame, pair: Pair) -> DataFrame:
    """Rows with the answers of the quantised graph, and those of the certified one under FULL and their names."""
    full = by_graph(pair.full)(rows, rows.columns, 0)
    named = full.withColumnsRenamed({name: f"{FULL}{name}" for name in full.columns if name not in rows.columns})
    return by_graph(pair.quantised)(named, named.columns, 0)


def _compared(task: Task, metric: str, answered: DataFrame) -> dict[str, Any]:
    names = [name.removeprefix(FULL) for name in answered.columns if name.startswith(FULL)]
    full = answered.drop(*names).withColumnsRenamed({f"{FULL}{name}": name for name in names})
    was, now = (task.metrics(evaluate.counts(task, rows)) for rows in (full, answered))
    asked = metric if metric in now else next(iter(now))  # a graph tells no likelihood of each class
    apart = F.nanvl(F.abs(F.col(SCORE) - F.col(f"{FULL}{SCORE}")), F.lit(0.0))
    otherwise = F.col(PREDICTED) != F.col(f"{FULL}{PREDICTED}") if PREDICTED in names else F.lit(False)
    row = answered.agg(F.count("*"), F.max(apart), F.avg(apart), F.count_if(otherwise)).first()
    assert row is not None
    return {
        "metric": asked,
        "lost": METRICS[asked].sign * (was[asked] - now[asked]) / (abs(was[asked]) or 1.0),
        "metrics": {name: [was[name], now[name]] for name in now},
        **dict(zip(("rows", "largest", "mean", "otherwise"), row, strict=True)),
    }
