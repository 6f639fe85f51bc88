"""The same expectations by Great Expectations itself and by us, on the same frames: success, counts, percent, value.

Four frames: rows with NULL, NaN, infinities, unicode, decimals and times; none
at all; the first row; and rows of nothing but NULL. Each is one suite of Great
Expectations and one call of ours. Where we differ on purpose, DIFFERENT holds
the case and the reason; docs/expectations.md says the same.
"""

import json
import math
import re
import warnings
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal

import pytest

from pipelines.quality.adapter import exported, imported, raised_by, validate
from pipelines.quality.judgement import Judgement
from pipelines.quality.suites import judge
from pipelines.spec import Expectation
from pipelines.spec.expectations import LEFT_OUT
from pipelines.spec.expectations.base import moment
from pipelines.spec.suite import taken

pytestmark = pytest.mark.spark

NAN, INF = float("nan"), float("inf")
DDL = (
    "i int, l bigint, d double, x double, m decimal(10,2), s string, u string, at timestamp, day date, ok boolean, "
    "a int, b int, c int, g string, j string, k int"
)
ROWS = [
    (1, 2**53 + 1, 1.0, 1.0, "0.10", "EWR", "é", 1, 1, True, 1, 1, 1, "x", "1", 5),
    (2, 2**62, 2.0, 2.0, "0.20", "JFK", "日本", 2, 2, True, 2, 1, 2, "x", '{"a": 1}', 5),
    (3, -(2**62), 3.0, 3.0, "0.30", "", "😀", 3, 3, False, 1, 2, 3, "x", "[1, 2]", 5),
    (4, 0, 4.0, 4.0, "-1.00", "jfk", "ß", 4, 4, False, 4, None, 4, "y", "[1, 2] 3", 5),
    (5, 5, NAN, 5.0, "99.99", " JFK", "é", 5, 5, None, None, 5, 5, "y", "{'a': 1}", 5),
    (6, 6, INF, 6.0, "99.99", "JFK\nEWR", "é", 6, 6, True, None, None, None, "y", "{}}", 5),
    (7, 7, -INF, 7.0, "0.00", "a%b", "e\u0301", 6, 6, True, 7, 7, 7, "z", "nul", 5),
    (8, 8, -0.0, 8.0, "0.10", "a_b", "", 6, 6, True, 8, 8, None, "z", "", 5),
    (9, 9, 0.0, 9.0, None, "O'Hare \\ x", None, None, None, None, 9, 8, 9, None, None, 5),
    (None, None, None, 100.0, None, None, None, None, None, None, None, None, None, None, " null ", None),
]
COLUMN, BETWEEN, SET = "expect_column_values_to_", "expect_column_{}_to_be_between", "expect_column_distinct_values_to_"
IN_RECORD, COMPOUND = "expect_select_column_values_to_be_unique_within_record", "expect_compound_columns_to_be_unique"
PAIR = "expect_column_pair_values_"
LIKE = [f"{COLUMN}{no}match_like_pattern{many}" for no in ("", "not_") for many in ("", "_list")]
CASES: list[tuple[str, dict[str, object]]] = [
    *((f"{COLUMN}{null}be_null", {"column": c}) for null in ("", "not_") for c in ("i", "d")),
    (f"{COLUMN}not_be_null", {"column": "i", "mostly": 0.9}),  # nine of ten: exactly the share
    (f"{COLUMN}not_be_null", {"column": "i", "mostly": 0.9000001}),
    (f"{COLUMN}be_null", {"column": "i", "mostly": 0.1}),
    (f"{COLUMN}not_be_null", {"column": "g", "row_condition": "i > 3 AND s <> ''"}),
    (f"{COLUMN}be_between", {"column": "i", "min_value": 2, "max_value": 8}),
    (f"{COLUMN}be_between", {"column": "i", "min_value": 2, "max_value": 8, "strict_min": True, "strict_max": True}),
    (f"{COLUMN}be_between", {"column": "i", "max_value": 6, "mostly": 2 / 3}),  # six of nine
    (f"{COLUMN}be_between", {"column": "i", "max_value": 6, "mostly": 0.67}),
    (f"{COLUMN}be_between", {"column": "i", "min_value": 5, "row_condition": "g = 'y' OR d IS NULL"}),
    (f"{COLUMN}be_between", {"column": "l", "min_value": 0, "max_value": 2**53}),
    (f"{COLUMN}be_between", {"column": "d", "min_value": 0, "max_value": 4}),
    (f"{COLUMN}be_between", {"column": "d", "min_value": 0, "strict_min": True}),
    (f"{COLUMN}be_between", {"column": "m", "min_value": 0.1, "max_value": 99.99}),
    (f"{COLUMN}be_between", {"column": "at", "min_value": "2013-01-02 00:00:00", "max_value": "2013-01-05 12:00:00"}),
    (f"{COLUMN}be_between", {"column": "day", "min_value": "2013-01-02", "max_value": "2013-01-05"}),
    (f"{COLUMN}be_in_set", {"column": "s", "value_set": ["EWR", "JFK", "O'Hare \\ x"]}),
    (f"{COLUMN}be_in_set", {"column": "i", "value_set": [1, 2, 3.0]}),
    (f"{COLUMN}be_in_set", {"column": "d", "value_set": [0, 1, 2]}),
    (f"{COLUMN}be_in_set", {"column": "m", "value_set": [0.1, 99.99]}),
    (f"{COLUMN}be_in_set", {"column": "ok", "value_set": [True]}),
    (f"{COLUMN}be_in_set", {"column": "u", "value_set": ["é", "日本"]}),
    (f"{COLUMN}be_in_set", {"column": "day", "value_set": ["2013-01-01", "2013-01-02"]}),
    (f"{COLUMN}not_be_in_set", {"column": "s", "value_set": ["", "JFK"]}),
    (f"{COLUMN}not_be_in_set", {"column": "i", "value_set": [1, 9], "mostly": 7 / 9}),
    (f"{COLUMN}match_regex", {"column": "s", "regex": "^[A-Z]{3}$"}),
    (f"{COLUMN}match_regex", {"column": "u", "regex": "^.$"}),
    (f"{COLUMN}not_match_regex", {"column": "s", "regex": "JFK"}),
    (f"{COLUMN}match_regex_list", {"column": "s", "regex_list": ["^E", "K$"]}),
    (f"{COLUMN}match_regex_list", {"column": "s", "regex_list": ["^J", "K$"], "match_on": "all"}),
    (f"{COLUMN}not_match_regex_list", {"column": "s", "regex_list": ["JFK", "^$"]}),
    ("expect_column_value_lengths_to_be_between", {"column": "s", "min_value": 3, "max_value": 3}),
    ("expect_column_value_lengths_to_be_between", {"column": "u", "min_value": 0, "strict_min": True}),
    ("expect_column_value_lengths_to_equal", {"column": "u", "value": 1}),
    (f"{COLUMN}be_json_parseable", {"column": "j"}),
    (f"{PAIR}a_to_be_greater_than_b", {"column_A": "a", "column_B": "b"}),
    (f"{PAIR}a_to_be_greater_than_b", {"column_A": "a", "column_B": "b", "or_equal": True, "mostly": 0.8}),
    *(
        (f"{PAIR}{rule}", {"column_A": "a", "column_B": "b", "ignore_row_if": ignored, **more})
        for ignored in ("both_values_are_missing", "either_value_is_missing", "neither")
        for rule, more in (
            ("a_to_be_greater_than_b", {"or_equal": True}),
            ("to_be_equal", {}),
            ("to_be_in_set", {"value_pairs_set": [[1, 1], [7, 7], [None, 5]]}),
        )
    ),
    (f"{PAIR}to_be_equal", {"column_A": "a", "column_B": "b", "row_condition": "i < 4"}),
    (f"{PAIR}to_be_in_set", {"column_A": "a", "column_B": "b", "value_pairs_set": [[1, 1]], "row_condition": "i < 4"}),
    *(
        (name, {"column_list": ["a", "b", "c"], "ignore_row_if": ignored, **more})
        for ignored in ("all_values_are_missing", "any_value_is_missing", "never")
        for name, more in (
            ("expect_multicolumn_sum_to_equal", {"sum_total": 3}),
            ("expect_multicolumn_values_to_be_equal", {}),
            (IN_RECORD, {}),
            (COMPOUND, {}),
        )
    ),
    ("expect_multicolumn_sum_to_equal", {"column_list": ["m", "i"], "sum_total": 1.1}),
    ("expect_multicolumn_sum_to_equal", {"column_list": ["d", "i"], "sum_total": 2}),
    ("expect_multicolumn_values_to_be_equal", {"column_list": ["i", "a"], "mostly": 0.5, "row_condition": "b > 0"}),
    (COMPOUND, {"column_list": ["g", "k"], "mostly": 0.2}),
    *((f"{COLUMN}be_unique", {"column": c}) for c in ("i", "d", "m", "u")),
    (f"{COLUMN}be_unique", {"column": "u", "mostly": 6 / 9, "row_condition": "x < 50"}),
    *(
        (BETWEEN.format(statistic), {"column": c, "min_value": 0, "max_value": 5})
        for statistic in ("min", "max", "mean", "median", "sum", "stdev")
        for c in ("l", "d", "m")
    ),
    (BETWEEN.format("max"), {"column": "x", "min_value": 9, "max_value": 9, "row_condition": "i IS NOT NULL"}),
    (BETWEEN.format("median"), {"column": "x", "min_value": 5.5, "max_value": 5.5}),
    (BETWEEN.format("median"), {"column": "i", "min_value": 3, "max_value": 3, "row_condition": "i < 6"}),
    (BETWEEN.format("min"), {"column": "i", "min_value": 1, "strict_min": True}),
    (BETWEEN.format("max"), {"column": "day", "max_value": "2013-01-06"}),
    (BETWEEN.format("max"), {"column": "at", "max_value": "2013-01-06 11:59:59", "min_value": "2013-01-06 00:00:00"}),
    (BETWEEN.format("max"), {"column": "at", "max_value": "2013-01-06"}),  # days are compared
    (BETWEEN.format("proportion_of_non_null_values"), {"column": "i", "min_value": 0.9, "max_value": 0.9}),
    (BETWEEN.format("proportion_of_unique_values"), {"column": "m", "min_value": 0.75, "max_value": 0.75}),
    (BETWEEN.format("proportion_of_unique_values"), {"column": "d", "min_value": 0.8}),
    (BETWEEN.format("unique_value_count"), {"column": "d", "min_value": 8, "max_value": 8}),
    (BETWEEN.format("unique_value_count"), {"column": "g", "max_value": 3, "strict_max": True}),
    (
        BETWEEN.format("quantile_values"),
        {
            "column": "x",
            "quantile_ranges": {"quantiles": [0.1, 0.5, 0.9], "value_ranges": [[1, 1], [5.0004, None], [9, None]]},
        },
    ),
    (
        BETWEEN.format("quantile_values"),
        {"column": "d", "quantile_ranges": {"quantiles": [0.0, 1.0], "value_ranges": [[None, 0], [4, None]]}},
    ),
    *(
        ("expect_column_value_z_scores_to_be_less_than", {"column": c, "threshold": 2, "double_sided": both})
        for c in ("x", "d", "k")
        for both in (True, False)
    ),
    *(
        (f"{COLUMN}not_be_outliers", {"column": c, "method": method, "mostly": 0.95})
        for c in ("x", "d", "k", "m")
        for method in ("iqr", "std")
    ),
    (f"{SET}be_in_set", {"column": "g", "value_set": ["x", "y", "z"]}),
    (f"{SET}be_in_set", {"column": "m", "value_set": [0.1, 0.2]}),
    (f"{SET}contain_set", {"column": "g", "value_set": ["x", "w"]}),
    (f"{SET}contain_set", {"column": "i", "value_set": [1, 2], "row_condition": "i < 2"}),
    (f"{SET}equal_set", {"column": "g", "value_set": ["x", "y", "z"]}),
    (f"{SET}equal_set", {"column": "ok", "value_set": [True]}),
    ("expect_column_most_common_value_to_be_in_set", {"column": "g", "value_set": ["x"]}),
    ("expect_column_most_common_value_to_be_in_set", {"column": "g", "value_set": ["x"], "ties_okay": True}),
    ("expect_column_most_common_value_to_be_in_set", {"column": "u", "value_set": ["é"]}),
    ("expect_table_row_count_to_be_between", {"min_value": 1, "max_value": 10}),
    ("expect_table_row_count_to_be_between", {"min_value": 1, "strict_min": True}),
    ("expect_table_row_count_to_be_between", {"max_value": 3, "row_condition": "i < 4"}),
    ("expect_table_row_count_to_equal", {"value": 10}),
    ("expect_table_row_count_to_equal", {"value": 3, "row_condition": "i < 4"}),
    ("expect_table_column_count_to_be_between", {"min_value": 16, "max_value": 16}),
    ("expect_table_column_count_to_be_between", {"max_value": 15}),
    ("expect_table_column_count_to_equal", {"value": 16}),
    ("expect_table_columns_to_match_ordered_list", {"column_list": ["i", "l"]}),
    ("expect_table_columns_to_match_set", {"column_set": ["l", "i"]}),
    ("expect_table_columns_to_match_set", {"column_set": ["l", "i"], "exact_match": False}),
    ("expect_table_columns_to_match_set", {"column_set": ["l", "nowhere"], "exact_match": False}),
    ("expect_column_to_exist", {"column": "l", "column_index": 1}),
    ("expect_column_to_exist", {"column": "l", "column_index": 0}),
    ("expect_column_to_exist", {"column": "k", "column_index": -1}),
    ("expect_column_to_exist", {"column": "nowhere"}),
    ("expect_column_type_to_be", {"column": "i", "type_": "IntegerType"}),
    ("expect_column_type_to_be", {"column": "i", "type_": "LongType"}),
    (f"{COLUMN}be_of_type", {"column": "m", "type_": "FractionalType"}),
    (f"{COLUMN}be_in_type_list", {"column": "s", "type_list": ["StringType", "DateType"]}),
    ("unexpected_rows_expectation", {"unexpected_rows_query": "SELECT * FROM {batch} WHERE i > 7"}),
]


