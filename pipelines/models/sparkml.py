"""Spark ML learners: logistic regression on one-hot categories and standardised, median-imputed numbers."""

from typing import Any

from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import Imputer, OneHotEncoder, StandardScaler, VectorAssembler

from pipelines.models.base import LABEL, Inputs, indexer, shares
from pipelines.spec import Candidate
from pipelines.spec import LogisticRegression as Spec


def estimator(candidate: Candidate, inputs: Inputs) -> Pipeline:
    """Index, one-hot, impute, standardise, fit by L-BFGS."""
    assert isinstance(candidate, Spec)
    ready = [f"{c}_hot" for c in inputs.categories]
    stages: list[Any] = []
    if inputs.categories:
        stages += [indexer(inputs), _one_hot(inputs)]
    if inputs.numbers:
        filled = [f"{c}_filled" for c in inputs.numbers]
        stages += [
            Imputer(inputCols=list(inputs.numbers), outputCols=filled, strategy="median", relativeError=0.01),
            VectorAssembler(inputCols=filled, outputCol="_numbers"),
            StandardScaler(inputCol="_numbers", outputCol="_scaled", withMean=True),
        ]
        ready.append("_scaled")
    fit = LogisticRegression(
        labelCol=LABEL,
        regParam=candidate.regularization,
        maxIter=candidate.iterations,
        standardization=False,
    )
    return Pipeline(stages=[*stages, VectorAssembler(inputCols=ready, outputCol="features"), fit])


def _one_hot(inputs: Inputs) -> OneHotEncoder:
    return OneHotEncoder(
        inputCols=[f"{c}_index" for c in inputs.categories],
        outputCols=[f"{c}_hot" for c in inputs.categories],
        handleInvalid="keep",
        dropLast=True,
    )


def importance(fitted: PipelineModel, inputs: Inputs) -> list[tuple[str, float]]:
    """Absolute standardised coefficients; of a category, the sum over its values."""
    indexed: Any = fitted.stages[0]
    fit: Any = fitted.stages[-1]
    weights = [abs(w) for w in fit.coefficients.toArray()]
    sizes = [len(labels) + 1 for labels in indexed.labelsArray] if inputs.categories else []
    spans = [*zip(inputs.categories, sizes, strict=True), *((n, 1) for n in inputs.numbers)]
    found, at = {}, 0
    for name, size in spans:
        found[name], at = sum(weights[at : at + size]), at + size
    return shares(found)
