"""Tasks: the metrics of each, which way a metric is better, and between what it lies.

What a task does with rows stands in evaluate/; here is what a conf, a gate and
a report have to know of it. To add a metric: a line in METRICS, its name in
Metric where a conf may ask for it, and a place in TASKS.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Task = Literal["binary", "regression", "multiclass", "clustering", "anomaly", "forecasting", "recommendation"]
Metric = Literal[
    "accuracy", "precision", "recall", "f1", "roc_auc", "average_precision", "log_loss", "brier",
    "expected_calibration_error", "rmse", "mae", "mape", "r2", "macro_precision", "macro_recall", "macro_f1",
    "weighted_precision", "weighted_recall", "weighted_f1", "silhouette", "smallest_cluster",
    "flagged_error", "mase", "ndcg", "mean_average_precision",
]  # fmt: skip
LABEL, SCORE, PREDICTED = "_label", "score", "predicted"  # columns of a scored frame, whatever the task
EXPLAINED = ("binary", "regression")  # tasks whose answer is one number that has parts
TARGET, LIKELIHOOD = "_target", "_likelihood"  # the label as a learner sees it; the probability that a class was given
KNOWN = "_known"  # when the label became known, where that is later than the row
NAIVE = "_naive"  # a guess that a model has to beat: the label one season before, the mean rating of an item
VECTOR = "_vector"  # the features as a learner saw them, in rows that are counted and not published
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
    "mase": Measure("MASE", smaller=True, high=WIDEST),
    "silhouette": Measure("Silhouette", low=-1.0),
    "smallest_cluster": Measure("Smallest cluster"),
    "flagged": Measure("Flagged"),  # best at the share that was asked, so neither way is better: shown, never asked for
    "flagged_error": Measure("Error of the flagged share", smaller=True),
    "ndcg": Measure("NDCG"),
    "mean_average_precision": Measure("MAP"),
}

TOLD = ("bias", "flagged")  # told, and never asked for


@dataclass(frozen=True)
class Vocabulary:
    """What can be said of the models of one task."""

    chosen_by: Metric  # unless `search` names another
    headline: tuple[str, str]  # of a sentence; the second stands beside the baseline
    shown: tuple[str, ...]  # in a terminal
    more: tuple[str, ...] = ()  # computed as well
    label: str = ""  # the SQL type of a label
    missing: str = ""  # SQL that stands where a row has no label; empty: the task learns labels, and needs them
    unlabelled: tuple[Metric, ...] = ()  # of a task that may have a label: what is had without; the first chooses then
    classes: bool = True  # a label is one of a few, by which rows can be dealt out
    undecided: str = "says neither yes nor no"  # why no cost and no group can move its threshold; empty: they can
    means: bool = True  # a category can stand as its mean label
    unit: bool = True  # metrics lie between 0 and 1, and are drawn so
    answers: str = "probabilities"  # what scores are
    told: str = ""  # the keys of the block that a conf has to have, named as the task
    naive: str = ""  # what the baseline does, where metrics are not drawn

    @property
    def metrics(self) -> tuple[str, ...]:
        """All that the task has, in the order in which they are shown."""
        return (*self.shown, *self.more)

    @property
    def supervised(self) -> bool:
        """True where a label is learned."""
        return not self.missing

    @property
    def labelled(self) -> bool:
        """True where a label may be named."""
        return self.supervised or bool(self.unlabelled)

    def chosen(self, labelled: bool) -> Metric:
        """The metric that chooses among candidates."""
        return self.chosen_by if labelled or not self.unlabelled else self.unlabelled[0]

    def asked(self, labelled: bool) -> tuple[str, ...]:
        """The metrics that a conf may ask for."""
        known = self.metrics if labelled or not self.unlabelled else self.unlabelled
        return tuple(m for m in known if m not in TOLD)

    def headlines(self, found: Mapping[str, object]) -> tuple[str, ...]:
        """The headline as far as it is known, else what is shown and known."""
        known = tuple(m for m in self.headline if found.get(m) is not None)
        return known or tuple(m for m in self.shown if m in found)[:2] or self.headline


TASKS: Mapping[str, Vocabulary] = {
    "binary": Vocabulary(
        "average_precision",
        ("roc_auc", "average_precision"),
        ("roc_auc", "average_precision", "f1", "precision", "recall", "accuracy"),
        ("log_loss", "brier", "expected_calibration_error"),
        label="int",
        undecided="",
    ),
    "regression": Vocabulary(
        "rmse",
        ("r2", "rmse"),
        ("rmse", "mae", "r2", "mape", "bias"),
        label="double",
        classes=False,
        unit=False,
        answers="values",
        naive="The baseline predicts the mean of the training rows for each.",
    ),
    "multiclass": Vocabulary(
        "macro_f1",
        ("accuracy", "macro_f1"),
        ("accuracy", "macro_f1", "weighted_f1", "log_loss"),
        ("macro_precision", "macro_recall", "weighted_precision", "weighted_recall"),
        label="string",
        means=False,
    ),
    "clustering": Vocabulary(
        "silhouette",
        ("smallest_cluster", "silhouette"),
        ("silhouette", "smallest_cluster"),
        label="int",
        missing="1",
        classes=False,
        means=False,
        unit=False,
        answers="distances, or probabilities of a mixture",
        naive="The baseline deals rows to as many clusters by chance: its silhouette is 0 in the limit of many rows.",
    ),
    "anomaly": Vocabulary(
        "average_precision",
        ("roc_auc", "average_precision"),
        ("average_precision", "roc_auc", "flagged", "flagged_error"),
        ("precision", "recall", "f1"),
        label="int",
        missing="-1",
        unlabelled=("flagged_error",),
        undecided="has its threshold of contamination alone",
        means=False,
        answers="distances from what is usual",
    ),
    "forecasting": Vocabulary(
        "mae",
        ("mase", "mae"),
        ("mae", "mase", "rmse", "r2", "mape", "bias"),
        label="double",
        classes=False,
        unit=False,
        answers="values",
        told="series, every, horizon, season",
        naive="The baseline is the seasonal naive forecast: what was one season before.",
    ),
    "recommendation": Vocabulary(
        "ndcg",
        ("ndcg", "mean_average_precision"),
        ("ndcg", "mean_average_precision", "rmse", "mae"),
        ("r2", "mape", "bias"),
        label="double",
        classes=False,
        unit=False,
        answers="ratings",
        told="user, item",
        naive="The baseline ranks items by their mean rating in training, and rates each as the mean of all.",
    ),
}
