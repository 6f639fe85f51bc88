"""One scoring function: batch and stream both call it, so they cannot disagree."""

from dataclasses import dataclass
from datetime import datetime

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.evaluate import Task
from pipelines.models.base import predict


@dataclass(frozen=True)
class Scorer:
    """A loaded model with all that a score row says of it."""

    fitted: PipelineModel
    task: Task
    model_version: int
    keys: tuple[str, ...]
    as_of_time: str

    def score(self, features: DataFrame, now: datetime) -> DataFrame:
        """A row a feature row: keys, as_of_time, what the task answers, model_version, scored_at, event_month.

        Answers: binary: score in [0, 1] and predicted (boolean); regression: score; multiclass: score, the
        probability of predicted, a class; clustering: predicted, a number, and score, the distance from its centre (of
        a mixture: its probability); anomaly: score, how far from what is usual, and predicted, whether that is too far.
        Cost: one projection through the model; lazy; no shuffle.
        """
        answers = self.task.answers(labelled=False)
        return predict(self.fitted, features, answers).select(
            *self.keys,
            self.as_of_time,
            *answers,
            F.lit(self.model_version).alias("model_version"),
            F.lit(now).alias("scored_at"),
            F.date_format(self.as_of_time, "yyyy-MM").alias("event_month"),
        )
