"""Spec in, ordered stages out; and for each whether it would run, and why."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.errors import SpecError
from pipelines.plan import Stage, Waiting, definition, keyed, same_rows, stages, verdict
from pipelines.run.order import FullRefresh, Order
from pipelines.run.pipeline import planned, selected
from pipelines.spec import Pipeline, Target, load
from pipelines.state import Record, Warehouse

GOLDEN = Path(__file__).parent / "golden" / "delays.yml"
TABLE = Stage("tables", "flights")
FEATURES = Stage("features", "departures", ("tables.flights",))
MODEL = Stage("models", "late", ("features.departures",))
SCORE = Stage("scores", "daily", ("features.departures", "models.late"))
SAME = {"definition": "d1", "last_definition": "d1"}


def test_each_stage_stands_after_what_it_needs():
    assert [(s.id, s.needs) for s in stages(load(GOLDEN))] == [
        ("tables.flights", ()),
        ("tables.weather", ()),
        ("tables.busy", ("tables.flights",)),
        ("features.departures", ("tables.flights", "tables.weather")),
        ("models.late_arrival", ("features.departures",)),
        ("scores.late_daily", ("features.departures", "models.late_arrival")),
    ]


def test_the_order_of_the_conf_gives_way_only_to_need():
    tables = {
        "c": {"select": "SELECT x FROM b"},
        "a": {"select": "SELECT 1 AS x"},
        "b": {"select": "WITH c AS (SELECT x FROM a) SELECT x FROM c"},
    }

    pipeline = Pipeline.model_validate({"pipeline": "p", "tables": tables})

    assert [s.name for s in stages(pipeline)] == ["a", "b", "c"]


def test_a_table_that_reads_itself_does_not_wait_for_itself():
    pipeline = Pipeline.model_validate({"pipeline": "p", "tables": {"a": {"select": "SELECT x FROM a"}}})

    assert stages(pipeline) == (Stage("tables", "a"),)


def test_a_circle_ends_in_the_order_of_the_conf():
    tables = {"a": {"select": "SELECT x FROM b"}, "b": {"select": "SELECT x FROM a"}}

    pipeline = Pipeline.model_validate({"pipeline": "p", "tables": tables})

    assert [s.name for s in stages(pipeline)] == ["a", "b"]


@pytest.mark.parametrize(
    ("stage", "waiting", "running", "run", "why"),
    [
        (TABLE, Waiting(**SAME), (), False, "nothing new"),
        (TABLE, Waiting(**SAME, stale="newest row is 3 days old"), (), False,
         "nothing new; stale: newest row is 3 days old"),
        (TABLE, Waiting(**SAME, news="1 file", stale="newest row is 3 days old"), (), True, "1 file"),
        (TABLE, Waiting(**SAME, news="1 file"), (), True, "1 file"),
        (TABLE, Waiting(definition="d2", last_definition="d1"), (), True, "its definition changed"),
        (MODEL, Waiting("", "d2", "d1", changed=("candidates", "label")), (), True,
         "its definition changed: candidates, label"),
        (MODEL, Waiting(**SAME, redefined="features.departures"), ("features.departures",), True,
         "features.departures is redefined before it"),
        (MODEL, Waiting(**SAME, redefined="features.departures"), (), False, "nothing new"),
        (TABLE, Waiting(**SAME, unfinished=True), (), True, "an attempt was cut off; its batch is replayed"),
        (TABLE, Waiting(news="1 file"), (), True, "1 file"),
        (TABLE, Waiting(), (), False, "never ran"),
        (TABLE, Waiting(**SAME, refused="too few rows"), (), True, "judges again: too few rows"),
        (FEATURES, Waiting(**SAME), ("tables.flights",), True, "after tables.flights"),
        (FEATURES, Waiting(**SAME), ("tables.weather",), False, "nothing new"),
        (MODEL, Waiting(**SAME), ("features.departures",), False, "nothing new"),
        (MODEL, Waiting(), (), True, "never ran"),
        (MODEL, Waiting(**SAME, refused="roc_auc 0.6"), (), False, "refused before: roc_auc 0.6"),
        (SCORE, Waiting(**SAME), ("models.late",), False, "nothing new"),
        (SCORE, Waiting(**SAME), ("features.departures",), True, "after features.departures"),
        (SCORE, Waiting(definition="d2", last_definition="d1"), (), False, "nothing new"),
    ],
)  # fmt: skip
def test_a_verdict_says_whether_and_why(stage, waiting, running, run, why):
    found = verdict(stage, waiting, frozenset(running))

    assert (found.stage, found.run, found.why) == (stage, run, why)
    assert found.stale == ("" if run or "stale" not in why else waiting.stale)


def test_a_definition_changes_with_its_own_part_of_the_conf_alone(tmp_path):
    path = tmp_path / "delays.yml"
    path.write_text(GOLDEN.read_text().replace("over: [1 hour, 6 hours]", "over: [1 hour]"))

    before, after = load(GOLDEN), load(path)

    changed = [s.id for s in stages(before) if definition(before, s) != definition(after, s)]
    assert changed == ["features.departures"]


@pytest.mark.parametrize(
    ("old", "new", "run", "why"),
    [
        ("x: 1", "x: 1", False, "nothing new"),
        ("over: [1 hour, 6 hours]", "over: [1 hour]", True, "features.departures is redefined before it"),
        ("label: arr_delay >= 15", "label: arr_delay >= 30", True, "its definition changed: label"),
        ("{kind: xgboost, rounds: 200}", "{kind: gbt}", True, "its definition changed: candidates"),
        ("    slices: [carrier]\n", "", True, "its definition changed: slices"),
    ],
    ids=["nothing", "features", "label", "candidates", "slices"],
)
def test_a_plan_says_why_a_training_is_stale_and_leaves_out_one_that_is_not(tmp_path, old, new, run, why):
    path, target = tmp_path / "delays.yml", Target(warehouse=str(tmp_path), landing=str(tmp_path))
    path.write_text(GOLDEN.read_text().replace("    columns:", "    clock: arrival\n    columns:", 1))  # asks no log
    ran(load(path), target)
    path.write_text(path.read_text().replace(old, new))

    verdicts = {v.stage.id: v for v in planned(load(path), target, Order(select=("features", "models")))}

    found = verdicts["models.late_arrival"]
    assert (found.run, found.why) == (run, why)
    assert verdicts["features.departures"].run == ("features" in why)


def ran(pipeline: Pipeline, target: Target) -> None:
    """As if every stage had run and published its first version."""
    warehouse, models = Warehouse(target.warehouse, pipeline.pipeline), pipeline.models
    defined = {s.id: definition(pipeline, s) for s in stages(pipeline)}
    for stage in stages(pipeline):
        inputs = {need: {"upto": 0, "generation": 0, "definition": defined[need]} for need in stage.needs}
        detail = {"defined": keyed(models[stage.name])} if stage.kind == "models" else {}
        said = {"inputs": inputs, "detail": detail, "published_version": 0, "started_at": datetime.now(UTC)}
        warehouse.write(Record("delays", stage.id, 0, 0, "r", defined[stage.id], "ok", seconds=1.0, **said))


def test_a_promise_over_time_changes_what_is_promised_and_no_row(tmp_path):
    before = load(GOLDEN)
    for said in ("freshness: {within: 2 days}", "volume: {min: 0.5}"):
        (tmp_path / "delays.yml").write_text(GOLDEN.read_text().replace("  flights:\n", f"  flights:\n    {said}\n", 1))
        after = load(tmp_path / "delays.yml")
        stage = next(s for s in stages(after) if s.id == "tables.flights")

        assert definition(before, stage) != definition(after, stage)
        assert same_rows(definition(before, stage), definition(after, stage))


def test_a_kind_stands_for_all_its_stages():
    delays = load(GOLDEN)

    assert [s.id for s in selected(delays, Order(select=("scores", "tables.weather")))] == [
        "tables.weather",
        "scores.late_daily",
    ]
    with pytest.raises(SpecError, match="no stage 'tables'; there is "):
        selected(delays, Order(asks={"tables": FullRefresh()}))
