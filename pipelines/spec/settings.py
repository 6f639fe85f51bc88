"""What a task has to be told beside label and features: a block of a model, under the name of its task."""

from pydantic import Field

from pipelines.spec.base import Spec

SETTINGS = ("anomaly",)  # the tasks that have a block


class Anomaly(Spec):
    """How much is taken to be unusual."""

    contamination: float = Field(
        default=0.01, gt=0, le=0.5, description="share of the training rows that lie above the threshold"
    )
