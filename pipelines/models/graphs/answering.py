"""What a task answers, as nodes: the columns of a score row that evaluate/ makes of a fitted pipeline."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError
from pipelines.models.graphs.draft import Draft, Tensor
from pipelines.models.graphs.stored import Stage, matrix, vector
from pipelines.spec.task import CLASS, FEATURES, PREDICTED, PREDICTION, PROBABILITY, SCORE

PROBABILITIES = "probabilities"  # of all classes, beside the greatest of them
RIDGE = 1e-6  # of a mixture's covariances, as where the threshold was found
Answers = dict[str, Tensor]
Tags = Mapping[str, str]


def binary(draft: Draft, found: Sequence[Stage], tags: Tags) -> Answers:
    """The probability of yes, and whether it reaches the threshold."""
    yes = draft.op("Gather", draft.column(PROBABILITY), draft.constant(1, "int64"), made=Tensor(""), axis=1)
    threshold = draft.constant(float(tags["lakeloom.threshold"]))
    return {SCORE: yes, PREDICTED: draft.op("GreaterOrEqual", yes, threshold, made=Tensor("", "bool"))}


def number(draft: Draft, found: Sequence[Stage], tags: Tags) -> Answers:
    """The number."""
    return {SCORE: draft.column(PREDICTION)}


def multiclass(draft: Draft, found: Sequence[Stage], tags: Tags) -> Answers:
    """The class and its probability, and those of all, in the order in which metadata has the classes."""
    chances, axis = draft.column(PROBABILITY), draft.constant([1], "int64")
    greatest = draft.op("ReduceMax", chances, axis, made=Tensor(""), keepdims=0)
    return {SCORE: greatest, PREDICTED: draft.column(CLASS), PROBABILITIES: chances}


def clustering(draft: Draft, found: Sequence[Stage], tags: Tags) -> Answers:
    """The nearest cluster, and how far its centre is; of a mixture the likeliest, and how likely it is."""
    last = found[-1]
    if last.kind != "KMeansModel":
        raise DataError(f"clusters of {last.kind} have no node in a graph")
    far = _distances(draft, _centres(last))
    nearest = draft.op("ArgMin", far, made=Tensor("", "int64"), axis=1, keepdims=0)
    return {SCORE: _least(draft, far), PREDICTED: nearest}


def anomaly(draft: Draft, found: Sequence[Stage], tags: Tags) -> Answers:
    """How far a row lies from what is usual, and whether that is too far."""
    last = found[-1]
    if last.kind == "KMeansModel":
        score = _least(draft, _distances(draft, _centres(last)))
    elif last.kind == "GaussianMixtureModel":
        score = _unlikely(draft, last)
    else:
        raise DataError(f"what is usual to {last.kind} has no node in a graph")
    threshold = draft.constant(float(tags["lakeloom.threshold"]))
    return {SCORE: score, PREDICTED: draft.op("Greater", score, threshold, made=Tensor("", "bool"))}


def _centres(stage: Stage) -> NDArray[np.float64]:
    rows = sorted(stage.rows(), key=lambda row: int(row["clusterIdx"]))
    return np.stack([vector(row["clusterCenter"]) for row in rows])


def _distances(draft: Draft, points: NDArray[np.float64]) -> Tensor:
    """Rows x points, squared."""
    cube = draft.op("Unsqueeze", draft.column(FEATURES), draft.constant([1], "int64"))
    apart = draft.op("Sub", cube, draft.constant(points))
    squared = draft.op("Mul", apart, apart)
    axis = draft.constant([2], "int64")
    return draft.op("ReduceSum", squared, axis, made=Tensor("", "double", len(points)), keepdims=0)


def _least(draft: Draft, squared: Tensor) -> Tensor:
    least = draft.op("ReduceMin", squared, draft.constant([1], "int64"), made=Tensor(""), keepdims=0)
    return draft.op("Sqrt", least)


def _unlikely(draft: Draft, stage: Stage) -> Tensor:
    """The negative log density, by each part's Cholesky factor L: -|L⁻¹(x - mean)|² / 2 and a constant."""
    parts = stage.row()
    weights = np.maximum(np.asarray(parts["weights"], dtype=np.float64), 1e-300)
    logs = []
    for weight, mean, spread in zip(weights, map(vector, parts["mus"]), map(matrix, parts["sigmas"]), strict=True):
        lower = np.linalg.cholesky(spread + RIDGE * np.eye(len(mean)))
        whole = np.log(weight) - np.log(np.diag(lower)).sum() - len(mean) / 2 * np.log(2 * np.pi)
        apart = draft.op("Sub", draft.column(FEATURES), draft.constant(mean))
        turned = draft.op("MatMul", apart, draft.constant(np.linalg.inv(lower).T.copy()))
        squares = draft.op("ReduceSumSquare", turned, draft.constant([1], "int64"), made=Tensor("", "double", 1))
        half = draft.op("Mul", squares, draft.constant(-0.5))
        logs.append(draft.op("Add", half, draft.constant(float(whole))))
    each = draft.op("Concat", *logs, made=Tensor("", "double", len(logs)), axis=1)
    summed = draft.op("ReduceLogSumExp", each, draft.constant([1], "int64"), made=Tensor(""), keepdims=0)
    return draft.op("Neg", summed)


ANSWERING: dict[str, Callable[[Draft, Sequence[Stage], Tags], Answers]] = {
    "binary": binary,
    "regression": number,
    "forecasting": number,
    "multiclass": multiclass,
    "clustering": clustering,
    "anomaly": anomaly,
}
