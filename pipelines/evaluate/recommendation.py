"""Recommendations: each user's items in the order of their scores, held against what the user thought of them.

Ranked are the items that the rows name, those that a user was shown or rated,
not all that there are: rows say nothing of the others. NDCG weighs the label
at rank i by 1 / log2(i + 1) and divides by what the best order would give
(Jarvelin and Kekalainen 2002, linear gain; a label below 0 gains nothing); MAP is
the mean over users of the average precision of their hits. Of equal scores the
least label comes first: a model gets nothing for not deciding.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.feature import SQLTransformer
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.evaluate.base import Counts
from pipelines.evaluate.regression import MEAN, MEAN_SHARE, OWN, OWN_SHARE, Regression
from pipelines.spec import Feature, Model
from pipelines.spec.task import LABEL, NAIVE, PREDICTION, SCORE

PLAIN = 10  # sums of any number's errors stand before ours
USERS, NDCG, NAIVE_NDCG, HIT_USERS, PRECISION, NAIVE_PRECISION = range(10, 16)  # sums over users
RATING = "__rating"
TAGS = ("user", "item", "top", "relevant")


@dataclass(frozen=True)
class Recommendation(Regression):
    """How much a user likes an item, as `score`; of a user or an item that was not seen, the item's mean rating.

    Counts have shape (16,): a regression's ten sums; users with any gain, their NDCG by the model and by the items'
    means; users with a hit, their average precision by both.
    """

    user: str = ""
    item: str = ""
    top: int = 10
    relevant: float = 1.0
    kind: str = "recommendation"

    @classmethod
    def restored(cls, tags: Mapping[str, str], fitted: PipelineModel) -> Self:
        """By its tags."""
        user, item, top, relevant = (tags[f"lakeloom.{name}"] for name in TAGS)
        return cls(float(tags["lakeloom.mean"]), user=user, item=item, top=int(top), relevant=float(relevant))

    def tags(self) -> dict[str, str]:
        """The mean, and what the conf says of users and items."""
        return {**super().tags(), **{f"lakeloom.{name}": str(getattr(self, name)) for name in TAGS}}

    def asked(self, model: Model, feature: Feature, train: DataFrame) -> Self:
        """With what the conf says."""
        assert model.recommendation is not None  # a model of this task has it
        return replace(self, **model.recommendation.model_dump())

    def completed(self, fitted: PipelineModel, train: DataFrame) -> Self:
        """Nothing more."""
        return self

    def closing(self) -> list[Transformer]:
        """The item's mean where the factorization knows nothing."""
        rating = f"nanvl({PREDICTION}, `__e_{self.item}`) AS {RATING}"
        return [SQLTransformer(statement=f"SELECT *, {rating} FROM __THIS__")]

    def answers(self, labelled: bool) -> dict[str, Column]:
        """The rating; for counting, the item's mean."""
        return {SCORE: F.col(RATING), **({NAIVE: F.col(f"__e_{self.item}")} if labelled else {})}

    def count(self, scored: DataFrame, by: Column) -> dict[Any, Counts]:
        """Two scans; a shuffle by user, whose list has to fit in memory. Published scores hold no mean of items."""
        found = super().count(scored, by)
        naive = F.col(NAIVE) if NAIVE in scored.columns else F.lit(self.mean)
        rows = scored.where(F.col(LABEL).isNotNull() & F.col(self.user).isNotNull())
        lists = rows.groupBy(by.alias("by"), F.col(self.user).alias("user")).agg(
            _best_first(F.col(SCORE)).alias("model"), _best_first(naive).alias("naive")
        )
        summed = lists.groupBy("by").agg(F.array(*[F.sum(c).cast("double") for c in self._sums()]).alias("sums"))
        ranked = {row.by: np.asarray(row.sums) for row in summed.toLocalIterator()}
        return {value: np.concatenate([held, ranked.get(value, np.zeros(6))]) for value, held in found.items()}

    def _sums(self) -> list[Column]:
        """Of one user's two lists, in the order of the constants."""
        best = _gain(F.sort_array("model", asc=False), self.top)
        hits = F.size(F.filter("model", lambda label: label >= self.relevant))
        gains = [F.coalesce(F.try_divide(_gain(F.col(c), self.top), best), F.lit(0.0)) for c in ("model", "naive")]
        most = F.least(hits, F.lit(self.top))
        found = [_precisions(F.col(c), self.top, self.relevant) for c in ("model", "naive")]
        precise = [F.coalesce(F.try_divide(total, most.cast("double")), F.lit(0.0)) for total in found]
        return [F.when(best > 0, 1).otherwise(0), *gains, F.when(hits > 0, 1).otherwise(0), *precise]

    def lacks(self, counts: Counts) -> str:
        """Rows, numbers, or a user who liked anything."""
        return super().lacks(counts) or ("" if counts[USERS] else "no user with a label above 0")

    def metrics(self, counts: Counts) -> dict[str, float]:
        """Those of a number, NDCG, and MAP where there is a hit."""
        found = {**super().metrics(counts), "ndcg": float(counts[NDCG] / counts[USERS])}
        if counts[HIT_USERS]:
            found["mean_average_precision"] = float(counts[PRECISION] / counts[HIT_USERS])
        return found

    def baseline(self, counts: Counts) -> dict[str, float]:
        """Of the items' mean ratings as a ranking, of the mean of all as a rating."""
        as_own = counts.copy()
        as_own[[NDCG, PRECISION]] = counts[[NAIVE_NDCG, NAIVE_PRECISION]]
        as_own[OWN], as_own[OWN_SHARE] = counts[MEAN], counts[MEAN_SHARE]
        return self.metrics(as_own)

    def said(self, counts: Counts) -> dict[str, int]:
        """Users whose lists were ranked."""
        return {"users": int(counts[USERS])} if counts.size else {}


def _best_first(score: Column) -> Column:
    """A user's labels by falling score, of equal ones the least first."""
    ordered = F.sort_array(F.collect_list(F.struct((-score).alias("s"), F.col(LABEL).cast("double").alias("y"))))
    return F.transform(ordered, lambda each: each["y"])


def _gain(labels: Column, top: int) -> Column:
    weighed = F.transform(F.slice(labels, 1, top), lambda y, i: F.greatest(y, F.lit(0.0)) / F.log2(i + 2))
    return F.aggregate(weighed, F.lit(0.0), lambda total, each: total + each)


def _precisions(labels: Column, top: int, relevant: float) -> Column:
    """Sum over the hits among the first of the share of hits up to them."""
    hits = F.transform(F.slice(labels, 1, top), lambda y: F.when(y >= relevant, 1.0).otherwise(0.0))

    def share(hit: Column, i: Column) -> Column:
        return hit * F.aggregate(F.slice(hits, 1, i + 1), F.lit(0.0), lambda total, each: total + each) / (i + 1)

    return F.aggregate(F.transform(hits, share), F.lit(0.0), lambda total, each: total + each)
