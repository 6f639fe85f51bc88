"""Suggested expectations are those that the rows keep, and no more is promised than so many rows can show."""

import pyarrow as pa
import pytest

from pipelines.profile import Profile, profiled
from pipelines.suggest import suggestions

NOT_NULL = "      - expect_column_values_to_not_be_null: {column: c}\n        on_fail: quarantine"


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        (["a"] * 99, [NOT_NULL]),  # too few rows for a habit
        (
            ["a", "b"] * 50,
            [
                NOT_NULL,
                '      - expect_column_values_to_be_in_set: {column: c, value_set: ["a", "b"]}\n        on_fail: warn',
            ],
        ),
        ([f"v{n % 13}" for n in range(130)], [NOT_NULL]),  # thirteen values are no categories
        (
            [0.0, 2.5] * 50,
            [NOT_NULL, "      - expect_column_values_to_be_between: {column: c, min_value: 0}\n        on_fail: warn"],
        ),
        ([-1, 2] * 50, [NOT_NULL]),
        # 90 of 100: 0.9 - 1.96 * sqrt(0.9 * 0.1 / 100) = 0.8412
        (
            [None] * 10 + [-1] * 90,
            ["      - expect_column_values_to_not_be_null: {column: c, mostly: 0.84}\n        on_fail: warn"],
        ),
        ([None] * 99 + [-1], []),
        ([None, 1], []),
    ],
    ids=[
        "few rows",
        "categories",
        "many values",
        "no negatives",
        "negatives",
        "some nulls",
        "nearly all null",
        "two rows",
    ],
)
def test_a_suggestion_is_what_the_rows_keep(values, lines):
    assert suggestions("c", seen(values)) == lines


def seen(values: list[object]) -> Profile:
    (profile,) = profiled([pa.table({"c": values})])
    return profile


def test_a_text_with_quotes_stays_one_value():
    [_, line] = suggestions("c", seen(['say "hi"', "é: [x]"] * 50))

    assert '{column: c, value_set: ["say \\"hi\\"", "é: [x]"]}' in line
