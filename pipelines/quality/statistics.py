"""Statistics of a column: the Columns that one aggregate needs, and what their values decide.

Everything is as Great Expectations computes it on Spark: NaN counts as
nothing observed, medians and quantiles are exact and leave NaN out, a decimal
is compared as a float. To add a statistic, give its Columns in `_COLUMNS`,
and in `_OBSERVED` what is observed if it is not the first of them.
"""

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipelines.quality.judgement import Judgement, Observed, of_value, within
from pipelines.quality.rules import applies
from pipelines.spec import Expectation

EXACT = 2**31 - 1  # accuracy of percentile_approx at which it gives the very element, up to 2e9 rows
CLOSE = 1e-4  # a quantile this near to its range is in it, as in GX
DEPENDENT = frozenset({"expect_column_value_z_scores_to_be_less_than", "expect_column_values_to_not_be_outliers"})


def columns(expectation: Expectation, schema: T.StructType, rows: int) -> list[Column]:
    """What the first job has to aggregate. rows: of the version, to tell the two middle values of a median."""
    if not expectation.columns:
        return [F.count_if(applies(expectation))]
    (name,) = expectation.columns
    it = F.when(applies(expectation), F.col(name))
    return _COLUMNS[expectation.name](expectation, it, schema[name].dataType, rows)


def decide(expectation: Expectation, found: Sequence[Any]) -> Judgement:
    """What the aggregated values say of it."""
    if expectation.name == "expect_column_quantile_values_to_be_between":
        return _quantiles(expectation, found[0])
    value = _OBSERVED.get(expectation.name, _first)(found)
    success = value == expectation.said["value"] if "value" in expectation.said else within(expectation, value)
    return of_value(expectation, success, value)


def beyond(expectation: Expectation, found: Sequence[Any]) -> Column:
    """The rule of a DEPENDENT expectation, true where a row is bad, once its statistics are known."""
    numbers = [_number(x) for x in found]
    it = F.col(expectation.columns[0])
    if expectation.name == "expect_column_values_to_not_be_outliers":
        return _outlier(expectation, it, numbers)
    mean, deviation = numbers
    if mean is None or not deviation:
        return F.lit(False)  # a column without spread has no scores
    score, threshold = (it - mean) / deviation, float(str(expectation.said["threshold"]))
    return F.abs(score) >= abs(threshold) if expectation.said["double_sided"] else score >= threshold


def _outlier(expectation: Expectation, it: Column, numbers: Sequence[float | None]) -> Column:
    multiplier = float(str(expectation.said.get("multiplier", 1.5)))
    finite = [n for n in numbers if n is not None and math.isfinite(n)]
    if len(finite) < 2:
        return F.lit(False)  # nothing to measure against
    if expectation.said.get("method", "iqr") == "iqr":
        low, high = finite
        reach = multiplier * (high - low)
        return (it < low - reach) | (it > high + reach)
    mean, reach = finite[0], multiplier * finite[1]
    return F.abs(it - mean) >= reach if reach > 0 else it != mean


def _quantiles(expectation: Expectation, found: Sequence[float] | None) -> Judgement:
    asked = expectation.said["quantile_ranges"]
    assert isinstance(asked, dict)
    seen = [None] * len(asked["quantiles"]) if found is None else list(found)
    success = all(_near(x, low, high) for x, (low, high) in zip(seen, asked["value_ranges"], strict=True))
    said = ", ".join(f"{q:g}: {x}" for q, x in zip(asked["quantiles"], seen, strict=True))
    return of_value(expectation, success, said)


def _near(value: float | None, low: float | None, high: float | None) -> bool:
    if value is None:
        return False
    ends = [end for end in (low, high) if end is not None]
    inside = (low is None or low <= value) and (high is None or value <= high)
    return inside or any(abs(value - end) <= CLOSE * abs(end) for end in ends)


def _number(value: object) -> float | None:
    """A float as GX has it: nothing for NaN, a decimal's nearest."""
    if isinstance(value, Decimal | int):
        return float(value)
    return value if isinstance(value, float) and not math.isnan(value) else None


def _first(found: Sequence[Any]) -> Observed:
    if isinstance(found[0], str):  # a date or time, as Spark writes it
        return found[0]
    return int(found[0]) if type(found[0]) is int else _number(found[0])


def _middle(found: Sequence[Any]) -> Observed:
    return None if found[0] is None else sum(found[0]) / 2


def _share(found: Sequence[Any]) -> Observed:
    rows, present = found
    return present / rows if rows else 0.0


def _plain(it: Column, type_: T.DataType) -> Column:
    """Times leave Spark as text in the session's zone, UTC; Python would give them in the machine's."""
    return it.cast("string") if isinstance(type_, T.DateType | T.TimestampType | T.TimestampNTZType) else it


def _total(it: Column, type_: T.DataType) -> Column:
    return F.sum(it.cast("decimal(38,0)") if isinstance(type_, T.IntegralType) else it)


def _elements(it: Column, quantiles: Sequence[float], accuracy: int) -> Column:
    number = it.cast("double")
    return F.percentile_approx(F.when(~F.isnan(number), number), list(quantiles), accuracy)


def _asked_quantiles(expectation: Expectation, it: Column, type_: T.DataType, rows: int) -> list[Column]:
    asked, error = expectation.said["quantile_ranges"], expectation.said.get("allow_relative_error")
    assert isinstance(asked, dict)
    return [_elements(it, asked["quantiles"], round(1 / error) if isinstance(error, float) else EXACT)]


def _references(expectation: Expectation, it: Column, type_: T.DataType, rows: int) -> list[Column]:
    if expectation.said.get("method", "iqr") == "std" or "threshold" in expectation.said:
        return [F.mean(it), F.stddev_samp(it)]
    return [F.percentile(it, 0.25), F.percentile(it, 0.75)]


_COLUMNS: dict[str, Callable[[Expectation, Column, T.DataType, int], list[Column]]] = {
    "expect_column_min_to_be_between": lambda e, it, type_, rows: [_plain(F.min(it), type_)],
    "expect_column_max_to_be_between": lambda e, it, type_, rows: [_plain(F.max(it), type_)],
    "expect_column_mean_to_be_between": lambda e, it, type_, rows: [F.mean(it)],
    "expect_column_sum_to_be_between": lambda e, it, type_, rows: [_total(it, type_)],
    "expect_column_stdev_to_be_between": lambda e, it, type_, rows: [F.stddev_samp(it)],
    "expect_column_median_to_be_between": lambda e, it, type_, rows: [
        _elements(it, (0.5, 0.5 + 1 / (2 + 2 * rows)), EXACT)
    ],
    "expect_column_proportion_of_non_null_values_to_be_between": lambda e, it, type_, rows: [
        F.count_if(applies(e)),
        F.count(it),
    ],
    "expect_column_quantile_values_to_be_between": _asked_quantiles,
    "expect_column_value_z_scores_to_be_less_than": _references,
    "expect_column_values_to_not_be_outliers": _references,
}
_OBSERVED: dict[str, Callable[[Sequence[Any]], Observed]] = {
    "expect_column_median_to_be_between": _middle,
    "expect_column_proportion_of_non_null_values_to_be_between": _share,
}
