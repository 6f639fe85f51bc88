"""Gates: what must hold before the alias `champion` moves."""

from typing import Literal

from pydantic import Field, model_validator

from pipelines.spec.base import Spec
from pipelines.spec.task import METRICS, Metric


def smaller_is_better(metric: Metric) -> bool:
    """True of an error, false of a merit."""
    return METRICS[metric].smaller


class Gate(Spec):
    """What must hold on the test slice before the alias `champion` moves."""

    metric: Metric
    min: float | None = Field(default=None, description="the metric is at least this")
    versus: Literal["champion", "baseline"] | None = Field(
        default=None, description="better than this, on the same rows"
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="of the one-sided comparison")

    @model_validator(mode="after")
    def _one_test(self) -> "Gate":
        if (self.min is None) == (self.versus is None):
            raise ValueError("a gate has either min or versus")
        return self
