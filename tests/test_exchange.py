"""A suite of Great Expectations becomes the `expect:` of a conf, and nothing is lost in silence."""

import json

import pytest
from typer.testing import CliRunner

from pipelines.cli import app, guarded
from pipelines.errors import SpecError
from pipelines.spec import Expectation, load
from pipelines.spec.suite import taken, written

BETWEEN, REGEX = "expect_column_values_to_be_between", "expect_column_values_to_match_regex"


def suite(*expectations: object) -> str:
    return json.dumps({"name": "flights", "id": None, "expectations": expectations, "meta": {}})


def promise(name: str, on_fail: str = "warn", **arguments: object) -> Expectation:
    return Expectation.model_validate_json(json.dumps({name: arguments, "on_fail": on_fail}))


def test_an_expectation_of_theirs_is_one_of_ours():
    theirs = {
        "type": BETWEEN,
        "kwargs": {
            "column": "age", "min_value": 0, "max_value": None, "mostly": 0.9, "batch_id": "x",
            "row_condition": {"type": "pass_through", "pass_through_filter": "id > 1"}, "condition_parser": "spark",
        },
        "meta": {}, "severity": "info",
    }  # fmt: skip

    assert taken(suite(theirs)) == (
        [promise(BETWEEN, column="age", min_value=0, mostly=0.9, row_condition="id > 1", severity="info")],
        [],
    )


def test_what_a_conf_says_beside_it_comes_back():
    ours = {"lakeloom": {"on_fail": "quarantine", "severity": None}}

    found, lost = taken(
        suite({"type": REGEX, "kwargs": {"column": "s", "regex": "x"}, "meta": ours, "severity": "critical"})
    )

    assert (found, lost) == ([promise(REGEX, "quarantine", column="s", regex="x")], [])


def test_the_older_form_of_a_suite_is_read_too():
    older = {"expectation_type": REGEX, "kwargs": {"column": "s", "regex": "x"}, "meta": {}}

    assert taken(suite(older)) == ([promise(REGEX, column="s", regex="x")], [])


@pytest.mark.parametrize(
    ("theirs", "sentence"),
    [
        (
            {"type": "expect_column_values_to_be_betwen", "kwargs": {}},
            f"no expectation 'expect_column_values_to_be_betwen'; did you mean '{BETWEEN}'?",
        ),
        (
            {"type": "expect_column_values_to_be_increasing", "kwargs": {"column": "a"}},
            "expect_column_values_to_be_increasing is left out: as expect_column_values_to_be_decreasing, "
            "a Delta table has no order",
        ),
        (
            {"type": REGEX, "kwargs": {"column": "a", "regex": "x", "flavour": "pcre"}},
            f"{REGEX}.flavour: Extra inputs are not permitted",
        ),
        (
            {"type": REGEX, "kwargs": {"column": "a", "regex": "x", "row_condition": 'col("b") > 1',
                                       "condition_parser": "great_expectations"}},
            "row_condition: can be SQL of Spark, got col(\"b\") > 1 for great_expectations",
        ),
        (
            {"type": REGEX, "kwargs": {"column": "a", "regex": "x", "row_condition": {"type": "comparison"}}},
            "row_condition: can be SQL of Spark, got {'type': 'comparison'} for no parser",
        ),
        (7, "is no object with a `type` and `kwargs`"),
    ],
)  # fmt: skip
def test_what_a_conf_cannot_say_is_named_with_the_reason(theirs, sentence):
    kept = {"type": REGEX, "kwargs": {"column": "s", "regex": "x"}}

    found, lost = taken(suite(kept, theirs))

    assert (found, lost) == ([promise(REGEX, column="s", regex="x")], [f"expectations[1]: {sentence}"])


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"expectations": {}}'])
def test_what_is_no_suite_is_one_sentence(text):
    with pytest.raises(SpecError, match=r"^a suite is a JSON object with a list of `expectations`; this is none$"):
        taken(text)


def test_the_yaml_is_that_of_a_conf(tmp_path):
    asked = [
        promise(REGEX, "quarantine", column="s", regex='^"[A-Z]{3}\\d # é: 😀\u2028\x85\n$'),
        promise("expect_column_values_to_be_in_set", column="s", value_set=["true", True, "2013-01-01", "~", 1, 1.5]),
        promise(BETWEEN, "drop", column="n", min_value=-1e300, row_condition="s > 'a'"),
    ]
    conf = "pipeline: p\ntables:\n  t:\n    from: raw\n    select: SELECT 1 AS s, 2 AS n FROM raw\n"
    (tmp_path / "p.yml").write_text(conf + "".join(f"    {line}\n" for line in written(asked).splitlines()))

    assert load(tmp_path / "p.yml").tables["t"].expect == tuple(asked)
    assert written(asked[2:]) == (
        f"expect:\n- {BETWEEN}: {{column: n, min_value: -1e+300, row_condition: s > 'a'}}\n  on_fail: drop\n"
    )


def test_the_command_prints_what_it_took_and_lists_what_it_did_not(tmp_path, capsys):
    file = tmp_path / "suite.json"
    file.write_text(suite({"type": REGEX, "kwargs": {"column": "s", "regex": "[a-z]"}}, {"type": "of_my_own"}))

    code = guarded(lambda: app(["suite", "import", str(file)], standalone_mode=False))

    said = capsys.readouterr()
    assert code == 2
    assert said.out == f"expect:\n- {REGEX}: {{column: s, regex: '[a-z]'}}\n  on_fail: warn\n"
    assert said.err.splitlines() == [
        f"not taken: {file}: expectations[1]: no expectation 'of_my_own'",
        f"error: {file}: 1 of 2 expectations were not taken",
    ]


def test_a_suite_of_known_expectations_ends_well(tmp_path):
    file = tmp_path / "suite.json"
    file.write_text(suite({"type": REGEX, "kwargs": {"column": "s", "regex": "x"}}))

    assert CliRunner().invoke(app, ["suite", "import", str(file)]).exit_code == 0


def test_a_whole_number_that_they_keep_as_a_float_is_whole_again():
    equal = {"type": "expect_column_value_lengths_to_equal", "kwargs": {"column": "s", "value": 3.0}}

    assert taken(suite(equal)) == ([promise("expect_column_value_lengths_to_equal", column="s", value=3)], [])
