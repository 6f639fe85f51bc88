"""Models: candidates, and how rows are split for them; search.py and gate.py have how one is chosen and admitted."""

from typing import Literal

from pydantic import Field, model_validator

from pipelines.spec.base import Column, Name, Spec
from pipelines.spec.candidate import Candidate
from pipelines.spec.gate import Gate
from pipelines.spec.prepare import Preparation
from pipelines.spec.search import Search
from pipelines.spec.task import TASKS, Metric, Task


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


class Model(Spec):
    """One prediction problem: the features it sees, the label it learns, who may win."""

    features: Name
    label: str = Field(description="SQL over the spine's columns: 'arr_delay >= 15'; a row trains once it is known")
    task: Task = Field(description="what kind of answer: yes or no, a number, one of some classes")
    split: Split = Split()
    prepare: dict[Column, Preparation] = Field(
        default={}, description="feature column -> what it is taken for, where its type should not decide"
    )
    candidates: tuple[Candidate, ...] = Field(min_length=1, description="who may win")
    search: Search = Search()
    gates: tuple[Gate, ...] = Field(default=(), description="all must hold")
    slices: tuple[Column, ...] = Field(default=(), description="feature columns whose values get metrics of their own")

    @property
    def chosen_by(self) -> Metric:
        """The metric that chooses among the candidates."""
        return self.search.metric or TASKS[self.task].chosen_by


class Score(Spec):
    """A published prediction: `of` feature rows by the model's champion, in batch or as a stream."""

    model: Name
    of: Name
    mode: Literal["batch", "stream"]
