"""The model card and the tables below it, on a made-up model that was judged in depth."""

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from test_report import CHROMIUM, CONF, FIRST, TRAINED, Page

from pipelines.card import card
from pipelines.report import report
from pipelines.spec import RATES, Model, Pipeline, load
from pipelines.state import Record

CARRIERS = {"UA": 9_800, "B6": 9_100, "EV": 8_700, "F9": 82}


def group(value: str, rows: int, share: float) -> dict[str, object]:
    """A group of people, or of flights."""
    rates = {rate: [share + 0.02 * i, share - 0.02, share + 0.04] for i, rate in enumerate(RATES)}
    versus = {"difference": {rate: [0.05, 0.01, 0.09] for rate in RATES}} if value in ("B6", "EV") else {}
    return {"value": value, "rows": rows, "positives": rows // 4, "rates": rates, **versus}


def points(scale: float, number: bool) -> list[list[float | None]]:
    """Eighty rows, the greater part where the value is high."""
    return [[scale * (i / 40 - 1), i / 80 if number else None] for i in range(80)]


JUDGED = {
    **TRAINED,
    "task": "binary",
    "split": {"by": "time"},
    "decision": {
        "threshold": 0.171,
        "cost": {"false_positive": 1.0, "false_negative": 5.0},
        "per_row": {"chosen": [0.612, 0.598, 0.626], "half": [0.843, 0.82, 0.866], "always": [0.764, 0.76, 0.768],
                    "never": [1.18, 1.15, 1.21], "saved": [0.231, 0.21, 0.252]},
    },
    "backtest": [
        {"origin": "2013-06-01T00:00:00+00:00", "until": "2013-07-01T00:00:00+00:00", "train_rows": 90_112,
         "validate_rows": 19_310, "test_rows": 27_075,
         "test": {"roc_auc": [0.681, 0.674, 0.688], "average_precision": [0.491, 0.48, 0.502]},
         "baseline": {"roc_auc": 0.5, "average_precision": 0.301}},
        {"origin": "2013-07-01T00:00:00+00:00", "until": "2013-08-01T00:00:00+00:00", "why": "no labelled row"},
    ],
    "weakness": {
        "loss": "log loss", "mean": 0.49, "rows": 42_556, "of": 42_556, "columns": ["origin", "dest", "seats"],
        "looked_at": 212, "support": 425, "confidence": 0.95,
        "slices": [{"where": {"carrier": "EV", "departure_hour": "over 17"}, "rows": 2_911,
                    "loss": [0.688, 0.661, 0.715], "rest": 0.471, "worse_by": [0.217, 0.18, 0.254]}],
    },
    "fairness": {"carrier": {
        "reference": "UA", "least_rows": 100,
        "groups": [group(c, n, 0.2 + i / 10) for i, (c, n) in enumerate(CARRIERS.items())],
        "largest": {"selection_rate": {"high": ["EV", 0.4], "low": ["UA", 0.2], "difference": [0.2, 0.17, 0.23],
                                       "ratio": [0.5, 0.45, 0.55]}},
    }},
    "explained": {
        "of": 42_556,
        "permutation": {
            "rows": 2_011, "repeats": 5, "metric": "average_precision", "whole": 0.4291, "seed": 20130101,
            "left_out": 0,
            "features": [{"feature": name, "lost": 0.09 / (i + 1), "deviation": 0.003, "least": 0.08 / (i + 1),
                          "most": 0.1 / (i + 1)} for i, (name, _) in enumerate(TRAINED["importance"])],
        },
        "shap": {"rows": 2_011, "outputs": 1, "features": [
            {"feature": name, "mean_size": 0.5 / (i + 1),
             "points": points(1 / (i + 1), name != "carrier") if i < 8 else []}
            for i, (name, _) in enumerate(TRAINED["importance"])]},
    },
}  # fmt: skip


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    (tmp_path / "flights.yml").write_text(CONF)
    return load(tmp_path / "flights.yml")


def record(**detail: object) -> Record:
    made = Record("flights", "models.late_arrival", 0, 0, "r1", "d", "ok", FIRST, 48.6, "never ran", model_version=1)
    return replace(made, detail={**JUDGED, **detail}, inputs={"features.departures": {"upto": 3}})


def test_a_card_says_what_it_is_for_made_of_and_good_for(pipeline: Pipeline) -> None:
    said = dict(card(pipeline, "late_arrival", record()))

    assert said["Purpose"][1] == (
        "Gives the probability of arr_delay >= 15, for each row of departures, as it was known at time_hour."
    )
    assert said["Data"] == ["Read features.departures version 3.", "Labelled rows of 2013-01-01 to 2013-12-01."]
    assert said["Split"] == [
        "By time: the oldest rows trained, newer ones chose among the candidates, the newest judge."
    ]
    assert said["Quality"] == [
        "ROC AUC 0.704 (0.699 to 0.710), baseline 0.500.",
        "Average precision 0.431 (0.420 to 0.442), baseline 0.236.",
        "Says yes from a score of 0.171 on, where it costs least on the validation rows: "
        "0.612 (0.598 to 0.626) a row, against 0.843 from 0.5 on.",
        "In the past, over 1 window, ROC AUC 0.681.",
    ]
    assert said["Weakest"] == [
        "Worst where carrier EV and departure_hour over 17, 2,911 test rows: log loss 0.688 against 0.471 elsewhere."
    ]
    assert said["Fairness"] == ["By carrier: yes to 40.0 % of EV, to 20.0 % of UA."]
    assert said["Hangs on"] == [
        "departure_hour, origin_dep_delay_avg_1h, origin_dep_delay_max_6h, weather_precip, month, "
        "by what permuting a feature costs."
    ]
    assert said["Limits"] == [
        "Nothing is known of rows later than 2013-12-01.",
        "8,382 rows had no label and are in no figure.",
        "Importance says what the model uses, not what causes the label.",
    ]


def test_a_card_of_an_older_record_says_less(pipeline: Pipeline) -> None:
    old = replace(record(), detail=dict(TRAINED), inputs={})

    said = dict(card(pipeline, "late_arrival", old))

    assert "Weakest" not in said and "Fairness" not in said
    assert "Rates by group were not asked for." in said["Limits"]
    assert said["Hangs on"][0].endswith("by the learner's own account.")


def test_a_split_by_lot_is_a_limit(pipeline: Pipeline) -> None:
    said = dict(card(pipeline, "late_arrival", record(split={"by": "group", "column": "tailnum", "seed": 7})))

    assert said["Split"] == ["By group: all rows of one tailnum are on one side."]
    assert "Judged beside rows of its own time: on later rows expect less." in said["Limits"]


TEST = {"silhouette": [0.56, 0.55, 0.57], "smallest_cluster": [0.25, 0.2, 0.3]}


def of(pipeline: Pipeline, **said: object) -> Pipeline:
    """The same pipeline with another task for its model."""
    model = Model.model_validate({"features": "departures", **said})
    return pipeline.model_copy(update={"models": {"late_arrival": model}})


def test_a_card_of_clusters_speaks_of_no_label(pipeline: Pipeline) -> None:
    clusters = of(pipeline, task="clustering", candidates=({"kind": "kmeans"},))
    detail = {**TRAINED, "task": "clustering", "test": TEST, "baseline": {}, "slices": {}, "unlabelled": 0}

    said = dict(card(clusters, "late_arrival", replace(record(), detail=detail)))

    assert said["Purpose"][1] == (
        "Gives one of some clusters, for each row of departures, as it was known at time_hour."
    )
    assert said["Data"][1] == "Rows of 2013-01-01 to 2013-12-01."
    assert said["Quality"][0] == "Smallest cluster 0.250 (0.200 to 0.300), baseline —."
    assert said["Limits"] == [
        "Nothing is known of rows later than 2013-12-01.",
        "No label says whether what it finds is of use.",
    ]


def test_a_card_of_a_forecast_says_how_far_ahead(pipeline: Pipeline) -> None:
    ahead = {"series": ("carrier",), "every": "1 hour", "horizon": "6 hours", "season": "24 hours"}
    candidates = ({"kind": "linear_regression"},)
    forecast = of(pipeline, task="forecasting", label="arr_delay", forecasting=ahead, candidates=candidates)

    said = dict(card(forecast, "late_arrival", record(task="forecasting", decision={}, fairness={})))

    assert said["Purpose"][1] == (
        "Gives the number arr_delay, 6 hours ahead, for each row of departures, as it was known at time_hour."
    )


def test_the_page_shows_each_table(pipeline: Pipeline) -> None:
    html = report(pipeline, [record()])
    page = Page(html)

    assert "from 0.171 on, the threshold 0.612 0.598 to 0.626" in page.text
    assert "2013-06-01 2013-07-01 90,112 27,075 0.681 0.674 to 0.688 0.491 0.301" in page.text
    assert "2013-07-01 2013-08-01 no labelled row" in page.text
    assert "carrier EV , departure_hour over 17 2,911 0.688 0.471 0.217 0.180 to 0.254" in page.text
    assert "Selection rate: 0.200 apart (0.170 to 0.230), ratio 0.500." in page.text
    assert "F9 too few to compare 82" in page.text
    assert "departure_hour 0.0900, 0.0800 to 0.1000 0.0900 0.0030" in page.text
    assert "<title>departure_hour: -1</title>" in html
    assert "None" not in page.text


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
@pytest.mark.parametrize("width", [1280, 400])
def test_a_browser_shows_the_card_whole(pipeline: Pipeline, tmp_path: Path, width: int) -> None:
    file = tmp_path / "report.html"
    file.write_text(report(pipeline, [record()]))
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        browser.close()

    assert (said, overflow) == ([], 0)
