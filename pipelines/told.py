"""Rows of the warehouse beside intents and records: what was measured, who was told, who was forgotten.

state.py keeps them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = Any  # what json.loads gives back


@dataclass(frozen=True)
class Alert:
    """One row of `_alerts`: what was sent of which record."""

    pipeline: str
    stage: str
    run_id: str
    generation: int
    batch: int
    at: datetime  # UTC; when it was sent
    id: str  # of what it says; the same is sent once
    text: str


@dataclass(frozen=True)
class Forgotten:
    """One row of `_forgotten`: a person whose rows were erased, known by tokens alone, and the proof."""

    pipeline: str
    stage: str  # '' for all
    run_id: str
    generation: int
    batch: int
    at: datetime  # UTC; when it was done
    tokens: dict[str, Any]  # column -> token
    erased: dict[str, Any]  # table -> rows that were erased, and what is left on disk
    models: dict[str, Any]  # model and version -> rows of the person in the feature table that it learned from


@dataclass(frozen=True)
class Quality:
    """One row of `_quality`: what one refresh of a table found of one promise.

    element_count, unexpected_count, unexpected_percent: as quality/judgement.py has them; of a rule that refuses rows,
    the rows that came in with the batch and those that it refused.
    """

    pipeline: str
    stage: str
    run_id: str
    generation: int
    batch: int
    at: datetime  # UTC; the batch's `now`
    expectation: str  # Great Expectations' name, or freshness, volume
    label: str
    on_fail: str
    severity: str | None
    tier: str
    success: bool
    element_count: int | None
    unexpected_count: int | None
    unexpected_percent: float | None
    observed: str


def of_last_refresh(quality: Iterable[Quality]) -> list[Quality]:
    """What the last refresh of each table found; quality: oldest first. What was promised before may be no more."""
    every = list(quality)
    last = {q.stage: (q.generation, q.batch) for q in every}
    return [q for q in every if (q.generation, q.batch) == last[q.stage]]


@dataclass(frozen=True)
class Tally:
    """One row of `_metrics`: what one batch of a monitor counted of one column in one window.

    The counts of a window are the sums over its batches; a batch that counted the window whole begins them anew.
    """

    pipeline: str
    stage: str
    run_id: str
    generation: int
    batch: int
    at: datetime  # UTC; the batch's `now`
    model_version: int
    window: datetime | None  # its start, UTC; None: the model's training slice, to which windows are compared
    column: str  # a feature; '' is the score, 'by shop' the score by the values of shop
    whole: bool
    counts: dict[str, Json] = field(default_factory=dict)  # of a feature rows by bin, of a score by label and bin
    bins: dict[str, Json] = field(default_factory=dict)  # of a reference


@dataclass(frozen=True)
class Epoch:
    """One row of `_epochs`: what one epoch of a winner's training came to, and which rules spoke after it."""

    pipeline: str
    stage: str
    run_id: str
    generation: int
    batch: int
    at: datetime  # UTC; the batch's `now`
    epoch: int  # from 1
    loss: float
    held_loss: float | None  # of rows that do not train
    seconds: float
    account: dict[str, Json] = field(default_factory=dict)  # gradients, units, classes, seconds by phase and rank
    ailments: dict[str, Json] = field(default_factory=dict)  # rule -> what it said
