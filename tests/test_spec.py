"""Loading a conf: every mistake is one sentence with file and line, never a traceback, never slow."""

import json
import os
import random
import time
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.check import check
from pipelines.errors import SpecError
from pipelines.spec import Model, Table, Target, load, load_lines, load_target
from pipelines.spec.base import length_of, length_text

GOLDEN = Path(__file__).parent / "golden" / "delays.yml"
TEXT = GOLDEN.read_text()
FUZZ = int(os.environ.get("LAKELOOM_FUZZ", "300"))  # mutants; 10,000 before a release
LONG_S = 10  # of CPU, for a conf of a page: a mutant that takes so long would take for ever
SEED = int(os.environ.get("LAKELOOM_SEED", "3"))


NULLS = "expect_column_values_to_not_be_null: {column: origin}"


@pytest.fixture
def said(tmp_path):
    """A text in the golden conf, replaced -> what loading and checking it says; '' if it is accepted."""

    def sentence(old: str, new: str) -> str:
        assert old in TEXT, old
        path = tmp_path / "delays.yml"
        path.write_text(TEXT.replace(old, new, 1))
        try:
            check(*load_lines(path))
        except SpecError as error:
            return str(error).replace(str(path), "delays.yml")
        return ""

    return sentence


def test_a_conf_is_a_frozen_value():
    pipeline = load(GOLDEN)

    assert pipeline.tables["flights"].keys == ("flight_id",)
    assert pipeline.features["departures"].as_of[0].within == timedelta(hours=3)
    with pytest.raises(ValueError, match="frozen"):
        pipeline.pipeline = "other"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("models:\n", "modles:\n", "delays.yml:51: modles: no such key; did you mean 'models'?"),
        ("    columns: [carrier", "    colums: [carrier", "delays.yml:45: features.departures.colums: no such key; "
         "did you mean 'columns'?"),
        ("rounds: 200", "round: 200", "delays.yml:58: models.late_arrival.candidates.1.round: no such key; "
         "did you mean 'rounds'?"),
        ("rounds: 200", "rounds: 0", "delays.yml:58: models.late_arrival.candidates.1.rounds: "
         "should be greater than 0, got 0"),
        ("rounds: 200", "rounds: '200'", "delays.yml:58: models.late_arrival.candidates.1.rounds: "
         "should be a whole number, got '200'"),
        ("kind: xgboost", "kind: xgbost", "delays.yml:58: models.late_arrival.candidates.1.kind: no kind 'xgbost'; "
         "did you mean 'xgboost'?"),
        ("expect_column_values_to_not_be_null", "expect_column_values_to_not_be_nul", "delays.yml:28: "
         "tables.flights.expect.0.expect_column_values_to_not_be_nul: no such key; "
         "did you mean 'expect_column_values_to_not_be_null'?"),
        ("{column: origin}", "{}", "delays.yml:28: tables.flights.expect.0.expect_column_values_to_not_be_null.column: "
         "missing"),
        ("within: 3 hours", "within: 3 moons", "delays.yml:47: features.departures.as_of.0.within: "
         "should be a length of time such as '3 hours', got '3 moons'"),
        ("within: 3 hours", "within: 99999999999999999999 weeks", "delays.yml:47: features.departures.as_of.0.within: "
         "should be between 1 second and 100 years, got '99999999999999999999 weeks'"),
        ("mode: batch", "mode: bacth", "delays.yml:64: scores.late_daily.mode: should be 'batch' or 'stream', "
         "got 'bacth'"),
        ("pipeline: delays", "pipeline: delays\npipeline: late", "delays.yml:4: cannot be read: "
         'key "pipeline" stands twice'),
        ("spine: flights", "spine: [flights", "delays.yml:43: cannot be read: expected ',' or ']', but got ':'"),
        ("spine: flights", "spine: &s flights", "delays.yml:42: cannot be read: "
         "anchors, aliases and tags are not used in a conf"),
        ("spine: flights", "spine: *s", "delays.yml:42: cannot be read: "
         "anchors, aliases and tags are not used in a conf"),
        ("keys: [flight_id]", "keys: " + "[" * 40 + "]" * 40, "delays.yml:19: cannot be read: "
         "nested deeper than 12 levels"),
        ("pipeline: delays", "pipeline: delays\n? [a, b]\n: c", "delays.yml: a key is a list or a mapping; "
         "a key is a word"),
        ("pipeline: delays", 'pipeline: delays\ndescription: "\\ud800"', "delays.yml: "
         "a text holds half of a surrogate pair, which is no character"),
        ("pipeline: delays", "pipeline: delays\ndescription: yes\nschedule: no", "delays.yml:6: cannot be read: "
         'key "schedule" stands twice'),
        ("on_fail: quarantine", "on_fail: explode", "delays.yml:29: tables.flights.expect.0.on_fail: "
         "should be 'warn', 'drop', 'quarantine' or 'fail', got 'explode'"),
        ("on_fail: fail", "on_fail: drop", "delays.yml:30: tables.flights.expect.1: "
         "expect_table_row_count_to_be_between cannot be decided row by row; on_fail can be warn or fail"),
        (NULLS, "expect_column_mean_to_be_between: {column: origin, min_value: 1}", "delays.yml:28: "
         "tables.flights.expect.0: expect_column_mean_to_be_between cannot be decided row by row; "
         "on_fail can be warn or fail"),
        (NULLS, "expect_column_values_to_be_between: {column: origin, mostly: 0.5}", "delays.yml:28: "
         "tables.flights.expect.0.expect_column_values_to_be_between: needs min_value, max_value or both"),
        (NULLS, "expect_column_values_to_be_between: {column: origin, min_value: soon}", "delays.yml:28: "
         "tables.flights.expect.0.expect_column_values_to_be_between.min_value: "
         "should be a number or a moment such as '2013-01-01 12:00:00', got 'soon'"),
        (NULLS, "expect_column_values_to_be_in_set: {column: origin, value_set: [JFK, [EWR]]}", "delays.yml:28: "
         "tables.flights.expect.0.expect_column_values_to_be_in_set.value_set.1: "
         "should be a text, a number, true or false, got ['EWR']"),
        (NULLS, "expect_column_values_to_match_like_pattern: {column: origin, like_pattern: 'J\\FK'}",
         "delays.yml:28: tables.flights.expect.0.expect_column_values_to_match_like_pattern: "
         "in 'J\\FK' nothing follows \\ that it could make literal: _, % or \\"),
        (NULLS, "expect_multicolumn_sum_to_equal: {column_list: [distance], sum_total: 1}", "delays.yml:28: "
         "tables.flights.expect.0.expect_multicolumn_sum_to_equal.column_list: "
         "tuple should have at least 2 items after validation, not 1"),
        (NULLS, "expect_column_values_to_be_null: {column: origin, severity: bad}", "delays.yml:28: "
         "tables.flights.expect.0.expect_column_values_to_be_null.severity: "
         "should be 'critical', 'warning' or 'info', got 'bad'"),
        (NULLS, "expect_column_value_lenghts_to_equal: {column: origin, value: 3}", "delays.yml:28: "
         "tables.flights.expect.0.expect_column_value_lenghts_to_equal: no such key; "
         "did you mean 'expect_column_value_lengths_to_equal'?"),
        ("pipeline: delays\n", "# " + "x" * 70_000 + "\npipeline: delays\n", "delays.yml: "
         f"{70_003 + len(TEXT)} bytes; a conf has at most 64000"),
    ],
)  # fmt: skip
def test_a_broken_conf_is_one_sentence_with_its_line(said, old, new, sentence):
    assert said(old, new) == sentence