def promise(case: tuple[str, dict[str, object]]) -> Expectation:
    return Expectation.model_validate_json(json.dumps({case[0]: case[1]}))


def row(values):
    *head, m, s, u, at, day, ok, a, b, c, g, j, k = values
    return (
        *head, None if m is None else Decimal(m), s, u, at and datetime(2013, 1, at, 12), day and date(2013, 1, day),
        ok, a, b, c, g, j, k,
    )  # fmt: skip


ALL = [promise(case) for case in CASES]
EACH = [next(e for e in ALL if e.name == name) for name in dict.fromkeys(e.name for e in ALL)]  # one of every name
FRAMES = {
    "rows": ([row(values) for values in ROWS], ALL),
    "none": ([], EACH),
    "one": ([row(ROWS[0])], EACH),
    "nulls": ([(None,) * 16] * 3, EACH),
}
DIFFERENT = {  # on purpose: (name, argument that makes the difference) -> why
    (f"{PAIR}to_be_in_set", "row_condition"): "Great Expectations forgets the condition where it counts the breaches",
    ("expect_column_to_exist", "column_index"): "Great Expectations takes the place 0 for no place at all",
}
NOT_HELD = {  # the names that have no case here -> why
    f"{COLUMN}match_strftime_format": "Great Expectations itself judges it",
    f"{COLUMN}match_json_schema": "the same",
    "expect_column_kl_divergence_to_be_less_than": "the same",
    **{name: "Great Expectations has it for SQL alone; test_rules.py has it by hand" for name in LIKE},
}


