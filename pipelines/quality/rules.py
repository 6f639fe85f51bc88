"""Row rules: each says what a *bad* row looks like, and nothing else.

A rule takes the arguments of the Great Expectations name it stands for and
returns a boolean Column, true where the row is bad; it need not be NULL-safe,
for `bad` decides once for all what is not known. It sees no DataFrame and no
session, so any number of rules fuse into the scan that already reads the
table (fused.py), or into one aggregate (aggregates.py). To add one, write it
here under its GX name and give its arguments a spec in
spec/expectations/row.py.
"""

from collections.abc import Callable, Sequence
from functools import reduce

from pyspark.sql import Column
from pyspark.sql import functions as F

from pipelines.spec import Expectation
from pipelines.spec.expectations.base import moment

Value = str | int | float
ALWAYS = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")  # look at missing values too


def expect_column_values_to_not_be_null(column: str) -> Column:
    """Bad when missing."""
    return F.col(column).isNull()


def expect_column_values_to_be_null(column: str) -> Column:
    """Bad when present."""
    return F.col(column).isNotNull()


def expect_column_values_to_be_between(
    column: str,
    min_value: float | str | None = None,
    max_value: float | str | None = None,
    strict_min: bool = False,
    strict_max: bool = False,
) -> Column:
    """Bad outside [min_value, max_value]; NaN is above every number, as it is for GX on Spark."""
    return _outside(F.col(column), min_value, max_value, strict_min, strict_max)


def expect_column_values_to_be_in_set(column: str, value_set: tuple[Value, ...]) -> Column:
    """Bad when not one of value_set."""
    return ~F.col(column).isin(list(value_set))


def expect_column_values_to_not_be_in_set(column: str, value_set: tuple[Value, ...]) -> Column:
    """Bad when one of value_set."""
    return F.col(column).isin(list(value_set))


def expect_column_values_to_match_regex(column: str, regex: str) -> Column:
    """Bad when regex is found nowhere in it."""
    return ~F.col(column).rlike(regex)


def expect_column_values_to_not_match_regex(column: str, regex: str) -> Column:
    """Bad when regex is found somewhere in it."""
    return F.col(column).rlike(regex)


def expect_column_values_to_match_regex_list(column: str, regex_list: tuple[str, ...], match_on: str = "any") -> Column:
    """Bad when none (any) or not every one (all) is found in it."""
    if match_on == "any":
        return ~F.col(column).rlike(_either(regex_list))
    return ~_all([F.col(column).rlike(regex) for regex in regex_list])


def expect_column_values_to_not_match_regex_list(column: str, regex_list: tuple[str, ...]) -> Column:
    """Bad when one is found in it."""
    return F.col(column).rlike(_either(regex_list))


def expect_column_values_to_match_like_pattern(column: str, like_pattern: str, escape: str = "\\") -> Column:
    """Bad when not like the pattern."""
    return ~_like(column, like_pattern, escape)


def expect_column_values_to_not_match_like_pattern(column: str, like_pattern: str, escape: str = "\\") -> Column:
    """Bad when like the pattern."""
    return _like(column, like_pattern, escape)


def expect_column_values_to_match_like_pattern_list(
    column: str, like_pattern_list: tuple[str, ...], match_on: str = "any", escape: str = "\\"
) -> Column:
    """Bad when like none (any) or not like every one (all) of the patterns."""
    like = [_like(column, pattern, escape) for pattern in like_pattern_list]
    return ~(_any(like) if match_on == "any" else _all(like))


def expect_column_values_to_not_match_like_pattern_list(
    column: str, like_pattern_list: tuple[str, ...], escape: str = "\\"
) -> Column:
    """Bad when like one of the patterns."""
    return _any([_like(column, pattern, escape) for pattern in like_pattern_list])


def expect_column_value_lengths_to_be_between(
    column: str,
    min_value: int | None = None,
    max_value: int | None = None,
    strict_min: bool = False,
    strict_max: bool = False,
) -> Column:
    """Bad when it has fewer or more letters."""
    return _outside(F.length(column), min_value, max_value, strict_min, strict_max)


def expect_column_value_lengths_to_equal(column: str, value: int) -> Column:
    """Bad when it has another number of letters."""
    return F.length(column) != value


def expect_column_values_to_be_json_parseable(column: str) -> Column:
    """Bad when not JSON.

    Spark's parser stops where a value ends, whatever follows. In an array and in an object nothing can follow that
    both would take, so what parses in both is one value and no more.
    """
    in_array = F.concat(F.lit("["), F.col(column), F.lit("]"))
    in_object = F.concat(F.lit('{"a":'), F.col(column), F.lit("}"))
    return F.try_parse_json(in_array).isNull() | F.try_parse_json(in_object).isNull()


