"""Parcels judged in depth: costs, groups, the past, reasons; and couriers that stay on one side of a split.

One story is told once; each test looks at one side of it.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from e2e.parcels import LOGISTIC, arrive, parcels
from e2e.project import Project, Said
from pipelines.state import Record

pytestmark = pytest.mark.spark

COURIER = "SELECT *, substring_index(parcel, '-', -1) AS courier FROM parcels_raw"
LATE = {
    "split": {"by": "group", "column": "courier"},
    "decision": {"cost": {"false_positive": 1, "false_negative": 9}},
    "fairness": {"columns": ["courier", "depot"], "parity": {"selection_rate": 0.9}, "rows": 5},
    "backtest": {"folds": 2, "window": "8 days"},
    "explain": {"rows": 100, "repeats": 2},
}


@dataclass(frozen=True)
class Story:
    """A model trained; trained again, otherwise, on the same rows; then more parcels, scored."""

    project: Project
    first: Said
    again: Said
    report: str


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = parcels(tmp_path_factory.mktemp("evaluation"), **LATE)
    made.change(_with_couriers)
    first = made.lakeloom("run")
    made.lakeloom("report")
    page = (made.root / ".lakeloom" / "parcels.html").read_text()
    made.change(_otherwise)
    again = made.lakeloom("run", "--select", "models.late")
    arrive(made, 1)
    made.lakeloom("run")
    return Story(made, first, again, page)


def _with_couriers(conf: Any) -> None:
    conf["tables"]["parcels"]["select"] = COURIER
    conf["scores"]["live"] = {"model": "late", "of": "sendings", "mode": "stream"}


def _otherwise(conf: Any) -> None:
    model = conf["models"]["late"]
    model["candidates"] = [{**LOGISTIC, "iterations": 6}]
    del model["backtest"], model["explain"]


def late(story: Story) -> Record:
    return story.project.records("models.late")[0]


def test_one_run_judges_in_depth_and_says_so(story):
    assert story.first.error == ""
    assert "yes from a score of " in story.first.out
    assert "backtest: roc_auc 0." in story.first.out
    assert "split: group of courier" in story.first.out


def test_published_answers_follow_the_cheapest_threshold(story):
    decision = late(story).detail["decision"]

    assert decision["cost"] == {"false_positive": 1, "false_negative": 9}
    assert 0 < decision["threshold"] < 0.5
    assert decision["per_row"]["chosen"][0] < decision["per_row"]["half"][0]
    for scores in ("scores.daily", "scores.live"):
        rows = story.project.rows(scores)
        assert len(rows) == 1_200  # of the second batch: the first lies before the cutoff, and before the stream
        assert {r["predicted"] for r in rows} == {True, False}
        assert all(r["predicted"] == (r["score"] >= decision["threshold"]) for r in rows)


def test_a_group_is_compared_though_no_feature_tells_it(story):
    detail = late(story).detail

    couriers = detail["fairness"]["courier"]
    assert len(couriers["groups"]) * 40 == detail["splits"]["test"]["rows"]  # 40 days, a parcel of each courier
    assert "courier" not in detail["features"]
    assert couriers["largest"]["selection_rate"]["difference"][1] is not None
    assert sum(g["rows"] for g in detail["fairness"]["depot"]["groups"]) == detail["splits"]["test"]["rows"]
    assert [g["passed"] for g in detail["gates"] if g["gate"].startswith("parity: selection rate at most 0.9")] == [
        True, True,
    ]  # fmt: skip


def test_each_fold_trains_on_what_was_known_and_is_judged_by_what_came_next(story):
    first, second = late(story).detail["backtest"]

    # labels are known after 20 hours: of the parcels of the day before the origin, sent at 8, all are; 30 a day
    assert (first["origin"][:10], first["until"][:10]) == ("2026-01-25", "2026-02-02")
    assert (second["origin"][:10], second["until"][:10]) == ("2026-02-02", "2026-02-10")
    assert [f["train_rows"] + f["validate_rows"] for f in (first, second)] == [24 * 30 - 30, 32 * 30 - 30]
    assert [f["test_rows"] for f in (first, second)] == [240, 240]
    assert all(f["test"]["roc_auc"][0] > f["baseline"]["roc_auc"] for f in (first, second))


def test_what_the_answers_hang_on_is_the_weight(story):
    found = late(story).detail["explained"]

    assert found["permutation"]["features"][0]["feature"] == found["shap"]["features"][0]["feature"] == "weight"
    assert found["permutation"]["metric"] == "average_precision"


def test_a_challenger_is_compared_on_rows_that_neither_has_seen(story):
    first, again = story.project.records("models.late")[:2]

    assert story.again.code == 3
    assert first.detail["tested"] == again.detail["tested"]  # the same couriers are held out
    (versus,) = (g for g in again.detail["gates"] if "above the champion" in g["gate"])
    assert versus["why"].startswith("difference ")  # though no row is newer than the champion


def test_no_courier_is_on_two_sides(story):
    detail = late(story).detail

    assert detail["split"] == {"by": "group", "column": "courier", "seed": 7}
    assert [part["rows"] % 40 for part in detail["splits"].values()] == [0, 0, 0]
    assert sum(part["rows"] for part in detail["splits"].values()) == 1_200


def test_the_report_has_a_card_and_a_table_of_each(story):
    for said in ("Purpose", "What wrong decisions cost", "Backtest", "Fairness by courier", "SHAP values", "Limits"):
        assert said in story.report