@pytest.fixture(scope="module", params=FRAMES)
def both(request, frame, spark):
    """[(expectation, ours, theirs)] of a frame."""
    rows, asked = FRAMES[request.param]
    df = frame(rows, DDL)
    ours = judge(lambda: df, len(rows), asked)
    with plainly(spark):
        return list(zip(asked, ours, validate(df, asked), strict=True))


@contextmanager
def plainly(spark):
    """Great Expectations asks hundreds of tiny questions; compiling each costs more than answering it."""
    names = ("spark.sql.adaptive.enabled", "spark.sql.codegen.wholeStage")
    before = {name: spark.conf.get(name) for name in names}
    try:
        for name in names:
            spark.conf.set(name, "false")
        yield
    finally:
        for name, value in before.items():
            spark.conf.set(name, value)


def test_both_say_the_same(both):
    apart = {e.label: (us, them.result) for e, us, them in both if not purpose(e) and heard(us) != said(us, them)}

    assert apart == {}


@pytest.mark.parametrize("both", ["rows"], indirect=True)
def test_what_differs_on_purpose_does_differ(both):
    apart = {purpose(e) for e, us, them in both if purpose(e) and heard(us) != said(us, them)}

    assert apart == set(DIFFERENT.values())


def purpose(e: Expectation) -> str:
    return next((why for (name, key), why in DIFFERENT.items() if e.name == name and key in e.arguments), "")


