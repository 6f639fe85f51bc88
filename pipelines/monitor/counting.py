"""What Spark counts for a monitor: bins of a reference, rows by window and bin, scores by window and label.

Every function scans its frame once and brings counts to the driver, never rows.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import log

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipelines.columns import backquoted
from pipelines.monitor.binning import COUNTED, WINDOW, binned
from pipelines.monitor.bins import BINS, KNOWN, Bins, Categories, Json, Numbers
from pipelines.spec.monitor import Period
from pipelines.spec.task import PREDICTED

SAMPLED, SEED = 50_000, 20130101  # rows, about, whose quantiles are edges: off by a share of 0.002, and counted alike
FEW, ERROR = 1_000, 0.001  # values in that sample; of a quantile of fewer, as a share of the rows
CHANCES = [i / BINS for i in range(1, BINS)]
SAID = (F.min, F.max, F.count, F.stddev_pop)  # of each number
STEP = 0.035  # of the logit of a score: rough bins, of which there are some 500
PART = "__part"  # a column that says for which slice a row stands, 0 for none; of slices bins are rough
Counts = dict[str, Json]
UNKNOWN, UNSCORED = "unknown", "unscored"
OTHER = "(other)"  # a label that no training saw
RATIO, SMALLEST, LARGEST = 1.002, 1e-6, 1e60  # of bins of numbers; between 0 and the smallest there is one
POWERS = {"absolute": 1, "square": 2, "fourth": 4}  # of errors


def window_of(time: str, period: Period) -> Column:
    """The start of a row's window in seconds since 1970; null for a row without a time."""
    return F.unix_seconds(F.date_trunc(period, F.col(time).cast("timestamp")))


def moment_of(seconds: int) -> datetime:
    """As `window_of` counted it."""
    return datetime.fromtimestamp(seconds, UTC)


def learn(rows: DataFrame, numbers: Sequence[str], categories: Sequence[str]) -> dict[str, Bins]:
    """Bins of each feature. Cost: three scans, a shuffle of the distinct categories, SAMPLED rows to the driver."""
    found: dict[str, Bins] = dict(_quantiles(rows, numbers)) if numbers else {}
    ranked = _ranked(rows, categories) if categories else {}
    return found | {c: Categories.of(ranked.get(c, [])) for c in categories}


def _quantiles(rows: DataFrame, numbers: Sequence[str]) -> Iterator[tuple[str, Numbers]]:
    """Each with its edges: quantiles of a sample between the least and the greatest of all; none has no edges.

    Of a number that few rows have, Spark's own quantiles of all of them.
    """
    plain = rows.select(*[F.nanvl(F.col(c).cast("double"), F.lit(None)).alias(c) for c in numbers])
    asked = [of(F.col(backquoted(c))).alias(f"{i} {of.__name__}") for i, c in enumerate(numbers) for of in SAID]
    count, *said = plain.agg(F.count("*").alias("rows"), *asked).toArrow().to_pydict().values()
    some = plain.sample(min(1.0, SAMPLED / max(count[0], 1)), SEED).toArrow()
    for i, name in enumerate(numbers):
        low, high, there, spread = (values[0] for values in said[len(SAID) * i : len(SAID) * (i + 1)])
        held = some.column(i).drop_null().to_numpy()
        few = len(held) < min(FEW, there)
        inner = plain.approxQuantile(name, CHANCES, ERROR) if few else _inner(held)
        yield name, Numbers.of([low, *inner, high] if there else [], spread)


def _inner(values: NDArray[np.float64]) -> list[float]:
    found: list[float] = np.quantile(values, CHANCES, method="inverted_cdf").tolist() if len(values) else []
    return found


