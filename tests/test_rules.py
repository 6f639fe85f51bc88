"""Row rules: what each calls bad, by hand, and the same again by Great Expectations itself."""

import json
import warnings
from datetime import datetime

import pytest

from pipelines.quality.rules import RULES, bad
from pipelines.spec import Expectation

pytestmark = pytest.mark.spark

NAN = float("nan")
DDL = "id int, n double, m int, s string, a int, b int, at timestamp, till timestamp"
ROWS = [
    (1, 10.0, 10, "EWR", 2, 1, "2013-01-01 00:00:01", "2013-01-01 00:00:00"),
    (2, 20.0, 20, "JFK", 1, 1, "2013-01-01 00:00:00", "2013-01-01 00:00:00"),
    (3, 9.9, 9, "", 1, 2, "2013-01-01 00:00:00", "2013-01-01 00:00:01"),
    (4, 20.1, 21, "jfk", None, 1, None, "2013-01-01 00:00:00"),
    (5, None, None, None, 1, None, "2013-01-01 00:00:00", None),
    (6, NAN, -(2**31), "JFK\nEWR", None, None, None, None),
    (7, float("inf"), 2**31 - 1, " JFK", 0, -1, "2013-01-01 00:00:01", "2013-01-01 00:00:00"),
    (8, float("-inf"), 0, "a'b\\c%", -1, 0, "2013-01-01 00:00:00", "2013-01-01 00:00:01"),
]
NOT_NULL, BETWEEN = "expect_column_values_to_not_be_null", "expect_column_values_to_be_between"
IN_SET, REGEX = "expect_column_values_to_be_in_set", "expect_column_values_to_match_regex"
GREATER = "expect_column_pair_values_a_to_be_greater_than_b"
CASES = [
    (NOT_NULL, {"column": "n"}, {5}),  # NaN is a value
    (NOT_NULL, {"column": "s"}, {5}),  # so is ''
    (BETWEEN, {"column": "n", "min_value": 10, "max_value": 20}, {3, 4, 6, 7, 8}),
    (BETWEEN, {"column": "n", "min_value": 10}, {3, 8}),  # NaN is above every number, in Spark and so in GX on Spark
    (BETWEEN, {"column": "n", "max_value": 20}, {4, 6, 7}),
    (BETWEEN, {"column": "m", "min_value": 9.5, "max_value": 20}, {3, 4, 6, 7, 8}),
    (IN_SET, {"column": "s", "value_set": ["EWR", "JFK", "a'b\\c%"]}, {3, 4, 6, 7}),
    (IN_SET, {"column": "m", "value_set": [10, 20]}, {3, 4, 6, 7, 8}),
    (REGEX, {"column": "s", "regex": "JFK"}, {1, 3, 4, 8}),  # found anywhere
    (REGEX, {"column": "s", "regex": "^[A-Z]{3}$"}, {3, 4, 6, 7, 8}),
    (GREATER, {"column_A": "a", "column_B": "b"}, {2, 3, 8}),  # where one is missing, nothing is said
    (GREATER, {"column_A": "a", "column_B": "b", "or_equal": True}, {3, 8}),
    (GREATER, {"column_A": "at", "column_B": "till"}, {2, 3, 8}),
]


def promise(name: str, arguments: dict[str, object]) -> Expectation:
    return Expectation.model_validate_json(json.dumps({name: arguments}))


@pytest.fixture(scope="module")
def rows(frame):
    return frame([(*row[:6], *map(moment, row[6:])) for row in ROWS], DDL)


def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


@pytest.fixture(scope="module")
def flagged(rows):
    """One pass for all cases: row id -> what each rule says of it."""
    rules = [bad(promise(name, said)).alias(f"r{i}") for i, (name, said, _) in enumerate(CASES)]
    return {r["id"]: [r[f"r{i}"] for i in range(len(CASES))] for r in rows.select("id", *rules).collect()}


@pytest.fixture(scope="module")
def by_gx(rows):
    """What Great Expectations itself finds unexpected in the same rows, by case."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations as gx

        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = gx.data_context.types.base.ProgressBarsConfig(globally=False)
        asset = context.data_sources.add_spark("parity", persist=False).add_dataframe_asset("rows")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": rows})
        asked = [
            getattr(gx.expectations, camel(name))(**said, meta={"case": i}) for i, (name, said, _) in enumerate(CASES)
        ]
        form = {"result_format": "COMPLETE", "unexpected_index_column_names": ["id"]}
        results = batch.validate(gx.ExpectationSuite("parity", expectations=asked), result_format=form).results
    return {r.expectation_config.meta["case"]: r.result for r in results}


def camel(name: str) -> str:
    return "".join(part.title() for part in name.split("_"))


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: f"{CASES[i][0]} {CASES[i][1]}")
def test_a_rule_marks_the_bad_rows(flagged, case):
    assert {row for row, found in flagged.items() if found[case]} == CASES[case][2]


def test_a_rule_is_never_null(flagged):
    assert {type(value) for found in flagged.values() for value in found} == {bool}


def test_every_rule_is_held_against_great_expectations():
    assert {name for name, _, _ in CASES} == set(RULES)


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: f"{CASES[i][0]} {CASES[i][1]}")
def test_great_expectations_finds_the_same_rows(by_gx, case):
    found = by_gx[case]

    assert found["unexpected_count"] == len(CASES[case][2])
    assert {row["id"] for row in found["unexpected_index_list"] or ()} == CASES[case][2]
