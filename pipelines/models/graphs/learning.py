"""Learners as nodes: one function for each class of model that models/learners.py fits.

A function offers PREDICTION, and PROBABILITY where the learner has one, as
Spark computes them. To add one: a function, and a line in LEARNING.
"""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError
from pipelines.models.graphs.draft import Draft, Tensor
from pipelines.models.graphs.stored import Stage, matrix, vector
from pipelines.models.graphs.trees import boosted, forest, looked_up, of_spark
from pipelines.spec.task import FEATURES, PREDICTION, PROBABILITY

LEAST = 1e-16  # of a mean of poisson or gamma, as Spark has it
Make = Callable[[], Tensor]


def probability(draft: Draft, make: Make) -> None:
    """Probabilities, and the class that has the greatest; of equals the first."""
    draft.offers(PROBABILITY, make)
    draft.offers(PREDICTION, lambda: draft.cast(_greatest(draft, draft.column(PROBABILITY)), "double"))


def _greatest(draft: Draft, values: Tensor) -> Tensor:
    return draft.op("ArgMax", values, made=Tensor("", "int64"), axis=1, keepdims=0)


def _sided(draft: Draft, margin: Tensor, times: float = 1.0) -> Tensor:
    """Of a margin the probabilities of no and yes."""
    scaled = margin if times == 1.0 else draft.op("Mul", margin, draft.constant(times))
    yes = draft.matrix(draft.op("Sigmoid", scaled))
    no = draft.op("Sub", draft.constant(1.0), yes, made=yes)
    return draft.op("Concat", no, yes, made=Tensor("", "double", 2), axis=1)


def _linear(draft: Draft, x: Tensor, weights: NDArray[Any], intercept: Any) -> Tensor:
    """x W' + b; a vector of one row of weights is a vector."""
    several = weights.ndim > 1
    product = draft.op("MatMul", x, draft.constant(np.ascontiguousarray(weights.T)),
                       made=Tensor("", "double", len(weights) if several else 0))  # fmt: skip
    return draft.op("Add", product, draft.constant(np.asarray(intercept, dtype=np.float64)))


def logistic(draft: Draft, stage: Stage) -> None:
    """Two classes by one row of coefficients, several by a row each."""
    row = stage.row()
    weights, intercepts = matrix(row["coefficientMatrix"]), vector(row["interceptVector"])
    features = stage.params["featuresCol"]

    def made() -> Tensor:
        x = draft.column(features)
        if len(weights) == 1:
            return _sided(draft, _linear(draft, x, weights[0], intercepts[0]))
        return draft.op("Softmax", _linear(draft, x, weights, intercepts), axis=1)

    probability(draft, made)


def linear(draft: Draft, stage: Stage) -> None:
    """A weighted sum."""
    row = stage.row()
    weights, intercept = vector(row["coefficients"]), row["intercept"]
    draft.offers(PREDICTION, lambda: _linear(draft, draft.column(FEATURES), weights, intercept))


def lasting(draft: Draft, stage: Stage) -> None:
    """Survival: a weighted sum is the logarithm of the time."""
    row = stage.row()
    weights, intercept = vector(row["coefficients"]), row["intercept"]

    def made() -> Tensor:
        return draft.op("Exp", _linear(draft, draft.column(FEATURES), weights, intercept))

    draft.offers(PREDICTION, made)


def generalized(draft: Draft, stage: Stage) -> None:
    """A weighted sum behind its link, kept within the family's range as Spark does."""
    row, family = stage.row(), stage.params["family"]
    link = stage.params.get("link") or {"gaussian": "identity", "poisson": "log", "gamma": "inverse"}[family]

    def made() -> Tensor:
        eta = _linear(draft, draft.column(FEATURES), vector(row["coefficients"]), row["intercept"])
        found = {
            "identity": lambda: eta,
            "log": lambda: draft.op("Exp", eta),
            "inverse": lambda: draft.op("Div", draft.constant(1.0), eta, made=eta),
            "sqrt": lambda: draft.op("Mul", eta, eta),
        }[link]()
        return found if family == "gaussian" else draft.op("Max", found, draft.constant(LEAST))

    draft.offers(PREDICTION, made)


def margin(draft: Draft, stage: Stage) -> None:
    """LinearSVC: its margin, by which a logistic regression follows."""
    row = stage.row()

    def made() -> Tensor:
        side = _linear(draft, draft.column(FEATURES), vector(row["coefficients"]), row["intercept"])
        yes = draft.matrix(side)
        return draft.op("Concat", draft.op("Neg", yes), yes, made=Tensor("", "double", 2), axis=1)

    draft.offers(stage.params["rawPredictionCol"], made)


