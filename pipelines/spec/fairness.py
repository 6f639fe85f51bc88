"""Fairness: which groups a yes-or-no model is compared by, and how far apart it may treat them."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from pipelines.spec.base import Column, Spec

Rate = Literal["selection_rate", "true_positive_rate", "false_positive_rate", "precision"]
RATES: tuple[Rate, ...] = get_args(Rate)


class Fairness(Spec):
    """Rates of the test slice by group; a column may be one of the spine that is no feature, which no model sees."""

    columns: tuple[Column, ...] = Field(min_length=1, max_length=8, description="whose values are the groups")
    parity: dict[Rate, Annotated[float, Field(ge=0, le=1)]] = Field(
        default={}, description="gates: rate -> the largest difference between two groups"
    )
    rows: int = Field(default=100, gt=0, description="groups of fewer test rows are shown, and not compared")
