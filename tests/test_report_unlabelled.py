"""The report on clusters, on anomalies without a label, and on a forecast."""

from pathlib import Path

import pytest
from test_report import CONF, TRAINED, Page
from test_report_tasks import LATENESS, records

from pipelines.report import report
from pipelines.spec import Pipeline, load

CLUSTERS = {
    **TRAINED,
    "task": "clustering",
    "metric": "silhouette",
    "candidates": [
        {"kind": "kmeans", "params": {"k": 2}, "seconds": 3, "validate": {"silhouette": 0.6, "smallest_cluster": 0.3}},
        {"kind": "kmeans", "params": {"k": 3}, "seconds": 3.4, "validate": {"smallest_cluster": 0.1}},
    ],
    "test": {"silhouette": [0.56, 0.55, 0.57], "smallest_cluster": [0.25, 0.2, 0.3]},
    "baseline": {"silhouette": 0.0, "smallest_cluster": 0.5},
    "slices": {},
    "curves": {"clusters": [
        {"cluster": 1, "rows": 7_500, "traits": [["temp", 0.52], ["wind is missing", -0.04]]},
        {"cluster": 0, "rows": 2_500, "traits": [["temp", -1.61]]},
    ]},
}  # fmt: skip
UNUSUAL = {
    **TRAINED,
    "task": "anomaly",
    "metric": "flagged_error",
    "candidates": [],
    "test": {"flagged": [0.012, 0.01, 0.014], "flagged_error": [0.002, 0.0, 0.004]},
    "baseline": {"flagged": 0.0, "flagged_error": 0.01},
    "slices": {},
    "curves": {},
}
AHEAD = {
    **LATENESS,
    "task": "forecasting",
    "metric": "mae",
    "test": {**LATENESS["test"], "mase": [0.81, 0.79, 0.83]},
    "baseline": {**LATENESS["baseline"], "mase": 1.02},
    "curves": {**LATENESS["curves"], "origins": [{"week": "2013-11-04", "rows": 504, "model": 4.25, "naive": 5.5}]},
}


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    (tmp_path / "flights.yml").write_text(CONF)
    return load(tmp_path / "flights.yml")


def test_clusters_stand_with_their_rows_and_what_tells_them_apart(pipeline: Pipeline) -> None:
    page = Page(report(pipeline, records(CLUSTERS, said={"clusters": 2}, histogram_span=[0.0, 9.0])))

    assert "champion: smallest cluster 0.250, silhouette 0.560 against the naive baseline's 0.000" in page.text
    assert "The baseline deals rows to as many clusters by chance" in page.text
    assert "temp +0.5, wind is missing -0.0" in page.text and "temp -1.6" in page.text
    assert page.text.index("7,500") < page.text.index("2,500")
    assert "In the last run: 2 clusters." in page.text
    assert "ROC AUC" not in page.text


def test_anomalies_without_a_label_tell_the_share_and_no_ranking(pipeline: Pipeline) -> None:
    page = Page(report(pipeline, records(UNUSUAL, said={"flagged": 43}, histogram_span=[0.0, 9.0])))

    said = "champion: flagged 0.012, error of the flagged share 0.002 against the naive baseline's 0.010"
    assert said in page.text
    assert "In the last run: 43 flagged." in page.text
    assert "ROC AUC" not in page.text


def test_a_forecast_stands_beside_the_season_before_week_by_week(pipeline: Pipeline) -> None:
    page = Page(report(pipeline, records(AHEAD, histogram_span=[0.0, 90.0])))

    assert "champion: MASE 0.810, MAE 23.100 against the naive baseline's 25.400" in page.text
    assert "The baseline is the seasonal naive forecast" in page.text
    assert "2013-11-04 504 4.250 5.500" in page.text


FOLD = {"origin": "2013-10-01T00:00:00+00:00", "until": "2013-11-01T00:00:00+00:00", "train_rows": 9_000,
        "validate_rows": 800, "test_rows": 744}  # fmt: skip


def test_a_backtest_of_forecasts_has_the_headline_of_forecasts(pipeline: Pipeline) -> None:
    fold = {**FOLD, "test": {"mase": [0.9, 0.8, 1.0], "mae": [6.1, 5.1, 7.2]}, "baseline": {"mase": 1.1, "mae": 7.3}}

    page = Page(report(pipeline, records({**AHEAD, "backtest": [fold]}, histogram_span=[0.0, 90.0])))

    assert "2013-10-01 2013-11-01 9,000 744 0.900 0.800 to 1.000 6.100 7.300" in page.text


def test_a_fold_in_which_nothing_was_amiss_ranks_nothing(pipeline: Pipeline) -> None:
    fold = {**FOLD, "test": {"flagged": [0.01, 0.0, 0.02]}, "baseline": {"flagged": 0.0}}

    page = Page(report(pipeline, records({**UNUSUAL, "backtest": [fold]}, said={}, histogram_span=[0.0, 9.0])))

    assert "2013-10-01 2013-11-01 9,000 744 — — to — — —" in page.text
