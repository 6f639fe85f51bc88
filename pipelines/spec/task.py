"""Tasks: the metrics of each, which way a metric is better, and between what it lies.

What a task does with rows stands in evaluate/; here is what a conf, a gate and
a report have to know of it. To add a metric: a line in METRICS, its name in
Metric where a conf may ask for it, and a place in TASKS.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Task = Literal["binary", "regression", "multiclass"]
Metric = Literal[
    "accuracy", "precision", "recall", "f1", "roc_auc", "average_precision", "log_loss", "brier",
    "expected_calibration_error", "rmse", "mae", "mape", "r2", "macro_precision", "macro_recall", "macro_f1",
    "weighted_precision", "weighted_recall", "weighted_f1",
]  # fmt: skip
LABEL, SCORE, PREDICTED = "_label", "score", "predicted"  # columns of a scored frame, whatever the task
TARGET, LIKELIHOOD = "_target", "_likelihood"  # the label as a learner sees it; the probability that a class was given
KNOWN = "_known"  # when the label became known, where that is later than the row
OURS = "__"  # begins the name of a column that a fitted pipeline makes, so that it meets none of a table
FEATURES, PROBABILITY, RAW = "__features", "__probability", "__raw"
PREDICTION = "prediction"  # but for this one, by which MLflow knows what a Spark model answers
CLASS = "__class"  # the prediction as a text, where classes have names
WIDEST = 1e12  # beyond it no figure of a metric without bounds is of use; JSON has no infinity


@dataclass(frozen=True)
class Measure:
    """How a metric is called, which way it is better, and between what it lies."""

    label: str
    smaller: bool = False  # is better
    low: float = 0.0
    high: float = 1.0

    @property
    def words(self) -> str:
        """The label within a sentence."""
        return self.label if self.label[1:2].upper() == self.label[1:2] else self.label[0].lower() + self.label[1:]

    @property
    def sign(self) -> int:
        """Times the figure, greater is better."""
        return -1 if self.smaller else 1

    def bounded(self, value: float) -> float:
        """The value, or the bound that it goes over; never infinite."""
        return min(max(value, self.low), self.high)


METRICS: Mapping[str, Measure] = {
    "roc_auc": Measure("ROC AUC"),
    "average_precision": Measure("Average precision"),
    "f1": Measure("F1"),
    "precision": Measure("Precision"),
    "recall": Measure("Recall"),
    "accuracy": Measure("Accuracy"),
    "log_loss": Measure("Log loss", smaller=True, high=100.0),
    "brier": Measure("Brier score", smaller=True),
    "expected_calibration_error": Measure("Calibration error", smaller=True),
    "rmse": Measure("RMSE", smaller=True, high=WIDEST),
    "mae": Measure("MAE", smaller=True, high=WIDEST),
    "r2": Measure("R²", low=-WIDEST),
    "mape": Measure("MAPE", smaller=True, high=WIDEST),
    "bias": Measure("Bias", low=-WIDEST, high=WIDEST),  # best at 0, so neither way is better: shown, never asked for
    "macro_f1": Measure("Macro F1"),
    "weighted_f1": Measure("Weighted F1"),
    "macro_precision": Measure("Macro precision"),
    "macro_recall": Measure("Macro recall"),
    "weighted_precision": Measure("Weighted precision"),
    "weighted_recall": Measure("Weighted recall"),
}


@dataclass(frozen=True)
class Vocabulary:
    """What can be said of the models of one task."""

    chosen_by: Metric  # unless `search` names another
    headline: tuple[str, str]  # of a sentence; the second stands beside the baseline
    shown: tuple[str, ...]  # in a terminal
    more: tuple[str, ...] = ()  # computed as well
    label: str = ""  # the SQL type of a label

    @property
    def metrics(self) -> tuple[str, ...]:
        """All that the task has, in the order in which they are shown."""
        return (*self.shown, *self.more)


TASKS: Mapping[str, Vocabulary] = {
    "binary": Vocabulary(
        "average_precision",
        ("roc_auc", "average_precision"),
        ("roc_auc", "average_precision", "f1", "precision", "recall", "accuracy"),
        ("log_loss", "brier", "expected_calibration_error"),
        label="int",
    ),
    "regression": Vocabulary("rmse", ("r2", "rmse"), ("rmse", "mae", "r2", "mape", "bias"), label="double"),
    "multiclass": Vocabulary(
        "macro_f1",
        ("accuracy", "macro_f1"),
        ("accuracy", "macro_f1", "weighted_f1", "log_loss"),
        ("macro_precision", "macro_recall", "weighted_precision", "weighted_recall"),
        label="string",
    ),
}
