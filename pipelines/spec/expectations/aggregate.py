"""Promises that a column keeps as a whole: its statistics, and the values that stand in it."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from pipelines.spec.base import Column, Spec
from pipelines.spec.expectations.base import (
    Bounds,
    Conditional,
    Counts,
    Numbers,
    OfColumn,
    OfColumns,
    Tier,
    Value,
    Values,
)


class _Column(Conditional):
    column: Column


class MinBetween(Bounds, _Column):
    """The least value lies in [min_value, max_value]."""


class MaxBetween(Bounds, _Column):
    """The greatest value lies in [min_value, max_value]."""


class MeanBetween(Numbers, _Column):
    """The mean lies in [min_value, max_value]."""


class MedianBetween(Numbers, _Column):
    """The median lies in [min_value, max_value]."""


class SumBetween(Numbers, _Column):
    """The sum lies in [min_value, max_value]."""


class StdevBetween(Numbers, _Column):
    """The sample standard deviation lies in [min_value, max_value]."""


class NonNullShareBetween(Numbers, _Column):
    """The share of rows with a value lies in [min_value, max_value]."""


class QuantileRanges(Spec):
    """Quantiles, and for each the range [low, high] it lies in; null leaves an end open."""

    quantiles: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=1)]
    value_ranges: tuple[Annotated[tuple[float | None, ...], Field(min_length=2, max_length=2)], ...]

    @model_validator(mode="after")
    def _a_range_each(self) -> "QuantileRanges":
        if len(self.quantiles) != len(self.value_ranges):
            raise ValueError(f"{len(self.quantiles)} quantiles and {len(self.value_ranges)} value_ranges; one each")
        return self


class QuantilesBetween(_Column):
    """Each quantile lies in its range; a ten-thousandth outside still counts as in."""

    quantile_ranges: QuantileRanges
    allow_relative_error: float | None = Field(default=None, gt=0, lt=1, description="exact unless stated")


class ZScoresLess(OfColumn):
    """A present value lies fewer than threshold standard deviations above the mean, or from it if double_sided."""

    tier: ClassVar[Tier] = "aggregate"
    threshold: float
    double_sided: bool


class NotOutliers(OfColumn):
    """A present value lies within multiplier interquartile ranges of the quartiles, or deviations of the mean."""

    tier: ClassVar[Tier] = "aggregate"
    method: Literal["iqr", "std"] | None = Field(default=None, description="iqr unless stated")
    multiplier: float | None = Field(default=None, gt=0, description="1.5 unless stated")


class BeUnique(OfColumn):
    """No present value stands twice in the table."""

    tier: ClassVar[Tier] = "values"


class CompoundUnique(OfColumns):
    """No combination of the columns' values stands twice in the table."""

    tier: ClassVar[Tier] = "values"


class _Values(_Column):
    tier: ClassVar[Tier] = "values"


class DistinctBetween(Counts, _Values):
    """The number of distinct present values lies in [min_value, max_value]."""


class DistinctShareBetween(Numbers, _Values):
    """Distinct values per present value lie in [min_value, max_value]."""


class DistinctInSet(_Values):
    """Every distinct present value is one of value_set."""

    value_set: Values


class DistinctContainSet(_Values):
    """Every value of value_set stands in the column."""

    value_set: Values


class DistinctEqualSet(_Values):
    """The distinct present values are those of value_set, all of them."""

    value_set: Values


class MostCommonInSet(_Values):
    """The most common value is one of value_set."""

    value_set: Values
    ties_okay: bool | None = Field(default=None, description="where several are as common, one of them is enough")


class MatchStrftime(OfColumn):
    """A present text is a time in strftime_format (Python's signs)."""

    tier: ClassVar[Tier] = "gx"
    strftime_format: str = Field(min_length=1)


class MatchJsonSchema(OfColumn):
    """A present text is JSON that the JSON Schema allows."""

    tier: ClassVar[Tier] = "gx"
    json_schema: dict[str, object]


class KlDivergenceLess(_Column):
    """The Kullback-Leibler divergence from partition_object is at most threshold."""

    tier: ClassVar[Tier] = "gx"
    partition_object: dict[Literal["bins", "values", "weights", "tail_weights"], tuple[Value, ...]]
    threshold: float = Field(ge=0)
    internal_weight_holdout: float | None = Field(default=None, ge=0, le=1)
    tail_weight_holdout: float | None = Field(default=None, ge=0, le=1)
    bucketize_data: bool | None = None

    @model_validator(mode="after")
    def _a_partition(self) -> "KlDivergenceLess":
        parts = self.partition_object
        if "weights" not in parts or ("bins" in parts) == ("values" in parts):
            raise ValueError("partition_object has weights, and bins or values")
        if len(parts["weights"]) != len(parts.get("values", ())) + max(len(parts.get("bins", ())) - 1, 0):
            raise ValueError("partition_object has a weight for each value, or for each two neighbouring bins")
        return self
