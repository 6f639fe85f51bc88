"""How far a row lies from what is usual: from the nearest centre of clusters, or out of a mixture of normals."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pyspark.ml import PipelineModel
from pyspark.sql import Column
from pyspark.sql import functions as F

from pipelines.evaluate import vectors

RIDGE = 1e-6  # added to each variance, as scikit-learn does: a value that never varied is then far, not infinitely so


class Usual(Protocol):
    """What a fit has found to be usual."""

    def far(self, x: Column) -> Column:
        """Of an array: the greater, the less usual."""


@dataclass(frozen=True)
class Centres:
    """Clusters by their centres, shape (k, d)."""

    at: NDArray[np.float64]

    def far(self, x: Column) -> Column:
        """The distance from the nearest."""

        def apart(v: Column) -> Column:
            return F.transform(vectors.table(self.at), lambda centre: vectors.squared_distance(v, centre))

        return F.sqrt(F.array_min(vectors.once(x, apart)))


@dataclass(frozen=True)
class Mixture:
    """Normal distributions: their weights (k,), means (k, d) and covariances (k, d, d)."""

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]

    def far(self, x: Column) -> Column:
        """The negative logarithm of the density, in nats."""
        return vectors.once(x, lambda v: -_log_sum(F.array(*[self._log_density(j, v) for j in range(len(self.means))])))

    def _log_density(self, j: int, x: Column) -> Column:
        """Of one part, its weight counted in: -|L⁻¹(x - mean)|² / 2 and a constant; L is its Cholesky factor."""
        places = self.means.shape[1]
        lower = np.linalg.cholesky(self.covariances[j] + RIDGE * np.eye(places))
        roots = np.linalg.inv(lower)
        whole = np.log(self.weights[j]) - np.log(np.diag(lower)).sum() - places / 2 * np.log(2 * np.pi)
        turned = F.transform(vectors.table(roots), lambda row: vectors.product(row, x))
        return F.lit(float(whole)) - vectors.squared_distance(turned, vectors.constant(roots @ self.means[j])) / 2


def _log_sum(logs: Column) -> Column:
    """The logarithm of the sum of exponentials, about their greatest, so that none of it overflows."""

    def summed(values: Column) -> Column:
        most = F.array_max(values)
        return vectors.once(most, lambda m: m + F.log(vectors.total(F.transform(values, lambda v: F.exp(v - m)))))

    return vectors.once(logs, summed)


def usual(fitted: PipelineModel) -> Usual:
    """What the last stage of a pipeline has found."""
    last: Any = fitted.stages[-1]
    if hasattr(last, "clusterCenters"):
        return Centres(np.array(last.clusterCenters()))
    parts = last.gaussiansDF.collect()
    means, covariances = np.array([p["mean"].toArray() for p in parts]), np.array([p["cov"].toArray() for p in parts])
    return Mixture(np.maximum(last.weights, 1e-300), means, covariances)
