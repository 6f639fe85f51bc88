"""Counts of many batches as the counts of a window: each batch adds to what was before, or takes its place. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from pipelines.monitor.bins import Bins, Json, from_json
from pipelines.told import Tally

SCORE = ""  # as the name of a column: the score itself
BY = "by "  # before a column: the score by that column's values; no feature has such a name
Key = tuple[datetime, int]  # start of the window, model version
Counts = dict[str, Json]


@dataclass(frozen=True)
class Reference:
    """The training slice of one model version, binned once."""

    bins: dict[str, Bins] = field(default_factory=dict)
    counts: dict[str, Counts] = field(default_factory=dict)


@dataclass(frozen=True)
class Totals:
    """What a monitor has counted so far."""

    references: dict[int, Reference] = field(default_factory=dict)
    windows: dict[Key, dict[str, Counts]] = field(default_factory=dict)

    @classmethod
    def of(cls, tallies: Iterable[Tally]) -> "Totals":
        """tallies: of one generation, oldest batch first."""
        totals = cls()
        for tally in tallies:
            if tally.window is None:
                reference = totals.references.setdefault(tally.model_version, Reference())
                reference.bins[tally.column] = from_json(tally.bins)
                reference.counts[tally.column] = tally.counts
            else:
                held = totals.windows.setdefault((tally.window, tally.model_version), {})
                before = {} if tally.whole else held.get(tally.column, {})
                held[tally.column] = merged(before, tally.counts)
        return totals


def features_of(counts: Mapping[str, Counts]) -> dict[str, Counts]:
    """What a window holds of features alone."""
    return {name: each for name, each in counts.items() if name != SCORE and not name.startswith(BY)}


def by_slice(counts: Mapping[str, Counts]) -> dict[str, dict[str, Counts]]:
    """Column -> value -> counts of its scores, as a window holds them."""
    return {name.removeprefix(BY): each for name, each in counts.items() if name.startswith(BY)}


def merged(one: Counts, other: Counts) -> Counts:
    """The counts of the rows of both."""
    return {key: _added(one[key], value) if key in one else value for key, value in other.items()}


def _added(one: Json, other: Json) -> Json:
    if isinstance(other, list):
        return [a + b for a, b in zip(one, other, strict=True)]
    if isinstance(other, dict):
        return {k: one.get(k, 0) + other.get(k, 0) for k in {**one, **other}}
    return one + other


def rows_of(counts: Counts) -> int:
    """Rows that were counted of a score or of a feature."""
    if "rows" in counts:
        return int(sum(counts["rows"]))
    return sum(sum(part.values()) if isinstance(part, dict) else part for part in counts.values())


def by_label(counts: Counts, bins: int) -> NDArray[np.float64]:
    """Rows of a score by bin and label, shape (bins, 2); those whose label is not known left out."""
    return np.stack([_dense(counts.get(label, {}), bins) for label in ("0", "1")], axis=1)


def scored(counts: Counts, bins: int) -> NDArray[np.float64]:
    """Rows of a score by bin, whatever their label."""
    return np.asarray(by_label(counts, bins).sum(axis=1) + _dense(counts.get("unknown", {}), bins))


def _dense(sparse: dict[str, int], bins: int) -> NDArray[np.float64]:
    found = np.zeros(bins)
    for place, rows in sparse.items():
        found[int(place)] = rows
    return found
