"""Which labelled rows train, which choose and which judge; and how a model would have done in the past."""

from typing import Literal

from pydantic import Field, model_validator

from pipelines.spec.base import Column, Length, Spec


class Split(Spec):
    """Three sides: rows that train, rows that validate (they choose the candidate), rows that test (they judge it)."""

    by: Literal["time", "random", "group", "stratified"] = Field(
        default="time",
        description="oldest rows train and newest test; or by a hash of the keys; of one column, whose values stay "
        "whole; of the keys within each class",
    )
    column: Column | None = Field(default=None, description="of `by: group`: a feature, or a column of the spine")
    seed: int = Field(default=7, ge=0, le=2**31 - 1, description="of the hash")
    train: float = Field(default=0.7, gt=0, lt=1)
    validate_: float = Field(default=0.15, gt=0, lt=1, alias="validate")
    test: float = Field(default=0.15, gt=0, lt=1)

    @model_validator(mode="after")
    def _whole(self) -> "Split":
        whole = self.train + self.validate_ + self.test
        if abs(whole - 1) > 1e-9:
            raise ValueError(f"train + validate + test should be 1, got {whole:g}")
        return self

    @model_validator(mode="after")
    def _fitting(self) -> "Split":
        if self.by == "group" and not self.column:
            raise ValueError("by: group needs a column")
        if self.column and self.by != "group":
            raise ValueError(f"by: {self.by} has no column; by: group has one")
        if self.by == "time" and "seed" in self.model_fields_set:
            raise ValueError("by: time has no seed; it draws no lots")
        return self


class Backtest(Spec):
    """The winner trained again as of moments of the past, each time judged on the rows that came next."""

    folds: int = Field(default=5, ge=2, le=50, description="how many moments; each is a training")
    window: Length | None = Field(
        default=None, description="how long each fold is judged; unless said, windows of as many labelled rows"
    )
    history: Length | None = Field(default=None, description="train on rows of so long before; unless said, on all")
