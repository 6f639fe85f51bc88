"""A conf's DAG as values: its tasks and needs, what is compiled and read again, what is wrong with DAGs together."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines import check as checking
from pipelines.cli import app
from pipelines.outline import COMPILED, compiled_text, flaws, outline, outlines, scheduled
from pipelines.plan import stages
from pipelines.spec import load

ROOT = Path(__file__).resolve().parent.parent
RIDES = """
pipeline: rides
schedule: "0 5 * * *"
sources:
  days_raw: {kind: files, format: csv, path: days, schema: "day DATE, rides INT"}
tables:
  days: {from: days_raw, keys: [day], select: "SELECT day, rides FROM days_raw"}
  totals: {select: SELECT sum(rides) AS rides FROM days}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    return tmp_path / "conf"


def rides(folder: Path, name: str, more: str = "") -> Path:
    conf = folder / f"{name}.yml"
    conf.write_text(RIDES.replace("pipeline: rides", f"pipeline: {name}") + more)
    return conf


@pytest.mark.parametrize("conf", sorted((ROOT / "conf").glob("*.yml")), ids=lambda p: p.stem)
def test_a_task_is_a_stage_unless_fused(conf):
    found = outline(conf, "submit")

    assert {t.id: (t.stages, t.needs) for t in found.tasks} == {
        s.id: ((s.id,), tuple(dict.fromkeys(s.needs))) for s in stages(load(conf))
    }
    made = {t.id for t in found.tasks if not t.id.startswith("monitors.")}
    assert {a for t in found.tasks for a in t.publishes} == {f"{conf.stem}.{task}" for task in made}


def test_fused_stages_are_one_task_on_each_side_of_the_models(folder):
    conf = folder / "flights.yml"
    conf.write_text((ROOT / "conf" / "flights.yml").read_text() + "airflow: {fuse: true, pool: null}\n")
    conf.write_text(
        conf.read_text().replace(", pool: null", ", retries: 5, retry_delay: 3 minutes, start: '2026-03-01'")
    )

    found = outline(conf, "submit")

    assert [(t.id, t.needs) for t in found.tasks] == [
        ("tables-features", ()),
        ("models.late_arrival", ("tables-features",)),
        ("scores-monitors", ("tables-features", "models.late_arrival")),
    ]
    assert found.tasks[0].stages == (
        "tables.airports", "tables.planes", "tables.weather", "tables.flights", "features.departures",
    )  # fmt: skip
    assert (found.retries, found.retry_delay_s, found.start) == (5, 180, "2026-03-01")


def test_all_is_one_task_and_leaves_no_room_for_an_approval(folder):
    conf = folder / "flights.yml"
    text = (ROOT / "conf" / "flights.yml").read_text() + "airflow: {fuse: all}\n"
    conf.write_text(text)

    (task,) = outline(conf, "submit").tasks

    assert (task.id, task.needs) == ("tables-features-models-scores-monitors", ())
    assert task.stages == tuple(s.id for s in stages(load(conf)))
    conf.write_text(text.replace("    task: binary\n", "    task: binary\n    promotion: by_hand\n", 1))
    assert ": airflow.fuse: all leaves no task between for the approval of models.late_arrival; say true" in (
        outline(conf, "submit").error
    )


def test_only_a_table_whose_intervals_can_be_made_anew_is_backfilled():
    found = {t.id: t.intervals for t in outline(ROOT / "conf" / "flights.yml", "submit").tasks}

    assert {name for name, intervals in found.items() if intervals} == {"tables.weather", "tables.flights"}


def test_what_is_compiled_is_what_is_read(folder):
    for name in ("rides", "walks"):
        rides(folder, name, "airflow: {after: [rides.tables.days]}\n" if name == "walks" else "")
    (folder / "broken.yml").write_text("pipeline: broken\ntabels: {}\n")
    before = outlines(folder, "submit")

    (folder / COMPILED).write_text(compiled_text(folder, "submit"))

    assert outlines(folder, "submit") == before
    assert [o.name for o in before] == ["broken", "rides", "walks"]
    assert "no such key; did you mean 'tables'?" in before[0].error


