"""A shop's scores, watched month by month: counted once, judged again as labels come, and a training asked for.

x says whether an order is sent back, until May, when it says the opposite. One story is told once.
"""

import csv
import io
import json
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aging import aged
from sklearn.metrics import f1_score, roc_auc_score
from test_alerts import webhook

from e2e.project import TARGET, Project, Said, apart, project
from pipelines.keyed import FILE, Keyed
from pipelines.outline import HANDED_ON
from pipelines.told import Tally
from pipelines.upkeep import LEAST_HOURS

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parents[2]
SCHEMA = "id STRING, at TIMESTAMP, x DOUBLE, shop STRING, y INT, known TIMESTAMP"
CONF: dict[str, Any] = {
    "sources": {"raw": {"kind": "files", "format": "csv", "path": "orders", "schema": SCHEMA}},
    "tables": {
        "orders": {
            "from": "raw",
            "keys": ["id"],
            "sequence_by": "known",
            "event_time": "at",
            "known_at": {"y": "known"},
            "select": "SELECT id, at, x, shop, y, known FROM raw",
        }
    },
    "features": {"placed": {"spine": "orders", "keys": ["id"], "as_of_time": "at", "columns": ["x", "shop"]}},
    "models": {
        "returns": {
            "features": "placed",
            "label": "y = 1",
            "task": "binary",
            "candidates": [{"kind": "logistic_regression", "iterations": 5}],
            "slices": ["shop"],
            "gates": [{"metric": "roc_auc", "min": 0.5}],
        }
    },
    "scores": {"daily": {"model": "returns", "of": "placed", "mode": "batch"}},
    "monitors": {"watch": {"scores": "daily", "rows": 50, "attribution": {"rows": 200}}},
}
ROWS = 300  # of a month
SPLIT = {"by": "time", "train": 0.6, "validate": 0.15, "test": 0.25}
FAR = datetime(2099, 1, 1)
PERIOD = "2024-0{}-01T00:00:00+00:00"


def month(number: int, flipped: bool = False, rows: int = ROWS, shop: str = "") -> list[dict[str, Any]]:
    """Orders of a month, one after another; of every tenth the label is not known for long, of one there is no x."""
    rng = np.random.default_rng(number)
    found = []
    for i in range(rows):
        x = rng.normal()
        late = (x + rng.normal() > 0) != flipped
        at = datetime(2024, number, 1) + timedelta(minutes=140 * i * min(1, ROWS / rows))
        known = FAR if i % 10 == 9 else at + timedelta(days=1)
        found.append({"id": f"{number}-{i}", "at": at, "x": x, "shop": shop or "abc"[i % 3], "y": int(late),
                      "known": known})  # fmt: skip
    found[0]["x"] = None
    return found


