"""conf/arrival_delay.yml on a few days of real flights, with a model of classes beside it: trained, scored, shown."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from e2e.project import TARGET, Project, Said, land_flights, project
from pipelines.state import Record

pytestmark = pytest.mark.spark

CONF = Path(__file__).parents[2] / "conf" / "arrival_delay.yml"
GRADES = {"early", "on time", "late"}
OWN = {"kind": "own", "estimator": "stump", "shape": "trees", "params": {"maxDepth": 5}}
GRADE = "CASE WHEN arr_delay < -10 THEN 'early' WHEN arr_delay < 15 THEN 'on time' ELSE 'late' END"


@dataclass(frozen=True)
class Story:
    """Three months, then April; May and another candidate for the grades; a label that never varies; no extension."""

    project: Project
    first: Said
    april: Said
    may: Said
    never: Said
    unlisted: Said
    again: Said
    report: str


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = project(tmp_path_factory.mktemp("tasks"), "arrival_delay")
    made.conf.write_bytes(CONF.read_bytes())
    made.target.write_text(TARGET.replace("}", ", extensions: [acme]}"))
    made.change(_with_grades)
    land_flights(made, months=(1, 2, 3), days=(1, 2))
    first = made.lakeloom("run")
    land_flights(made, months=(4,), days=(1, 2))
    april = made.lakeloom("run")
    again = made.lakeloom("reproduce", "grade@1", "--format", "json")
    made.lakeloom("report")
    page = (made.root / ".lakeloom" / "arrival_delay.html").read_text()
    made.change(lambda conf: conf["models"].update(grade=_model(GRADE, "multiclass", "random_forest")))
    land_flights(made, months=(5,), days=range(1, 7))
    may = made.lakeloom("run")
    made.change(lambda conf: conf["models"].update(never=_model("arr_delay > 100000", "binary", "decision_tree")))
    never = made.lakeloom("run", "--select", "models.never")
    made.target.write_text(TARGET)
    made.change(lambda conf: conf["models"]["grade"].update(candidates=[OWN]))
    unlisted = made.lakeloom("run", "--select", "models.grade")
    return Story(made, first, april, may, never, unlisted, again, page)


def _with_grades(conf: Any) -> None:
    conf["models"]["delay_minutes"]["candidates"] = [
        {"kind": "linear_regression"},
        {"kind": "xgboost", "rounds": 20, "depth": 4},
    ]
    conf["models"]["delay_minutes"]["slices"] = ["origin", "dep_delay"]  # a feature, and what no model may see
    conf["models"]["delay_minutes"]["gates"] = [{"metric": "rmse", "versus": "champion"}]
    conf["models"]["grade"] = {**_model(GRADE, "multiclass", "decision_tree"), "candidates": [OWN]}
    for name in ("delay_minutes", "grade"):
        conf["scores"][f"{name}_daily"] = {"model": name, "of": "departures", "mode": "batch"}
        conf["scores"][f"{name}_live"] = {"model": name, "of": "departures", "mode": "stream"}


def _model(label: str, task: str, kind: str) -> dict[str, Any]:
    return {"features": "departures", "label": label, "task": task, "candidates": [{"kind": kind}], "gates": []}


def record(story: Story, stage: str) -> Record:
    return story.project.records(stage)[0]


def test_one_command_trains_and_scores_numbers_and_classes(story):
    assert (story.first.error, story.april.error) == ("", "")
    assert "ERROR" not in story.first.err  # MLflow tries what it logs
    assert story.project.models()[1] == {"champion": 2}  # of the grades, in May
    assert "model delay_minutes: " in story.first.out and "model grade: own is version 1" in story.first.out
    assert "rmse" in story.first.out and "macro_f1" in story.first.out and "roc_auc" not in story.first.out


def test_the_best_candidate_has_the_smallest_error(story):
    found = [c["validate"]["rmse"] for c in record(story, "models.delay_minutes").detail["candidates"]]

    assert found == sorted(found) and len(found) == 2


@pytest.mark.parametrize(("name", "metric"), [("delay_minutes", "rmse"), ("grade", "macro_f1")])
def test_each_metric_lies_in_its_interval_beside_a_baseline(story, name, metric):
    detail = record(story, f"models.{name}").detail

    assert detail["metric"] == metric
    assert set(detail["baseline"]) == set(detail["test"])
    assert all(low <= value <= high for value, low, high in detail["test"].values())


def test_the_error_of_each_group_is_a_part_of_the_whole(story):
    detail = record(story, "models.delay_minutes").detail
    squares = {c: [p["rows"] * p["metrics"]["rmse"] ** 2 for p in parts] for c, parts in detail["slices"].items()}

    whole = detail["splits"]["test"]["rows"] * detail["test"]["rmse"][0] ** 2
    assert (len(squares["origin"]), sum(squares["origin"])) == (3, pytest.approx(whole, rel=1e-6))
    assert len(squares["dep_delay"]) == 30 and 0 < sum(squares["dep_delay"]) < whole  # the thirty most frequent
    assert "dep_delay" not in detail["features"]


def test_the_sums_of_the_test_slice_are_those_of_its_rows(story):
    detail = record(story, "models.delay_minutes").detail

    deciles, rows = detail["curves"]["deciles"], detail["splits"]["test"]["rows"]
    assert sum(n for *_, n in deciles) == sum(detail["curves"]["residuals"]["counts"]) == rows
    bias = sum((p - y) * n for p, y, n in deciles) / rows
    assert bias == pytest.approx(detail["test"]["bias"][0], abs=1e-3)


def test_a_score_row_holds_what_its_task_answers(story):
    minutes, grades = (story.project.rows(f"scores.{name}_daily") for name in ("delay_minutes", "grade"))
    shared = {"flight_id", "scheduled_departure", "score", "model_version", "scored_at", "event_month",
              "features_version", "run"}  # fmt: skip

    assert set(minutes[0]) == shared
    assert set(grades[0]) == {*shared, "predicted"}
    assert {r["predicted"] for r in grades} <= GRADES
    assert all(1 / 3 <= r["score"] <= 1 for r in grades)


@pytest.mark.parametrize("name", ["delay_minutes", "grade"])
def test_batch_and_stream_say_the_same(story, name):
    daily, live = (story.project.rows(f"scores.{name}_{mode}") for mode in ("daily", "live"))
    batch = {r["flight_id"]: (r["score"], r.get("predicted")) for r in daily}

    assert len(live) > 1_000
    assert all(batch[r["flight_id"]] == (r["score"], r.get("predicted")) for r in live)


def test_published_scores_are_held_against_what_happened(story):
    minutes, grades = (story.project.records(f"scores.{name}_daily")[0].detail for name in ("delay_minutes", "grade"))

    assert minutes["truth"]["rmse"] > 0 and grades["truth"]["accuracy"] > 0
    assert sum(minutes["histogram"]) == record(story, "scores.delay_minutes_daily").counts["scored"]
    low, high = minutes["histogram_span"]
    assert low < high


def test_the_report_shows_each_task_in_its_own_way(story):
    assert "Predicted and actual" in story.report and "Classes, actual and predicted" in story.report
    assert "ROC" not in story.report


def test_rows_from_which_a_new_champion_learned_are_answered_by_the_one_before_it(story):
    may = {r["flight_id"]: r["scheduled_departure"] for r in story.project.published("features.departures")}
    may = {flight: at for flight, at in may.items() if at.month == 5}
    (second,) = [r for r in story.project.records("models.grade") if r.model_version == 2]
    cutoff = datetime.fromisoformat(second.detail["cutoff"])
    by = {flight: 1 if at.replace(tzinfo=UTC) < cutoff else 2 for flight, at in may.items()}

    assert story.may.error == ""
    assert set(by.values()) == {1, 2}
    for mode in ("daily", "live"):
        scored = {r["flight_id"]: r["model_version"] for r in story.project.rows(f"scores.grade_{mode}")}
        assert {flight: scored.get(flight) for flight in may} == by


def test_a_label_that_never_varies_is_refused_and_nothing_is_registered(story):
    versions, _ = story.project.models()

    assert (story.never.code, versions) == (3, 3)
    assert "models.never: the label is False in each of" in story.never.error
    assert story.never.error.endswith("training rows; there is nothing to learn")


def test_an_estimator_of_ones_own_is_trained_scored_and_made_once_more(story):
    found, gates = json.loads(story.again.out), record(story, "models.grade").detail["gates"]

    assert (found["same"], found["tolerance"], found["same_code"]) == (True, 0.0, True)
    assert {"ONNX answers as Spark does", "loads and scores in a clean process"} <= {g["gate"] for g in gates}
    assert 1 in {r["model_version"] for r in story.project.rows("scores.grade_daily")}


def test_a_conf_cannot_reach_code_that_the_target_does_not_list(story):
    versions, _ = story.project.models()

    assert (story.unlisted.code, versions) == (2, 3)
    assert story.unlisted.error == (
        "models.grade: estimator: stump is in ESTIMATORS of no extension; the target names no extensions"
    )
