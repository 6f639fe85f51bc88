"""A team's own estimator: made by the factory that stands under its name in ESTIMATORS of an extension.

A factory takes the columns' names, as Spark's own classes call them, and the
candidate's params, and returns an estimator of pyspark.ml that is not fitted.
What it gives has to be loaded by Spark's own reader: a model of the JVM is,
and so is a class of Python where it can be imported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyspark.errors import IllegalArgumentException
from pyspark.ml import Estimator
from pyspark.sql import DataFrame

from pipelines.errors import SpecError
from pipelines.extensions import named
from pipelines.spec import Own

REGISTER = "ESTIMATORS"


@dataclass(frozen=True)
class Factory:
    """What fits as an estimator does. columns: featuresCol, labelCol, predictionCol; of classes two more.

    bins: as many as the longest category has values; what has `maxBins` gets no fewer.
    """

    spec: Own
    columns: Mapping[str, str]
    bins: int
    extensions: tuple[str, ...]

    def fit(self, rows: DataFrame) -> Any:
        """The fitted model. Errors: SpecError where the factory gives no estimator, or one that does not do."""
        name, made = self.spec.estimator, self._made()
        try:
            fitted = made.fit(rows)
        except IllegalArgumentException as error:
            raise SpecError(f"estimator: {name} cannot be fitted: {str(error).splitlines()[0]}") from error
        lacking = sorted({*self.columns.values()} - {*fitted.transform(rows).columns})
        if lacking:
            raise SpecError(f"estimator: {name} makes no column {lacking[0]}, which its task needs")
        return fitted

    def _made(self) -> Estimator[Any]:
        name = self.spec.estimator
        factory = named(REGISTER, ("estimator", name), self.extensions)
        try:
            made = factory(self.columns, **self.spec.params)
        except (TypeError, ValueError) as error:
            raise SpecError(f"estimator: {name} cannot be made with these params: {error}") from error
        if not isinstance(made, Estimator):
            raise SpecError(f"estimator: {name} should be an estimator of pyspark.ml, got {type(made).__name__}")
        few = made.hasParam("maxBins") and made.getOrDefault("maxBins") < self.bins
        return made.copy({made.getParam("maxBins"): self.bins}) if few else made


def weights(fitted: Any) -> Sequence[float]:
    """As Spark's linear models and trees tell them; nothing of any other."""
    told = getattr(fitted, "featureImportances", None)
    if told is None and getattr(fitted, "numClasses", 2) == 2:  # of more classes there is no one vector
        told = getattr(fitted, "coefficients", None)
    return [] if told is None else [float(w) for w in np.abs(told.toArray())]
