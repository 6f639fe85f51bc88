"""The bins of a feature: learned from a reference, kept with it, so that all windows are counted alike. Pure.

Every feature has slots: those of its values, then what stands for no value of the reference, then `missing`.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

BINS = 10  # of a number, by quantiles of the reference
TOP = 50  # categories with a slot of their own
KNOWN = 5_000  # categories that are remembered, so that another one is new
LARGEST = 1e100  # of a value in a sum; infinite ones count as this

Json = Any
Kind = Literal["number", "category"]


@dataclass(frozen=True)
class Numbers:
    """Slots of a number: below the least, up to each quantile, above the greatest; then missing (null and NaN)."""

    edges: tuple[float, ...]  # rising, from the reference's least value to its greatest; () if it has none
    spread: float | None = None  # the reference's standard deviation; None where none was kept, or none is finite
    kind: Kind = "number"

    @classmethod
    def of(cls, quantiles: "list[float]", spread: float | None = None) -> "Numbers":
        """From the reference's quantiles, least and greatest included; equal ones are one edge, but for the least."""
        kept = spread if spread is not None and isfinite(spread) else None
        return cls((*quantiles[:1], *sorted(set(quantiles[1:]))), kept)

    @property
    def slots(self) -> int:
        """How many, missing included."""
        return len(self.edges) + 2

    def place(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """The slot of each value."""
        place = np.zeros(len(values), np.int8)  # few edges: to compare with each is quicker than to search
        for edge in self.edges[1:]:
            place += (values > edge).view(np.int8)
        if self.edges:
            place += (values >= self.edges[0]).view(np.int8)
        place[np.isnan(values)] = self.slots - 1
        return place.astype(np.int64)

    def as_json(self) -> dict[str, Json]:
        """To be kept."""
        return {"edges": list(self.edges), "spread": self.spread}


@dataclass(frozen=True)
class Categories:
    """Slots of a text: the most frequent values, one for all others that are known, one for new ones; then missing."""

    values: tuple[str, ...]
    others: tuple[str, ...] = ()
    complete: bool = True  # False: the reference had more than are remembered, so that none is called new
    kind: Kind = "category"

    @classmethod
    def of(cls, ranked: "list[str]") -> "Categories":
        """From the reference's values, the most frequent first."""
        return cls(tuple(ranked[:TOP]), tuple(ranked[TOP:KNOWN]), len(ranked) <= KNOWN)

    @property
    def slots(self) -> int:
        """How many: the values, others, new, missing."""
        return len(self.values) + 3

    def as_json(self) -> dict[str, Json]:
        """To be kept."""
        return {"values": list(self.values), "others": list(self.others), "complete": self.complete}


Bins = Numbers | Categories


def from_json(kept: dict[str, Json]) -> Bins:
    """As `as_json` wrote them."""
    if "edges" in kept:
        return Numbers(tuple(kept["edges"]), kept.get("spread"))
    return Categories(tuple(kept["values"]), tuple(kept["others"]), kept["complete"])
