"""Row rules: what each calls bad, by hand, and the same again by Great Expectations itself."""

import json
import warnings
from datetime import datetime

import pytest

from pipelines.quality.adapter import validate
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
VALUES, PAIR = "expect_column_values_to_", "expect_column_pair_values_"
GREATER = "expect_column_pair_values_a_to_be_greater_than_b"
ALL = {1, 2, 3, 4, 5, 6, 7, 8}
AB, LIST = {"column_A": "a", "column_B": "b"}, {"column_list": ["a", "b"]}
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
    (BETWEEN, {"column": "m", "min_value": 10, "max_value": 20, "strict_min": True, "strict_max": True}, ALL - {5}),
    (BETWEEN, {"column": "at", "min_value": "2013-01-01 00:00:01"}, {2, 3, 5, 8}),
    (f"{VALUES}be_null", {"column": "s"}, ALL - {5}),
    (f"{VALUES}be_null", {"column": "s", "row_condition": "a > 0"}, {1, 2, 3}),  # where a is missing, it does not hold
    (f"{VALUES}not_be_in_set", {"column": "s", "value_set": ["", "JFK"]}, {2, 3}),
    (f"{VALUES}not_match_regex", {"column": "s", "regex": "JFK"}, {2, 6, 7}),
    (f"{VALUES}match_regex_list", {"column": "s", "regex_list": ["^E", "K$"]}, {3, 4, 6, 8}),
    (f"{VALUES}match_regex_list", {"column": "s", "regex_list": ["J", "K$"], "match_on": "all"}, {1, 3, 4, 6, 8}),
    (f"{VALUES}not_match_regex_list", {"column": "s", "regex_list": ["^J", "%"]}, {2, 6, 8}),
    ("expect_column_value_lengths_to_be_between", {"column": "s", "min_value": 1, "max_value": 4}, {3, 6, 8}),
    ("expect_column_value_lengths_to_be_between", {"column": "s", "min_value": 3, "strict_min": True}, {1, 2, 3, 4}),
    ("expect_column_value_lengths_to_equal", {"column": "s", "value": 3}, {3, 6, 7, 8}),
    (f"{VALUES}be_json_parseable", {"column": "s"}, ALL - {5}),
    (f"{PAIR}to_be_equal", AB, {1, 3, 4, 5, 7, 8}),  # one missing differs; both missing are not looked at
    (f"{PAIR}to_be_equal", {**AB, "ignore_row_if": "either_value_is_missing"}, {1, 3, 7, 8}),
    (f"{PAIR}to_be_equal", {**AB, "ignore_row_if": "neither"}, {1, 3, 4, 5, 7, 8}),
    (f"{PAIR}to_be_in_set", {**AB, "value_pairs_set": [[1, 1], [None, 1], [0, -1]]}, {1, 3, 5, 8}),
    (f"{PAIR}to_be_in_set", {**AB, "value_pairs_set": [[1, 1]], "ignore_row_if": "neither"}, ALL - {2}),
    ("expect_multicolumn_sum_to_equal", {**LIST, "sum_total": 2}, {1, 3, 4, 5, 7, 8}),
    ("expect_multicolumn_sum_to_equal", {**LIST, "sum_total": 2, "ignore_row_if": "never"}, {1, 3, 4, 5, 6, 7, 8}),
    ("expect_multicolumn_values_to_be_equal", LIST, {1, 3, 4, 5, 7, 8}),
    ("expect_multicolumn_values_to_be_equal", {**LIST, "ignore_row_if": "any_value_is_missing"}, {1, 3, 7, 8}),
    ("expect_select_column_values_to_be_unique_within_record", LIST, {2}),
    ("expect_select_column_values_to_be_unique_within_record", {**LIST, "ignore_row_if": "never"}, {2, 6}),
]
OURS = [  # Great Expectations has like for SQL alone, and lets the flag of one regex leak into the next
    (f"{VALUES}match_regex_list", {"column": "s", "regex_list": ["(?i)^e", "k$"]}, {2, 3, 6, 7, 8}),
    (f"{VALUES}match_like_pattern", {"column": "s", "like_pattern": "J%"}, {1, 3, 4, 7, 8}),
    (f"{VALUES}match_like_pattern", {"column": "s", "like_pattern": "_FK"}, {1, 3, 4, 6, 7, 8}),
    (f"{VALUES}match_like_pattern", {"column": "s", "like_pattern": "%\\%"}, {1, 2, 3, 4, 6, 7}),
    (f"{VALUES}match_like_pattern", {"column": "s", "like_pattern": "%!%", "escape": "!"}, {1, 2, 3, 4, 6, 7}),
    (f"{VALUES}not_match_like_pattern", {"column": "s", "like_pattern": "J%"}, {2, 6}),
    (f"{VALUES}match_like_pattern_list", {"column": "s", "like_pattern_list": ["E%", "%K"]}, {3, 4, 6, 8}),
    (
        f"{VALUES}match_like_pattern_list",
        {"column": "s", "like_pattern_list": ["J%", "%K"], "match_on": "all"},
        {1, 3, 4, 6, 7, 8},
    ),
    (
        f"{VALUES}not_match_like_pattern_list",
        {"column": "s", "like_pattern_list": ["J%", "%!%"], "escape": "!"},
        {2, 6, 8},
    ),
]
EVERY = CASES + OURS


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
    rules = [bad(promise(name, said)).alias(f"r{i}") for i, (name, said, _) in enumerate(EVERY)]
    return {r["id"]: [r[f"r{i}"] for i in range(len(EVERY))] for r in rows.select("id", *rules).collect()}