def heard(us: Judgement) -> tuple[object, ...]:
    return us.success, us.element_count, us.unexpected_count, us.unexpected_percent, us.value


def said(us, them) -> tuple[object, ...]:
    """What Great Expectations found, as far as it says it; of no rows it counts nothing where we count 0."""
    raised, found = raised_by(them), them.result
    if raised:
        return (raised,)
    if us.element_count is not None:
        unexpected = found["unexpected_count"] if found["element_count"] else 0
        return bool(them.success), found["element_count"], unexpected, close(found["unexpected_percent"], us), None
    value = found.get("observed_value", us.value)
    if "distinct_values_to" in us.name:
        value = found.get("unexpected_count", 0) + found.get("missing_count", 0)
    elif isinstance(value, str | list | dict | date):
        value = us.value  # in other words
    elif isinstance(value, float | int) and isinstance(us.value, float | int):
        value = us.value if math.isclose(value, us.value, rel_tol=1e-12) else value
    elif isinstance(value, float) and math.isinf(value):
        value = str(value)
    return bool(them.success), None, None, None, value


def close(percent: float | None, us: Judgement) -> float | None:
    same = percent is not None and us.unexpected_percent is not None and math.isclose(percent, us.unexpected_percent)
    return us.unexpected_percent if same else percent


