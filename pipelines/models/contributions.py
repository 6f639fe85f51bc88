"""SHAP values of fitted pipelines: the stage that answers is written down as shap.py has it, and asked.

Linear models, XGBoost and Spark's own trees have them; other learners have none here. Rows of a linear model are
compared with the mean of those that are asked.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array
from pyspark.ml.tree import _DecisionTreeModel, _TreeEnsembleModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.models import treeshap
from pipelines.models.base import Block
from pipelines.models.trees import Grown, grown
from pipelines.shap import Contributions, Linear, Matrix, Shap, Trees
from pipelines.spec.task import FEATURES

SPARKS_TREES = (_DecisionTreeModel, _TreeEnsembleModel)
MOST_CELLS = 4_000_000  # of a matrix of rows and places; fewer rows are asked where a vector is wide


def contributions(
    fitted: PipelineModel, blocks: Sequence[Block], sample: DataFrame, rows: int, place: str
) -> tuple[Contributions, Any] | None:
    """Of each row of a small frame, by conf column; beside it the frame, in the same order. None: no such learner.

    rows: about how many the frame has; place: a folder that all machines see, where Spark's trees are written to be
    read. Cost: one pass through the preparation; the rows come to the driver.
    """
    at, width = _answering(fitted), sum(block.width for block in blocks)
    if at is None or not width:
        return None
    few = sample.limit(MOST_CELLS // width) if rows * width > MOST_CELLS else sample
    ready = PipelineModel(fitted.stages[:at]).transform(few)
    table = ready.select(*sample.columns, vector_to_array(F.col(FEATURES)).alias(FEATURES)).toArrow().combine_chunks()
    vectors = table[FEATURES].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    found = written(fitted, blocks, vectors, place)
    return (found.of(vectors), table.drop_columns([FEATURES])) if found else None


def written(fitted: PipelineModel, blocks: Sequence[Block], vectors: Matrix, place: str) -> Shap | None:
    """What tells the parts of its answers without Spark; None where its learner has none.

    vectors: those that a linear model's rows are compared with. Cost: of Spark's trees two small jobs.
    """
    at = _answering(fitted)
    if at is None or not blocks:
        return None
    stage = fitted.stages[at]
    return Shap(tuple((block.feature, block.width) for block in blocks), _model(stage, vectors, place))


def _answering(fitted: PipelineModel) -> int | None:
    return next((i for i, stage in enumerate(fitted.stages) if _explainable(stage)), None)


def _explainable(stage: Any) -> bool:
    linear = hasattr(type(stage), "coefficients") and getattr(stage, "numClasses", 2) == 2
    return linear or hasattr(stage, "get_booster") or isinstance(stage, SPARKS_TREES)


def _model(stage: Any, vectors: Matrix, place: str) -> Linear | Trees:
    if isinstance(stage, SPARKS_TREES):
        return _grown(stage, vectors.shape[1], place)
    if hasattr(stage, "get_booster"):
        return Trees(stage.get_booster().save_raw("json").decode(), {})
    return Linear(stage.coefficients.toArray(), vectors.mean(axis=0), float(stage.intercept))


def _grown(stage: Any, width: int, place: str) -> Trees:
    """Of Spark's trees, which it shows only where it writes them."""
    spark = SparkSession.active()
    stage.write().overwrite().save(f"{place}/explained")
    rows = [row.asDict(recursive=True) for row in spark.read.parquet(f"{place}/explained/data").collect()]
    weights = dict(enumerate(stage.treeWeights)) if isinstance(stage, _TreeEnsembleModel) else {}
    boosted, classes = type(stage).__name__.startswith("GBT"), getattr(stage, "numClasses", 0)
    found = grown(rows, weights, classes=bool(classes) and not boosted)
    return treeshap.written(found.trees, _says(found, classes, boosted), width)


def _says(found: Grown, classes: int, boosted: bool) -> Matrix:
    """Leaves by outputs: what each adds to the answer."""
    leaves = [(tree.leaf[n], w) for tree, w in zip(found.trees, found.weights, strict=True) for n in tree.leaves]
    said, weights = np.array(leaves, dtype=np.float64).T.reshape(2, -1, 1)
    if boosted:
        return np.asarray(said * weights * (2 if classes else 1))  # its loss has the margin twice
    if not classes:
        return np.asarray(said / len(found.trees))
    shares: Matrix = found.stats / found.stats.sum(axis=1, keepdims=True) / len(found.trees)
    return shares[:, 1:] if classes == 2 else shares
