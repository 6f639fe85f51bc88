"""Sides by a hash: of a row's keys, of one column whose values stay whole, of the keys within each class.

A hash of 4,096 places and a seed says where a row falls, so that its side is
the same in any order of the rows, in any partitions, and after rows were
added. By classes the ends of the sides are those of the rows at hand: a row
near an end may change its side when rows are added.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.spec import Split
from pipelines.spec.task import LABEL

PLACES = 4096
MOST_CLASSES = 1_000
SIDES = ("train", "validate", "test")
ALL = ""  # stands for every class
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Ends = Mapping[str, tuple[int, int]]  # class, or ALL -> the places at which validation and test begin


@dataclass(frozen=True)
class HeldOut:
    """The rows that a hash keeps for the test: a rule, so that it finds them among other rows as well."""

    columns: tuple[str, ...]
    seed: int
    above: Mapping[str, int]  # class, or ALL -> the first place of the test side

    def text(self) -> str:
        """To be kept with a model."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> "HeldOut":
        """What was kept."""
        found = json.loads(text)
        return cls(tuple(found["columns"]), found["seed"], found["above"])

    def holds(self) -> Column:
        """True of a row that the model has not seen; never null."""
        return F.coalesce(place(self.columns, self.seed) >= _of_class(self.above), F.lit(False))


@dataclass(frozen=True)
class Sides:
    """Labelled rows of the three sides, in the order of SIDES."""

    parts: tuple[DataFrame, DataFrame, DataFrame]
    summary: dict[str, dict[str, Any]]
    cutoff: datetime  # just after the newest labelled row
    unlabelled: int
    held: HeldOut


def place(columns: Sequence[str], seed: int) -> Column:
    """Where a row falls, in [0, PLACES); rows that have the same values, or none, fall together."""
    return F.pmod(F.xxhash64(F.lit(seed), *columns), F.lit(PLACES))


def split(df: DataFrame, time: str, keys: Sequence[str], how: Split) -> Sides:
    """Three sides of the labelled rows, near to the shares. Errors: DataError where one has no row; > 1,000 classes.

    A class keeps its shares to within half of its rows that share a place. Cost: one small aggregate; two by classes.
    """
    columns = (how.column,) if how.column else tuple(keys)
    at, rows = place(columns, how.seed), df.where(F.col(LABEL).isNotNull())
    found = _by_class(rows, at, how) if how.by == "stratified" else {ALL: _fixed(how)}
    first, second = (_of_class({c: pair[i] for c, pair in found.items()}) for i in (0, 1))
    side = F.when(at < first, SIDES[0]).when(at < second, SIDES[1]).otherwise(SIDES[2])
    summary, newest, unlabelled = _counted(df, time, side)
    train, validate, test = (rows.where(side == name) for name in SIDES)
    held = HeldOut(columns, how.seed, {c: pair[1] for c, pair in found.items()})
    return Sides((train, validate, test), summary, newest + timedelta(microseconds=1), unlabelled, held)


def _fixed(how: Split) -> tuple[int, int]:
    return round(how.train * PLACES), round((how.train + how.validate_) * PLACES)


def _by_class(rows: DataFrame, at: Column, how: Split) -> dict[str, tuple[int, int]]:
    name = F.col(LABEL).cast("string").alias("c")
    if rows.select(name).distinct().limit(MOST_CLASSES + 1).count() > MOST_CLASSES:
        raise DataError(f"by: stratified wants classes, and the label has more than {MOST_CLASSES:,}: is it a number?")
    found: dict[str, Any] = {}
    for row in rows.groupBy(name, at.alias("p")).count().toLocalIterator():
        found.setdefault(row.c, np.zeros(PLACES, dtype=np.int64))[row.p] = row["count"]
    return {c: ends(counts, how) for c, counts in sorted(found.items())}


def ends(counts: Sequence[int], how: Split) -> tuple[int, int]:
    """The places at which the rows below come nearest to the shares; counts: rows by place."""
    below = np.concatenate([[0], np.cumsum(counts)])
    wanted = [below[-1] * share for share in (how.train, how.train + how.validate_)]
    first, second = (int(np.abs(below - w).argmin()) for w in wanted)
    return first, second


def _of_class(bounds: Mapping[str, int]) -> Column:
    if ALL in bounds:
        return F.lit(bounds[ALL])
    pairs = [F.lit(part) for pair in bounds.items() for part in pair]
    return F.create_map(*pairs)[F.col(LABEL).cast("string")]


def _counted(df: DataFrame, time: str, side: Column) -> tuple[dict[str, dict[str, Any]], datetime, int]:
    """What is said of the sides, the newest labelled row, and rows without a label. Errors: DataError: empty side."""
    at = F.unix_micros(F.col(time).cast("timestamp"))
    by = F.when(F.col(LABEL).isNotNull(), side).alias("side")
    found = {r.side: r for r in df.groupBy(by).agg(F.count("*").alias("n"), F.min(at), F.max(at)).collect()}
    labelled = sum(found[name].n for name in SIDES if name in found)
    empty = [name for name in SIDES if name not in found]
    if empty:
        raise DataError(f"of {labelled:,} labelled rows none falls to {empty[0]}; too few, or too few groups")
    summary = {
        name: {"rows": n, "from": str(_moment(low).date()), "to": str(_moment(high).date())}
        for name, (_, n, low, high) in ((name, found[name]) for name in SIDES)
    }
    newest = max(_moment(found[name][3]) for name in SIDES)
    return summary, newest, found[None].n if None in found else 0


def _moment(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)
