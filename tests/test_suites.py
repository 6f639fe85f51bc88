"""Judging a whole version: row counts from the log, the rest by Great Expectations itself."""

import pytest

from pipelines.errors import DataError
from pipelines.quality.suites import Judgement, failures, judge
from pipelines.spec import Expectation

pytestmark = pytest.mark.spark


def promise(name: str, on_fail: str = "fail", **arguments: object) -> Expectation:
    return Expectation.model_validate({name: arguments, "on_fail": on_fail})


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


def test_a_check_that_could_not_be_carried_out_is_no_pass(frame):
    with pytest.raises(DataError) as caught:
        judge(lambda: frame([(1,)], "id int"), 1, [MISSING])

    assert str(caught.value).startswith("nowhere: not be null: Great Expectations could not check it: ")


def test_only_a_broken_promise_that_fails_stops_the_publication():
    kept = Judgement("a", "fail", True, "3 rows")
    warned = Judgement("b", "warn", False, "4 of 9 rows unexpected")
    first, second = Judgement("c", "fail", False, "0 rows"), Judgement("d", "fail", False, "1 of 2 rows unexpected")

    assert failures([kept, warned]) == ""
    assert failures([kept, warned, first, second]) == "c: observed 0 rows; d: observed 1 of 2 rows unexpected"
