"""Who is champion and who challenges, as the run records of a model's stage tell it. Pure.

The registry's aliases decide what is loaded; here is what is said of them, with
who moved them and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipelines.state import Record


@dataclass(frozen=True)
class Move:
    """The alias `champion` came to a version."""

    version: int
    at: datetime
    run: str
    who: str  # empty: nobody's hand, the gates of a training
    reason: str
    back: bool  # to a former champion

    def __str__(self) -> str:
        how = "rolled back" if self.back else "promoted"
        return f"{how}{f' by {self.who}' if self.who else ''}: {self.reason or 'no reason given'}"


def moves(records: Sequence[Record]) -> list[Move]:
    """Of one stage, oldest first, in the order of its records."""
    return [_move(r, r.model_version) for r in records if r.status == "ok" and r.model_version is not None]


def former(made: Sequence[Move], now: int) -> int | None:
    """The champion to roll back to; None where there is none; `now` itself where it was rolled back to already."""
    if made and made[-1].version == now and made[-1].back:
        return now
    return next((m.version for m in reversed(made) if m.version != now), None)


def challenger(records: Sequence[Record]) -> int | None:
    """The version that a gate refused last, unless it was promoted all the same."""
    refused = [r for r in records if r.status == "refused" and "version" in r.detail]
    if not refused:
        return None
    version: int = refused[-1].detail["version"]
    return None if version in [m.version for m in moves(records)] else version


def _move(record: Record, version: int) -> Move:
    moved = record.detail.get("moved", {"who": "", "reason": "its gates passed", "back": False})
    return Move(version, record.started_at, record.run_id, moved["who"], moved["reason"], moved["back"])
