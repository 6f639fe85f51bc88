"""Clusters without a label: how near rows lie to their own, against the next one.

The silhouette of a row is (b - a) / max(a, b): a its mean squared distance from
the rows of its own cluster, b from those of the nearest other (Rousseeuw 1987).
Both follow from the size, the mean and the mean square of each cluster, so two
passes do, and no pair of rows is looked at (as Spark's own evaluator does it).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array
from pyspark.ml.stat import Summarizer
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.evaluate import vectors
from pipelines.evaluate.base import Counts
from pipelines.evaluate.unlabelled import Unlabelled
from pipelines.spec import Feature, Model
from pipelines.spec.task import FEATURES, LABEL, PREDICTED, PREDICTION, PROBABILITY, SCORE, VECTOR

MOST_CLUSTERS = 200  # that a candidate may make
TRAITS = 3  # told of each cluster
WORDS = 6  # told of each topic
SILHOUETTE, SIZES = 0, 1  # places in counts: the sum over rows; from there on, rows of each cluster
PLAIN = ("__v_", "__h_", "__w_", "__e_")  # begin the name of a place of the vector


@dataclass(frozen=True)
class Clustering(Unlabelled):
    """One of some clusters, a number, as `predicted`; `score` is the distance from its centre.

    Of a mixture `score` is the probability of the cluster, of topics the share of the text that is of the topic; their
    silhouettes are of these shares. Distances are those of the prepared features. Counts have shape (1 + clusters,):
    the sum of silhouettes, rows of each cluster.
    """

    centres: tuple[tuple[float, ...], ...] = field(default=(), repr=False)  # none of a mixture, none of topics
    topics: tuple[tuple[str, ...], ...] = field(default=(), repr=False)  # the words of each that weigh most
    kind: str = "clustering"

    @classmethod
    def learned(cls, train: DataFrame) -> Self:
        """Nothing: there is no label."""
        return cls()

    def asked(self, model: Model, feature: Feature, train: DataFrame) -> Self:
        """Nothing more."""
        return self

    def completed(self, fitted: PipelineModel, train: DataFrame) -> Self:
        """With the centres of the clusters, or the words of the topics."""
        return replace(self, centres=_centres(fitted), topics=_topics(fitted))

    @classmethod
    def restored(cls, tags: Mapping[str, str], fitted: PipelineModel) -> Self:
        """Both are kept in the pipeline's last stages, which are hashed with its files."""
        return cls(_centres(fitted), _topics(fitted))

    def tags(self) -> dict[str, str]:
        """None."""
        return {}

    def answers(self, labelled: bool) -> dict[str, Column]:
        """The cluster and how near it is; for counting, the features as the clusters were made of them."""
        if self.topics:
            shares = vector_to_array(F.col(PROBABILITY))
            topic = (F.array_position(shares, F.array_max(shares)) - 1).cast("int")
            beside = {VECTOR: F.col(PROBABILITY)} if labelled else {}
            return {SCORE: F.array_max(shares), PREDICTED: topic, **beside}
        cluster = F.col(PREDICTION).cast("int")
        if self.centres:
            own = F.element_at(vectors.table(self.centres), cluster + 1)
            score = F.sqrt(vectors.squared_distance(vector_to_array(F.col(FEATURES)), own))
        else:
            score = F.array_max(vector_to_array(F.col(PROBABILITY)))
        return {SCORE: score, PREDICTED: cluster, **({VECTOR: F.col(FEATURES)} if labelled else {})}

    def count(self, scored: DataFrame, by: Column) -> dict[Any, Counts]:
        """Two scans, two small shuffles; published scores tell no silhouette, for they hold no features: NaN."""
        rows = scored.where(F.col(LABEL).isNotNull())
        value = F.lit(float("nan"))
        if VECTOR in scored.columns:
            value = silhouette(Clusters.of(rows))
        counted = rows.groupBy(by.alias("by"), F.col(PREDICTED).alias("k")).agg(
            F.sum(value).alias("s"), F.count("*").alias("n")
        )
        found: dict[Any, Counts] = {}
        for row in counted.toLocalIterator():
            held = found.setdefault(row.by, np.zeros(SIZES + MOST_CLUSTERS))
            held[SILHOUETTE] += row.s
            held[SIZES + row.k] = row.n
        return found

    def rows(self, counts: Counts) -> int:
        """Of all clusters."""
        return int(counts[SIZES:].sum())

    def lacks(self, counts: Counts) -> str:
        """Rows with their features."""
        if not self.rows(counts):
            return "no row"
        return "rows without the features they were clustered by" if np.isnan(counts[SILHOUETTE]) else ""

    def metrics(self, counts: Counts) -> dict[str, float]:
        """The mean silhouette, which one cluster alone has not; the share of rows in the smallest cluster that has any.

        One cluster for all rows is no error: a search goes on to the next candidate.
        """
        if lacks := self.lacks(counts):
            raise DataError(f"cannot evaluate: {lacks}")
        sizes, rows = _met(counts), self.rows(counts)
        found = {"smallest_cluster": float(sizes.min() / rows)}
        return {"silhouette": float(counts[SILHOUETTE] / rows), **found} if len(sizes) > 1 else found

    def baseline(self, counts: Counts) -> dict[str, float]:
        """Of rows dealt to as many clusters by chance, in the limit of many: none is nearer to its own than to another.

        One cluster for all has no silhouette, so it is none.
        """
        even = {"silhouette": 0.0, "smallest_cluster": 1 / max(len(_met(counts)), 1)}
        return {name: even[name] for name in self.metrics(counts)}

    def said(self, counts: Counts) -> dict[str, int]:
        """Clusters that have rows."""
        return {"clusters": len(_met(counts))}

    def pictures(self, scored: DataFrame, counts: Counts) -> dict[str, Any]:
        """Each cluster's rows, and the features that tell it from all rows, or its words. Cost: one small aggregate."""
        if self.topics:
            sizes = counts[SIZES:].astype(int).tolist()
            told = [
                {"cluster": i, "rows": n, "traits": _named(w)}
                for i, (w, n) in enumerate(zip(self.topics, sizes, strict=False))
            ]
            return {"clusters": sorted(told, key=lambda t: -t["rows"])}
        clusters = Clusters.of(scored.where(F.col(LABEL).isNotNull()))
        names = _places(scored)
        return {"clusters": [clusters.said(i, names) for i in np.argsort(-clusters.sizes, kind="stable")]}


