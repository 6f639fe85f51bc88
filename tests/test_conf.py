"""Every conf file, and the one in the docs, loads, checks, plans, and is what the JSON Schema allows."""

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

import docs
from pipelines.check import check
from pipelines.plan import stages
from pipelines.spec import load_lines, load_target
from pipelines.spec.schema import json_schema, schema_text

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden" / "delays.yml"
CONFS = sorted((ROOT / "conf").glob("*.yml"))
TARGETS = sorted((ROOT / "conf" / "targets").glob("*.yml"))


def plain(text: str) -> object:
    return json.loads(json.dumps(YAML(typ="safe", pure=True).load(text)))


def breaches(text: str) -> list[str]:
    """What an editor would underline."""
    return [error.json_path for error in Draft7Validator(json_schema()).iter_errors(plain(text))]


@pytest.mark.parametrize("path", [*CONFS, GOLDEN], ids=lambda p: p.name)
def test_a_conf_loads_checks_plans_and_keeps_the_schema(path):
    pipeline, lines = load_lines(path)

    check(pipeline, lines)

    parts = (pipeline.tables, pipeline.features, pipeline.models, pipeline.scores, pipeline.monitors)
    assert len(stages(pipeline)) == sum(map(len, parts)) > 0
    assert breaches(path.read_text()) == []


@pytest.mark.parametrize("path", CONFS, ids=lambda p: p.name)
def test_a_conf_is_named_by_its_file_and_names_its_schema(path):
    assert load_lines(path)[0].pipeline == path.stem
    assert path.read_text().startswith("# yaml-language-server: $schema=schema.json\n")


@pytest.mark.parametrize("path", TARGETS, ids=lambda p: p.name)
def test_a_target_loads(path):
    load_target(path.parent.parent / "any.yml", path.stem)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("    spine: flights", "    spine: flights\n    spin: 1", "$.features.departures"),
        ("{kind: logistic_regression}", "{kind: linear}", "$.models.late_arrival.candidates[0]"),
        ("rounds: 200", "rounds: many", "$.models.late_arrival.candidates[1]"),
        ("within: 3 hours", "within: 3 moons", "$.features.departures.as_of[0].within"),
        ("expect_column_values_to_not_be_null: {column: origin}", "on_fail: warn #", "$.tables.flights.expect[0]"),
        ("  weather:\n", "  Weather!:\n", "$.tables"),
        ("path: flights", "path: ../flights", "$.sources.flights_raw"),
        ("models:", "modles: {}\nmodels:", "$"),
    ],
)
def test_an_editor_underlines_what_the_loader_refuses(old, new, place):
    text = GOLDEN.read_text().replace("        on_fail: quarantine\n", "")
    assert old in text

    assert place in breaches(text.replace(old, new, 1))


def test_the_json_schema_is_draft_7():
    Draft7Validator.check_schema(json_schema())
    assert "$defs" not in schema_text()


@pytest.mark.parametrize("path", docs.files(), ids=lambda p: p.name)
def test_a_generated_file_is_what_the_specs_say(path):
    assert path.read_text(encoding="utf-8") == docs.files()[path], "run: python scripts/docs.py"


def test_the_conf_of_the_page_on_tables_has_no_flaw(tmp_path):
    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```yaml\n(pipeline:.*?)^```$", page, re.M | re.S)
    path = tmp_path / "register.yml"
    path.write_text(text, encoding="utf-8")

    pipeline, lines = load_lines(path)
    check(pipeline, lines)

    assert [(n, t.snapshots, t.stored_as_scd_type) for n, t in pipeline.tables.items() if t.source] == [
        ("listings", False, 1), ("planes", False, 1), ("planes_then", False, 2), ("fleet", True, 1),
    ]  # fmt: skip


def test_the_conf_in_the_docs_loads_and_its_mistake_is_refused_as_written(tmp_path):
    page = (ROOT / "docs" / "conf.md").read_text(encoding="utf-8")
    text = page.split("```yaml\n")[1].split("```")[0]
    path = tmp_path / "returns.yml"

    path.write_text(text)
    check(*load_lines(path))
    assert breaches(text) == []

    path.write_text(text.replace("columns: [amount]", "columns: [amount, returned]"))
    with pytest.raises(Exception) as caught:
        check(*load_lines(path))
    sentence = str(caught.value).partition(": ")[2]
    assert sentence.startswith("features.placed_orders.columns: returned is known at")
    assert f"`{sentence.splitlines()[0]}`" in page
