"""What is unusual: a score that grows with the distance from what is usual, and a threshold that few rows reach.

The threshold is the score above which a stated share of the training rows
lies. Where a label tells what really was amiss, ranking and threshold are held
against it; without one nobody can say which model is better, and all that can
be known is whether the threshold holds on newer rows. That is no proof of use.

Spark counts rows by (bin of the score, label). A score has no bounds, so bins
are equal on 1/2 + atan((score - threshold) / scale) / pi: fine around the threshold and never full.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import pi
from typing import Any, Self

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.ml.functions import vector_to_array
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.evaluate.base import Counts
from pipelines.evaluate.binary import BINS, average_precision, curves, roc_auc
from pipelines.evaluate.unlabelled import Unlabelled
from pipelines.evaluate.unusual import Usual, usual
from pipelines.spec import Feature, Model
from pipelines.spec.settings import Anomaly as Settings
from pipelines.spec.task import FEATURES, LABEL, PREDICTED, SCORE

EXACT = 10_000  # of percentile_approx: the threshold is within so many of the training rows' ranks
HALF = BINS // 2  # the first bin above the threshold
NONE, USUAL, UNUSUAL = range(3)  # columns of counts: without a label, with no, with yes
UNKNOWN = -1  # a LABEL that nobody has given
TAGS = ("contamination", "threshold", "scale")


@dataclass(frozen=True)
class Anomaly(Unlabelled):
    """`score` is how far a row lies from what is usual; `predicted` is whether it lies above the threshold.

    Of clusters it is the distance from the nearest centre, of a mixture the negative log likelihood in nats, of the
    prepared features both. Counts have shape (bins, 3): rows without a label, with no and with yes, by rising score.
    """

    contamination: float = 0.01
    threshold: float = 0.0
    scale: float = 1.0  # standard deviation of the training rows' scores
    usual: Usual | None = field(default=None, compare=False, repr=False)
    kind: str = "anomaly"

    @classmethod
    def learned(cls, train: DataFrame) -> Self:
        """Nothing: labels only judge. Errors: DataError where one is neither yes nor no."""
        found = train.agg(F.min(LABEL), F.max(LABEL)).first()
        assert found is not None
        wrong = [y for y in found if y is not None and y not in (UNKNOWN, 0, 1)]
        if wrong:
            raise DataError(f"a label of task: anomaly is true or false, 1 or 0; there is {wrong[0]}")
        return cls()

    def asked(self, model: Model, feature: Feature, train: DataFrame) -> Self:
        """With the share of rows that are to lie above the threshold."""
        return replace(self, contamination=(model.anomaly or Settings()).contamination)

    def completed(self, fitted: PipelineModel, train: DataFrame) -> Self:
        """With the threshold and the spread of the training scores. Cost: a scoring pass."""
        task = replace(self, usual=usual(fitted))
        score = task.answers(labelled=False)[SCORE].alias(SCORE)
        found = (
            fitted.transform(train)
            .select(score)
            .agg(F.percentile_approx(SCORE, 1 - self.contamination, EXACT), F.stddev_pop(SCORE))
            .first()
        )
        assert found is not None
        return replace(task, threshold=found[0], scale=found[1] or 1.0)

    @classmethod
    def restored(cls, tags: Mapping[str, str], fitted: PipelineModel) -> Self:
        """What is usual is kept in the pipeline's last stage, the rest in tags."""
        contamination, threshold, scale = (float(tags[f"lakeloom.{name}"]) for name in TAGS)
        return cls(contamination, threshold, scale, usual(fitted))

    def tags(self) -> dict[str, str]:
        """Share, threshold and spread."""
        return {f"lakeloom.{name}": repr(getattr(self, name)) for name in TAGS}

    def answers(self, labelled: bool) -> dict[str, Column]:
        """How far, and whether that is too far."""
        assert self.usual is not None  # only a fitted pipeline answers
        score = self.usual.far(vector_to_array(F.col(FEATURES)))
        return {SCORE: score, PREDICTED: score > self.threshold}

    def count(self, scored: DataFrame, by: Column) -> dict[Any, Counts]:
        """At most bins x 3 rows to the driver for each value of `by`."""
        place = 0.5 + F.atan((F.col(SCORE) - self.threshold) / self.scale) / pi
        at = F.greatest(F.least(F.floor(place * BINS), F.lit(BINS - 1)), F.lit(0)).cast("int")
        sided = F.when(F.col(SCORE) > self.threshold, F.greatest(at, F.lit(HALF))).otherwise(
            F.least(at, F.lit(HALF - 1))
        )
        rows = scored.where(F.col(LABEL).isNotNull())
        counted = rows.groupBy(by.alias("by"), sided.alias("b"), F.col(LABEL).cast("int").alias("y")).count()
        found: dict[Any, Counts] = {}
        for row in counted.toLocalIterator():
            found.setdefault(row.by, np.zeros((BINS, 3)))[row.b, row.y - UNKNOWN] = row["count"]
        return found

    def rows(self, counts: Counts) -> int:
        """With a label or without."""
        return int(counts.sum())

    def lacks(self, counts: Counts) -> str:
        """Rows."""
        return "" if self.rows(counts) else "no row"

    def metrics(self, counts: Counts) -> dict[str, float]:
        """The share above the threshold, and how far it is from what was asked; with labels of both kinds, more."""
        if lacks := self.lacks(counts):
            raise DataError(f"cannot evaluate: {lacks}")
        flagged = float(counts[HALF:].sum() / counts.sum())
        found = {"flagged": flagged, "flagged_error": abs(flagged - self.contamination)}
        known = counts[:, USUAL:]
        return found | _held_against(known) if known.sum(axis=0).all() else found

    def baseline(self, counts: Counts) -> dict[str, float]:
        """The share: of a threshold that no row reaches; what needs labels: of rows that are flagged by chance."""
        found = {"flagged": 0.0, "flagged_error": self.contamination}
        usual_rows, unusual_rows = counts[:, USUAL:].sum(axis=0)
        if usual_rows and unusual_rows:
            rate, share = float(unusual_rows / (usual_rows + unusual_rows)), self.contamination
            f1 = 2 * rate * share / (rate + share)
            found |= {"roc_auc": 0.5, "average_precision": rate, "precision": rate, "recall": share, "f1": f1}
        return found

    def said(self, counts: Counts) -> dict[str, int]:
        """Rows above the threshold, those whose label is yes."""
        if not counts.size:
            return {"flagged": 0}
        known = {"positives": int(counts[:, UNUSUAL].sum())} if counts[:, USUAL:].any() else {}
        return {"flagged": int(counts[HALF:].sum()), **known}

    def pictures(self, scored: DataFrame, counts: Counts) -> dict[str, Any]:
        """ROC, precision and recall, where labels of both kinds are known."""
        known = counts[:, USUAL:]
        if not known.sum(axis=0).all():
            return {}
        return {name: curve for name, curve in curves(known).items() if name != "calibration"}


def _held_against(counts: Counts) -> dict[str, float]:
    """Ranking and threshold of rows of both labels, shape (bins, 2)."""
    positives = counts[:, 1].sum()
    fp, tp = counts[HALF:].sum(axis=0)
    return {
        "roc_auc": roc_auc(counts),
        "average_precision": average_precision(counts),
        "precision": float(tp / (tp + fp)) if tp + fp else 0.0,
        "recall": float(tp / positives),
        "f1": float(2 * tp / (tp + fp + positives)),
    }