def expect_column_pair_values_a_to_be_greater_than_b(column_A: str, column_B: str, or_equal: bool = False) -> Column:
    """Bad when both are present and A is not above B."""
    a, b = F.col(column_A), F.col(column_B)
    return a < b if or_equal else a <= b


def expect_column_pair_values_to_be_equal(column_A: str, column_B: str) -> Column:
    """Bad when they differ, one missing included."""
    return ~F.col(column_A).eqNullSafe(F.col(column_B))


def expect_column_pair_values_to_be_in_set(
    column_A: str, column_B: str, value_pairs_set: tuple[tuple[Value | None, Value | None], ...]
) -> Column:
    """Bad when the pair is none of the set; a missing value is equal to null in the set, and to nothing else."""
    a, b = F.col(column_A), F.col(column_B)
    return ~_any([a.eqNullSafe(F.lit(x)) & b.eqNullSafe(F.lit(y)) for x, y in value_pairs_set])


def expect_multicolumn_sum_to_equal(column_list: tuple[str, ...], sum_total: float) -> Column:
    """Bad when the columns add up to something else; a missing one counts as 0, and a sum that overflows is bad."""
    zero = F.lit(0).cast("bigint")
    total = reduce(F.try_add, [F.coalesce(F.col(c), zero) for c in column_list])
    return F.coalesce(total != F.lit(sum_total), F.lit(True))


def expect_multicolumn_values_to_be_equal(column_list: tuple[str, ...]) -> Column:
    """Bad when one differs from the first; missing values are equal to each other."""
    first, *others = [F.col(c) for c in column_list]
    return ~_all([first.eqNullSafe(other) for other in others])


def expect_select_column_values_to_be_unique_within_record(column_list: tuple[str, ...]) -> Column:
    """Bad when two are the same; missing values are the same."""
    pairs = [(a, b) for i, a in enumerate(column_list) for b in column_list[i + 1 :]]
    return _any([F.col(a).eqNullSafe(F.col(b)) for a, b in pairs])


RULES: dict[str, Callable[..., Column]] = {k: f for k, f in globals().items() if k.startswith("expect_")}


def bad(expectation: Expectation) -> Column:
    """The Column that is true where a row breaks the expectation, never null."""
    said = {k: v for k, v in expectation.said.items() if k != "ignore_row_if"}
    return F.coalesce(looked_at(expectation) & RULES[expectation.name](**said), F.lit(False))


def looked_at(expectation: Expectation) -> Column:
    """True where the expectation says something of a row: the condition holds, and what it needs is present."""
    return applies(expectation) & present(expectation)


def applies(expectation: Expectation) -> Column:
    """True where row_condition holds; never null."""
    condition = expectation.arguments.get("row_condition")
    return F.lit(True) if condition is None else F.coalesce(F.expr(f"({condition}\n)"), F.lit(False))


def present(expectation: Expectation) -> Column:
    """Great Expectations' ignore_row_if, its default included."""
    if expectation.name in ALWAYS:
        return F.lit(True)
    missing = [F.col(c).isNull() for c in expectation.columns]
    ignored = str(expectation.said.get("ignore_row_if", "all"))
    if ignored in ("neither", "never"):
        return F.lit(True)
    return ~(_any(missing) if ignored.startswith(("any", "either")) else _all(missing))


def _outside(
    it: Column, low: float | str | None, high: float | str | None, strict_low: bool, strict_high: bool
) -> Column:
    below = F.lit(False) if low is None else (it <= bound(low) if strict_low else it < bound(low))
    above = F.lit(False) if high is None else (it >= bound(high) if strict_high else it > bound(high))
    return below | above


def bound(value: float | str) -> Column:
    """A number, or a moment in UTC whatever the clock of the driver's machine."""
    if not isinstance(value, str):
        return F.lit(value)
    found = moment(value)
    return F.lit(str(found)).cast("timestamp" if hasattr(found, "hour") else "date")


def _either(patterns: Sequence[str]) -> str:
    """One regex that finds any; a flag such as (?i) stays in its own."""
    return "|".join(f"(?:{pattern})" for pattern in patterns)


def _like(column: str, pattern: str, escape: str) -> Column:
    return F.like(F.col(column), F.lit(pattern), F.lit(escape))


def _all(columns: Sequence[Column]) -> Column:
    return reduce(lambda a, b: a & b, columns)


def _any(columns: Sequence[Column]) -> Column:
    return reduce(lambda a, b: a | b, columns)