def test_every_name_is_held_against_great_expectations_or_says_why_not():
    names = {name for name, _ in CASES}

    assert names | set(NOT_HELD) == set(Expectation.names())
    assert not names & set(NOT_HELD)


def test_what_great_expectations_has_we_have_or_say_why_not():
    imported()
    from great_expectations.expectations import core

    theirs = {snake(name) for name in vars(core) if name.startswith(("Expect", "UnexpectedRows"))}

    assert theirs - set(Expectation.names()) == set(LEFT_OUT)
    assert set(Expectation.names()) <= theirs


def snake(name: str) -> str:
    """ExpectColumnKLDivergence -> expect_column_kl_divergence"""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def test_a_suite_goes_to_great_expectations_and_comes_back_as_it_was():
    """Every expectation of every name, some that refuse rows; loaded by Great Expectations on the way."""
    gx, _ = imported()
    names = [e for e in ALL if e.by_row]
    asked = [*ALL, *(e.model_copy(update={"on_fail": "quarantine"}) for e in names), *HARD]

    sent = json.dumps(exported("t", asked))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, of what they call the older form of a condition
        there = gx.ExpectationSuite(**json.loads(sent))
    back, lost = taken(json.dumps(there.to_json_dict()))

    assert [e.expectation_type for e in there.expectations] == [e.name for e in asked]
    assert ([meant(e) for e in back], lost) == ([meant(e) for e in asked], [])


def meant(e: Expectation) -> tuple[object, ...]:
    """What is asked, however it is written: a default may be stated, a moment has a T or none."""
    said = {k: moment(v) if isinstance(v, str) and k.endswith("_value") else v for k, v in e.arguments.items()}
    return e.name, e.on_fail, {k: v for k, v in said.items() if (k, v) not in DEFAULTS}


DEFAULTS = (
    ("ignore_row_if", "both_values_are_missing"), ("ignore_row_if", "all_values_are_missing"), ("method", "iqr"),
)  # fmt: skip


HARD = [
    promise(case)
    for case in (
        (LIKE[0], {"column": "s", "like_pattern": "a%", "severity": "critical"}),
        (LIKE[1], {"column": "s", "like_pattern_list": ["a%", "b_"], "match_on": "all"}),
        (f"{COLUMN}match_strftime_format", {"column": "s", "strftime_format": "%Y"}),
        (f"{COLUMN}match_json_schema", {"column": "j", "json_schema": {"type": "object"}}),
        (
            "expect_column_kl_divergence_to_be_less_than",
            {"column": "k", "partition_object": {"values": [1, 2], "weights": [0.5, 0.5]}, "threshold": 0.1},
        ),
    )
]
