"""Judging a whole version: by the log, the schema, one aggregate or two, and else by Great Expectations itself."""

import json
import sys

import pytest
from pyspark.sql import SparkSession

from pipelines.errors import DataError
from pipelines.quality.suites import Judgement, failures, judge
from pipelines.spec import Expectation

pytestmark = pytest.mark.spark


def promise(name: str, on_fail: str = "fail", **arguments: object) -> Expectation:
    return Expectation.model_validate_json(json.dumps({name: arguments, "on_fail": on_fail}))


ROWS = "expect_table_row_count_to_be_between"
UNIQUE = promise("expect_column_values_to_be_unique", column="id")
KNOWN = promise("expect_column_values_to_not_be_null", "warn", column="age", mostly=0.5)
MISSING = promise("expect_column_values_to_not_be_null", "warn", column="nowhere")
FUSED = promise("expect_column_values_to_not_be_null", "quarantine", column="id")


def never_read():
    raise AssertionError("the log alone answers")


@pytest.mark.parametrize(
    ("bounds", "rows", "success"),
    [
        ({"min_value": 1}, 0, False),
        ({"min_value": 1}, 1, True),
        ({"max_value": 2}, 2, True),
        ({"max_value": 2}, 3, False),
        ({"min_value": 2, "max_value": 3}, 1, False),
        ({"min_value": 1, "strict_min": True}, 1, False),
        ({"min_value": 1, "strict_min": True}, 2, True),
        ({"max_value": 2, "strict_max": True}, 2, False),
    ],
)
def test_a_row_count_is_judged_without_reading_the_table(bounds, rows, success):
    (judged,) = judge(never_read, rows, [promise(ROWS, **bounds)])

    assert (judged.success, judged.observed) == (success, f"{rows} rows")


def test_what_the_writing_pass_decided_is_not_judged_again():
    assert judge(never_read, 3, [FUSED]) == ()


def test_each_judgement_belongs_to_its_promise(frame):
    df = frame([(1, 30), (2, None), (2, None)], "id int, age int")
    present = promise("expect_column_values_to_not_be_null", "warn", column="id", mostly=1)

    judged = judge(lambda: df, 3, [UNIQUE, promise(ROWS, min_value=1), KNOWN, present])

    assert [(j.success, j.on_fail, j.observed) for j in judged] == [
        (False, "fail", "2 of 3 rows unexpected"),
        (True, "fail", "3 rows"),
        (False, "warn", "2 of 3 rows unexpected"),  # 1 of 3 known, half was promised
        (True, "warn", "0 of 3 rows unexpected"),
    ]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (MISSING, "nowhere: not be null: no column 'nowhere'; there is id, s"),
        (
            promise("expect_column_values_to_be_between", column="s", max_value=3),
            "s: be between (max_value 3.0): s is string; it should be a number",
        ),
        (
            promise("expect_column_max_to_be_between", column="id", max_value="2013-01-01"),
            "id: column max to be between (max_value 2013-01-01): id is int; it should be a date or time",
        ),
        (
            promise("expect_column_values_to_be_in_set", column="id", value_set=[1, "2"]),
            "id: be in set (value_set (1, '2')): id is int; it should be a text or a date or time",
        ),
        (
            promise("expect_column_pair_values_to_be_equal", column_A="id", column_B="s"),
            "id: values to be equal (column_B s): id is int, s is string; values of one kind are compared",
        ),
        (
            promise("expect_column_mean_to_be_between", column="s", max_value=3),
            "s: column mean to be between (max_value 3.0): s is string; it should be a number",
        ),
        (
            promise("expect_column_values_to_not_be_null", column="id", row_condition="1 / (id - 1) > 0"),
            "id: not be null where 1 / (id - 1) > 0: could not be carried out: [DIVIDE_BY_ZERO] Division by zero. "
            "Use `try_divide` to tolerate divisor being 0 and return NULL instead",
        ),
        (
            promise("expect_column_values_to_match_json_schema", column="s", json_schema={"type": "text"}),
            "s: match json schema (json_schema {'type': 'text'}): Great Expectations could not check it: ",
        ),
    ],
)
def test_a_check_that_could_not_be_carried_out_is_no_pass(frame, asked, sentence):
    with pytest.raises(DataError) as caught:
        judge(lambda: frame([(1, "x")], "id int, s string"), 1, [UNIQUE, asked])

    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_a_regex_that_java_does_not_take_is_no_pass(frame):
    with pytest.raises(DataError) as caught:
        judge(
            lambda: frame([("x",)], "s string"),
            1,
            [promise("expect_column_values_to_match_regex", column="s", regex="(")],
        )

    assert str(caught.value).startswith("s: match regex (regex (): '(' is no regex in Java's syntax: ")