def test_text_is_never_taken_for_something_else(said):
    assert said("pipeline: delays", "pipeline: delays\ndescription: 2013-01-01") == ""
    assert said("pipeline: delays", "pipeline: delays\ndescription: no") == ""
    assert said("pipeline: delays", "pipeline: delays\ndescription: 08:30") == ""
    assert said("pipeline: delays", "pipeline: delays\ndescription: 1e3").endswith("should be text, got 1000.0")


def test_a_missing_file_names_what_is_there(tmp_path):
    (tmp_path / "flights.yml").write_text("pipeline: flights\n")

    with pytest.raises(SpecError) as caught:
        load(tmp_path / "flihgts.yml")

    assert str(caught.value) == f"{tmp_path}/flihgts.yml: no such file; there is {tmp_path}/flights.yml"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "holds no mapping of keys; start with 'pipeline: name'"),
        (b"- a\n- b\n", "holds no mapping of keys; start with 'pipeline: name'"),
        (b"pipeline: \xff\n", "byte 10 is not UTF-8"),
    ],
)
def test_a_file_that_is_no_conf(tmp_path, content, sentence):
    path = tmp_path / "x.yml"
    path.write_bytes(content)

    with pytest.raises(SpecError) as caught:
        load(path)

    assert str(caught.value) == f"{path}: {sentence}"


