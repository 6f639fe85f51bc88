"""All row rules in one projection: the mask, the fate, the reasons, and no shuffle."""

import pytest
from pyspark.sql import functions as F

from pipelines.errors import SpecError
from pipelines.quality.fused import fate, flag, fuse, reasons
from pipelines.spec import Expectation

pytestmark = pytest.mark.spark

ORIGIN = Expectation.model_validate(
    {"expect_column_values_to_not_be_null": {"column": "origin"}, "on_fail": "quarantine"}
)
AGE = Expectation.model_validate(
    {"expect_column_values_to_be_between": {"column": "age", "min_value": 0, "max_value": 120}, "on_fail": "drop"}
)
RULES = (ORIGIN, AGE)


def test_flag_sets_one_bit_per_broken_rule(frame):
    df = frame(
        [(1, "JFK", 30), (2, None, 30), (3, "JFK", 200), (4, None, -1), (5, None, None)],
        "id int, origin string, age int",
    )

    actual = flag(df, RULES, malformed=F.col("id") == 5)

    assert actual.schema["_flaws"].dataType.simpleString() == "bigint"
    assert {r.id: r._flaws for r in actual.collect()} == {1: 0, 2: 0b010, 3: 0b100, 4: 0b110, 5: 0b001}


def test_only_a_row_that_breaks_nothing_but_drop_rules_is_dropped(frame):
    df = frame([(0,), (0b010,), (0b100,), (0b110,), (0b001,), (0b101,)], "_flaws bigint")

    actual = {r._flaws: r._fate for r in df.select("*", fate(RULES)).collect()}

    assert actual == {
        0: "clean", 0b010: "quarantine", 0b100: "drop", 0b110: "quarantine", 0b001: "quarantine", 0b101: "quarantine",
    }  # fmt: skip


def test_reasons_stand_in_the_order_of_the_conf(frame):
    df = frame([(0,), (0b111,), (0b100,)], "_flaws bigint")

    actual = {r._flaws: r._reasons for r in df.select("*", reasons(RULES)).collect()}

    origin, age = "origin: not be null", "age: be between (min_value 0.0, max_value 120.0)"
    assert actual == {0: [], 0b111: ["malformed record", origin, age], 0b100: [age]}


def test_the_sixty_second_rule_leaves_the_sign_bit_clear(frame):
    df = frame([(None,)], "origin string")

    (row,) = flag(df, (ORIGIN,) * 62, F.lit(False)).select("_flaws", fate((ORIGIN,) * 62)).collect()

    assert (row._flaws, row._fate) == (2**63 - 2, "quarantine")


def test_more_rules_than_bits_are_refused(frame):
    with pytest.raises(SpecError) as caught:
        flag(frame([], "origin string"), (ORIGIN,) * 63, F.lit(False))

    assert str(caught.value) == "63 drop and quarantine rules on one table; the most is 62"


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        (
            "expect_column_values_to_be_between",
            {"column": "origin", "min_value": 1},
            "origin: be between (min_value 1.0): origin is string; it should be a number",
        ),
        (
            "expect_column_values_to_not_be_null",
            {"column": "origin", "row_condition": "length(origin)"},
            "origin: not be null where length(origin): cannot be asked of this table: [DATATYPE_MISMATCH.",
        ),
        (
            "expect_column_values_to_match_regex",
            {"column": "origin", "regex": "["},
            "origin: match regex (regex [): '[' is no regex in Java's syntax: ",
        ),
    ],
)
def test_a_rule_that_does_not_fit_its_column_is_refused_before_a_row_is_read(frame, name, arguments, sentence):
    rule = Expectation.model_validate({name: arguments, "on_fail": "drop"})

    with pytest.raises(SpecError) as caught:
        flag(frame([("x",)], "origin string"), (ORIGIN, rule), F.lit(False))

    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


def test_what_warns_or_fails_is_left_to_the_judge():
    warns = ORIGIN.model_copy(update={"on_fail": "warn"})
    fails = ORIGIN.model_copy(update={"on_fail": "fail"})

    assert fuse((warns, ORIGIN, fails, AGE)) == RULES


def test_flags_and_fate_cost_no_shuffle(frame, plan):
    df = flag(frame([("JFK", 30)], "origin string, age int"), RULES, F.lit(False))

    assert "Exchange" not in plan(df.select("*", fate(RULES), reasons(RULES)))
