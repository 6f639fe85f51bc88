"""Models: candidates, and how rows are split for them; search.py and gate.py have how one is chosen and admitted."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.spec.base import Column, Name, Spec
from pipelines.spec.gate import Gate
from pipelines.spec.search import Search


class Split(Spec):
    """Oldest rows train, newer validate (they choose the candidate), the newest test (they judge it)."""

    by: Literal["time"] = "time"
    train: float = Field(default=0.7, gt=0, lt=1)
    validate_: float = Field(default=0.15, gt=0, lt=1, alias="validate")
    test: float = Field(default=0.15, gt=0, lt=1)

    @model_validator(mode="after")
    def _whole(self) -> "Split":
        whole = self.train + self.validate_ + self.test
        if abs(whole - 1) > 1e-9:
            raise ValueError(f"train + validate + test should be 1, got {whole:g}")
        return self


class LogisticRegression(Spec):
    """Spark ML logistic regression on one-hot categories and standardised numbers."""

    kind: Literal["logistic_regression"]
    regularization: float = Field(default=1e-4, ge=0, le=1_000, description="L2 penalty")
    iterations: int = Field(default=50, gt=0, le=10_000, description="most L-BFGS steps")


class Xgboost(Spec):
    """Gradient-boosted trees: XGBoost on Spark."""

    kind: Literal["xgboost"]
    rounds: int = Field(default=200, gt=0, le=10_000, description="boosting rounds")
    depth: int = Field(default=6, gt=0, le=16, description="deepest tree")
    learning_rate: float = Field(default=0.1, gt=0, le=1)
    workers: int = Field(default=1, gt=0, le=1_000, description="Spark tasks that train together; one is deterministic")


Candidate = Annotated[LogisticRegression | Xgboost, Field(discriminator="kind")]


class Model(Spec):
    """One prediction problem: the features it sees, the label it learns, who may win."""

    features: Name
    label: str = Field(description="SQL over the spine's columns: 'arr_delay >= 15'; a row trains once it is known")
    task: Literal["binary"] = Field(description="what kind of answer")
    split: Split = Split()
    candidates: tuple[Candidate, ...] = Field(min_length=1, description="who may win")
    search: Search = Search()
    gates: tuple[Gate, ...] = Field(default=(), description="all must hold")
    slices: tuple[Column, ...] = Field(default=(), description="feature columns whose values get metrics of their own")


class Score(Spec):
    """A published prediction: `of` feature rows by the model's champion, in batch or as a stream."""

    model: Name
    of: Name
    mode: Literal["batch", "stream"]
