"""Does an expectation fit the columns it names? Asked of the schema, before anything is read.

Spark under ANSI compares a text with a number by casting the text, and fails
in the middle of a job at the first that is none. So what cannot be compared
is refused by kind, in one sentence that names the column.
"""

from collections.abc import Iterator, Sequence

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipelines.spec import Expectation

NUMBER, TEXT, MOMENT, TRUTH = "a number", "a text", "a date or time", "true or false"
_KINDS: tuple[tuple[tuple[type[T.DataType], ...], str], ...] = (
    ((T.NumericType,), NUMBER),
    ((T.StringType,), TEXT),
    ((T.DateType, T.TimestampType, T.TimestampNTZType), MOMENT),
    ((T.BooleanType,), TRUTH),
)
_NUMBERS = frozenset(
    """
    expect_column_mean_to_be_between expect_column_median_to_be_between expect_column_sum_to_be_between
    expect_column_stdev_to_be_between expect_column_quantile_values_to_be_between
    expect_column_value_z_scores_to_be_less_than expect_column_values_to_not_be_outliers expect_multicolumn_sum_to_equal
    """.split()
)
_TEXTS = frozenset(
    """
    expect_column_values_to_be_json_parseable expect_column_values_to_match_json_schema
    expect_column_values_to_match_strftime_format
    """.split()
)
_BOUNDED = frozenset(
    "expect_column_values_to_be_between expect_column_min_to_be_between expect_column_max_to_be_between".split()
)
_ALIKE = frozenset(
    """
    expect_column_pair_values_a_to_be_greater_than_b expect_column_pair_values_to_be_equal
    expect_multicolumn_values_to_be_equal expect_select_column_values_to_be_unique_within_record
    """.split()
)


def misfit(expectation: Expectation, schema: T.StructType) -> str:
    """Why it cannot be asked of such a table, in one sentence; empty where it can."""
    for column in expectation.columns:
        if column not in schema.names and expectation.tier != "schema":
            return f"{expectation.label}: no column '{column}'; there is {', '.join(schema.names)}"
    if expectation.tier == "schema":
        return ""
    kinds = {c: _kind(schema[c].dataType) for c in expectation.columns}
    for column, wanted in _wanted(expectation):
        if kinds[column] not in wanted:
            is_ = schema[column].dataType.simpleString()
            return f"{expectation.label}: {column} is {is_}; it should be {' or '.join(wanted)}"
    if expectation.name in _ALIKE and len(set(kinds.values())) > 1:
        said = ", ".join(f"{c} is {schema[c].dataType.simpleString()}" for c in kinds)
        return f"{expectation.label}: {said}; values of one kind are compared"
    return ""


def unread(expectation: Expectation, spark: SparkSession) -> str:
    """Why Java does not take one of its regexes, in one sentence; empty where it takes all. Costs no job."""
    said = expectation.said
    regexes = [said[k] for k in ("regex",) if k in said] + list(_sequence(said.get("regex_list")))
    for regex in regexes:
        try:
            spark.sql("SELECT ''").select(F.lit("").rlike(str(regex))).collect()
        except PySparkException as error:
            return f"{expectation.label}: '{regex}' is no regex in Java's syntax: {first_line(error)}"
    return ""


def first_line(error: Exception) -> str:
    """Spark's own words without its class, state and stack."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].partition(" SQLSTATE")[0][:300].rstrip(". ")


def _wanted(expectation: Expectation) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(column, kinds of which it has to be one)."""
    name, said, columns = expectation.name, expectation.said, expectation.columns
    if name in _NUMBERS:
        yield from ((c, (NUMBER,)) for c in columns)
    if name in _TEXTS:
        yield columns[0], (TEXT,)
    if name in _BOUNDED:
        bounds = [said.get("min_value"), said.get("max_value")]
        yield columns[0], (MOMENT,) if any(isinstance(b, str) for b in bounds) else (NUMBER,)
    for value in _sequence(said.get("value_set")):
        yield columns[0], _of_value(value)
    for pair in _sequence(said.get("value_pairs_set")):
        for column, value in zip(columns, _sequence(pair), strict=True):
            if value is not None:
                yield column, _of_value(value)


def _of_value(value: object) -> tuple[str, ...]:
    if isinstance(value, bool):
        return (TRUTH,)
    return (TEXT, MOMENT) if isinstance(value, str) else (NUMBER,)


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, tuple) else ()


def _kind(type_: T.DataType) -> str:
    return next((kind for types, kind in _KINDS if isinstance(type_, types)), type_.simpleString())
