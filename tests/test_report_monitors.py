"""The report's section on monitors, on a made-up half year in which June goes wrong."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from test_report import CHROMIUM, CONF, Page

from pipelines.report import report
from pipelines.spec import Pipeline, load
from pipelines.state import Record
from pipelines.summary import monitor_text

MONTHS = ("January", "February", "March", "April", "May", "June")
TRUE = (0.701, 0.694, 0.708, 0.690, 0.681, None)


def feature(name: str, distance: float, new: float | None = None) -> dict[str, Any]:
    said = {"feature": name, "statistic": "psi", "distance": distance, "most": 0.2, "drifted": distance > 0.2}
    return {**said, "missing": 0.012, "missing_before": 0.01, "new": new}


def window(number: int) -> dict[str, Any]:
    true, name = TRUE[number - 1], f"{MONTHS[number - 1]} 2013"
    features = [
        feature("weather_temp", 0.05 * number**2),
        feature("origin", 0.01 * number, 0.0),
        feature("seats", 0.02),
    ]
    estimated = 0.70 - 0.004 * number
    return {
        "window": datetime(2013, number, 1, tzinfo=UTC).isoformat(),
        "name": name,
        "model_version": 1,
        "rows": 25_000 + number,
        "labelled": 24_000 if true else 0,
        "features": features,
        "drifted": [f["feature"] for f in features if f["drifted"]],
        "performance": {"metric": "roc_auc", "before": 0.704, "estimated": estimated, "calibration_error": 0.004,
                        "true": [true, true - 0.008, true + 0.008] if true else None,
                        "off": estimated - true if true else None},
        "verdict": "wait" if true else "investigate",
        "reasons": ["roc_auc holds"] if true else ["labels of 0 of 25,006 rows are known", "1 of 3 features drifted"],
    }  # fmt: skip


def record(batch: int, windows: list[dict[str, Any]], verdict: str = "wait") -> Record:
    decision = {"verdict": verdict, "reasons": ["June 2013: labels are not known yet"], "asks": False}
    began = datetime(2013, 6, 1 + batch, tzinfo=UTC)
    detail = {"model": "late_arrival", "windows": windows, "decision": decision}
    return Record("flights", "monitors.watch", 0, batch, f"r{batch}", "d", "ok", began, 3.0, "new", detail=detail)


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    (tmp_path / "flights.yml").write_text(f"{CONF}monitors:\n  watch: {{scores: late_arrival_daily}}\n")
    return load(tmp_path / "flights.yml")


@pytest.fixture
def records() -> list[Record]:
    stale = {**window(5), "verdict": "retrain", "reasons": ["was judged before"]}
    return [
        record(0, [*[window(n) for n in range(1, 5)], stale]),
        record(1, [window(5), window(6)], "investigate"),
    ]


def test_each_window_is_shown_as_it_was_judged_last(pipeline: Pipeline, records: list[Record]) -> None:
    page = Page(report(pipeline, records))

    assert "watch ! investigate" in page.text
    assert "June 2013 v1 25,006 0.0 % — 0.676 — 1 of 3 ! investigate labels of 0 of 25,006 rows are known;" in page.text
    assert "May 2013 v1 25,005 96.0 % 0.681 0.680 -0.001 1 of 3 ✓ wait roc_auc holds" in page.text
    assert "January 2013 v1 25,001 96.0 % 0.701 0.696 -0.005 0 of 3 ✓ wait roc_auc holds" in page.text
    assert "was judged before" not in page.text
    assert "#monitors" in {a.get("href") for a in page.of("a")}


def test_a_feature_that_is_ignored_is_shown_and_does_not_count(pipeline: Pipeline) -> None:
    june = window(6)
    june["features"][2]["ignored"] = True

    page = Page(report(pipeline, [record(0, [june])]))

    assert "1 of 2 ! investigate" in page.text and "seats, ignored" in page.text
    assert " 1 of 2  investigate" in monitor_text(
        [{"monitor": "watch", "scores": "late_arrival_daily", "windows": [june], "decision": june}]
    )


def test_the_furthest_feature_comes_first_with_its_course(pipeline: Pipeline, records: list[Record]) -> None:
    html = report(pipeline, records)

    # 0.05 x 36 = 1.8 in June; beyond 0.2 from March on
    assert [a["aria-label"] for a in Page(html).of("svg", "trend")] == [
        "weather_temp: 6 windows, 4 drifted", "origin: 6 windows, 0 drifted", "seats: 6 windows, 0 drifted",
    ]  # fmt: skip
    assert "<title>June 2013: psi 1.800, limit 0.2, drifted</title>" in html
    assert "<title>May 2013: roc auc 0.681 (0.673 to 0.689)</title>" in html
    assert "<title>June 2013: roc auc estimated at 0.676</title>" in html


def test_what_the_answers_hang_on_is_drawn_beside_the_training(pipeline: Pipeline, records: list[Record]) -> None:
    hang = {"ndcg": 0.8712, "features": [["origin", 0.2, 0.625], ["seats", 0.8, 0.375]]}
    june = {**window(6), "attribution": hang}
    before = {**window(4), "attribution": {**hang, "ndcg": 0.99}}

    html = report(pipeline, [record(0, [before, window(5), june])])

    page = Page(html)
    assert "Of June 2013, by v1" in page.text and "by 0.871 of 1 (NDCG)" in page.text
    assert "Feature Share Now Training origin 62.5 % 20.0 % seats 37.5 % 80.0 %" in page.text
    assert 'title="origin: 62.5 %, at training 20.0 %"' in html
    assert "What the answers hang on" not in Page(report(pipeline, records)).text


def test_a_monitor_that_never_ran_is_shown_as_such(pipeline: Pipeline) -> None:
    page = Page(report(pipeline, []))

    assert "watch ○ not run" in page.text
    assert "No window was counted yet." in page.text


def unchecked() -> dict[str, Any]:
    """Of a week's rows there were 9."""
    none = {"metric": "roc_auc", "before": 0.704, "true": None, "estimated": None, "calibration_error": None}
    said = {"rows": 9, "labelled": 9, "features": [], "drifted": [], "performance": none}
    return {**window(5), **said, "verdict": "unchecked", "reasons": ["nothing is checked: 9 rows, 100 are needed"]}