def _met(counts: Counts) -> Counts:
    return np.asarray(counts[SIZES:][counts[SIZES:] > 0])


def _topics(fitted: PipelineModel) -> tuple[tuple[str, ...], ...]:
    """Topic -> its words, the weightiest first; nothing where the pipeline ends in no topics."""
    last: Any = fitted.stages[-1]
    if not hasattr(last, "describeTopics"):
        return ()
    counter: Any = fitted.stages[-2]
    found = last.describeTopics(WORDS).orderBy("topic").collect()
    return tuple(tuple(counter.vocabulary[i] for i in row.termIndices) for row in found)


def _named(words: Sequence[str]) -> list[list[str | None]]:
    return [[word, None] for word in words]


def _centres(fitted: PipelineModel) -> tuple[tuple[float, ...], ...]:
    last: Any = fitted.stages[-1]
    found = last.clusterCenters() if hasattr(last, "clusterCenters") else []
    return tuple(tuple(float(v) for v in centre) for centre in found)


@dataclass(frozen=True)
class Clusters:
    """What is known of the rows of each cluster."""

    ids: tuple[int, ...]
    sizes: NDArray[np.float64]  # shape (k,)
    means: NDArray[np.float64]  # shape (k, places of the vector)
    squares: NDArray[np.float64]  # means of the squares, the same shape

    @classmethod
    def of(cls, rows: DataFrame) -> Self:
        """Of rows with VECTOR and PREDICTED. Cost: one scan; a vector a cluster to the driver."""
        asked = Summarizer.metrics("count", "sum", "normL2").summary(F.col(VECTOR))
        found = rows.groupBy(F.col(PREDICTED).alias("k")).agg(asked.alias("s")).orderBy("k").collect()
        if not found:
            return cls((), np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0)))
        sizes = np.array([float(r.s["count"]) for r in found])
        sums, norms = (np.array([r.s[name].toArray() for r in found]) for name in ("sum", "normL2"))
        return cls(tuple(r.k for r in found), sizes, sums / sizes[:, None], norms**2 / sizes[:, None])

    def said(self, at: int, names: Sequence[str]) -> dict[str, Any]:
        """The number, the rows, and by how many standard deviations of all rows its mean lies apart, furthest first."""
        shares = self.sizes / self.sizes.sum()
        mean = shares @ self.means
        spread = np.sqrt(np.maximum(shares @ self.squares - mean**2, 0))
        apart = np.divide(self.means[at] - mean, spread, out=np.zeros_like(mean), where=spread > 0)
        furthest = np.argsort(-np.abs(apart), kind="stable")[:TRAITS]
        traits = [[names[i] if i < len(names) else str(i), round(float(apart[i]), 2)] for i in furthest]
        return {"cluster": self.ids[at], "rows": int(self.sizes[at]), "traits": traits}


def silhouette(clusters: Clusters) -> Column:
    """Of a row with VECTOR and PREDICTED; 0 of one that is alone in its cluster, or where there is but one.

    Mean squared distance from a cluster: x.x - 2 x.mean + mean of the squares.
    """
    if len(clusters.ids) < 2:
        return F.lit(0.0)
    means, norms = vectors.table(clusters.means), vectors.constant(clusters.squares.sum(axis=1))
    alone = vectors.constant([n / (n - 1) if n > 1 else 0.0 for n in clusters.sizes])
    own = F.array_position(F.array(*[F.lit(i) for i in clusters.ids]), F.col(PREDICTED)).cast("int") - 1

    def apart(x: Column) -> Column:
        far = F.zip_with(means, norms, lambda mean, norm: norm - 2 * vectors.product(x, mean))
        return vectors.once(vectors.product(x, x), lambda square: F.transform(far, lambda v: v + square))

    def of(distances: Column) -> Column:
        a = F.greatest(F.get(distances, own) * F.get(alone, own), F.lit(0.0))
        b = F.array_min(F.filter(distances, lambda _, i: i != own))
        share = F.coalesce(F.try_divide(b - a, F.greatest(a, b)), F.lit(0.0))
        return F.when(F.get(alone, own) == 0, 0.0).otherwise(share)

    return vectors.once(vectors.once(vector_to_array(F.col(VECTOR)), apart), of)


def _places(scored: DataFrame) -> list[str]:
    """What stands in each place of VECTOR, by the names that Spark keeps beside it."""
    held = scored.schema[VECTOR].metadata.get("ml_attr", {}).get("attrs", {})
    named = {part["idx"]: str(part.get("name", part["idx"])) for kind in held.values() for part in kind}
    return [_plain(named[i]) for i in sorted(named)]


def _plain(name: str) -> str:
    """'__v_wind' -> 'wind', '__m_wind' -> 'wind is missing'."""
    if name.startswith("__m_"):
        return f"{name.removeprefix('__m_')} is missing"
    return next((name.removeprefix(start) for start in PLAIN if name.startswith(start)), name)