def test_a_compiled_folder_is_not_parsed_and_a_changed_conf_is(folder, monkeypatch):
    for number in range(50):
        rides(folder, f"rides_{number}")
    (folder / COMPILED).write_text(compiled_text(folder, "submit"))
    checked = list[str]()
    monkeypatch.setattr(checking, "check", lambda pipeline, lines: checked.append(pipeline.pipeline))

    assert len(outlines(folder, "submit")) == 50
    assert checked == []

    rides(folder, "rides_7", "description: changed\n")
    assert {o.name: o.description for o in outlines(folder, "submit") if o.description} == {"rides_7": "changed"}
    assert checked == ["rides_7"]

    checked.clear()
    outlines(folder, "other")  # compiled for another target
    assert len(checked) == 50


def test_a_changed_target_makes_what_was_compiled_old(folder):
    rides(folder, "rides")
    (folder / "targets").mkdir()
    (folder / "targets" / "submit.yml").write_text("{master: null, submit: {kind: local, pool: spark}}")
    assert [(o.pool, o.namespace) for o in outlines(folder, "submit")] == [("spark", None)]
    (folder / COMPILED).write_text(compiled_text(folder, "submit"))

    (folder / "targets" / "submit.yml").write_text(
        "{master: null, namespace: team, submit: {kind: local, pool: small}}"
    )

    assert [(o.pool, o.namespace) for o in outlines(folder, "submit")] == [("small", "team")]


@pytest.mark.parametrize("text", ["", "{", '{"format": 0, "dags": []}'])
def test_a_compiled_file_of_another_kind_is_passed_over(folder, text):
    rides(folder, "rides")
    (folder / COMPILED).write_text(text)

    assert [o.name for o in outlines(folder, "submit")] == ["rides"]


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("0 5 * * *", True), ("*/15 8-18 * * mon-fri", True), ("@daily", True), ("0 0 1 jan,jul *", True),
        ("0 5 * *", False), ("60 5 * * *", False), ("0 24 * * *", False), ("0 0 0 * *", False), ("@often", False),
        ("0 18-8 * * *", False), ("*/0 * * * *", False), ("on Sundays", False), ("0 0 * * someday", False),
    ],
)  # fmt: skip
def test_a_schedule_is_cron_or_a_preset(text, sound):
    assert scheduled(text) is sound


def test_lint_says_what_is_wrong_with_dags_together(folder):
    rides(folder, "walks", "airflow: {after: [rides.tables.days, runs.tables.days]}\n")
    rides(folder, "rides", "upkeep_schedule: 61 * * * *\nairflow: {after: [walks.tables.totals]}\n")
    conf = rides(folder, "rides_upkeep")
    conf.write_text(conf.read_text().replace('schedule: "0 5 * * *"', "airflow: {start: '2026-01-01'}"))

    found = list(flaws(outlines(folder, "submit")))

    at = str(folder)
    assert found == [
        f"{at}/rides.yml:9: upkeep_schedule: '61 * * * *' is no cron expression and none of @once, @continuous, "
        "@hourly, @daily, @weekly, @monthly, @quarterly, @yearly",
        f"{at}/rides_upkeep.yml: its DAG rides_upkeep has the name of that of {at}/rides.yml; rename the file",
        f"{at}/rides_upkeep.yml:3: airflow.start: there is no schedule whose intervals could be made",
        f"{at}/walks.yml:9: airflow.after: no conf here publishes runs.tables.days",
        "rides: airflow.after: it starts itself, through rides, walks",
        "walks: airflow.after: it starts itself, through rides, walks",
    ]


def test_the_confs_of_this_checkout_have_no_flaw():
    assert list(flaws(outlines(ROOT / "conf", "submit"))) == []


def test_compile_and_lint_are_commands(folder):
    rides(folder, "rides")

    compiled, linted = (CliRunner().invoke(app, ["dag", verb, str(folder)]) for verb in ("compile", "lint"))

    assert (compiled.exit_code, linted.exit_code) == (0, 0)
    assert compiled.stdout == f"{folder}/dags.json\n"
    assert [d["name"] for d in json.loads((folder / COMPILED).read_text())["dags"]] == ["rides"]
    assert linted.stderr == f"{folder}: 1 DAG, no flaw found\n"