MANY = (
    promise("expect_column_values_to_not_be_null", column="id"),
    promise("expect_column_values_to_be_between", column="age", min_value=18, mostly=0.5, row_condition="id > 1"),
    promise("expect_column_mean_to_be_between", column="age", min_value=20, max_value=30),
    promise("expect_column_median_to_be_between", column="age", min_value=20, max_value=30),
    KNOWN,
    UNIQUE,
    promise("expect_column_unique_value_count_to_be_between", column="id", min_value=2),
    promise("expect_column_values_to_not_be_outliers", column="age"),
    promise("unexpected_rows_expectation", unexpected_rows_query="SELECT * FROM {batch} WHERE age < 18"),
    promise("expect_table_column_count_to_equal", value=2),
    promise("expect_table_row_count_to_be_between", min_value=1),
)


def executions(spark: SparkSession) -> set[int]:
    """The newest executions by number: the store keeps a thousand, so that its count stands still there."""
    store = spark._jsparkSession.sharedState().statusStore()
    listed = store.executionsList()
    return {listed.apply(i).executionId() for i in range(listed.size())}


def test_any_number_of_expectations_are_two_queries_and_no_great_expectations(frame, spark, monkeypatch):
    df = frame([(1, 30), (2, None), (2, 10)], "id int, age int")
    monkeypatch.setitem(sys.modules, "great_expectations", None)  # an import would fail
    before = executions(spark)

    judged = judge(lambda: df, 3, MANY)

    assert len(executions(spark) - before) == 3  # two that read, and the naming of the view that the query reads
    assert [j.success for j in judged] == [True, False, True, True, True, False, True, True, False, True, True]


def test_a_judgement_carries_its_counts(frame):
    df = frame([(1, 30), (2, None), (3, 10), (4, 20)], "id int, age int")
    adults = promise("expect_column_values_to_be_between", "warn", column="age", min_value=18, severity="info")
    mean = promise("expect_column_mean_to_be_between", column="age", max_value=30)

    rows, value = judge(lambda: df, 4, [adults, mean])

    assert (rows.element_count, rows.unexpected_count, rows.severity, rows.tier) == (4, 1, "info", "row")
    assert rows.unexpected_percent == pytest.approx(100 / 3)  # of the three that are known
    assert (value.value, value.element_count, value.observed) == (20.0, None, "20.0")
    assert json.loads(json.dumps(rows.as_json()))["name"] == "expect_column_values_to_be_between"


def test_our_bookkeeping_columns_are_no_part_of_the_table(frame):
    df = frame([(1, "f")], "id int, _hash string")
    columns = promise("expect_table_columns_to_match_ordered_list", column_list=["id"])

    (judged,) = judge(lambda: df, 1, [columns])

    assert (judged.success, judged.observed) == (True, "id")


def test_what_we_cannot_decide_great_expectations_judges(frame):
    rows = [("2013-01-01", '{"n": 1}', 1), ("2013-13-01", '{"n": "1"}', 1), ("2013-02-01", '{"n": 2}', 2)]
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    asked = [
        promise("expect_column_values_to_match_strftime_format", column="day", strftime_format="%Y-%m-%d"),
        promise("expect_column_values_to_match_json_schema", column="j", json_schema=schema, mostly=0.6),
        promise(
            "expect_column_kl_divergence_to_be_less_than",
            column="k",
            partition_object={"values": [1, 2], "weights": [0.5, 0.5]},
            threshold=0.1,
        ),
        promise(
            "expect_column_values_to_match_strftime_format",
            column="day",
            strftime_format="%Y-%m-%d",
            row_condition="k = 2",
            severity="warning",
        ),
    ]

    judged = judge(lambda: frame(rows, "day string, j string, k int"), 3, asked)

    assert [(j.success, j.unexpected_count, j.element_count) for j in judged] == [
        (False, 1, 3),
        (True, 1, 3),
        (True, None, None),
        (True, 0, 1),
    ]
    # 2/3 ln(2/3 : 1/2) + 1/3 ln(1/3 : 1/2)
    assert judged[2].value == pytest.approx(0.0566330, abs=1e-6)


def test_great_expectations_judges_rows_that_are_read_from_files(frame, spark, tmp_path):
    # where Python functions are handed columns of a file as they are, Spark 4.2.0 waits for ever
    frame([("2013-01-01",), ("2013-13-01",)], "day string").write.parquet(str(tmp_path / "days"))
    asked = promise("expect_column_values_to_match_strftime_format", column="day", strftime_format="%Y-%m-%d")

    (judged,) = judge(lambda: spark.read.parquet(str(tmp_path / "days")), 2, [asked])

    assert (judged.success, judged.unexpected_count) == (False, 1)


def test_only_a_broken_promise_that_fails_stops_the_publication():
    kept = Judgement("a", "fail", True, "3 rows")
    warned = Judgement("b", "warn", False, "4 of 9 rows unexpected")
    first, second = Judgement("c", "fail", False, "0 rows"), Judgement("d", "fail", False, "1 of 2 rows unexpected")

    assert failures([kept, warned]) == ""
    assert failures([kept, warned, first, second]) == "c: observed 0 rows; d: observed 1 of 2 rows unexpected"