def _ranked(rows: DataFrame, categories: Sequence[str]) -> dict[str, list[str]]:
    """The values of each column, the most frequent first; one more than are remembered."""
    pairs = F.array(*[F.struct(F.lit(c).alias("c"), F.col(c).cast("string").alias("v")) for c in categories])
    counted = rows.select(F.explode(pairs).alias("e")).where("e.v IS NOT NULL").groupBy("e.c", "e.v").count()
    order = Window.partitionBy("c").orderBy(F.desc("count"), "v")
    kept = counted.withColumn("place", F.row_number().over(order)).where(F.col("place") <= KNOWN + 1)
    found: dict[str, list[str]] = defaultdict(list)
    for row in sorted(kept.collect(), key=lambda r: r.place):
        found[row.c].append(row.v)
    return found


def count(rows: DataFrame, bins: Mapping[str, Bins], window: Column) -> dict[int | None, dict[str, Counts]]:
    """Window -> feature -> {'rows': per slot, 'sums': of the values, per slot of a number}.

    Cost: one scan, columns to Python by Arrow; the counts of each task go to the driver, no shuffle.
    """
    asked = rows.select(window.cast("bigint").alias(WINDOW), *[_plain(n, b).alias(n) for n, b in bins.items()])
    names, held = list(bins), dict(bins)

    def counted(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return binned(held, batches)

    found: dict[int | None, dict[str, Counts]] = {}
    for row in asked.mapInArrow(counted, COUNTED).collect():
        name = names[row.c]
        counts = found.setdefault(row.w, {}).setdefault(name, empty(bins[name]))
        for kind, summed in zip(counts, (row.n, row.x), strict=False):
            counts[kind] = [a + b for a, b in zip(counts[kind], summed, strict=True)]
    return found


def _plain(name: str, bins: Bins) -> Column:
    return F.col(name).cast("double" if isinstance(bins, Numbers) else "string")


def empty(bins: Bins) -> Counts:
    """The counts of no rows."""
    none = [0] * bins.slots
    return {"rows": none, "sums": [0.0] * bins.slots} if isinstance(bins, Numbers) else {"rows": none}


def count_scores(
    scored: DataFrame, score: str, label: str, window: Column, bins: int
) -> dict[tuple[int | None, int], Counts]:
    """(window, model version) -> label ('0', '1', 'unknown') -> bin of the score -> rows; and 'unscored' -> rows.

    scored: with `model_version`; label 0, 1 or null. Cost: one scan, one small shuffle; counts come by Arrow.
    """
    place = F.least((F.col(score) * bins).cast("int"), F.lit(bins - 1))
    known = F.when(F.col(score).isNotNull() & ~F.isnan(score), place)
    known = _roughly(scored, known, F.when(F.col(label).isNotNull(), _rough(known, bins)).otherwise(0)).alias("b")
    group = scored.select(window.alias("w"), F.col("model_version").alias("v"), known, F.col(label).alias("y"))
    counted = group.groupBy("w", "v", "b", "y").count().toArrow()
    found: dict[tuple[int | None, int], Counts] = {}
    for row in counted.group_by(["w", "v", "y"]).aggregate([("b", "list"), ("count", "list")]).to_pylist():
        counts = found.setdefault((row["w"], row["v"]), no_scores())
        by_bin = dict(zip(row["b_list"], row["count_list"], strict=True))
        counts[UNSCORED] += by_bin.pop(None, 0)
        counts[UNKNOWN if row["y"] is None else str(row["y"])] = {str(place): rows for place, rows in by_bin.items()}
    return found


def _roughly(scored: DataFrame, place: Column, rough: Column) -> Column:
    """The bin of a row; of one that stands for a slice a rough one."""
    if PART not in scored.columns:
        return place
    return F.when(F.col(PART) == 0, place).otherwise(F.when(place.isNotNull(), rough))


def _rough(place: Column, bins: int) -> Column:
    """A bin for all those whose scores have about the same logit: fine near 0 and 1, where rare events have theirs."""
    chance = (place + F.lit(0.5)) / bins
    near = F.rint(F.log(chance / (1 - chance)) / STEP) * STEP
    return F.least((bins / (1 + F.exp(-near))).cast("int"), F.lit(bins - 1))


def count_numbers(scored: DataFrame, score: str, label: str, window: Column) -> dict[tuple[int | None, int], Counts]:
    """(window, model version) -> rows by bin of the score, its sum; labelled rows, and powers of their errors, summed.

    scored: with `model_version`; label a number or null. Bins have equal ratios, by sign. Cost: as `count_scores`.
    """
    at = F.col(score)
    known = at.isNotNull() & ~F.isnan(at) & (F.abs(at) < LARGEST)
    size = F.ceil(F.log(F.greatest(F.abs(at) / SMALLEST, F.lit(1.0))) / log(RATIO)).cast("int")
    place = _roughly(scored, F.when(known, F.signum(at).cast("int") * size), F.lit(0))
    error = F.when(known & (F.abs(at - F.col(label)) < LARGEST), F.abs(at - F.col(label)))
    group = scored.select(window.alias("w"), F.col("model_version").alias("v"), place.alias("b"), at, error.alias("e"))
    sums = [F.sum(F.pow("e", F.lit(power))).alias(name) for name, power in POWERS.items()]
    counted = group.groupBy("w", "v", "b").agg(
        F.count("*").alias("rows"), F.sum(score).alias("sum"), F.count("e").alias("labelled"), *sums
    )
    found: dict[tuple[int | None, int], Counts] = {}
    for row in counted.toArrow().to_pylist():
        counts = found.setdefault((row["w"], row["v"]), no_numbers())
        if row["b"] is None:
            counts[UNSCORED] += row["rows"]
            continue
        counts["scores"][str(row["b"])] = row["rows"]
        for name in ("sum", "labelled", *POWERS):
            counts[name] += row[name] or 0
    return found


def count_classes(
    scored: DataFrame, score: str, label: str, window: Column, known: Sequence[str], bins: int
) -> dict[tuple[int | None, int], Counts]:
    """(window, model version) -> rows by the class given, by label and class, and by bin of the score.

    scored: with `predicted` and `model_version`; label null: not known. known: classes; a label beyond them is OTHER.
    Returns 'given' -> class -> rows; 'pairs' -> label -> class -> rows; 'right', 'wrong', 'unknown' -> bin -> rows;
    'unscored' -> rows. Cost: as `count_scores`.
    """
    at, y = F.col(score), F.col(label)
    place = F.when(at.isNotNull() & ~F.isnan(at), F.least((at * bins).cast("int"), F.lit(bins - 1)))
    told = F.when(y.isin(list(known)) | (y == F.col(PREDICTED)), y).otherwise(F.when(y.isNotNull(), OTHER)).alias("y")
    group = scored.select(
        window.alias("w"),
        F.col("model_version").alias("v"),
        F.col(PREDICTED).alias("p"),
        told,
        _roughly(scored, place, F.lit(0)).alias("b"),
    )
    found: dict[tuple[int | None, int], Counts] = {}
    for row in group.groupBy("w", "v", "p", "y", "b").count().toArrow().to_pylist():
        counts, rows = found.setdefault((row["w"], row["v"]), no_classes()), row["count"]
        if row["b"] is None or row["p"] is None:
            counts[UNSCORED] += rows
            continue
        _more(counts["given"], row["p"], rows)
        fate = UNKNOWN if row["y"] is None else "right" if row["y"] == row["p"] else "wrong"
        _more(counts[fate], str(row["b"]), rows)
        if row["y"] is not None:
            _more(counts["pairs"].setdefault(row["y"], {}), row["p"], rows)
    return found


def _more(held: dict[str, int], key: str, rows: int) -> None:
    held[key] = held.get(key, 0) + rows


def no_classes() -> Counts:
    """The counts of no classes."""
    return {"given": {}, "pairs": {}, "right": {}, "wrong": {}, UNKNOWN: {}, UNSCORED: 0}


def no_numbers() -> Counts:
    """The counts of no numbers."""
    return {"scores": {}, "sum": 0.0, "labelled": 0, **dict.fromkeys(POWERS, 0.0), UNSCORED: 0}


def no_scores() -> Counts:
    """The counts of no scores."""
    return {"0": {}, "1": {}, UNKNOWN: {}, UNSCORED: 0}