def test_a_folder_is_no_conf(tmp_path):
    with pytest.raises(SpecError, match="Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds", "short"),
    [("3 hours", 10_800, "3h"), ("90 minutes", 5_400, "90m"), ("14 days", 1_209_600, "2w")],
)
def test_a_length_of_time_has_a_unit(text, seconds, short):
    assert length_of(text) == timedelta(seconds=seconds)
    assert length_text(timedelta(seconds=seconds)) == short


def test_a_column_is_known_at_event_time_a_moment_at_itself():
    table = Table(event_time="at", known_at={"x": "later", "y": "at"}, select="SELECT 1")

    assert [table.known(c) for c in ("x", "y", "z", "later", "at")] == ["later", "at", "at", "later", "at"]
    assert Table(select="SELECT 1").known("x") is None


def test_a_target_is_found_beside_the_conf_and_rooted_above_it(tmp_path):
    (tmp_path / "conf" / "targets").mkdir(parents=True)
    (tmp_path / "conf" / "targets" / "prod.yml").write_text("warehouse: lake\ntracking: sqlite:///a/b.db\n")
    conf = tmp_path / "conf" / "x.yml"

    target = load_target(conf, "prod")

    assert target.warehouse == str(tmp_path / "lake")
    assert target.tracking == f"sqlite:///{tmp_path}/a/b.db"
    assert load_target(conf).landing == str(tmp_path / ".lakeloom" / "landing")
    with pytest.raises(SpecError, match=r"target 'stage': no file .*stage\.yml; there is prod"):
        load_target(conf, "stage")


MALICIOUS = {
    "path": [
        "../etc", "a/../../etc", "a/..", "..", "/etc/passwd", "~/x", "a//b", "file:///etc", "s3://bucket/x", "a\\\\b",
        "http://169.254.169.254/latest", "jdbc:postgresql://h/d", "a/./b", ".ssh", "$HOME", "a b", "a;b", "a\\nb",
        "%2e%2e/etc", "a/*", "{a,b}", "\\u002e\\u002e/etc",
    ],
    "key": [
        "spark: {spark.driver.extraJavaOptions: -javaagent}", "spark.jars: x.jar", "jars: [x.jar]", "extensions: [os]",
        "conf: {spark.jars.packages: a}", "packages: a:b:1", "target: {master: yarn}", "python: x.py",
        "_target_: os.system", "environment: {PATH: /tmp}", "extraClassPath: /tmp", "$schema: http://169.254.169.254/",
    ],
    "name": [
        "flights; DROP TABLE x", "flights--", "`flights`", "../flights", "flights/../x", "Flights", "flights.x",
        "flights x", "a" * 64, "1flights", "fl'ights", "_runs", "__class__", "flîghts", "${env:HOME}",
    ],
    "tag": [
        "!!python/object/apply:os.system [id]", "!!python/name:os.system", "!!python/module:os", "!include /etc/passwd",
        "!!binary aGk=", "!ENV HOME", "&a [*a]", "<<: *a", "!<tag:yaml.org,2002:str> x",
    ],
    "select": [
        "SELECT reflect('a', 'b') AS origin FROM flights", "SELECT origin FROM text.`/etc/passwd`",
        "SELECT origin FROM delta.`../x`", "SELECT origin FROM spark_catalog.default.flights",
        "SELECT '${spark.app.id}' AS origin FROM flights", "CREATE TABLE x AS SELECT 1 AS a",
        "SELECT java_method('a', 'b') AS origin FROM flights", "ADD JAR x.jar", "SET spark.jars = x",
        "SELECT TRANSFORM(origin) USING 'sh' AS (origin) FROM flights", "SELECT session_user() AS u FROM flights",
        "SELECT origin FROM flights; ADD FILE x", "SELECT xpath(origin, 'a') AS a FROM flights",
    ],
}  # fmt: skip