def voted(draft: Draft, stage: Stage) -> None:
    """Classes of one tree or of a forest: each tree's shares, and their mean."""
    found = of_spark(stage, classes=True)
    shares = found.stats / np.maximum(found.stats.sum(axis=1, keepdims=True), 1e-300)

    def made() -> Tensor:
        votes = looked_up(draft, draft.column(FEATURES), found.trees, shares)
        axis = draft.constant([1], "int64")
        return draft.op("ReduceMean", votes, axis, made=Tensor("", "double", shares.shape[1]), keepdims=0)

    probability(draft, made)


def averaged(draft: Draft, stage: Stage) -> None:
    """A number of one tree or of a forest."""
    draft.offers(PREDICTION, partial(_summed, draft, stage, mean=True))


def added(draft: Draft, stage: Stage) -> None:
    """A number of boosted trees."""
    draft.offers(PREDICTION, partial(_summed, draft, stage, mean=False))


def added_margin(draft: Draft, stage: Stage) -> None:
    """Yes or no of boosted trees: their loss has the margin twice."""
    probability(draft, lambda: _sided(draft, _summed(draft, stage, mean=False), 2.0))


def _summed(draft: Draft, stage: Stage, mean: bool) -> Tensor:
    found = of_spark(stage, classes=False)
    weights = np.full(len(found.trees), 1 / len(found.trees)) if mean else np.array(found.weights)
    each = forest(draft, draft.column(FEATURES), found.trees, range(len(found.trees)))
    return draft.op("MatMul", each, draft.constant(weights), made=Tensor(""))


def boosters(draft: Draft, stage: Stage) -> None:
    """XGBoost: it sees single precision, and so does the graph; sums are made in doubles."""
    found = boosted(stage)
    names = stage.params.get("features_cols") or []

    def listed() -> Tensor:
        parts = [draft.matrix(draft.cast(draft.column(n), "double")) for n in names]
        return draft.op("Concat", *parts, made=Tensor("", "double", len(parts)), axis=1)

    if names:
        draft.offers(FEATURES, listed)

    def sums() -> Tensor:
        seen = draft.cast(draft.cast(draft.column(FEATURES), "float"), "double")
        added = forest(draft, seen, found.trees, found.outputs)
        if len(found.base) > 1:
            return draft.op("Add", added, draft.constant(np.array(found.base)))
        return draft.op("Add", _column(draft, added), draft.constant(found.base[0]))

    if found.objective == "binary:logistic":
        probability(draft, lambda: _sided(draft, sums()))
    elif found.objective == "multi:softprob":
        probability(draft, lambda: draft.op("Softmax", sums(), axis=1))
    elif found.objective == "reg:squarederror":
        draft.offers(PREDICTION, sums)
    else:
        raise DataError(f"XGBoost with objective {found.objective} has no node in a graph")


def _column(draft: Draft, matrix: Tensor) -> Tensor:
    return draft.op("Squeeze", matrix, draft.constant([1], "int64"), made=Tensor(""))


def _place(draft: Draft, matrix: Tensor, at: int) -> Tensor:
    return draft.op("Gather", matrix, draft.constant(at, "int64"), made=Tensor("", matrix.type), axis=1)


def bayes(draft: Draft, stage: Stage) -> None:
    """Gaussian: of each class the log density of all features as if independent."""
    row = stage.row()
    prior, means, variances = vector(row["pi"]), matrix(row["theta"]), matrix(row["sigma"])
    logs = np.log(variances).sum(axis=1)

    def made() -> Tensor:
        apart = _apart(draft, draft.column(FEATURES), means)
        scaled = draft.op("Div", draft.op("Mul", apart, apart), draft.constant(variances))
        axis = draft.constant([2], "int64")
        sums = draft.op("ReduceSum", scaled, axis, made=Tensor("", "double", len(prior)), keepdims=0)
        halves = draft.op("Mul", draft.op("Add", sums, draft.constant(logs)), draft.constant(-0.5))
        return draft.op("Softmax", draft.op("Add", halves, draft.constant(prior)), axis=1)

    probability(draft, made)


def _apart(draft: Draft, x: Tensor, points: NDArray[np.float64]) -> Tensor:
    """Rows x points x places: x - point."""
    cube = draft.op("Unsqueeze", x, draft.constant([1], "int64"))
    return draft.op("Sub", cube, draft.constant(points))