@pytest.fixture(scope="module")
def by_gx(rows):
    """What Great Expectations itself finds unexpected in the same rows, by case."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        form = {"result_format": "COMPLETE", "unexpected_index_column_names": ["id"]}
        return [r.result for r in validate(rows, [promise(name, said) for name, said, _ in CASES], form)]


@pytest.mark.parametrize("case", range(len(EVERY)), ids=lambda i: f"{EVERY[i][0]} {EVERY[i][1]}")
def test_a_rule_marks_the_bad_rows(flagged, case):
    assert {row for row, found in flagged.items() if found[case]} == EVERY[case][2]


def test_a_rule_is_never_null(flagged):
    assert {type(value) for found in flagged.values() for value in found} == {bool}


def test_every_rule_has_a_case():
    assert {name for name, _, _ in EVERY} == set(RULES)


def test_a_name_has_a_rule_if_and_only_if_rows_decide_it():
    assert {name for name in Expectation.names() if Expectation.kind(name).tier == "row"} == set(RULES)


@pytest.mark.parametrize(
    ("text", "json"),
    [
        ("1", True), (" null ", True), ('{"a": [1, {"b": null}]}', True), ('"\\u00e9"', True), ("1e400", True),
        ("", False), (" ", False), ("nul", False), ("{a: 1}", False), ("{'a': 1}", False), ("[1,]", False),
        ("1 2", False), ("1, 2", False), ('{"a": 1} x', False), ('{"a": 1}{"a": 1}', False), ("[]]", False),
        ("{}}", False), ('1, "b": 2', False), ('"a", "b"', False), ("01", False), ("NaN", False), ("-Infinity", False),
        ('{"a": 1, "a": 2}', False), ('"\\ud800"', False),
    ],
)  # fmt: skip
def test_json_is_one_value_by_the_standard(frame, text, json):
    (row,) = frame([(text,)], "s string").select(bad(promise(f"{VALUES}be_json_parseable", {"column": "s"}))).collect()

    assert row[0] is not json


def test_a_sum_that_overflows_is_bad(frame):
    rule = bad(promise("expect_multicolumn_sum_to_equal", {"column_list": ["a", "b"], "sum_total": 2**63}))

    (row,) = frame([(2**63 - 1, 1)], "a bigint, b bigint").select(rule).collect()

    assert row[0] is True


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda i: f"{CASES[i][0]} {CASES[i][1]}")
def test_great_expectations_finds_the_same_rows(by_gx, case):
    found = by_gx[case]

    assert found["unexpected_count"] == len(CASES[case][2])
    assert {row["id"] for row in found["unexpected_index_list"] or ()} == CASES[case][2]
