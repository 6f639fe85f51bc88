"""Counted values of columns: a frame of groups, and what a few sums over the groups decide.

Each column (or combination) is grouped once, however many expectations ask
about it; the groups never leave Spark, only their sums and one example do.
NaN is a value equal to itself, as everywhere in Spark.
"""

from collections.abc import Callable, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.quality.judgement import Judgement, of_rows, of_value, within
from pipelines.quality.rules import applies, present
from pipelines.spec import Expectation

N = "_n"  # rows of a group; a conf's columns do not begin so
MOST_COMMON = "expect_column_most_common_value_to_be_in_set"


def key(expectation: Expectation) -> tuple[object, ...]:
    """Expectations with the same key share a frame."""
    own = expectation.name if expectation.name == MOST_COMMON else ""
    return (expectation.columns, expectation.arguments.get("row_condition"), own and expectation.label)


def frame(df: DataFrame, expectations: Sequence[Expectation]) -> DataFrame:
    """One row for expectations of one key: (counts array<bigint>, examples array<string>), three counts for each."""
    first = expectations[0]
    groups = df.where(applies(first)).groupBy(*first.columns).agg(F.count(F.lit(1)).alias(N))
    if first.name == MOST_COMMON:
        return _most_common(groups, first)
    sums = [F.coalesce(c, F.lit(0)).cast("bigint") for e in expectations for c in _SUMS[e.name](e)]
    examples = [F.min(F.when(_odd(e), F.col(e.columns[0]).cast("string"))) for e in expectations]
    return groups.agg(F.array(*sums).alias("counts"), F.array(*examples).alias("examples"))


def decide(expectation: Expectation, counts: Sequence[int], example: str | None) -> Judgement:
    """What its three counts say. example: a value that breaks it, if it asks for a set."""
    return _DECIDE[expectation.name](expectation, counts, example)


def _most_common(groups: DataFrame, expectation: Expectation) -> DataFrame:
    """Groups by their size: how many are the largest, how many of those are in the set, and one of them."""
    value = F.col(expectation.columns[0])
    sizes = groups.where(value.isNotNull()).groupBy(N)
    counted = sizes.agg(
        F.count(F.lit(1)).alias("ties"), F.count_if(_in_set(expectation)).alias("inside"), F.min(value.cast("string"))
    )
    best = counted.agg(F.max(F.struct(*counted.columns)).alias("b")).select("b.*").na.fill(0)
    n, ties, inside, example = [F.col(f"`{c}`") for c in counted.columns]
    return best.select(F.array(n, ties, inside).alias("counts"), F.array(example).alias("examples"))


def _in_set(expectation: Expectation) -> Column:
    return F.col(expectation.columns[0]).isin(list(_value_set(expectation)))


def _value_set(expectation: Expectation) -> tuple[object, ...]:
    found = expectation.said.get("value_set", ())
    assert isinstance(found, tuple)
    return found


def _odd(expectation: Expectation) -> Column:
    """Groups to show one of: values outside the set."""
    return present(expectation) & ~_in_set(expectation) if _value_set(expectation) else F.lit(False)


def _repeats(expectation: Expectation) -> list[Column]:
    there, n = present(expectation), F.col(N)
    return [F.sum(n), F.sum(F.when(there, n)), F.sum(F.when(there & (n > 1), n))]


def _distinct(expectation: Expectation) -> list[Column]:
    there = present(expectation)
    return [F.count_if(there), F.sum(F.when(there, F.col(N))), F.lit(0)]


def _against_set(expectation: Expectation) -> list[Column]:
    return [F.count_if(_odd(expectation)), F.count_if(F.coalesce(_in_set(expectation), F.lit(False))), F.lit(0)]


def _rows(expectation: Expectation, counts: Sequence[int], example: str | None) -> Judgement:
    rows, looked, repeated = counts
    return of_rows(expectation, rows, looked, repeated)


def _number(expectation: Expectation, counts: Sequence[int], example: str | None) -> Judgement:
    return of_value(expectation, within(expectation, counts[0]), counts[0], f"{counts[0]:,} distinct values")


def _share(expectation: Expectation, counts: Sequence[int], example: str | None) -> Judgement:
    share = counts[0] / counts[1] if counts[1] else 0.0
    return of_value(expectation, within(expectation, share), share)


def _set(expectation: Expectation, counts: Sequence[int], example: str | None) -> Judgement:
    outside, found, _ = counts
    missing = len(set(_value_set(expectation))) - found
    such = f", such as {example!r}" if outside else ""
    breaches = {
        f"{outside:,} distinct values outside{such}": outside if "contain" not in expectation.name else 0,
        f"{missing:,} values missing": missing if "be_in_set" not in expectation.name else 0,
    }
    said = " and ".join(text for text, count in breaches.items() if count)
    return of_value(expectation, not said, sum(breaches.values()), said or "every value as in the set")


def _common(expectation: Expectation, counts: Sequence[int], example: str | None) -> Judgement:
    rows, ties, inside = counts
    success = inside > 0 if expectation.said.get("ties_okay") else ties == inside == 1
    others = f" and {ties - 1:,} others as common" if ties > 1 else ""
    return of_value(expectation, success, example, f"{example!r}{others}, {rows:,} rows each" if ties else "nothing")


_SUMS: dict[str, Callable[[Expectation], list[Column]]] = {
    "expect_column_values_to_be_unique": _repeats,
    "expect_compound_columns_to_be_unique": _repeats,
    "expect_column_unique_value_count_to_be_between": _distinct,
    "expect_column_proportion_of_unique_values_to_be_between": _distinct,
    "expect_column_distinct_values_to_be_in_set": _against_set,
    "expect_column_distinct_values_to_contain_set": _against_set,
    "expect_column_distinct_values_to_equal_set": _against_set,
}
_DECIDE: dict[str, Callable[[Expectation, Sequence[int], str | None], Judgement]] = {
    "expect_column_values_to_be_unique": _rows,
    "expect_compound_columns_to_be_unique": _rows,
    "expect_column_unique_value_count_to_be_between": _number,
    "expect_column_proportion_of_unique_values_to_be_between": _share,
    "expect_column_distinct_values_to_be_in_set": _set,
    "expect_column_distinct_values_to_contain_set": _set,
    "expect_column_distinct_values_to_equal_set": _set,
    MOST_COMMON: _common,
}
