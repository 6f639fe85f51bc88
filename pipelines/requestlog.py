"""A sample of what was asked and answered, as JSON lines in a folder, as a file source of a conf reads them.

A line a row: request, place, at, model, version, the row's features or keys as they came in, its answer. A file appears
whole, under a name of its own; until then it is hidden. What does not fit between two writes is dropped, and counted.
"""

import json
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MOST_LINES = 100_000  # between two writes
EVERY_S = 10.0
Json = Mapping[str, Any]


@dataclass
class RequestLog:
    """Lines that wait to be written."""

    folder: Path
    share: float  # of the requests
    lines: list[str] = field(default_factory=list)
    dropped: int = 0

    def add(self, rows: Sequence[Json], said: Json) -> None:
        """One answered request, or not, by chance."""
        if not rows or random.random() >= self.share:
            return
        answers = said["answers"] if "answers" in said else [said["answer"]]
        head = {"request": uuid.uuid4().hex, "at": datetime.now(UTC).isoformat(timespec="milliseconds")}
        head |= {"model": said["model"], "version": said["version"]}
        made = [
            json.dumps({**row, **answer, **head, "place": place})
            for place, (row, answer) in enumerate(zip(rows, answers, strict=True))
        ]
        fits = made[: max(0, MOST_LINES - len(self.lines))]
        self.lines += fits
        self.dropped += len(made) - len(fits)

    def write(self) -> None:
        """What waits, as one more file; nothing where nothing waits."""
        lines, self.lines = self.lines, []
        if not lines:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"requests-{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}.json"
        part = self.folder / f".{name}"
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
        part.rename(self.folder / name)
