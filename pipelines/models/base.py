"""The one protocol of a learner, and how a frame becomes its inputs.

A learner is a module with `estimator(candidate, inputs) -> Pipeline` and
`importance(fitted, inputs) -> [(feature, share)]`. All preparation is inside
the pipeline and is fitted on the training slice only. To add a learner: a spec
in spec/model.py, a module here, a line in LEARNERS.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import StringIndexer
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.errors import SpecError
from pipelines.spec import Candidate

LABEL, SCORE = "_label", "score"
SEED = 20130101
logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)  # it tells of every fit and every batch
RESERVED = frozenset({"features", "probability", "prediction", "rawPrediction", LABEL, SCORE})


@dataclass(frozen=True)
class Inputs:
    """Feature columns by what preparation they get."""

    categories: tuple[str, ...]
    numbers: tuple[str, ...]

    @classmethod
    def of(cls, df: DataFrame, columns: Sequence[str]) -> "Inputs":
        """Text is a category, numbers and booleans are numbers. Errors: SpecError for any other type."""
        kinds = dict(df.dtypes)
        if taken := RESERVED & set(columns):
            raise SpecError(f"feature {min(taken)} has the name of a column that Spark ML makes; name it otherwise")
        number = [
            c
            for c in columns
            if kinds[c].startswith(("int", "bigint", "smallint", "tinyint", "double", "float", "decimal"))
        ]
        text = [c for c in columns if kinds[c] in ("string", "boolean")]
        for column in columns:
            if column not in number and column not in text:
                raise SpecError(f"feature {column} is {kinds[column]}; a feature is text, number or boolean")
        return cls(tuple(text), tuple(number))


class Learner(Protocol):
    """What a learner module offers."""

    def estimator(self, candidate: Candidate, inputs: Inputs) -> Pipeline:
        """An unfitted pipeline from the prepared frame to `probability` or `prediction`."""

    def importance(self, fitted: PipelineModel, inputs: Inputs) -> list[tuple[str, float]]:
        """Shares that sum to 1, the greatest first."""


def prepared(df: DataFrame, inputs: Inputs) -> DataFrame:
    """Numbers as double, categories as text that is never null; other columns as they are. One projection."""
    changed = {
        **{c: F.col(c).cast("double") for c in inputs.numbers},
        **{c: F.coalesce(F.col(c).cast("string"), F.lit("(missing)")) for c in inputs.categories},
    }
    return df.withColumns(changed)


def indexer(inputs: Inputs) -> StringIndexer:
    """Categories by falling frequency; one not seen in training gets an index of its own."""
    return StringIndexer(
        inputCols=list(inputs.categories),
        outputCols=[f"{c}_index" for c in inputs.categories],
        handleInvalid="keep",
        stringOrderType="frequencyDesc",
    )


def predict(fitted: PipelineModel, df: DataFrame, inputs: Inputs) -> DataFrame:
    """df with `score` appended, the probability of the label, in [0, 1]; lazily, no row added or lost."""
    out = fitted.transform(prepared(df.select("*", *[F.col(c).alias(f"_kept_{c}") for c in df.columns]), inputs))
    kept = [F.col(f"_kept_{c}").alias(c) for c in df.columns]
    return out.select(*kept, vector_to_array(F.col("probability"))[1].alias(SCORE))


def shares(weights: dict[str, float]) -> list[tuple[str, float]]:
    """Weights as shares of their sum, the greatest first."""
    whole = sum(weights.values()) or 1.0
    return sorted(((name, w / whole) for name, w in weights.items()), key=lambda x: (-x[1], x[0]))
