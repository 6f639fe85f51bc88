"""Monitors: what of published scores is watched, window by window, and what may follow from it."""

from decimal import Decimal
from typing import Literal

from pydantic import Field

from pipelines.spec.base import Column, Length, Name, Spec

Metric = Literal["accuracy", "precision", "recall", "f1", "roc_auc", "average_precision", "mae", "rmse", "macro_f1"]
WATCHED: dict[str, tuple[Metric, ...]] = {  # by task: the usual one first
    "binary": ("roc_auc", "average_precision", "accuracy", "precision", "recall", "f1"),
    "regression": ("mae", "rmse"),
    "multiclass": ("accuracy", "macro_f1"),
}
ERRORS = WATCHED["regression"]  # are worse where they are greater
Period = Literal["day", "week", "month"]
Reference = Literal["training", "previous"]
Statistic = Literal["psi", "jensen_shannon", "wasserstein"]
USUAL: dict[Statistic, float] = {"psi": 0.2, "jensen_shannon": 0.1, "wasserstein": 0.1}


class Drift(Spec):
    """When a feature counts as drifted: it is far from the reference, and that is no chance."""

    statistic: Statistic = Field(default="psi", description="of categories, wasserstein stands for jensen_shannon")
    most: float | None = Field(default=None, gt=0, description="by default 0.2 of psi, 0.1 of the others")
    false_discovery: float = Field(
        default=0.05, gt=0, lt=1, description="share of false alarms among the alarms of a window (Benjamini-Hochberg)"
    )
    missing: float = Field(
        default=0.05, gt=0, le=1, description="so far may the share of missing values be from the reference's, at most"
    )
    new: float = Field(
        default=0.05, gt=0, le=1, description="of a category, share of values that the reference has not"
    )
    features: dict[Column, float] = Field(default={}, description="a feature's own `most`")
    ignore: tuple[Column, ...] = Field(default=(), description="features that are shown and never count as drifted")

    def limit(self, feature: str, statistic: Statistic) -> float:
        """How far a feature may be from its reference by a statistic."""
        return self.features.get(feature, self.most or USUAL[statistic])


class Attribution(Spec):
    """Which features the answers hang on, by SHAP values of trees and linear models, against the training slice."""

    rows: int = Field(default=500, ge=100, le=10_000, description="of a window, about; drawn by the hash of their keys")
    least: float = Field(default=0.9, gt=0, lt=1, description="NDCG of the order of features; below it has moved")


class Performance(Spec):
    """When the model counts as worse than it was."""

    metric: Metric | None = Field(default=None, description="by default roc_auc; of a number mae, of classes accuracy")
    drop: float | None = Field(
        default=None, gt=0, lt=1,
        description="so far below the reference, and surely below it: 0.05; an error above it by a share of it: 0.1",
    )  # fmt: skip
    labelled: float = Field(
        default=0.5, gt=0, le=1, description="share of rows whose label has to be known; until then the estimate warns"
    )
    labels_within: Length | None = Field(
        default=None, description="after a window is over; later than that, missing labels are looked into: 30 days"
    )

    def of(self, task: str) -> "Performance":
        """With what it says by default of a task."""
        metric = self.metric or WATCHED[task][0]
        drop = self.drop or (0.1 if metric in ERRORS else 0.05)
        return self.model_copy(update={"metric": metric, "drop": drop})

    def figure(self, value: float) -> str:
        """In words: four decimals of a share, four digits of an error."""
        return f"{value:.4g}" if self.metric in ERRORS else f"{value:.4f}"

    def shown(self, value: float, low: float, high: float, of: str = "") -> str:
        """The metric with its interval, in words; of: a slice."""
        return f"{self.metric}{of and f' of {of}'} {self.figure(value)} ({self.figure(low)} to {self.figure(high)})"

    def by(self, value: float, before: float) -> str:
        """How far a metric is worse, in words."""
        lost = self.lost(value, before)
        return f"{lost:.0%} above" if self.metric in ERRORS else f"{lost:.4f} below"

    def lost(self, value: float, before: float) -> float:
        """How far a metric is worse than what it is held against, as `drop` counts it; below 0 where it is better."""
        if self.metric in ERRORS:
            return value / before - 1 if before else float(value > 0)
        return before - value


class Retrain(Spec):
    """Where it stands, a challenger is trained if the monitor asks for one, and the gates decide."""

    cooldown: Length = Field(description="between the newest row of the last training and the end of the window")
    budget_usd: Decimal | None = Field(
        default=None, gt=0, description="a training that would cost more, by what it cost before, is not asked for"
    )


class Monitor(Spec):
    """Watches what was scored: drift of its features, and how good the scores turned out to be."""

    scores: Name = Field(description="whose rows are watched")
    window: Period = Field(default="month", description="calendar windows of as_of_time, in UTC")
    reference: Literal["training", "previous", "both"] = Field(
        default="training", description="held against the training and the test slice, the window before, or both"
    )
    rows: int = Field(default=100, gt=0, description="fewer in a window are not judged")
    drift: Drift = Drift()
    performance: Performance = Performance()
    attribution: Attribution | None = Field(default=None, description="watched where it stands; `{}` is enough")
    retrain: Retrain | None = Field(default=None, description="without it a monitor only says what it would do")

    @property
    def references(self) -> tuple[Reference, ...]:
        """What a window is held against."""
        return ("training", "previous") if self.reference == "both" else (self.reference,)

    def of(self, task: str) -> "Monitor":
        """With what it says by default of a task."""
        return self.model_copy(update={"performance": self.performance.of(task)})
