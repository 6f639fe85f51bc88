"""What the log and the schema answer: the number of rows, the columns, their order and types. Nothing is read."""

from collections.abc import Callable

from pyspark.sql import types as T

from pipelines.quality.judgement import Judgement, of_value
from pipelines.spec import Expectation


def by_log(rows: int, expectation: Expectation) -> Judgement:
    """Row counts, from the number of rows that the log has."""
    return of_value(expectation, _counts(expectation, rows), rows, f"{rows:,} rows")


def by_schema(schema: T.StructType, expectation: Expectation) -> Judgement:
    """Columns and types, from the schema without our own bookkeeping columns."""
    success, observed = _ASKED[expectation.name](schema, expectation)
    return of_value(expectation, success, observed)


def _counts(expectation: Expectation, found: int) -> bool:
    a = expectation.said
    if "value" in a:
        return found == a["value"]
    low, high = a.get("min_value", 0), a.get("max_value", found)
    assert isinstance(low, int) and isinstance(high, int)
    below = low < found if a.get("strict_min") else low <= found
    return below and (found < high if a.get("strict_max") and "max_value" in a else found <= high)


def _count(schema: T.StructType, expectation: Expectation) -> tuple[bool, int]:
    return _counts(expectation, len(schema.names)), len(schema.names)


def _ordered(schema: T.StructType, expectation: Expectation) -> tuple[bool, str]:
    return tuple(schema.names) == expectation.said["column_list"], ", ".join(schema.names)


def _set(schema: T.StructType, expectation: Expectation) -> tuple[bool, str]:
    named = expectation.said["column_set"]
    assert isinstance(named, tuple)
    there, others = set(named) <= set(schema.names), set(schema.names) - set(named)
    return there and not (others and expectation.said.get("exact_match", True)), ", ".join(schema.names)


def _exists(schema: T.StructType, expectation: Expectation) -> tuple[bool, str]:
    place, (column,) = expectation.said.get("column_index"), expectation.columns
    if not isinstance(place, int):
        return column in schema.names, ", ".join(schema.names)
    there = -len(schema.names) <= place < len(schema.names)
    return there and schema.names[place] == column, ", ".join(schema.names)


def _typed(schema: T.StructType, expectation: Expectation) -> tuple[bool, str]:
    (column,), said = expectation.columns, expectation.said
    if column not in schema.names:
        return False, "no such column"
    wanted = said["type_list"] if "type_list" in said else (said["type_"],)
    assert isinstance(wanted, tuple)
    found = schema[column].dataType
    return any(cls.__name__ in wanted for cls in type(found).__mro__), type(found).__name__


_ASKED: dict[str, Callable[[T.StructType, Expectation], tuple[bool, int | str]]] = {
    "expect_table_column_count_to_be_between": _count,
    "expect_table_column_count_to_equal": _count,
    "expect_table_columns_to_match_ordered_list": _ordered,
    "expect_table_columns_to_match_set": _set,
    "expect_column_to_exist": _exists,
    "expect_column_type_to_be": _typed,
    "expect_column_values_to_be_of_type": _typed,
    "expect_column_values_to_be_in_type_list": _typed,
}
