"""Decisions: what a wrong one costs, from which the threshold of a yes follows."""

from pydantic import Field

from pipelines.spec.base import Spec


class Cost(Spec):
    """Of a wrong decision, in any unit, since their ratio alone decides; a right one costs nothing."""

    false_positive: float = Field(default=1, gt=0, le=1e12, description="yes was said, and it was no")
    false_negative: float = Field(default=1, gt=0, le=1e12, description="no was said, and it was yes")


class Decision(Spec):
    """From which score on the answer is yes: where wrong decisions cost least on the validation slice."""

    cost: Cost
