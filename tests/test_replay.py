"""The replay's conf has no flaw, its table says what the monitors found, and two months of it are replayed."""

import re
from pathlib import Path
from typing import Any

import pytest
import replay
from e2e.project import Project, land_flights
from playwright.sync_api import sync_playwright
from test_report import CHROMIUM

from pipelines.check import check
from pipelines.report import report
from pipelines.spec import load, load_lines
from pipelines.state import Warehouse

pytestmark = pytest.mark.spark


def window(name: str, version: int, true: float | None) -> dict[str, object]:
    found = {"true": [true, 0, 1] if true else None, "estimated": 0.68}
    psis = {
        "weather_temp": 0.9,
        "weather_precip": 0.034,
        "origin_arr_delay_avg_1h": 0.1,
        "origin_arr_delay_avg_6h": 0.31,
    }
    features = [{"feature": name, "psi": psi, "drifted": psi > 0.2} for name, psi in psis.items()]
    said = {"features": features, "drifted": [f["feature"] for f in features if f["drifted"]], "verdict": "wait"}
    return {"name": name, "model_version": version, "rows": 10, "labelled": 9, "performance": found, **said}


def test_the_three_models_are_one_but_for_what_trains_them(tmp_path: Path):
    pipeline, lines = load_lines(replay.written(tmp_path, replay.CANDIDATE))

    check(pipeline, lines)

    assert tuple(pipeline.models) == tuple(pipeline.monitors) == replay.ARMS
    assert len({model.model_dump_json() for model in pipeline.models.values()}) == 1
    assert [bool(monitor.retrain) for monitor in pipeline.monitors.values()] == [False, False, True]


def test_a_month_has_a_line_once_every_arm_has_scored_it():
    april = {arm: window("April 2013", i + 1, 0.7 - i / 100) for i, arm in enumerate(replay.ARMS)}
    found = [{"monitor": arm, "windows": [april[arm]]} for arm in replay.ARMS]
    found[0]["windows"].append(window("May 2013", 1, 0.6))  # type: ignore[attr-defined]

    assert list(replay.table(found))[2:] == [
        "| April 2013 | 0.7000 (0.6800), v1 | 0.6900 (0.6800), v2 | 0.6800 (0.6800), v3 "
        "| 2 of 4: weather_temp, origin_arr_delay_avg_6h | rain 0.03, delays 0.31* | wait |"
    ]


def test_a_gain_is_of_months_that_a_newer_version_scored_and_whose_labels_are_known():
    def months(version: int, *true: float | None) -> list[dict[str, object]]:
        named = ("April 2013", "May 2013", "June 2013")
        return [window(name, version if n else 1, t) for n, (name, t) in enumerate(zip(named, true, strict=True))]

    found = [{"monitor": "frozen", "windows": months(1, 0.70, 0.66, 0.65)}]
    found += [{"monitor": "monthly", "windows": months(2, 0.90, 0.69, 0.64)}]
    found += [{"monitor": "watched", "windows": months(2, 0.90, 0.68, None)}]

    assert [list(replay.gained(found, arm)) for arm in replay.ARMS[1:]] == [
        pytest.approx([0.03, -0.01]), pytest.approx([0.02]),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def replayed(spark, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Where five months were replayed, three days of each, and what the monitors found."""
    root = tmp_path_factory.mktemp("replayed")
    made = Project(root, "flights")

    def arrive(landing: Path, month: int) -> None:
        assert landing == made.landing
        land_flights(made, months=range(1, month + 1), days=(1, 2, 3))

    to = root / ".lakeloom"
    return to, replay.replay(to, 5, {"kind": "logistic_regression", "iterations": 5}, arrive)


@pytest.mark.long
def test_every_arm_scores_each_month_and_the_one_that_is_trained_anew_has_a_newer_version(replayed):
    _, found = replayed

    windows = {m["monitor"]: [(w["name"], w["rows"], w["model_version"]) for w in m["windows"]] for m in found}
    may = {arm: [w for w in shown if w[0] == "May 2013"] for arm, shown in windows.items()}
    assert [version for _, _, version in may["frozen"]] == [1]
    assert may["monthly"][-1][2] == 2
    assert {sum(rows for _, rows, _ in shown) for shown in may.values()} == {may["frozen"][0][1]}
    lines = list(replay.table(found))
    assert [line.split("|")[1].strip() for line in lines][-2:] == ["April 2013", "May 2013"]
    storms = re.compile(r"rain \d\.\d\d\*?, visibility \d\.\d\d\*?, wind \d\.\d\d\*?, delays \d\.\d\d\*?")
    assert [storms.fullmatch(line.split("|")[6].strip()) is not None for line in lines[-2:]] == [True, True]


@pytest.mark.long
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
@pytest.mark.parametrize("width", [400, 1280])
def test_a_browser_shows_the_replay_s_page_whole_with_a_line_for_each_window(replayed, tmp_path: Path, width: int):
    to, found = replayed
    warehouse, file = Warehouse(str(to / "warehouse"), "flights"), tmp_path / "report.html"
    file.write_text(report(load(to / "flights.yml"), warehouse.records(), warehouse.quality()))
    said: list[str] = []

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: said.append(message.text))
        page.goto(file.as_uri())
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        rows = page.locator("#monitors table.windows tbody tr").count()
        drawn = page.locator("#monitors figure svg").count()
        browser.close()

    assert (said, overflow) == ([], 0)
    assert (rows, drawn) == (sum(len(m["windows"]) for m in found), len(replay.ARMS))
