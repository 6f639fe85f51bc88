"""What tasks without a label to learn have in common."""

from typing import Self

from pyspark.ml import Transformer
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.evaluate.base import Counts, widened
from pipelines.spec.task import SCORE


class Unlabelled:
    """A task whose pipeline is fitted to rows alone, and whose score has no bounds."""

    @property
    def width(self) -> int:
        """No classes."""
        return 0

    def target(self) -> Column:
        """Nothing to learn."""
        return F.lit(0.0)

    def closing(self) -> list[Transformer]:
        """None."""
        return []

    def decided(self, counts: Counts) -> Self:
        """Nothing: what there is to decide, the training rows did."""
        return self

    def span(self, scored: DataFrame) -> tuple[float, float]:
        """From the least to the greatest score. Cost: one small aggregate."""
        return widened(*(scored.agg(F.min(SCORE), F.max(SCORE)).first() or (None, None)))