def land(made: Project, name: str, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    made.land(f"orders/{name}.csv", text.getvalue())


@dataclass(frozen=True)
class Story:
    """What was said and what lay there after each chapter."""

    project: Project
    april: list[dict[str, Any]]
    first: Said
    cut_off: Said
    between: list[Tally]
    second: Said
    third: Said
    shown: list[dict[str, Any]]
    again: Said
    files: tuple[Any, Any]
    plan: list[dict[str, Any]]
    fourth: Said
    handed: Said


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = project(tmp_path_factory.mktemp("watched"), "shop")
    made.write(**CONF)
    for number in (1, 2, 3):
        land(made, str(number), month(number))
    first = made.lakeloom("run")
    april = month(4)
    land(made, "4", april)
    cut_off = made.lakeloom_apart("run", LAKELOOM_CRASH_AT="before the run record @ monitors.watch")
    between = list(made.warehouse.tallies("monitors.watch"))
    second = made.lakeloom("run")
    land(made, "5", [*month(5, flipped=True, shop="d"), *month(6, rows=2)])
    corrected = {**april[7], "x": 99.0, "known": april[7]["known"] + timedelta(hours=1)}
    land(made, "again", [corrected])
    third = made.lakeloom("run")
    shown = json.loads(made.lakeloom("monitor", "--format", "json").out)
    door = [sys.executable, str(ROOT / "jobs" / "batch.py"), "monitors", str(made.conf), "--target", "local"]
    handed = apart(door, 200)
    before, again, after = made.files(), made.lakeloom("run"), made.files()
    made.change(lambda conf: conf["monitors"]["watch"].update(retrain={"cooldown": "7 days"}))
    plan = json.loads(made.lakeloom("plan", "--format", "json").out)
    fourth = made.lakeloom("run")
    said = (first, cut_off, between, second, third, shown, again, (before, after), plan, fourth)
    return Story(made, april, *said, handed)


def window(shown: list[dict[str, Any]], number: int) -> dict[str, Any]:
    return next(w for w in shown[0]["windows"] if w["window"] == PERIOD.format(number))


def counts(tallies: list[Tally], number: int, column: str) -> list[dict[str, Any]]:
    return [t.counts for t in tallies if t.window and t.window.month == number and t.column == column]


def of_batch(story: Story, batch: int) -> list[Tally]:
    tallies = story.project.warehouse.tallies("monitors.watch")
    return [t for t in tallies if t.batch == batch and t.generation == 0]


def test_the_first_run_keeps_the_reference_and_decides_nothing(story):
    bins = {t.column: t.bins for t in of_batch(story, 0) if t.window is None}

    assert (story.first.code, story.first.error) == (0, "")
    assert set(bins) == {"x", "shop"} and len(bins["x"]["edges"]) == 11
    assert sorted(bins["shop"]["values"]) == ["a", "b", "c"]
    assert "monitor watch: wait\n  nothing is decided: no window after the model's training is over" in story.first.out


def test_a_batch_that_is_cut_off_is_counted_once(story):
    assert (story.cut_off.code, story.second.code) == (-9, 0)
    held = of_batch(story, 1)

    assert {t.run_id for t in held} == {r.run_id for r in story.project.records("monitors.watch") if r.batch == 1}
    assert [t.counts for t in story.between if t.batch == 1] == [t.counts for t in held]
    assert [sum(c["rows"]) for c in counts(held, 4, "x")] == [ROWS]


def test_a_run_counts_only_what_is_new(story):
    read = [i.inputs["scores.daily"] for i in story.project.intents("monitors.watch")]
    kept = sorted({t.window.month for t in of_batch(story, 1) if t.window})

    assert [(r["after"], r["upto"]) for r in read[:3]] == [(-1, 0), (0, 1), (1, 2)]
    assert kept == [4]


def test_the_counts_are_those_of_the_rows_that_landed(story):
    edges = next(t.bins["edges"] for t in of_batch(story, 0) if t.column == "x" and t.bins)
    xs = [row["x"] for row in story.april if row["x"] is not None]
    place = [sum(x > e for e in edges[1:]) + (x >= edges[0]) for x in xs]

    (rows,) = counts(of_batch(story, 1), 4, "x")
    (labels,) = counts(of_batch(story, 1), 4, "")

    assert rows["rows"] == [*np.bincount(place, minlength=len(edges) + 1).tolist(), 1]
    assert sum(labels["unknown"].values()) == 30  # known in 2099
    assert sum(labels["1"].values()) == sum(r["y"] for r in story.april if r["known"] < FAR)


def test_a_corrected_row_changes_its_window_and_adds_no_row(story):
    (rows,) = counts(of_batch(story, 2), 4, "x")

    assert sum(rows["rows"]) == ROWS
    assert rows["rows"][-2] >= 1 and rows["sums"][-2] >= 99  # above the greatest of the reference
    assert {t.whole for t in of_batch(story, 2) if t.window and t.window.month == 4} == {True}
    assert window(story.shown, 4)["rows"] == ROWS


def test_of_a_scored_month_only_the_corrected_row_is_scored_again(story):
    at = {r["id"]: r["scored_at"] for r in story.project.rows("scores.daily")}
    (before,) = {at[r["id"]] for r in story.april if r["id"] != story.april[7]["id"]}

    assert at[story.april[7]["id"]] > before


def test_performance_is_that_of_the_labels_that_are_known(story):
    scores = {r["id"]: r["score"] for r in story.project.rows("scores.daily")}
    known = [r for r in story.april if r["known"] < FAR]
    april, may = (window(story.shown, n)["performance"] for n in (4, 5))

    assert window(story.shown, 4)["labelled"] == len(known)
    truth = roc_auc_score([r["y"] for r in known], [scores[r["id"]] for r in known])
    assert april["true"][0] == pytest.approx(truth, abs=0.002)
    assert april["estimated"] == pytest.approx(truth, abs=0.05)  # the model is right about itself
    assert may["true"][0] < 0.4 < 0.7 < may["estimated"]  # and cannot know that the world has turned
    assert april["off"] == pytest.approx(april["estimated"] - truth, abs=0.02)  # some rows have no label yet
    assert may["off"] > 0.3


def test_what_has_drifted_is_named(story):
    april, may = window(story.shown, 4), window(story.shown, 5)

    assert (april["drifted"], april["verdict"]) == ([], "wait")
    assert 0 < april["score_psi_training"] < 0.5  # of the test slice, which is small: by chance about 0.2
    assert not any("scores drifted" in reason for reason in april["reasons"])
    assert (may["drifted"], may["verdict"]) == (["shop"], "retrain")
    assert may["features"][0]["new"] == 1.0  # no shop d in the training slice


def test_what_the_answers_hang_on_is_told_of_each_window(story):
    april = window(story.shown, 4)["attribution"]

    assert april["ndcg"] == 1.0
    assert [name for name, *_ in april["features"]] == ["x", "shop"]
    assert all(sum(f[side] for f in april["features"]) == pytest.approx(1, abs=0.001) for side in (1, 2))


def test_without_retrain_a_monitor_only_says_so(story):
    assert "monitor watch: retrain; `retrain:` in the conf would let the next run train" in story.third.out
    assert "models.returns               nothing new" in story.again.err


def test_what_a_task_of_airflow_hands_on_says_who_is_to_be_trained_and_what_a_person_should_hear(story):
    (line,) = [x for x in story.handed.err.splitlines() if x.startswith(HANDED_ON)]

    before = json.loads(line.removeprefix(HANDED_ON))["before"]  # it had nothing to do itself
    assert (before["waiting"], before["retrain"]) == ([], ["returns"])
    assert before["said"][0].startswith("monitors.watch: retrain: May 2024: roc_auc 0.")


def test_nothing_new_writes_nothing(story):
    before, after = story.files

    assert story.again.out == "shop: nothing to do; every stage has read all there is\n"
    assert before == after


def test_with_retrain_the_next_run_trains_once_and_the_gate_decides(story):
    planned = {p["stage"]: p for p in story.plan}
    trained = story.project.records("models.returns")

    assert planned["models.returns"]["run"]
    assert planned["models.returns"]["why"].startswith("watch asks to retrain: May 2024: roc_auc 0.")
    assert story.fourth.code == 3  # what it learned until April is wrong in May too
    assert [(r.detail["version"], r.status) for r in trained] == [(1, "ok"), (2, "refused")]
    assert "refused before: " in story.project.lakeloom("plan").out.split("models.returns")[1].splitlines()[0]


def test_a_window_is_shown_with_its_figures_and_its_verdict(story):
    text = story.project.lakeloom("monitor", "watch").out.splitlines()

    assert text[0] == "watch: daily"
    assert [line.split()[:3] for line in text[2:6]] == [
        ["March", "2024", "v1"], ["April", "2024", "v1"], ["May", "2024", "v1"], ["June", "2024", "v1"],
    ]  # fmt: skip
    assert "nothing is checked" not in text[3]
    assert " ".join(text[5].split()[3:]) == "2 2 not known - - - unchecked"  # a metric of two rows looks good
    none = story.project.lakeloom("monitor", "wathc")
    assert (none.code, none.error) == (2, "no monitor 'wathc'; there is watch")


def test_the_record_says_when_the_next_label_is_known(story):
    assert story.project.records("monitors.watch")[0].detail["next_label_at"] == "2099-01-01T00:00:00+00:00"


def test_a_model_is_made_once_more_from_versions_that_upkeep_kept_for_it_alone(story):
    made = story.project
    for stage in ("tables.orders", "features.placed"):
        newest = made.warehouse.version(stage)
        aged(Path(made.warehouse.path(stage)), [10 * (newest - version) + 10 for version in range(newest + 1)])

    kept = made.lakeloom("upkeep", "--format", "json")
    said = made.lakeloom("reproduce", "returns@1", "--format", "json")

    hours = {line["table"]: line["keep_hours"] for line in json.loads(kept.out)}
    assert min(hours["tables.orders"], hours["features.placed"]) > LEAST_HOURS  # the first version ended long ago
    assert json.loads(said.out)["same"] and json.loads(said.out)["tolerance"] == 0.0


def test_an_order_that_is_forgotten_leaves_features_and_scores_and_the_models_that_saw_it_are_named(story, monkeypatch):
    made, key = story.project, ("--key", "id=2-5")  # of the training slice
    monkeypatch.setenv("LAKELOOM_PII_KEY", "0123456789abcdef0123456789abcdef")
    assert made.lakeloom("forget", "--key", "id=4-5", "--erase").error == ""
    exported = made.root / ".lakeloom" / "exports" / "returns"
    assert made.lakeloom("export", "@1", "--lookup", "--to", str(exported)).error == ""
    assert b'["2-5"]' in (exported / FILE).read_bytes()

    said = made.lakeloom("forget", *key, "--erase", "--format", "json")

    done = json.loads(said.out)
    held = {
        stage: {r["id"] for r in made.published(stage)}
        for stage in ("tables.orders", "features.placed", "scores.daily")
    }
    assert [len({"2-5", "4-5"} & ids) for ids in held.values()] == [0, 0, 0]
    assert len(held["tables.orders"]) == len(held["features.placed"]) == 6 * ROWS - 298 - 2
    assert {name: (x["erased"], x["rows_left"], x["old_files"]) for name, x in done["tables"].items()} == {
        "tables.orders": (1, 0, 0), "features.placed": (1, 0, 0), "scores.daily": (0, 0, 0),
        "features by key in returns/features.sqlite": (1, 0, 0),
    }  # fmt: skip
    proof = {name: done["tables"][name] for name in held}
    assert all(x["files_read"] > 0 for x in proof.values())  # scores by the keys of the rows that were there
    assert proof["tables.orders"]["files_removed"] > 0 and proof["features.placed"]["files_removed"] > 0
    assert b'["2-5"]' not in (exported / FILE).read_bytes()
    assert Keyed.opened(exported / FILE).count == len(held["features.placed"])
    assert done["models"] == {"models.returns version 1": 1, "models.returns version 2": None}  # whose rows are gone
    again = made.lakeloom("run")
    assert (again.error, "nothing to do" in again.out) == ("", True)
    learned = {t.model_version for t in made.warehouse.tallies("monitors.watch") if t.window is None}
    anew = made.lakeloom("run", "--full-refresh", "monitors.watch")
    shown = json.loads(made.lakeloom("monitor", "--format", "json").out)
    gone = "no reference: no run that is recorded here trained version 1, or its training slice cannot be read"
    assert (learned, anew.code, shown[0]["decision"]["verdict"]) == ({1}, 0, "investigate")
    assert shown[0]["decision"]["reasons"][0] == gone
    assert gone in window(shown, 4)["reasons"] and window(shown, 4)["verdict"] == "investigate"
    refused = made.lakeloom("reproduce", "returns@1")
    assert (refused.code, refused.error) == (
        3,
        "shop.returns@1: version 0 of features.placed cannot be read any more: its files are gone; "
        "`lakeloom run --full-refresh models.returns` trains anew",
    )


@pytest.mark.long
def test_a_number_is_watched_by_its_errors(spark, tmp_path, monkeypatch):
    """The label is what an order costs: ten and thirty more if it comes back; in May x says the opposite of that.

    And shop a measures x in another unit from then on; who asked for it hears of both.
    """
    made = project(tmp_path, "shop")
    made.target.write_text(TARGET.replace("}", ", alerts: {url: '${env:HOOK}'}}"))
    model = {"features": "placed", "label": "10 + 30 * y", "task": "regression", "gates": [], "slices": ["shop"],
             "candidates": [{"kind": "linear_regression"}], "split": dict(SPLIT)}  # fmt: skip
    watch = {"scores": "daily", "rows": 50, "performance": {"metric": "rmse"}, "attribution": {"rows": 200}}
    made.write(**{**CONF, "models": {"returns": model}, "monitors": {"watch": watch}})
    for number in (1, 2, 3):
        land(made, str(number), month(number))
    assert made.lakeloom("run").error == ""
    april, may = month(4), month(5, flipped=True)
    for row in may:
        row["x"] = (row["x"] or 0) + 4 * (row["shop"] == "a")
    land(made, "later", [*april, *may, *month(6, rows=2)])

    with webhook() as (url, got):
        monkeypatch.setenv("HOOK", url)
        said = made.lakeloom("run")

    scores = {r["id"]: r["score"] for r in made.rows("scores.daily")}
    for number, rows in ((4, april), (5, may)):
        errors = [scores[r["id"]] - 10 - 30 * r["y"] for r in rows if r["known"] < FAR]
        seen = window(json.loads(made.lakeloom("monitor", "--format", "json").out), number)
        assert (seen["labelled"], seen["rows"]) == (len(errors), ROWS)
        assert seen["performance"]["true"][0] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-5)
        assert 0 < seen["score_psi_training"] < 2
        of = seen["slice"]["slice"].removeprefix("shop = ")
        errors = [scores[r["id"]] - 10 - 30 * r["y"] for r in rows if r["known"] < FAR and r["shop"] == of]
        assert (seen["slice"]["labelled"], seen["slice"]["looked_at"], seen["slice"]["rows"]) == (len(errors), 3, 100)
        assert seen["slice"]["true"][0] == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-5)
        assert seen["slice"]["sure"] == (number == 5)
        assert seen["verdict"] == ("wait" if number == 4 else "retrain")
    assert "monitor watch: retrain" in said.out and "May 2024: rmse " in said.out
    (cause,) = seen["causes"]
    assert (cause["feature"], cause["where"]["slice"]) == ("x", "shop = a")
    assert "tables.orders.x" in cause["columns"] and cause["where"]["psi"] > 2 > cause["where"]["elsewhere"]
    ((_, alert),) = got
    assert "retrain" in json.dumps(alert) and "May 2024: rmse " in json.dumps(alert)
    made.lakeloom("report")
    report = (made.root / ".lakeloom" / "shop.html").read_text()
    assert "RMSE over windows" in report and "most where shop = a (psi " in report
    assert "Worst slice" in report and f"rmse of shop = {of} " in report


