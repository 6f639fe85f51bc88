"""In which slice of the rows a drifted feature moved: two scans for each slice column, of drifted windows alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.monitor import counting
from pipelines.monitor.bins import Bins
from pipelines.monitor.statistics import psi

MOST_VALUES = 1_000  # of a slice column that are looked at
TIMES = 2  # as far from the reference as the other rows, or no slice is named
Counted = Mapping[int | None, Mapping[str, Mapping[str, Any]]]  # code of a slice -> feature -> counts


def located(
    before: DataFrame, now: DataFrame, bins: Mapping[str, Bins], columns: Sequence[str], least: int
) -> dict[str, Any]:
    """Feature -> the slice that is furthest from its own past, with PSI, rows, and PSI of the other rows.

    least: rows of a slice on both sides. A feature is left out where it moved everywhere alike.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for column in columns:
        sides = [counting.count(rows, bins, _code(column)) for rows in (before, now)]
        values = now.select(_code(column).alias("c"), F.col(column).cast("string").alias("v")).distinct()
        names = {row.c: row.v for row in values.limit(MOST_VALUES).collect()}
        for feature in (f for f in bins if f != column):
            found.setdefault(feature, []).extend(_slices(feature, column, names, sides, least))
    worst = {f: max(each, key=lambda s: s["psi"], default=None) for f, each in found.items()}
    return {f: one for f, one in worst.items() if one and one["psi"] > TIMES * one["elsewhere"]}


def _code(column: str) -> Column:
    return F.xxhash64(F.col(column).cast("string"))


def _slices(
    feature: str, column: str, names: Mapping[int, str | None], sides: Sequence[Counted], least: int
) -> Iterator[dict[str, Any]]:
    for code, name in names.items():
        own = [_rows(side, feature, {code}) for side in sides]
        rest = [_rows(side, feature, set(side) - {code}) for side in sides]
        if all(sum(rows) >= least for rows in (*own, *rest)):
            yield {
                "slice": f"{column} = {'missing' if name is None else name}",
                "psi": round(psi(*own), 6),
                "rows": sum(own[1]),
                "elsewhere": round(psi(*rest), 6),
            }


def _rows(side: Counted, feature: str, codes: set[int | None]) -> list[int]:
    held = [side[code][feature]["rows"] for code in codes if feature in side.get(code, {})]
    return [sum(slot) for slot in zip(*held, strict=True)]
