"""A model asks only for what its task has; said before anything runs, with its line."""

from pathlib import Path

import pytest

from pipelines.check import check
from pipelines.errors import SpecError
from pipelines.spec import load_lines

GOLDEN = Path(__file__).parent / "golden" / "delays.yml"
NUMBER = (
    ("label: arr_delay >= 15", "label: arr_delay"),
    ("task: binary", "task: regression"),
    ("{kind: logistic_regression}", "{kind: linear_regression}"),
    ("{metric: roc_auc, min: 0.65}", "{metric: rmse, versus: baseline}"),
)

AHEAD = "{series: [carrier], every: 1 day, horizon: 2 days, season: 7 days}"
CLUSTERS = (
    ("    label: arr_delay >= 15\n", ""),
    ("task: binary", "task: clustering"),
    ("{kind: logistic_regression}", "{kind: kmeans}"),
    ("{kind: xgboost, rounds: 200}", "{kind: gaussian_mixture}"),
    ("{metric: roc_auc, min: 0.65}", "{metric: silhouette, min: 0.2}"),
)


def said(folder: Path, *changes: tuple[str, str]) -> list[str]:
    """Texts to replace in the golden conf -> all that check says."""
    text, path = GOLDEN.read_text(), folder / "delays.yml"
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    try:
        check(*load_lines(path))
    except SpecError as error:
        return [line.removeprefix(f"{path}:").split(": ", 1)[1] for line in str(error).splitlines()]
    return []


def test_a_number_is_learned_by_what_learns_numbers(tmp_path):
    assert said(tmp_path, *NUMBER) == []


def test_a_series_is_forecast_by_what_learns_numbers(tmp_path):
    assert said(tmp_path, *NUMBER, ("task: regression", f"task: forecasting\n    forecasting: {AHEAD}")) == []


def test_clusters_are_learned_without_a_label(tmp_path):
    assert said(tmp_path, *CLUSTERS) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([*CLUSTERS, ("task: clustering", "task: clustering\n    label: arr_delay")],
         "models.late_arrival: task: clustering learns without a label; leave label out"),
        ([("label: arr_delay >= 15", "search: {trials: 3}")],
         "models.late_arrival: task: binary learns a label, and there is none; add label"),
        ([*CLUSTERS, ("task: clustering", "task: clustering\n    anomaly: {contamination: 0.1}")],
         "models.late_arrival: anomaly is for task: anomaly, and this is task: clustering"),
        ([*CLUSTERS, ("task: clustering", "task: anomaly"), ("silhouette, min: 0.2", "roc_auc, min: 0.65")],
         "models.late_arrival.gates.0.metric: a task anomaly has no metric 'roc_auc' without a label; "
         "there is flagged_error"),
        ([*CLUSTERS, ("task: clustering", "task: clustering\n    prepare: {carrier: {kind: target}}")],
         "models.late_arrival.prepare.carrier.kind: a mean label of task clustering there is none; "
         "take one_hot or hash"),
        ([*CLUSTERS, ("{kind: kmeans}", "{kind: kmeans, k: [2, 900]}")],
         "models.late_arrival.candidates.0: k: should be less than or equal to 200, got 900"),
        ([*NUMBER, ("task: regression", "task: forecasting")],
         "models.late_arrival: task: forecasting has to be told more; "
         "add forecasting: {series, every, horizon, season}"),
        ([*NUMBER, ("task: regression", f"task: forecasting\n    forecasting: {AHEAD}".replace("carrier", "origin"))],
         "models.late_arrival.label: origin names a series; departures.columns should have it"),
        ([*NUMBER, ("task: regression", f"task: forecasting\n    forecasting: {AHEAD}".replace("2 days", "36 hours"))],
         "models.late_arrival.forecasting: horizon: should be a multiple of every, got 36 hours and 1 day"),
        ([*NUMBER, ("task: regression", f"task: forecasting\n    forecasting: {AHEAD}".replace("7 days", "1 day"))],
         "models.late_arrival.forecasting: season: 1 day is less than horizon, 2 days: "
         "the season before is not known yet"),
    ],
)  # fmt: skip
def test_a_task_is_told_what_it_needs_and_nothing_else(tmp_path, changes, sentence):
    assert said(tmp_path, *changes) == [sentence]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            [*NUMBER, ("linear_regression}", "logistic_regression}")],
            "models.late_arrival.candidates.0.kind: logistic_regression learns no task regression; "
            "did you mean 'linear_regression'?",
        ),
        (
            [("task: binary", "task: multiclass"), ("roc_auc, min: 0.65", "accuracy, min: 0.65"),
             ("{kind: logistic_regression}", "{kind: isotonic, feature: distance}")],
            "models.late_arrival.candidates.0.kind: isotonic learns no task multiclass; there is "
            "logistic_regression, decision_tree, random_forest, naive_bayes, mlp, xgboost",
        ),
        (
            [*NUMBER, ("metric: rmse", "metric: roc_auc")],
            "models.late_arrival.gates.0.metric: a task regression has no metric 'roc_auc'; "
            "there is rmse, mae, r2, mape",
        ),
        (
            [("task: binary", "task: multiclass"), ("roc_auc, min: 0.65", "f1, min: 0.65")],
            "models.late_arrival.gates.0.metric: a task multiclass has no metric 'f1'; there is accuracy, macro_f1, "
            "weighted_f1, log_loss, macro_precision, macro_recall, weighted_precision, weighted_recall",
        ),
        (
            [("task: binary", "task: multiclass"), ("roc_auc, min: 0.65", "log_loss, min: -1")],
            "models.late_arrival.gates.0.min: log_loss lies between 0 and 100, got -1",
        ),
        (
            [("    gates:", "    search: {metric: rmse}\n    gates:")],
            "models.late_arrival.search.metric: a task binary has no metric 'rmse'; there is roc_auc, "
            "average_precision, f1, precision, recall, accuracy, log_loss, brier, expected_calibration_error",
        ),
        (
            [*NUMBER, ("{kind: linear_regression}", "{kind: isotonic, feature: distanse}")],
            "models.late_arrival.candidates.0.feature: departures has no feature 'distanse'; did you mean 'distance'?",
        ),
    ],
)  # fmt: skip
def test_what_a_task_has_not_is_refused_with_what_it_has(tmp_path, changes, sentence):
    assert said(tmp_path, *changes) == [sentence]
