"""One scoring function: batch and stream both call it, so they cannot disagree."""

from dataclasses import dataclass
from datetime import datetime

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.models.base import SCORE, Inputs, predict


@dataclass(frozen=True)
class Scorer:
    """A loaded model with all that a score row says of it."""

    fitted: PipelineModel
    inputs: Inputs
    model_version: int
    threshold: float
    keys: tuple[str, ...]
    as_of_time: str

    def score(self, features: DataFrame, now: datetime) -> DataFrame:
        """A row a feature row: keys, as_of_time, score in [0, 1], predicted, model_version, scored_at, event_month.

        Cost: one projection through the model; lazy; no shuffle.
        """
        return predict(self.fitted, features, self.inputs).select(
            *self.keys,
            self.as_of_time,
            SCORE,
            (F.col(SCORE) >= self.threshold).alias("predicted"),
            F.lit(self.model_version).alias("model_version"),
            F.lit(now).alias("scored_at"),
            F.date_format(self.as_of_time, "yyyy-MM").alias("event_month"),
        )
