"""A sample of what was asked and answered, as JSON lines in a folder, as a file source of a conf reads them.

A line a row: request, place, at, model, version, the row's features or keys as they came in, its answer. A file appears
whole, under a name of its own; until then it is hidden. What does not fit between two writes is dropped, and counted.

Lines of a person who is forgotten are made blank where they stand: the file keeps its size and time, so that no source
takes it for another.
"""

import json
import os
import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PREFIX = "requests-"  # of a file's name
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

    def add(self, rows: Sequence[Json], said: Json, names: Iterable[str] = ()) -> None:
        """One answered request, or not, by chance; names: what a row may have, null where its client left it out."""
        if not rows or random.random() >= self.share:
            return
        answers = said["answers"] if "answers" in said else [said["answer"]]
        head = {"request": uuid.uuid4().hex, "at": datetime.now(UTC).isoformat(timespec="milliseconds")}
        head |= {"model": said["model"], "version": said["version"]}
        nothing = dict.fromkeys(names)
        made = [
            json.dumps({**nothing, **row, **answer, **head, "place": place})
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
        name = f"{PREFIX}{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}.json"
        part = self.folder / f".{name}"
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
        part.rename(self.folder / name)


def erase(folder: Path, wanted: Mapping[str, str], dry: bool = False) -> int:
    """Make the lines blank in which a field has its value, as text; how many they are. dry: only count them."""
    return sum(_erased(file, wanted, dry) for file in sorted(folder.rglob(f"{PREFIX}*.json")))


def _erased(file: Path, wanted: Mapping[str, str], dry: bool) -> int:
    lines = file.read_bytes().split(b"\n")
    named = [bool(line.strip()) and _names(line, wanted) for line in lines]
    if any(named) and not dry:
        part, stood = file.with_name(f".{file.name}"), file.stat()
        part.write_bytes(b"\n".join(b" " * len(line) if of else line for line, of in zip(lines, named, strict=True)))
        os.utime(part, ns=(stood.st_atime_ns, stood.st_mtime_ns))
        part.replace(file)
    return sum(named)


def _names(line: bytes, wanted: Mapping[str, str]) -> bool:
    """True of a line that cannot be read and has a value anywhere."""
    try:
        row = json.loads(line)
        return any(str(row.get(field)) == value for field, value in wanted.items())
    except (ValueError, AttributeError):
        return any(value.encode() in line for value in wanted.values())
