"""The search for the best candidate."""

from pydantic import Field

from pipelines.spec.base import Spec
from pipelines.spec.task import Metric


class Search(Spec):
    """How the best candidate is chosen: the best metric on the validation slice."""

    metric: Metric | None = Field(
        default=None, description="unless said: average_precision, rmse or macro_f1, by the task"
    )