def test_a_window_that_is_unchecked_is_never_shown_as_good(pipeline: Pipeline) -> None:
    page = Page(report(pipeline, [record(0, [window(4), unchecked()], "unchecked")]))

    assert "watch ? unchecked" in page.text
    assert "May 2013 v1 9 100.0 % — — — — ? unchecked nothing is checked: 9 rows, 100 are needed" in page.text
    (node,) = [g for g in page.of("g", "node") if "monitors" in g["aria-label"]]
    assert (node["aria-label"], node["class"]) == ("monitors watch: unchecked, wants a look", "node raised")


@pytest.mark.parametrize(("verdict", "state"), [("wait", "ok"), ("investigate", "raised"), ("retrain", "raised")])
def test_a_monitor_has_a_tick_in_the_graph_where_nothing_is_to_be_done(
    pipeline: Pipeline, verdict: str, state: str
) -> None:
    page = Page(report(pipeline, [record(0, [window(4)], verdict)]))

    (node,) = [g for g in page.of("g", "node") if "monitors" in g["aria-label"]]
    assert node["class"] == f"node {state}"


def test_words_of_a_monitor_are_escaped(pipeline: Pipeline) -> None:
    bad = "<script>alert(1)</script>"
    said = {**window(3), "name": bad, "reasons": [bad], "features": [feature(bad, 0.5)]}

    html = report(pipeline, [record(0, [said])])

    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 4


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
@pytest.mark.parametrize("width", [400, 1280])
def test_a_browser_shows_it_whole_and_silent(
    pipeline: Pipeline, records: list[Record], tmp_path: Path, width: int
) -> None:
    file = tmp_path / "report.html"
    file.write_text(report(pipeline, records))
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: said.append(request.url))
        page.goto(file.as_uri())
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        drawn = page.locator("#monitors figure svg").count()
        browser.close()

    assert said == [file.as_uri()]
    assert overflow == 0
    assert drawn == 1
