"""How the values of a row enter a graph: as Spark would have read them, or refused with what is wanted."""

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from pipelines.errors import DataError
from pipelines.signature import MISSING, NO_TIME, Feature, Signature

DAY = 86_400_000_000  # microseconds


@pytest.mark.parametrize(
    ("type", "kind", "given", "expected"),
    [
        ("double", "number", 1, 1.0),
        ("int", "number", 5.0, 5.0),
        ("bigint", "number", 2**53 + 1, 2.0**53),  # as a double has it
        ("float", "number", 0.1, 0.10000000149011612),  # the float nearest to 0.1
        ("decimal(8,2)", "number", "1.005", 1.01),
        ("decimal(8,2)", "number", Decimal("7.10"), 7.1),
        ("string", "category", "UA", "UA"),
        ("boolean", "category", True, "true"),
        ("int", "category", 7, "7"),
        ("date", "category", "2026-01-31", "2026-01-31"),
        ("decimal(8,2)", "category", 7, "7.00"),
        ("string", "text", "so", "so"),
        ("timestamp", "time", "1970-01-02T01:00:00+01:00", DAY),
        ("timestamp", "time", "1970-01-02", DAY),  # of UTC, since it does not say
        ("timestamp", "time", datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), -1),
        ("timestamp", "time", datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), 0),
        ("date", "time", date(1970, 1, 2), DAY),
        ("date", "time", "1970-01-02", DAY),
    ],
)
def test_a_value_enters_as_spark_reads_it(type, kind, given, expected):
    assert Feature("x", type, kind).value(given) == expected


@pytest.mark.parametrize("kind", ["category", "text", "time"])
def test_what_is_missing_stands_as_stated(kind):
    assert Feature("x", "string", kind).value(None) == MISSING[kind]
    assert math.isnan(Feature("x", "double", "number").value(None))
    assert MISSING["time"] == NO_TIME == -(2**63)


@pytest.mark.parametrize(
    ("type", "kind", "given", "wanted"),
    [
        ("double", "number", "1", "a number (double), got '1'"),
        ("int", "number", 1.5, "a whole number (int), got '1.5'"),
        ("int", "number", 2**31, "a whole number of 32 bits (int), got '2147483648'"),
        ("decimal(8,2)", "number", "much", "a number (decimal(8,2)), got 'much'"),
        ("boolean", "category", "true", "true or false, got 'true'"),
        ("string", "category", 1, "a text (string), got '1'"),
        ("date", "category", "31.1.2026", "a day as in ISO 8601, got '31.1.2026'"),
        ("timestamp", "time", 5, "a timestamp as in ISO 8601, of UTC unless it says so, got '5'"),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_is_wanted(type, kind, given, wanted):
    with pytest.raises(DataError) as found:
        Signature((Feature("x", type, kind),)).columns([{"x": None}, {"x": given}])

    assert str(found.value) == f"row 1: x is {wanted}"


def test_a_row_may_hold_the_columns_beside_the_features_and_no_other():
    signature = Signature((Feature("wind", "double", "number"),), ("flight_id",))

    signature.refuse_unknown([{"wind": 1, "flight_id": "a"}])
    with pytest.raises(DataError, match=r"^row 0: wnd: no such feature; did you mean 'wind'\?$"):
        signature.refuse_unknown([{"wind": 1, "wnd": 1}])
    with pytest.raises(DataError, match=r"^row 1: lacks wind; a missing value is null$"):
        signature.refuse_unknown([{"wind": 1}, {}])


def test_a_signature_survives_its_json():
    signature = Signature((Feature("c", "string", "category", ("UA", "AA")),), ("id",))

    assert Signature.of(signature.as_json()) == signature