def machines(draft: Draft, stage: Stage) -> None:
    """Factorization machines: a weighted sum, and of each factor half of (sum² - sum of squares)."""
    row = stage.row()
    weights, factors = vector(row["linear"]), matrix(row["factors"])

    def made() -> Tensor:
        x = draft.column(FEATURES)
        wide = Tensor("", "double", factors.shape[1])
        sums = draft.op("MatMul", x, draft.constant(factors), made=wide)
        squares = draft.op("MatMul", draft.op("Mul", x, x), draft.constant(factors**2), made=wide)
        pairs = draft.op("Sub", draft.op("Mul", sums, sums), squares)
        axis = draft.constant([1], "int64")
        whole = draft.op("ReduceSum", pairs, axis, made=Tensor(""), keepdims=0)
        halves = draft.op("Mul", whole, draft.constant(0.5))
        return draft.op("Add", _linear(draft, x, weights, row["intercept"]), halves)

    if stage.kind.startswith("FMRegression"):
        draft.offers(PREDICTION, made)
    else:
        probability(draft, lambda: _sided(draft, made()))


def layers(draft: Draft, stage: Stage) -> None:
    """A small network: sigmoid layers, and a softmax; weights of a layer lie by columns, its intercepts after them."""
    weights, widths = vector(stage.row()["weights"]), stage.params["layers"]

    def made() -> Tensor:
        x, at = draft.column(FEATURES), 0
        for number, (wide, out) in enumerate(pairwise(widths), start=1):
            own, at = weights[at : at + wide * out].reshape(wide, out), at + wide * out
            x = draft.op("Add", draft.op("MatMul", x, draft.constant(own), made=Tensor("", "double", out)),
                         draft.constant(weights[at : at + out]))  # fmt: skip
            at += out
            x = draft.op("Sigmoid", x) if number < len(widths) - 1 else draft.op("Softmax", x, axis=1)
        return x

    probability(draft, made)


def steps(draft: Draft, stage: Stage) -> None:
    """Isotonic: on the line between the two boundaries that lie about a number."""
    row = stage.row()
    at, values = np.asarray(row["boundaries"], dtype=np.float64), np.asarray(row["predictions"], dtype=np.float64)

    def made() -> Tensor:
        first = _place(draft, draft.column(FEATURES), stage.params["featureIndex"])
        x = draft.op("Min", draft.op("Max", first, draft.constant(at[0])), draft.constant(at[-1]))
        above = draft.op("Greater", draft.matrix(x), draft.constant(at[1:-1]), made=Tensor("", "bool", len(at) - 2))
        axis = draft.constant([1], "int64")
        left = draft.op("ReduceSum", draft.cast(above, "int64"), axis, made=Tensor("", "int64"), keepdims=0)
        widths = np.diff(at)
        slope = np.divide(np.diff(values), widths, out=np.zeros_like(widths), where=widths > 0)
        reach = draft.op("Mul", draft.op("Sub", x, draft.gathered(at[:-1], left)), draft.gathered(slope, left))
        return draft.op("Add", draft.gathered(values[:-1], left), reach)

    constant = len(at) < 3
    draft.offers(PREDICTION, made if not constant else partial(_two, draft, stage, at, values))


def _two(draft: Draft, stage: Stage, at: NDArray[np.float64], values: NDArray[np.float64]) -> Tensor:
    """Of two boundaries the line between them, of one its value."""
    first = _place(draft, draft.column(FEATURES), stage.params["featureIndex"])
    x = draft.op("Min", draft.op("Max", first, draft.constant(at[0])), draft.constant(at[-1]))
    width = at[-1] - at[0]
    slope = (values[-1] - values[0]) / width if width else 0.0
    reach = draft.op("Mul", draft.op("Sub", x, draft.constant(at[0])), draft.constant(slope))
    return draft.op("Add", reach, draft.constant(values[0]))


LEARNING: dict[str, Callable[[Draft, Stage], Any]] = {
    "LogisticRegressionModel": logistic,
    "LinearRegressionModel": linear,
    "GeneralizedLinearRegressionModel": generalized,
    "LinearSVCModel": margin,
    "DecisionTreeClassificationModel": voted,
    "RandomForestClassificationModel": voted,
    "DecisionTreeRegressionModel": averaged,
    "RandomForestRegressionModel": averaged,
    "GBTRegressionModel": added,
    "GBTClassificationModel": added_margin,
    "SparkXGBClassifierModel": boosters,
    "SparkXGBRegressorModel": boosters,
    "NaiveBayesModel": bayes,
    "FMClassificationModel": machines,
    "FMRegressionModel": machines,
    "MultilayerPerceptronClassificationModel": layers,
    "IsotonicRegressionModel": steps,
    "AFTSurvivalRegressionModel": lasting,
}
