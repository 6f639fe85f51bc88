"""A booster over a table as the guides of MLflow and of XGBoost have it: nothing of ours."""

from collections.abc import Sequence
from pathlib import Path

import mlflow.pyfunc
import mlflow.xgboost
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from xgboost import Booster


def saved(booster: Booster, names: Sequence[str], folder: Path) -> None:
    """As an MLflow model that takes named columns."""
    booster.feature_names = list(names)
    mlflow.xgboost.save_model(booster, folder)


def udf(spark: SparkSession, model: Path, rows: DataFrame, names: Sequence[str]) -> DataFrame:
    """MLflow's function for Spark, in the environment at hand."""
    predict = mlflow.pyfunc.spark_udf(spark, str(model), result_type="double", env_manager="local")
    return rows.select("id", predict(F.struct(*names)).alias("score"))


def floor(booster: Booster, source: Path, names: Sequence[str], to: Path) -> None:
    """Without Spark, in one thread: Parquet in, Parquet out."""
    booster.set_param({"nthread": 1})
    to.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(sorted(source.glob("*.parquet"))):
        table = pq.read_table(file)
        matrix = np.column_stack([table[name].to_numpy() for name in names]).astype(np.float32)
        scores = booster.inplace_predict(matrix, validate_features=False)
        pq.write_table(pa.table({"id": table["id"], "score": pa.array(scores)}), to / f"{number}.parquet")
