"""Metrics of a predicted class, from four sums a class: its rows, rows predicted to be it, both at once, log loss.

Classes are those of the training slice, the most frequent first; a label that
was not among them counts as one more class, which no model can hit. Precision,
recall and F1 are averaged over the classes that a row has or was given, as
scikit-learn does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.feature import IndexToString
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.evaluate.base import Counts
from pipelines.evaluate.binary import BINS, calibration
from pipelines.spec.task import CLASS, LABEL, LIKELIHOOD, PREDICTED, PREDICTION, PROBABILITY, SCORE

MOST_CLASSES, MOST_DRAWN = 1_000, 12
LEAST = 1e-15  # a probability of nothing: its logarithm stays finite
ACTUAL, GIVEN, HIT, LOSS = range(4)


@dataclass(frozen=True)
class Multiclass:
    """One of some classes; a score row holds it as `predicted`, and its probability as `score`."""

    classes: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()  # of the classes among the training rows
    kind: str = "multiclass"

    @classmethod
    def learned(cls, train: DataFrame) -> Self:
        """Classes and their shares."""
        counted = train.where(F.col(LABEL).isNotNull()).groupBy(LABEL).count()
        found = counted.orderBy(F.desc("count"), LABEL).limit(MOST_CLASSES + 1).collect()
        if len(found) > MOST_CLASSES:
            number = f"{counted.count():,} classes among the training rows; the most is {MOST_CLASSES:,}"
            raise DataError(f"the label has {number}: is it a number (task: regression), or a key?")
        rows = sum(r["count"] for r in found)
        if len(found) < 2:
            only = found[0][LABEL] if found else None
            raise DataError(f"the label is {only} in each of {rows:,} training rows; there is nothing to learn")
        return cls(tuple(r[LABEL] for r in found), tuple(r["count"] / rows for r in found))

    @classmethod
    def restored(cls, tags: Mapping[str, str], fitted: PipelineModel) -> Self:
        """Classes are kept in the pipeline's last stage, which is hashed with its files."""
        last: Any = fitted.stages[-1]
        return cls(tuple(last.getLabels()))

    def tags(self) -> dict[str, str]:
        """None."""
        return {}

    @property
    def width(self) -> int:
        """Classes."""
        return len(self.classes)

    def target(self) -> Column:
        """The number of the class; null for one that is not known."""
        place = F.array_position(self._known(), F.col(LABEL))
        return F.when(place > 0, (place - 1).cast("double"))

    def closing(self) -> list[Transformer]:
        """From the number back to the class."""
        return [IndexToString(inputCol=PREDICTION, outputCol=CLASS, labels=list(self.classes))]

    def answers(self, labelled: bool) -> dict[str, Column]:
        """The class and its probability; of a labelled row the probability that its label was given."""
        chances = vector_to_array(F.col(PROBABILITY))
        made = {SCORE: F.array_max(chances), PREDICTED: F.col(CLASS)}
        if labelled:
            place = F.array_position(self._known(), F.col(LABEL)).cast("int")
            made[LIKELIHOOD] = F.coalesce(F.get(chances, place - 1), F.lit(0.0))
        return made

    def _known(self) -> Column:
        return F.array(*[F.lit(c) for c in self.classes])

    def count(self, scored: DataFrame, by: Column) -> dict[Any, Counts]:
        """Counts of shape (classes + 1, 4); the last class is any other. Published scores tell no log loss: NaN."""
        told = LIKELIHOOD in scored.columns
        loss = -F.log(F.greatest(F.col(LIKELIHOOD), F.lit(LEAST))) if told else F.lit(float("nan"))
        hit = F.when(F.col(LABEL) == F.col(PREDICTED), 1.0).otherwise(0.0)
        one, none = F.lit(1.0), F.lit(0.0)
        actual = F.struct(self._place(LABEL), one.alias("a"), none.alias("g"), hit.alias("h"), loss.alias("l"))
        given = F.struct(self._place(PREDICTED), none.alias("a"), one.alias("g"), none.alias("h"), none.alias("l"))
        rows = scored.where(F.col(LABEL).isNotNull()).select(by.alias("by"), F.inline(F.array(actual, given)))
        summed = rows.groupBy("by", "k").agg(*[F.sum(c).alias(c) for c in "aghl"])
        found: dict[Any, Counts] = {}
        for row in summed.toLocalIterator():
            found.setdefault(row.by, np.zeros((len(self.classes) + 1, 4)))[row.k] = row.a, row.g, row.h, row.l
        return found

    def _place(self, column: str) -> Column:
        place = F.array_position(self._known(), F.col(column)).cast("int")
        return F.when(place > 0, place - 1).otherwise(len(self.classes)).alias("k")

    def rows(self, counts: Counts) -> int:
        """Of all classes."""
        return int(counts[:, ACTUAL].sum()) if counts.size else 0

    def lacks(self, counts: Counts) -> str:
        """Rows."""
        return "" if self.rows(counts) else "no labelled row"

    def metrics(self, counts: Counts) -> dict[str, float]:
        """Accuracy; precision, recall and F1 as means over classes and weighted by their rows; log loss."""
        if lacks := self.lacks(counts):
            raise DataError(f"cannot evaluate: {lacks}")
        actual, given, hit = counts[:, ACTUAL], counts[:, GIVEN], counts[:, HIT]
        parts = {
            "precision": hit / np.maximum(given, 1),
            "recall": hit / np.maximum(actual, 1),
            "f1": 2 * hit / np.maximum(actual + given, 1),
        }
        met, rows = actual + given > 0, actual.sum()
        found = {"accuracy": hit.sum() / rows, "log_loss": counts[:, LOSS].sum() / rows}
        found |= {f"macro_{name}": part[met].mean() for name, part in parts.items()}
        found |= {f"weighted_{name}": part @ actual / rows for name, part in parts.items()}
        return {name: float(value) for name, value in found.items() if np.isfinite(value)}

    def baseline(self, counts: Counts) -> dict[str, float]:
        """Of the most frequent class for every row, with the classes' training shares for probabilities."""
        chances = np.maximum([*self.shares, 0.0], LEAST)
        constant = np.zeros_like(counts)
        constant[:, ACTUAL] = counts[:, ACTUAL]
        constant[0, GIVEN], constant[0, HIT] = counts[:, ACTUAL].sum(), counts[0, ACTUAL]
        constant[:, LOSS] = -counts[:, ACTUAL] * np.log(chances)
        return self.metrics(constant)

    def decided(self, counts: Counts) -> Self:
        """Nothing to decide: the most probable class."""
        return self

    def said(self, counts: Counts) -> dict[str, int]:
        """Nothing more."""
        return {}

    def span(self, scored: DataFrame) -> tuple[float, float]:
        """That of a probability."""
        return 0.0, 1.0

    def pictures(self, scored: DataFrame, counts: Counts) -> dict[str, Any]:
        """The confusion matrix of the most frequent classes, the rest as one; how often a probability is right.

        Cost: two small aggregates.
        """
        drawn = self.classes[:MOST_DRAWN]
        label, given = (F.when(F.col(c).isin(list(drawn)), F.col(c)).otherwise("(other)") for c in (LABEL, PREDICTED))
        rows = scored.where(F.col(LABEL).isNotNull())
        found = {(r[0], r[1]): r[2] for r in rows.groupBy(label.alias("a"), given.alias("b")).count().collect()}
        names = [*drawn, *(["(other)"] if any("(other)" in pair for pair in found) else [])]
        pairs = [[found.get((a, b), 0) for b in names] for a in names]
        return {"confusion": {"classes": names, "rows": pairs}, "calibration": calibration(_hits(rows))}


def _hits(scored: DataFrame) -> Counts:
    """Rows by the probability of the class given, and whether it is the label: shape (BINS, 2)."""
    place = F.least((F.col(SCORE) * BINS).cast("int"), F.lit(BINS - 1))
    hit = (F.col(LABEL) == F.col(PREDICTED)).cast("int")
    counts = np.zeros((BINS, 2))
    told = scored.where(F.col(SCORE).isNotNull() & ~F.isnan(SCORE) & F.col(PREDICTED).isNotNull())
    for row in told.groupBy(place.alias("at"), hit.alias("hit")).count().toLocalIterator():
        counts[row["at"], row.hit] += row["count"]
    return counts
