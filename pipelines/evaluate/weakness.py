"""Where a model is worst: slices of one or two features, found by themselves, with what many looks cost.

Categories keep their most frequent values, numbers are cut at their quartiles.
Spark sums the loss of each cell in one pass; plain Python asks of each cell
whether its mean loss is above that of all other rows. The more cells are
looked at, the wider the intervals (Bonferroni), so that what is said holds of
all of them at once (Chung and others 2019, Slice Finder, has the search).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from statistics import NormalDist
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipelines.evaluate.base import Task
from pipelines.spec.task import LABEL, LIKELIHOOD, SCORE

MOST_COLUMNS, MOST_VALUES, MOST_SHOWN = 10, 12, 10  # features looked at, values of one, slices said
MOST_ROWS = 100_000  # of more, a share by the hash of their keys
QUARTILES = [0.25, 0.5, 0.75]
ROUGH = 1_000  # of percentile_approx: within a thousandth of the rows
LEAST_ROWS, LEAST_SHARE = 100, 0.01  # of a slice
LEAST = 1 / 8192  # of a probability: half a bin of the histogram, so that no row weighs without bound
CONFIDENCE = 0.95
WIDTH = 16  # levels of a column at most: missing, the values, all others
SEED = 11
MISSING, OTHER = "(missing)", "(other)"
Levels = Mapping[str, Sequence[Any]]  # column -> its edges or its values
Where = tuple[tuple[str, int], ...]  # column and level, one or two


@dataclass(frozen=True)
class Cell:
    """Sums over the rows of a slice."""

    rows: float
    loss: float
    squares: float

    @property
    def mean(self) -> float:
        """Loss of a row."""
        return self.loss / self.rows

    @property
    def error(self) -> float:
        """Standard error of the mean, squared."""
        return max(self.squares / self.rows - self.mean**2, 0.0) / self.rows

    def rest(self, whole: "Cell") -> "Cell":
        """All rows but these."""
        return Cell(whole.rows - self.rows, whole.loss - self.loss, whole.squares - self.squares)


@dataclass(frozen=True)
class Found:
    """A slice that is surely worse: how much, and between what with all others at once."""

    where: Where
    cell: Cell
    rest: float
    by: float
    reach: float  # of the difference
    own: float  # of the mean

    @property
    def least(self) -> float:
        """By how much at least."""
        return self.by - self.reach


def weakness(task: Task, scored: DataFrame, columns: Mapping[str, bool], key: Column, rows: int) -> dict[str, Any]:
    """The slices of a scored and labelled frame that are surely worse, the surest first; empty where rows are few.

    columns: feature -> is it a number; the first ten are looked at. rows: of the frame.
    Cost: three small aggregates, the last over 55 cells a row of at most 100,000.
    """
    named = _loss(task)
    if named is None or rows < 2 * LEAST_ROWS:
        return {}
    name, loss = named
    labelled = scored.where(F.col(LABEL).isNotNull())
    sample = _sampled(labelled, key, rows).withColumn("__loss", loss)
    looked = dict(list(columns.items())[:MOST_COLUMNS])
    levels = _levels(sample, looked)
    whole, cells = _cells(sample, looked, levels)
    tested, found = surely_worse(whole, cells)
    if not tested:
        return {}
    return {
        "loss": name, "mean": whole.mean, "rows": int(whole.rows), "of": rows, "columns": list(levels),
        "looked_at": tested, "support": int(support(whole.rows)), "confidence": CONFIDENCE,
        "slices": [_said(each, looked, levels) for each in found[:MOST_SHOWN]],
    }  # fmt: skip


def surely_worse(whole: Cell, cells: Mapping[Where, Cell]) -> tuple[int, list[Found]]:
    """How many cells have rows enough, and those surely worse than the rest, by how much at least.

    A pair of features is said only where it is worse than each of the two by itself.
    """
    least = support(whole.rows)
    tested = {w: c for w, c in cells.items() if c.rows >= least and whole.rows - c.rows >= least}
    wide = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / (2 * max(len(tested), 1)))
    found = {w: _found(w, c, whole, wide) for w, c in tested.items()}
    worse = [f for w, f in found.items() if f.least > 0 and all(f.least > p.least for p in _parents(w, found))]
    return len(tested), sorted(worse, key=lambda f: (-f.least, f.where))


def support(rows: float) -> float:
    """Fewest rows of a slice."""
    return max(LEAST_ROWS, LEAST_SHARE * rows)


def _found(where: Where, cell: Cell, whole: Cell, wide: float) -> Found:
    rest = cell.rest(whole)
    reach = wide * sqrt(cell.error + rest.error)
    return Found(where, cell, rest.mean, cell.mean - rest.mean, reach, wide * sqrt(cell.error))


def _parents(where: Where, found: Mapping[Where, Found]) -> Iterable[Found]:
    return (found[part,] for part in where if len(where) > 1 and (part,) in found)


def _loss(task: Task) -> tuple[str, Column] | None:
    """How it is called, and what a row's is; nothing for a task that has none.

    A forecast has none here: its neighbours err alike, and intervals that count them one by one would call luck sure.
    """
    score = F.greatest(F.least(F.col(SCORE), F.lit(1 - LEAST)), F.lit(LEAST))
    told = F.greatest(F.col(LIKELIHOOD), F.lit(LEAST))
    known = {
        "binary": ("log loss", -F.log(F.when(F.col(LABEL) == 1, score).otherwise(1 - score))),
        "multiclass": ("log loss", -F.log(told)),
        "regression": ("absolute error", F.abs(F.col(SCORE) - F.col(LABEL))),
    }
    return known.get(task.kind)


def _sampled(df: DataFrame, key: Column, rows: int) -> DataFrame:
    if rows <= MOST_ROWS:
        return df
    whole = 1 << 20
    return df.where(F.pmod(F.xxhash64(F.lit(SEED), key), F.lit(whole)) < F.lit(round(whole * MOST_ROWS / rows)))


def _levels(df: DataFrame, columns: Mapping[str, bool]) -> Levels:
    """Quartiles of numbers, the most frequent values of the others; a column of one level is left out."""
    numbers = [c for c, number in columns.items() if number]
    edges = df.agg(F.lit(0), *[F.percentile_approx(_number(c), QUARTILES, ROUGH) for c in numbers]).first()
    assert edges is not None
    found: dict[str, Sequence[Any]] = {c: sorted(set(e or ())) for c, e in zip(numbers, edges[1:], strict=True)}
    found |= _frequent(df, [c for c, number in columns.items() if not number])
    return {c: found[c] for c in columns if len(found[c]) > (0 if columns[c] else 1)}


def _frequent(df: DataFrame, columns: Sequence[str]) -> dict[str, list[str]]:
    """At most MOST_VALUES of each column. Cost: one shuffle of the values."""
    if not columns:
        return {}
    pairs = [F.struct(F.lit(c).alias("c"), F.col(c).cast("string").alias("v")) for c in columns]
    counted = df.select(F.inline(F.array(*pairs))).where("v IS NOT NULL").groupBy("c", "v").count()
    order = Window.partitionBy("c").orderBy(F.desc("count"), "v")
    found: dict[str, list[str]] = {c: [] for c in columns}
    ranked = counted.withColumn("at", F.row_number().over(order)).where(F.col("at") <= MOST_VALUES)
    for row in ranked.orderBy("at").collect():
        found[row.c].append(row.v)
    return found


def _number(column: str) -> Column:
    value = F.col(column).cast("double")
    return F.when(~F.isnan(value), value)


def _code(column: str, number: bool, levels: Sequence[Any]) -> Column:
    """0 where missing; of a number 1 and one more for each edge that it is over; of a text its place, others last."""
    if number:
        over = sum((F.when(_number(column) > edge, 1).otherwise(0) for edge in levels), F.lit(1))
        return F.when(_number(column).isNull(), 0).otherwise(over)
    text = F.col(column).cast("string")
    places = F.array(*[F.lit(v) for v in levels])
    at = F.array_position(places, text).cast("int")
    return F.when(text.isNull(), 0).when(at > 0, at).otherwise(len(levels) + 1)


def _cells(df: DataFrame, columns: Mapping[str, bool], levels: Levels) -> tuple[Cell, dict[Where, Cell]]:
    """The sums of all rows, and of each level and each pair of levels. Cost: one aggregate."""
    names = list(levels)
    codes = [_code(c, columns[c], levels[c]).alias(f"__{i}") for i, c in enumerate(names)]
    pairs = [*[(i, i) for i in range(len(names))], *combinations(range(len(names)), 2)]
    keys = [F.lit(-1), *[_key(i, j) for i, j in pairs]]
    each = df.select("__loss", *codes).select("__loss", F.explode(F.array(*keys)).alias("k"))
    loss = F.col("__loss")
    sums = each.groupBy("k").agg(F.count("*").alias("n"), F.sum(loss).alias("l"), F.sum(loss * loss).alias("q"))
    found = {row.k: Cell(row.n, row.l, row.q) for row in sums.collect()}
    whole = found.pop(-1)
    return whole, {_where(k, names): cell for k, cell in sorted(found.items())}


def _key(i: int, j: int) -> Column:
    """A pair of columns and their levels as one number; a column with itself is that column alone."""
    second = F.lit(0) if i == j else F.col(f"__{j}")
    return F.lit((i * MOST_COLUMNS + j) * WIDTH * WIDTH) + F.col(f"__{i}") * WIDTH + second


def _where(key: int, names: Sequence[str]) -> Where:
    pair, levels = divmod(key, WIDTH * WIDTH)
    (i, j), (a, b) = divmod(pair, MOST_COLUMNS), divmod(levels, WIDTH)
    return ((names[i], a),) if i == j else ((names[i], a), (names[j], b))


def _said(found: Found, columns: Mapping[str, bool], levels: Levels) -> dict[str, Any]:
    mean, by = found.cell.mean, found.by
    return {
        "where": {c: _level(levels[c], at, columns[c]) for c, at in found.where},
        "rows": int(found.cell.rows),
        "loss": [mean, mean - found.own, mean + found.own],
        "rest": found.rest,
        "worse_by": [by, found.least, by + found.reach],
    }


def _level(levels: Sequence[Any], at: int, number: bool) -> str:
    if at == 0:
        return MISSING
    if not number:
        return str(levels[at - 1]) if at <= len(levels) else OTHER
    low = f"over {levels[at - 2]:g}" if at > 1 else ""
    return " ".join(part for part in (low, f"up to {levels[at - 1]:g}" if at <= len(levels) else "") if part)
