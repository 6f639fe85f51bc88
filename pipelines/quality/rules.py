"""Row rules: each says what a *bad* row looks like, and nothing else.

A rule takes the arguments of the Great Expectations name it stands for and
returns a boolean Column, true where the row is bad, never null. It sees no
DataFrame and no session, so any number of rules fuse into the scan that
already reads the table (fused.py). To add one, write it here under its GX name
and give its arguments a spec in spec/expectation.py.
"""

from collections.abc import Callable

from pyspark.sql import Column
from pyspark.sql import functions as F

from pipelines.spec import Expectation


def expect_column_values_to_not_be_null(column: str) -> Column:
    """Bad when missing."""
    return F.col(column).isNull()


def expect_column_values_to_be_between(
    column: str, min_value: float | None = None, max_value: float | None = None
) -> Column:
    """Bad when present and not in [min_value, max_value]; NaN is above every number, as it is for GX on Spark."""
    low = F.lit(False) if min_value is None else F.col(column) < F.lit(min_value)
    high = F.lit(False) if max_value is None else F.col(column) > F.lit(max_value)
    return F.coalesce(low | high, F.lit(False))


def expect_column_values_to_be_in_set(column: str, value_set: tuple[str | int | float, ...]) -> Column:
    """Bad when present and not one of value_set."""
    return F.coalesce(~F.col(column).isin(list(value_set)), F.lit(False))


def expect_column_values_to_match_regex(column: str, regex: str) -> Column:
    """Bad when present and regex is found nowhere in it."""
    return F.coalesce(~F.col(column).rlike(regex), F.lit(False))


def expect_column_pair_values_a_to_be_greater_than_b(column_A: str, column_B: str, or_equal: bool = False) -> Column:
    """Bad when both are present and A is not above B."""
    a, b = F.col(column_A), F.col(column_B)
    return F.coalesce(~(a >= b if or_equal else a > b), F.lit(False))


RULES: dict[str, Callable[..., Column]] = {
    f.__name__: f
    for f in (
        expect_column_values_to_not_be_null,
        expect_column_values_to_be_between,
        expect_column_values_to_be_in_set,
        expect_column_values_to_match_regex,
        expect_column_pair_values_a_to_be_greater_than_b,
    )
}


def bad(expectation: Expectation) -> Column:
    """The Column that is true where a row breaks the expectation."""
    return RULES[expectation.name](**expectation.arguments)
