"""Two kinds of rows of the warehouse about people: who was told what, and who was forgotten. state.py keeps them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


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
