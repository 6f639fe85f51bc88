"""Boosted trees as the guides of XGBoost and of Spark ML write them: nothing of ours."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import xgboost
from numpy.typing import NDArray
from pyspark.ml.classification import GBTClassifier
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

Score = Callable[[Path], NDArray[np.float64]]  # a Parquet file -> the chance of a yes for each row, in its order


@dataclass(frozen=True)
class How:
    """What all of them are told."""

    features: Sequence[str]
    rounds: int
    depth: int
    rate: float


def alone(train: Path, how: How) -> Score:
    """XGBoost in this process, with a thread a core."""
    rows = pq.read_table(train, columns=[*how.features, "label"])
    data = xgboost.QuantileDMatrix(_matrix(rows, how), rows["label"].to_numpy())
    settings = {
        "objective": "binary:logistic", "tree_method": "hist", "max_depth": how.depth, "eta": how.rate,
        "nthread": os.cpu_count(),
    }  # fmt: skip
    booster = xgboost.train(settings, data, how.rounds)
    return lambda test: np.asarray(booster.inplace_predict(_matrix(pq.read_table(test), how)), np.float64)


def gbt(spark: SparkSession, train: Path, how: How) -> Score:
    """Spark ML, on cached rows."""
    assembler = VectorAssembler(inputCols=list(how.features), outputCol="features")
    rows = assembler.transform(spark.read.parquet(str(train))).select("features", "label").cache()
    learner = GBTClassifier(maxIter=how.rounds, maxDepth=how.depth, stepSize=how.rate, seed=1)
    fitted = learner.fit(rows)
    rows.unpersist()
    return lambda test: in_order(fitted.transform(assembler.transform(spark.read.parquet(str(test)))), "id")


def in_order(scored: DataFrame, key: str, probability: str = "probability") -> NDArray[np.float64]:
    """The chance of a yes, in the order of the key."""
    found = scored.select(key, vector_to_array(F.col(probability))[1].alias("yes")).orderBy(key).toArrow()
    return np.asarray(found["yes"].to_numpy(), np.float64)


def _matrix(rows: object, how: How) -> NDArray[np.float32]:
    return np.column_stack([rows[name].to_numpy() for name in how.features])  # type: ignore[index]
