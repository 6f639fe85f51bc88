"""How a yes-or-no model treats groups: four rates of each, how far they are apart, and how sure that is.

Spark counts hits and misses by group of people and by group of the jackknife;
plain Python makes the rates. The two groups that are furthest apart are picked
by the same rows that say how far, so that the largest difference is seen a
little too large, the more so the more groups there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.evaluate.base import Counts
from pipelines.evaluate.tally import GROUPS, MOST_SLICES, Interval, spread
from pipelines.spec.fairness import RATES
from pipelines.spec.task import LABEL, PREDICTED

HIT, FALSE_ALARM, MISS, PASS = range(4)  # yes and right, yes and wrong, no and wrong, no and right
MISSING = "(missing)"


@dataclass(frozen=True)
class Groups:
    """Counts of shape (jackknife groups, 4) of each value of a column, the most frequent first."""

    counts: Mapping[str, Counts]

    def rows(self, value: str) -> int:
        """Test rows of a value."""
        return int(self.counts[value].sum())

    def enough(self, rows: int) -> list[str]:
        """The values that are compared."""
        return [v for v in self.counts if self.rows(v) >= rows]


def by_group(scored: DataFrame, column: str, key: Column) -> Groups:
    """Of at most 30 values, the most frequent. key: decides a row's jackknife group. Cost: two small aggregates."""
    value = F.coalesce(F.col(column).cast("string"), F.lit(MISSING)).alias("v")
    labelled = scored.where(F.col(LABEL).isNotNull())
    frequent = labelled.groupBy(value).count().orderBy(F.desc("count"), "v").limit(MOST_SLICES).collect()
    found = {r.v: np.zeros((GROUPS, 4)) for r in frequent}
    yes, is_so = F.col(PREDICTED), F.col(LABEL) == 1
    fate = F.when(yes & is_so, HIT).when(yes, FALSE_ALARM).when(is_so, MISS).otherwise(PASS).alias("f")
    group = F.pmod(F.xxhash64(key), F.lit(GROUPS)).cast("int").alias("g")
    for row in labelled.groupBy(value, group, fate).count().where(F.col("v").isin(list(found))).toLocalIterator():
        found[row.v][row.g, row.f] = row["count"]
    return Groups(found)


def rates(counts: Counts) -> dict[str, float]:
    """Name -> rate, of those that are defined; counts: of shape (4,)."""
    hit, alarm, miss, rest = (float(n) for n in counts)
    parts = {
        "selection_rate": (hit + alarm, hit + alarm + miss + rest),
        "true_positive_rate": (hit, hit + miss),
        "false_positive_rate": (alarm, alarm + rest),
        "precision": (hit, hit + alarm),
    }
    return {name: part / whole for name, (part, whole) in parts.items() if whole}


def compared(found: Groups, rows: int) -> dict[str, Any]:
    """Of each group its rates, apart from the most frequent one's; and of each rate the two groups furthest apart.

    rows: fewest of a group that is compared.
    """
    first = next(iter(found.counts), "")
    held = found.enough(rows)
    groups = [_group(found, value, first if value in held and first in held else "") for value in found.counts]
    return {"reference": first, "least_rows": rows, "groups": groups, "largest": _largest(found, held)}


def apart(one: Counts, other: Counts) -> dict[str, dict[str, Interval]]:
    """Of each rate the first group's less the other's, and their ratio; shapes (jackknife groups, 4)."""

    def figures(counts: Counts) -> dict[str, float]:
        a, b = rates(counts[0]), rates(counts[1])
        both = [r for r in RATES if r in a and r in b]
        return {f"difference {r}": a[r] - b[r] for r in both} | {f"ratio {r}": a[r] / b[r] for r in both if b[r]}

    found = spread(np.stack([one, other], axis=1), figures)
    return {
        kind: {name.split(" ")[1]: values for name, values in found.items() if name.startswith(kind)}
        for kind in ("difference", "ratio")
    }


def _group(found: Groups, value: str, reference: str) -> dict[str, Any]:
    counts = found.counts[value]
    said = {"value": value, "rows": found.rows(value), "positives": int(counts[:, [HIT, MISS]].sum())}
    versus = apart(counts, found.counts[reference]) if reference and value != reference else {}
    inside = {rate: tuple(min(max(v, 0.0), 1.0) for v in values) for rate, values in spread(counts, rates).items()}
    return {**said, "rates": inside, **versus}


def _largest(found: Groups, held: list[str]) -> dict[str, Any]:
    whole = {value: rates(found.counts[value].sum(axis=0)) for value in held}
    largest: dict[str, Any] = {}
    for rate in RATES:
        known = {value: each[rate] for value, each in whole.items() if rate in each}
        if len(known) > 1:
            low, high = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
            over, under = (apart(found.counts[a], found.counts[b]) for a, b in ((high, low), (low, high)))
            largest[rate] = {
                "high": [high, known[high]],
                "low": [low, known[low]],
                "difference": over["difference"][rate],
                "ratio": under["ratio"].get(rate),  # at most 1: 0.8 is the four-fifths rule
            }
    return largest