class InTwoHours(datetime):
    """The clock of a later run."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + timedelta(hours=2)


@pytest.mark.long
def test_classes_are_watched_by_those_that_came(spark, tmp_path, monkeypatch):
    """The label is one of three by what an order was and whether it came back; in May it is another.

    Of July the labels become known an hour after they were scored.
    """
    made = project(tmp_path, "shop")
    label = "CASE WHEN y = 1 THEN 'back' WHEN shop = 'a' THEN 'kept' ELSE 'sold' END"
    model = {"features": "placed", "label": label, "task": "multiclass", "gates": [], "slices": ["shop", "big"],
             "candidates": [{"kind": "logistic_regression"}], "split": dict(SPLIT)}  # fmt: skip
    watch = {"scores": "daily", "rows": 50, "performance": {"metric": "macro_f1"}}
    features = {"placed": {**CONF["features"]["placed"], "columns": ["x"], "derive": {"big": "x > 0"}}}
    made.write(**{**CONF, "features": features, "models": {"returns": model}, "monitors": {"watch": watch}})
    for number in (1, 2, 3):
        land(made, str(number), month(number))
    assert made.lakeloom("run").error == ""
    april, may = month(4), month(5, flipped=True)
    land(made, "later", [*april, *may, *month(6, rows=2)])

    assert "monitor watch: retrain" in made.lakeloom("run").out

    given = {r["id"]: r["predicted"] for r in made.rows("scores.daily")}
    shown = json.loads(made.lakeloom("monitor", "--format", "json").out)
    for number, rows in ((4, april), (5, may)):
        known = [r for r in rows if r["known"] < FAR]
        labels = ["back" if r["y"] else "kept" if r["shop"] == "a" else "sold" for r in known]
        seen = window(shown, number)
        truth = f1_score(labels, [given[r["id"]] for r in known], average="macro")
        assert seen["performance"]["true"][0] == pytest.approx(truth, abs=1e-5)
        assert 0 < seen["score_psi_training"] < 0.2
        assert (seen["labelled"], seen["verdict"]) == (len(known), "wait" if number == 4 else "retrain")
        assert seen["slice"]["looked_at"] == 5  # three shops, of the spine alone, and a feature that is true or false
    made.change(lambda conf: conf["monitors"]["watch"]["performance"].update(metric="accuracy"))
    assert made.lakeloom("run").code == 0
    april = window(json.loads(made.lakeloom("monitor", "--format", "json").out), 4)["performance"]
    assert april["estimated"] == pytest.approx(april["true"][0], abs=0.08)  # the model is right about itself
    made.lakeloom("report")
    assert "Accuracy over windows" in (made.root / ".lakeloom" / "shop.html").read_text()

    soon, july = datetime.now() + timedelta(hours=1), month(7, flipped=True)
    lost = [None if i % 10 == 0 else row["x"] for i, row in enumerate(july)]
    land(made, "july", [{**row, "x": x, "known": soon} for row, x in zip(july, lost, strict=True)])
    assert made.lakeloom("run").error == ""
    early = window(json.loads(made.lakeloom("monitor", "--format", "json").out), 7)
    for reader in ("context", "waiting"):
        monkeypatch.setattr(f"pipelines.run.{reader}.datetime", InTwoHours)
    assert made.lakeloom("run").error == ""

    last = made.records("monitors.watch")[-1]
    counted = [t for t in made.warehouse.tallies("monitors.watch") if t.batch == last.batch]
    assert (early["labelled"], early["verdict"]) == (0, "investigate")  # in May the estimates proved wrong
    assert "estimates were off by" in early["reasons"][0]
    assert [(w["name"], w["labelled"], w["verdict"]) for w in last.detail["windows"]] == [
        ("July 2024", ROWS, "retrain")
    ]
    assert last.detail["windows"][0]["reasons"][0].startswith("accuracy 0.")
    assert {t.window.month for t in counted if t.window} == {7}
    assert "x" in last.detail["windows"][0]["drifted"]  # and is looked for in slices, of which shop is no feature
