"""The search for the best candidate."""

from pipelines.spec.base import Spec
from pipelines.spec.gate import Metric


class Search(Spec):
    """How the best candidate is chosen: the highest metric on the validation slice."""

    metric: Metric = "average_precision"
