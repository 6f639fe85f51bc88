"""Two versions between which an endpoint split its keys: what each answered, by the sample of requests. No engine.

Keys are split by a hash, so what asks for the one is like what asks for the
other, and answers that differ on average differ by the version.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isnan, nan, sqrt
from pathlib import Path
from typing import Any

from pipelines.errors import DataError, SpecError
from pipelines.requestlog import PREFIX
from pipelines.spec.task import PREDICTED, SCORE

MOST_DECISIONS = 5  # told of each version, the most frequent first
Z = 1.96  # of a normal 95 % interval
Json = dict[str, Any]


@dataclass
class Answered:
    """Of one version; scores: how many, their sum and that of their squares."""

    rows: int = 0
    requests: set[str] = field(default_factory=set)
    scores: list[float] = field(default_factory=lambda: [0, 0.0, 0.0])
    decided: Counter[str] = field(default_factory=Counter)

    def add(self, line: Json) -> None:
        """One row that it answered."""
        self.rows += 1
        self.requests.add(line["request"])
        if isinstance(line.get(SCORE), int | float):
            moments = (1, line[SCORE], line[SCORE] ** 2)
            self.scores = [held + more for held, more in zip(self.scores, moments, strict=True)]
        if line.get(PREDICTED) is not None:
            self.decided[json.dumps(line[PREDICTED])] += 1

    def mean(self) -> tuple[float, float]:
        """Of the scores, with the square of its standard error; no number where there are fewer than two."""
        n, total, squares = self.scores
        if n < 2:
            return nan, nan
        return total / n, max(0.0, squares - total**2 / n) / (n - 1) / n

    def as_json(self) -> Json:
        """In numbers; shares of decisions among the rows."""
        mean, _ = self.mean()
        most = self.decided.most_common(MOST_DECISIONS)
        return {
            "rows": self.rows,
            "requests": len(self.requests),
            "score": None if isnan(mean) else mean,
            "decided": {text: count / self.rows for text, count in most},
        }


def beside(folder: Path, model: str, versions: tuple[int, int]) -> Json:
    """What each of two versions answered, and how far the second's mean score is from the first's, with 95 % bounds.

    Rows of one request count each by itself. Errors: SpecError where the folder has no sample of the model's requests,
    DataError where a line cannot be read.
    """
    found, others = {version: Answered() for version in versions}, Answered()
    for line in _lines(folder):
        if line.get("model") == model:
            found.get(line["version"], others).add(line)
    if not any(each.rows for each in (*found.values(), others)):
        raise SpecError(f"{folder}: no sample of requests to {model}; `lakeloom serve --log-to` keeps one")
    (one, before), (other, after) = (found[version].mean() for version in versions)
    wide = Z * sqrt(before + after)
    apart = [other - one, other - one - wide, other - one + wide]
    return {
        "folder": str(folder),
        "versions": [found[version].as_json() for version in versions],
        "apart": None if isnan(wide) else apart,
    }


def _lines(folder: Path) -> Iterator[Json]:
    """Of all files; a line that was made blank is none."""
    for file in sorted(folder.rglob(f"{PREFIX}*.json")):
        with file.open(encoding="utf-8") as held:
            yield from (_parsed(file, line) for line in held if line.strip())


def _parsed(file: Path, line: str) -> Json:
    try:
        found: Json = json.loads(line)
    except ValueError:
        raise DataError(f"{file}: holds a line that is no JSON") from None
    return found