def _hostile() -> list[tuple[str, str]]:
    select = "SELECT origin, count(*) AS departures FROM flights GROUP BY origin"
    return [
        *(("path: flights", f'path: "{text}"') for text in MALICIOUS["path"]),
        *(("pipeline: delays", f"pipeline: delays\n{text}") for text in MALICIOUS["key"]),
        *(("  busy:\n", f'  "{text}":\n') for text in MALICIOUS["name"]),
        *(("spine: flights", f"spine: {text}") for text in MALICIOUS["tag"]),
        *((f"select: {select}", f"select: {text}") for text in MALICIOUS["select"]),
    ]


def test_there_are_sixty_hostile_confs():
    assert len(_hostile()) >= 60


@pytest.mark.parametrize(("old", "new"), _hostile())
def test_a_hostile_conf_is_refused_with_its_line(said, old, new):
    assert said(old, new).startswith("delays.yml:")


def test_a_thousand_laughs_are_not_expanded(tmp_path):
    laughs = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10) if i else 'ha'}]\n" for i in range(10))
    path = tmp_path / "laughs.yml"
    path.write_text(laughs)

    with pytest.raises(SpecError, match=r"laughs\.yml:1: .*anchors, aliases and tags are not used"):
        load(path)


PIECES = [
    "", " ", "\n", "\t", "- ", ": ", "{", "}", "[", "]", ",", "'", '"', "#", "&a ", "*a", "!!str ", "? ", "| ", "> ",
    "%", "@", "`", "\\", "\x00", "\u2028", "\ufeff", "null", "true", "no", "~", "0x1F", "1e999", "-1", "9" * 400,
    ".nan", ".inf", "2013-01-01", "2013-99-99", "<<: {a: b}", "---\n", "...\n", "SELECT ", "FROM ", "(" * 200, "é",
    "\U0001f600",
    "[" * 500, "{a: " * 100,
]  # fmt: skip


def _mutant(random_: random.Random) -> str:
    """The golden conf with one to four edits."""
    text = TEXT
    for _ in range(random_.randint(1, 4)):
        text = _edited(text, random_)
    return text


def _edited(text: str, random_: random.Random) -> str:
    """A piece put in, a stretch cut, or a line dropped, doubled, moved in or out, or given another value."""
    at, piece, lines = random_.randrange(len(text) + 1), random_.choice(PIECES), text.splitlines(keepends=True)
    i = random_.randrange(len(lines))
    line = lines[i]
    instead = random_.choice(
        ("", line * 2, "  " + line, line.lstrip(), f"{line.partition(':')[0]}: {piece}\n", None, None, None)
    )
    if instead is not None:
        return "".join([*lines[:i], instead, *lines[i + 1 :]])
    return text[:at] + random_.choice((piece + text[at:], text[at + random_.randint(1, 30) :]))


def test_no_mutant_of_a_conf_gives_a_traceback_or_takes_long(tmp_path):
    path, accepted = tmp_path / "mutant.yml", 0
    for seed in range(SEED * 1_000_000, SEED * 1_000_000 + FUZZ):
        path.write_text(_mutant(random.Random(seed)), encoding="utf-8")
        start = time.process_time()
        try:
            check(*load_lines(path))
            accepted += 1
        except SpecError as error:
            assert str(error).startswith(str(path)), f"seed={seed}: {error}"
        except Exception as error:
            raise AssertionError(f"seed={seed}: {path.read_text()}") from error
        assert time.process_time() - start < LONG_S, f"seed={seed}"

    assert 0 < accepted < FUZZ / 2  # the mutators do break things, and not everything


