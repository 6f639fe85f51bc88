"""Gates: what must hold on the test slice before the alias `champion` moves."""

from typing import Literal

from pydantic import Field, model_validator

from pipelines.spec.base import Column, Spec
from pipelines.spec.task import METRICS, Metric


def smaller_is_better(metric: Metric) -> bool:
    """True of an error, false of a merit."""
    return METRICS[metric].smaller


class Gate(Spec):
    """What must hold on the test slice before the alias `champion` moves: exactly one of `min`, `max`, `versus`."""

    metric: Metric
    min: float | None = Field(default=None, description="the metric is at least this")
    max: float | None = Field(default=None, description="the metric is at most this")
    versus: Literal["champion", "baseline"] | None = Field(
        default=None, description="better than this, on the same rows"
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="of the one-sided comparison")
    slice: Column | None = Field(default=None, description="a column as of `slices`: the worst of its values counts")
    rows: int = Field(default=100, gt=0, description="values of the slice with fewer test rows are passed over")

    @model_validator(mode="after")
    def _one_test(self) -> "Gate":
        if sum(x is not None for x in (self.min, self.max, self.versus)) != 1:
            raise ValueError("a gate has exactly one of min, max and versus")
        if self.slice and self.versus:
            raise ValueError("the gate of a slice has a min or a max")
        return self


def unnamed(metric: Metric) -> tuple[Gate, ...]:
    """The gates of a model that names none: surely above the baseline, and above the champion if there is one."""
    return Gate(metric=metric, versus="baseline"), Gate(metric=metric, versus="champion")
