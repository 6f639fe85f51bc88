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
        (
            [*NUMBER, ("    gates:", "    split: {by: stratified}\n    gates:")],
            "models.late_arrival.split.by: a regression has no classes to stratify by; take time, random or group",
        ),
        (
            [("    gates:", "    split: {by: group, column: carier}\n    gates:")],
            "models.late_arrival.split.column: departures has no column 'carier'; did you mean 'carrier'?",
        ),
    ],
)  # fmt: skip
def test_what_a_task_has_not_is_refused_with_what_it_has(tmp_path, changes, sentence):
    assert said(tmp_path, *changes) == [sentence]
