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


def test_the_rows_of_a_key_or_of_a_feature_are_a_group(tmp_path):
    for column in ("flight_id", "carrier"):
        assert said(tmp_path, ("    gates:", f"    split: {{by: group, column: {column}}}\n    gates:")) == []


def test_a_slice_may_be_a_column_of_the_spine_but_not_of_a_forecast(tmp_path):
    carriers = ("slices: [carrier]", "slices: [carrier, origin]")
    ahead = ("task: regression", f"task: forecasting\n    forecasting: {AHEAD}")

    assert said(tmp_path, carriers) == []
    (flaw,) = said(tmp_path, *NUMBER, ahead, carriers)
    assert flaw.startswith("models.late_arrival.slices.1: departures has no feature 'origin'; ")


def test_a_series_is_forecast_by_what_learns_numbers(tmp_path):
    assert said(tmp_path, *NUMBER, ("task: regression", f"task: forecasting\n    forecasting: {AHEAD}")) == []


LASTING = (*NUMBER, ("{kind: linear_regression}", "{kind: survival}"), ("      - {kind: xgboost, rounds: 200}\n", ""))


def test_a_time_that_may_go_on_is_learned_by_a_survival(tmp_path):
    assert said(tmp_path, *LASTING, ("task: regression", "task: regression\n    observed: dep_delay")) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ((*NUMBER, ("task: regression", "task: regression\n    observed: dep_delay")),
         "linear_regression would take a label that is too low as it is; take survival"),
        ((*LASTING, ("task: regression", "task: regression\n    observed: dep_delai")),
         "departures has no column 'dep_delai'; did you mean 'dep_delay'?"),
        ((*LASTING, ("task: regression", "task: regression\n    observed: carrier")),
         "carrier tells how the label ends, and is a feature of departures"),
        ((("task: binary", "task: binary\n    observed: dep_delay"),),
         "a task binary has no time that goes on; observed is of task regression"),
    ],
)  # fmt: skip
def test_what_ends_a_time_belongs_to_a_survival_alone(tmp_path, changes, sentence):
    assert any(line.endswith(f": {sentence}") for line in said(tmp_path, *changes))


RATED = (
    *NUMBER,
    ("task: regression", "task: recommendation\n    recommendation: {user: carrier, item: distance}"),
    ("{kind: linear_regression}", "{kind: als}"),
    ("{kind: xgboost, rounds: 200}", "{kind: als, rank: [4, 16]}"),
    ("{metric: rmse, versus: baseline}", "{metric: ndcg, versus: baseline}"),
)


def test_a_recommendation_names_columns_of_the_spine_that_are_features(tmp_path):
    place = "models.late_arrival.recommendation"

    assert said(tmp_path, *RATED) == []
    assert said(tmp_path, *RATED, ("item: distance", "item: temp")) == [
        f"{place}.item: departures.columns has no 'temp'"
    ]
    assert said(tmp_path, *RATED, ("item: distance", "item: carrier")) == [
        f"{place}: item: carrier is the user as well; name another column"
    ]


def test_what_a_recommendation_hangs_on_is_not_asked(tmp_path):
    assert said(tmp_path, *RATED, ("    gates:", "    explain: {}\n    gates:")) == [
        "models.late_arrival.explain: a recommendation hangs on its user and item alone; leave explain out"
    ]


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


UNUSUAL = (
    *CLUSTERS,
    ("task: clustering", "task: anomaly"),
    ("{kind: gaussian_mixture}", "{kind: kmeans, k: 3}"),
    ("silhouette, min: 0.2", "flagged_error, max: 0.01"),
)
LABELLED = ("task: anomaly", "label: arr_delay >= 120\n    task: anomaly")
FORECAST = (*NUMBER, ("task: regression", f"task: forecasting\n    forecasting: {AHEAD}"))


def asked(block: str) -> tuple[str, str]:
    return ("    gates:", f"    {block}\n    gates:")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([*FORECAST, asked("split: {by: random}")],
         "split.by: a forecast lies ahead, and by: random would learn what it is judged by; take time"),
        ([*FORECAST, asked("split: {by: stratified}")],
         "split.by: a forecast lies ahead, and by: stratified would learn what it is judged by; take time"),
        ([*FORECAST, asked("decision: {cost: {false_positive: 1, false_negative: 5}}")],
         "decision: a task forecasting says neither yes nor no; decision is of task binary"),
        ([*CLUSTERS, asked("split: {by: stratified}")],
         "split.by: a task clustering has no classes to stratify by; take time, random or group"),
        ([*CLUSTERS, asked("backtest: {folds: 3}")],
         "backtest: backtest holds answers against a label, and this task clustering has none"),
        ([*CLUSTERS, asked("explain: {}")],
         "explain: explain holds answers against a label, and this task clustering has none"),
        ([*CLUSTERS, asked("decision: {cost: {false_positive: 1, false_negative: 5}}")],
         "decision: a task clustering says neither yes nor no; decision is of task binary"),
        ([*CLUSTERS, asked("fairness: {columns: [carrier]}")],
         "fairness: a task clustering says neither yes nor no; fairness is of task binary"),
        ([*UNUSUAL, asked("split: {by: stratified}")],
         "split.by: a task anomaly has no classes to stratify by without a label; take time, random or group"),
        ([*UNUSUAL, asked("explain: {}")],
         "explain: explain holds answers against a label, and this task anomaly has none"),
        ([*UNUSUAL, LABELLED, asked("fairness: {columns: [carrier]}")],
         "fairness: a task anomaly has its threshold of contamination alone; fairness is of task binary"),
    ],
)  # fmt: skip
def test_what_needs_a_label_or_a_decision_is_refused_where_there_is_none(tmp_path, changes, sentence):
    assert said(tmp_path, *changes) == [f"models.late_arrival.{sentence}"]


def test_anomalies_with_a_label_are_split_and_judged_by_it(tmp_path):
    blocks = [asked(block) for block in ("split: {by: stratified}", "backtest: {folds: 3}", "explain: {}")]

    assert said(tmp_path, *UNUSUAL, LABELLED, *blocks) == []


def test_a_forecast_is_held_against_the_past_and_explained(tmp_path):
    assert said(tmp_path, *FORECAST, asked("backtest: {folds: 3}"), asked("explain: {}")) == []


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
            "logistic_regression, decision_tree, random_forest, naive_bayes, mlp, xgboost, tabular_net, "
            "image_net, own",
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
        (
            [*NUMBER, ("linear_regression}", "tabular_net, sequences: [[distance, distanse, weather_temp]]}")],
            "models.late_arrival.candidates.0.sequences.0.1: departures has no feature 'distanse'; "
            "did you mean 'distance'?",
        ),
        (
            [*NUMBER, ("    gates:", "    split: {by: stratified}\n    gates:")],
            "models.late_arrival.split.by: a task regression has no classes to stratify by; take time, random or group",
        ),
        (
            [("    gates:", "    split: {by: group, column: carier}\n    gates:")],
            "models.late_arrival.split.column: departures has no column 'carier'; did you mean 'carrier'?",
        ),
    ],
)  # fmt: skip
def test_what_a_task_has_not_is_refused_with_what_it_has(tmp_path, changes, sentence):
    assert said(tmp_path, *changes) == [sentence]
