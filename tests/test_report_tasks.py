"""The report on a model that predicts a number, and on one that predicts a class."""

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from test_report import CHROMIUM, CONF, FIRST, TRAINED, Page

from pipelines.report import report
from pipelines.spec import TASKS, Pipeline, load
from pipelines.state import Record

BELL = [1, 3, 8, 20, 44, 90, 160, 260, 380, 500, 520, 400, 270, 170, 95, 50, 24, 10, 4, 1]
LATENESS = {
    **TRAINED,
    "task": "regression",
    "metric": "rmse",
    "winner": "linear_regression",
    "candidates": [
        {"kind": "linear_regression", "params": {"regularization": 0.0}, "seconds": 9.8,
         "validate": {"rmse": 40.12, "mae": 22.5, "r2": 0.08, "mape": 2.1, "bias": -1.5}},
    ],
    "test": {"rmse": [41.3, 40.5, 42.1], "mae": [23.1, 22.9, 23.3], "r2": [0.073, 0.065, 0.081],
             "mape": [2.2, 2.1, 2.3], "bias": [-2.15, -2.5, -1.8]},
    "baseline": {"rmse": 43.9, "mae": 25.4, "r2": -0.01, "mape": 2.5, "bias": 2.4},
    "slices": {"origin": [{"value": "EWR", "rows": 15102, "metrics": {"rmse": 44.1, "r2": 0.08}}]},
    "curves": {"deciles": [[-12.0 + 5 * i, -10.0 + 4.5 * i, 4256] for i in range(10)],
               "residuals": {"low": -150.0, "high": 60.0, "counts": BELL}},
    "left_out": ["year"],
    "disguised": {"landed_at": "its correlation with the label is 0.9999"},
}  # fmt: skip
NAMES = ["on time", "late", "cancelled"]
GRADES = {
    **TRAINED,
    "task": "multiclass",
    "metric": "macro_f1",
    "candidates": [
        {"kind": "xgboost", "params": {"rounds": 200}, "seconds": 21.4,
         "validate": {"accuracy": 0.74, "macro_f1": 0.51, "weighted_f1": 0.7}},
    ],
    "test": {m: [0.7, 0.69, 0.71] for m in TASKS["multiclass"].metrics},
    "baseline": dict.fromkeys(TASKS["multiclass"].metrics, 0.4),
    "slices": {"origin": [{"value": "EWR", "rows": 15102, "metrics": {"accuracy": 0.72, "macro_f1": 0.5}}]},
    "curves": {"confusion": {"classes": NAMES, "rows": [[9_000, 900, 100], [2_000, 1_900, 100], [300, 200, 500]]}},
}  # fmt: skip


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    (tmp_path / "flights.yml").write_text(CONF)
    return load(tmp_path / "flights.yml")


def records(detail: dict[str, object], **scored: object) -> list[Record]:
    """A model and its scores."""
    model = Record("flights", "models.late_arrival", 0, 0, "r1", "d", "ok", FIRST, 48.6, "never ran")
    scores = replace(model, stage="scores.late_arrival_daily", counts={"scored": 3_010}, published_version=0)
    said = {"model_version": 1, "task": detail["task"], "histogram": BELL, **scored}
    return [replace(model, detail=detail, model_version=1), replace(scores, detail=said)]


def test_a_number_is_held_against_the_mean_and_shown_by_tenths(pipeline: Pipeline) -> None:
    html = report(pipeline, records(LATENESS, histogram_span=[-20.0, 180.0], truth={"rows": 9, "rmse": 40.0}))
    page = Page(html)

    assert "late_arrival v1 is champion: R² 0.073, RMSE 41.300 against the naive baseline's 43.900" in page.text
    assert "RMSE smaller is better 41.300 40.500 to 42.100 43.900" in page.text
    assert "Candidate RMSE MAE R² Time" in page.text
    assert "EWR 15,102 0.080 44.100" in page.text
    assert "Left out, since the same in every training row or missing in all: year." in page.text
    assert "<title>predicted -12, actual -10, 4,256 rows</title>" in html
    assert "<title>-66 to -55.5: 380 rows</title>" in html  # the ninth of twenty bins of 10.5
    assert "<title>-20 to -10: 1 rows</title>" in html
    assert "landed_at tells the label by itself: its correlation with the label is 0.9999." in page.text
    assert page.of("svg", "strip") == []
    assert "ROC AUC" not in page.text


def test_classes_are_shown_against_each_other(pipeline: Pipeline) -> None:
    html = report(pipeline, records(GRADES))
    page = Page(html)

    assert "late_arrival v1 is champion: accuracy 0.700, macro F1 0.700 against the naive baseline's 0.400" in page.text
    assert "Actual on time late cancelled Rows on time 9,000 900 100 10,000 late 2,000 1,900 100 4,000" in page.text
    assert "EWR 15,102 0.720 0.500" in page.text
    assert [c for c in page.of("td", "hit")] and len(page.of("td", "hit")) == 3
    assert "ROC AUC" not in page.text


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
@pytest.mark.parametrize("detail", [LATENESS, GRADES], ids=["number", "class"])
def test_a_browser_shows_each_task_whole_on_a_phone(pipeline: Pipeline, tmp_path: Path, detail: dict) -> None:
    file = tmp_path / "report.html"
    file.write_text(report(pipeline, records(detail, histogram_span=[-20.0, 180.0])))
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 400, "height": 900})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        browser.close()

    assert (said, overflow) == ([], 0)
