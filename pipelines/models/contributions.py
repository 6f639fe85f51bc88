"""SHAP values: what each feature adds to the answer for a row, so that the parts sum to the whole.

XGBoost computes them itself, exactly (TreeSHAP; Lundberg and others 2020), and
of Spark's trees too. Of a linear model they have a closed form, coefficient
times (value - mean), where features are taken as independent; the mean is that
of the rows that are asked. Other learners have none here. The answer is the one
before a link: log odds of a classifier, the number of a regression; of one tree
or a forest the probability of yes, or of each class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array
from pyspark.ml.tree import _DecisionTreeModel, _TreeEnsembleModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.models import treeshap
from pipelines.models.base import Block
from pipelines.models.trees import Grown, grown
from pipelines.spec.task import FEATURES

SPARKS_TREES = (_DecisionTreeModel, _TreeEnsembleModel)
MOST_CELLS = 4_000_000  # of a matrix of rows and places; fewer rows are asked where a vector is wide
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Contributions:
    """values: shape (rows, outputs, features); base: (rows, outputs). A row's values and its base sum to its answer."""

    features: tuple[str, ...]
    values: Matrix
    base: Matrix

    @property
    def mean_size(self) -> list[tuple[str, float]]:
        """The mean size of a feature's part, over rows and outputs; the greatest first."""
        found = zip(self.features, np.abs(self.values).mean(axis=(0, 1)), strict=True)
        return sorted(((name, float(size)) for name, size in found), key=lambda pair: (-pair[1], pair[0]))


def contributions(
    fitted: PipelineModel, blocks: Sequence[Block], sample: DataFrame, rows: int, place: str
) -> tuple[Contributions, Any] | None:
    """Of each row of a small frame, by conf column; beside it the frame, in the same order. None: no such learner.

    rows: about how many the frame has; place: a folder that all machines see, where Spark's trees are written to be
    read. Cost: one pass through the preparation; the rows come to the driver.
    """
    at = next((i for i, stage in enumerate(fitted.stages) if _explainable(stage)), None)
    width = sum(block.width for block in blocks)
    if at is None or not width:
        return None
    few = sample.limit(MOST_CELLS // width) if rows * width > MOST_CELLS else sample
    ready = PipelineModel(fitted.stages[:at]).transform(few)
    table = ready.select(*sample.columns, vector_to_array(F.col(FEATURES)).alias(FEATURES)).toArrow().combine_chunks()
    places = table[FEATURES].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    parts = _parts(fitted.stages[at], places, place)
    return _by_feature(*parts, blocks), table.drop_columns([FEATURES])


def _explainable(stage: Any) -> bool:
    linear = hasattr(type(stage), "coefficients") and getattr(stage, "numClasses", 2) == 2
    return linear or hasattr(stage, "get_booster") or isinstance(stage, SPARKS_TREES)


def _parts(stage: Any, places: Matrix, place: str) -> tuple[Matrix, Matrix]:
    if isinstance(stage, SPARKS_TREES):
        return _grown(stage, places, place)
    return (_boosted if hasattr(stage, "get_booster") else _linear)(stage, places)


def _boosted(stage: Any, places: Matrix) -> tuple[Matrix, Matrix]:
    from xgboost import DMatrix

    booster = stage.get_booster()
    asked = DMatrix(places, feature_names=booster.feature_names, feature_types=booster.feature_types)
    found = np.asarray(booster.predict(asked, pred_contribs=True), dtype=np.float64)
    found = found[:, None, :] if found.ndim == 2 else found
    return found[:, :, :-1], found[:, :, -1]


def _grown(stage: Any, places: Matrix, place: str) -> tuple[Matrix, Matrix]:
    """Of Spark's trees, which it shows only where it writes them. Cost: two small jobs."""
    spark = SparkSession.active()
    stage.write().overwrite().save(f"{place}/explained")
    rows = [row.asDict(recursive=True) for row in spark.read.parquet(f"{place}/explained/data").collect()]
    weights = dict(enumerate(stage.treeWeights)) if isinstance(stage, _TreeEnsembleModel) else {}
    boosted, classes = type(stage).__name__.startswith("GBT"), getattr(stage, "numClasses", 0)
    found = grown(rows, weights, classes=bool(classes) and not boosted)
    return treeshap.values(found.trees, _says(found, classes, boosted), places)


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


def _linear(stage: Any, places: Matrix) -> tuple[Matrix, Matrix]:
    weights, mean = stage.coefficients.toArray(), places.mean(axis=0)
    values = (places - mean) * weights
    base = np.full((len(places), 1), float(mean @ weights) + float(stage.intercept))
    return values[:, None, :], base


def _by_feature(values: Matrix, base: Matrix, blocks: Sequence[Block]) -> Contributions:
    """Of a feature, the sum over its places."""
    features = tuple(dict.fromkeys(block.feature for block in blocks))
    of = [features.index(block.feature) for block in blocks for _ in range(block.width)]
    belongs = np.eye(len(features))[of]  # place x feature: 1 where the place is the feature's
    return Contributions(features, values @ belongs, base)
