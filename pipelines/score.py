"""One scoring function: batch and stream both call it, so they cannot disagree.

What answers is the certified graph of a version where its task has one, in a pass over Arrow batches: the graph that
the endpoint serves, without Spark's model. Else it is Spark's pipeline, which the graph was held against row by row.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines import onnx
from pipelines.errors import DataError
from pipelines.evaluate import TASK, TASKS, Binary, Regression, Task
from pipelines.models.base import predict
from pipelines.onnx import Graph
from pipelines.shap import CONTRIBUTIONS, FEATURE, PART, SAID
from pipelines.signature import MISSING, Feature, Signature

GRAPHED: tuple[type[Binary | Regression], ...] = (Binary, Regression)  # tasks that need nothing of Spark's model
TYPES = {"tensor(double)": "double", "tensor(bool)": "boolean", "tensor(string)": "string", "tensor(int64)": "bigint"}
CONTRIBUTED = f"array<struct<{FEATURE}:string,{PART}:double>>"
# Rows, columns to keep, how many contributions -> those with the answers; no contributions where a model has none.
Answered = Callable[[DataFrame, Sequence[str], int], DataFrame]


@dataclass(frozen=True)
class Scorer:
    """A loaded model with all that a score row says of it."""

    answered: Answered
    task: Task
    model_version: int
    keys: tuple[str, ...]
    as_of_time: str
    features: tuple[str, ...] = ()  # columns that it learned from

    def score(self, features: DataFrame, now: datetime, explain: int = 0) -> DataFrame:
        """A row a feature row: keys, as_of_time, what the task answers, model_version, scored_at, event_month.

        Answers: binary: score in [0, 1] and predicted (boolean); regression: score; multiclass: score, the
        probability of predicted, a class; clustering: predicted, a number, and score, the distance from its centre (of
        a mixture: its probability); anomaly: score, how far from what is usual, and predicted, whether that is too far.
        explain: so many features, of those that weigh most in an answer, stand in `contributions` with what they add.
        Cost: one pass through the model; lazy; no shuffle. Errors: DataError where the rows lack a feature.
        """
        gone = [name for name in self.features if name not in features.columns]
        if gone:
            said = f"version {self.model_version} learned from {', '.join(gone)}, which the features no longer have"
            raise DataError(f"{said}; bring it back, or promote a version that does without")
        return self.answered(features, (*self.keys, self.as_of_time), explain).select(
            "*",
            F.lit(self.model_version).alias("model_version"),
            F.lit(now).alias("scored_at"),
            F.date_format(self.as_of_time, "yyyy-MM").alias("event_month"),
        )


def by_pipeline(fitted: PipelineModel, task: Task) -> Answered:
    """As Spark answers."""
    answers = task.answers(labelled=False)

    def answered(rows: DataFrame, kept: Sequence[str], explain: int) -> DataFrame:
        found = predict(fitted, rows, answers).select(*kept, *answers)
        return found.withColumn(CONTRIBUTIONS, F.lit(None).cast(CONTRIBUTED)) if explain else found

    return answered


def graphed(tags: Mapping[str, str]) -> Binary | Regression | None:
    """The task of a version, where a graph can answer it without Spark's model."""
    kind = TASKS.get(tags.get(TASK, ""))
    return next((own.tagged(tags) for own in GRAPHED if own is kind), None)


def by_graph(content: bytes) -> Answered:
    """As a graph does, a task's rows in one thread. Only features that it reads are handed to Python."""
    graph = Graph.opened(content)
    answers = {port.name: TYPES[port.type] for port in graph.outputs if not port.places}
    signature, explains, names = Signature.said_by(graph.said), SAID in graph.said, list(answers)

    def answered(rows: DataFrame, kept: Sequence[str], explain: int) -> DataFrame:
        shared, most = rows.sparkSession.sparkContext.broadcast(content), explain if explains else 0

        def scored(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return onnx.scored(shared.value, batches, kept, names, most)

        given = [_given(feature) for feature in signature.features]  # under names that no key has
        wanted = rows.select(*kept, *given)
        ddl = [f"`{f.name}` {f.dataType.simpleString()}" for f in rows.select(*kept).schema]
        made = {**answers, **({CONTRIBUTIONS: CONTRIBUTED} if most else {})}
        found = wanted.mapInArrow(scored, ", ".join([*ddl, *(f"{name} {kind}" for name, kind in made.items())]))
        nothing = explain and not most
        return found.withColumn(CONTRIBUTIONS, F.lit(None).cast(CONTRIBUTED)) if nothing else found

    return answered


def _given(feature: Feature) -> Column:
    """A feature as `Feature.value` has it: a number, the text that Spark makes of a value, microseconds."""
    typed, missing = F.col(feature.name).cast(feature.type), F.lit(MISSING[feature.kind])
    made = {
        "number": typed.cast("double"),
        "time": F.unix_micros(typed.cast("timestamp")),
    }.get(feature.kind, typed.cast("string"))
    return F.coalesce(made, missing).alias(f"{onnx.GIVEN}{feature.name}")