def test_the_default_target_has_no_place_outside_the_project():
    assert all(".lakeloom" in place for place in (Target().warehouse, Target().landing, Target().artifacts))


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("freshness: {within: 2}", "should be a length of time such as '3 hours', got 2"),
        ("freshness: {within: 2 days, on_fail: quarantine}", "should be 'warn' or 'fail', got 'quarantine'"),
        ("volume: {over: 7}", "needs min, max or both"),
        ("volume: {min: 2, max: 1}", "nothing lies between 2 and 1"),
        ("volume: {min: 1, over: 2}", "should be greater than or equal to 3, got 2"),
    ],
)
def test_a_promise_over_time_that_nothing_can_keep_is_refused(tmp_path, said, sentence):
    conf = tmp_path / "p.yml"
    conf.write_text(f"pipeline: p\ntables:\n  t:\n    from: raw\n    select: SELECT 1 AS a FROM raw\n    {said}\n")

    with pytest.raises(SpecError) as caught:
        load(conf)

    assert str(caught.value).startswith(f"{conf}:6: tables.t.")
    assert sentence in str(caught.value)


def test_a_view_without_a_time_has_no_arrival_to_be_fresh_by(tmp_path):
    conf = tmp_path / "p.yml"
    conf.write_text("pipeline: p\ntables:\n  t:\n    select: SELECT 1 AS a\n    freshness: {within: 1 day}\n")

    with pytest.raises(SpecError, match="freshness of a materialized view needs event_time; its rows do not arrive"):
        load(conf)


def test_a_version_keeps_how_it_was_split_decided_and_judged():
    said = {
        "features": "sendings", "label": "late", "task": "binary", "candidates": [{"kind": "xgboost"}],
        "split": {"by": "group", "column": "courier", "seed": 3},
        "backtest": {"folds": 3, "window": "8 days", "history": "1 week"},
        "decision": {"cost": {"false_positive": 1.0, "false_negative": 5.0}},
        "explain": {},
        "fairness": {"columns": ["courier"], "parity": {"precision": 0.1}},
    }  # fmt: skip
    model = Model.model_validate_json(json.dumps(said))

    kept = Model.model_validate_json(json.dumps(model.won_by(model.candidates[0])))

    assert kept.explain is not None
    for part in ("split", "backtest", "decision", "explain", "fairness"):
        assert getattr(kept, part) == getattr(model, part)


@pytest.mark.parametrize(
    ("dev", "problem"),
    [
        ("{warehouse: prod, defer_to: prod}", "'prod' has the same warehouse: what runs here would be written there"),
        ("{warehouse: prod/, defer_to: prod}", "'prod' has the same warehouse"),
        (
            "{warehouse: dev, defer_to: prod}",
            "'prod' has the same tracking: .*; give this target a `namespace` or its own",
        ),
        ("{warehouse: dev, namespace: dev, defer_to: prod}", "'prod' has the same artifacts"),
        ("{warehouse: dev, tracking: http://dev, defer_to: prod}", "'prod' has the same artifacts"),
        ("{warehouse: dev, tracking: http://dev, defer_to: nightly}", "'nightly' defers to another itself"),
        ("{warehouse: dev, defer_to: nowhere}", "target 'nowhere': no file"),
    ],
)
def test_a_target_defers_to_another_place(tmp_path, dev, problem):
    targets = tmp_path / "conf" / "targets"
    targets.mkdir(parents=True)
    (targets / "prod.yml").write_text("warehouse: prod")
    (targets / "nightly.yml").write_text("{warehouse: nightly, tracking: http://n, artifacts: nights, defer_to: prod}")
    (targets / "dev.yml").write_text(dev)
    conf = tmp_path / "conf" / "any.yml"

    assert load_target(conf, "nightly").defer_to == str(tmp_path / "prod")
    with pytest.raises(SpecError, match=problem):
        load_target(conf, "dev")
