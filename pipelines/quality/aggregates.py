"""All expectations of a version in one aggregate; those that count values or stand on a statistic in a second.

The first job reads the columns it needs once, whatever the number of
expectations. The second is one union of small frames: a column whose values
are counted is grouped once (values.py), rules that needed the first job's
numbers (z-scores, outliers) are counted, and queries are asked. Both are
linear in the rows, and neither brings rows to the driver.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import reduce
from typing import Any
from uuid import uuid4

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.quality import statistics, values
from pipelines.quality.fitting import first_line
from pipelines.quality.judgement import Judgement, of_rows, of_value
from pipelines.quality.rules import applies, bad, looked_at
from pipelines.spec import Expectation

TIERS = frozenset({"row", "aggregate", "values", "query"})
Found = dict[int, Judgement]  # by place among the expectations asked


def judge(df: DataFrame, rows: int, expectations: Sequence[Expectation]) -> list[Judgement]:
    """Judge expectations of TIERS, in their order.

    df    : the version, without bookkeeping columns; every expectation fits it (fitting.py).
    rows  : of that version, from its log.
    Cost  : one job, and a second for values, z-scores, outliers and queries.
    Errors: DataError naming the expectation that could not be carried out.
    """
    try:
        return _judge(df, rows, expectations)
    except PySparkException as error:
        for expectation in expectations:  # which one: only now that it failed
            _alone(df, rows, expectation)
        raise DataError(f"the expectations could not be carried out together: {first_line(error)}") from error


def _alone(df: DataFrame, rows: int, expectation: Expectation) -> None:
    try:
        _judge(df, rows, [expectation])
    except PySparkException as error:
        raise DataError(f"{expectation.label}: could not be carried out: {first_line(error)}") from error


def _judge(df: DataFrame, rows: int, expectations: Sequence[Expectation]) -> list[Judgement]:
    asked = dict(enumerate(expectations))
    first = {i: _columns(e, df, rows) for i, e in asked.items() if e.tier in ("row", "aggregate")}
    found = _aggregated(df, first)
    late = {i: found[i] for i in found if asked[i].name in statistics.DEPENDENT}
    judged = {i: _decided(asked[i], found[i]) for i in found if i not in late}
    judged |= _second(df, asked, late)
    return [judged[i] for i in asked]


def _columns(expectation: Expectation, df: DataFrame, rows: int) -> list[Column]:
    if expectation.tier == "row":
        return _counts(expectation, bad(expectation))
    return statistics.columns(expectation, df.schema, rows)


def _counts(expectation: Expectation, broken: Column) -> list[Column]:
    return [F.count_if(c) for c in (applies(expectation), looked_at(expectation), broken)]


def _decided(expectation: Expectation, found: Sequence[Any]) -> Judgement:
    return of_rows(expectation, *found) if expectation.tier == "row" else statistics.decide(expectation, found)


def _aggregated(df: DataFrame, columns: dict[int, list[Column]]) -> dict[int, list[Any]]:
    if not columns:
        return {}
    flat = [c.alias(f"_{i}_{k}") for i, cs in columns.items() for k, c in enumerate(cs)]
    (row,) = df.agg(*flat).collect()
    left = iter(row)
    return {i: [next(left) for _ in cs] for i, cs in columns.items()}


def _second(df: DataFrame, asked: dict[int, Expectation], late: dict[int, list[Any]]) -> Found:
    """The frames of the second job, each with the places of the expectations it answers; then one collect."""
    frames: list[tuple[list[int], DataFrame]] = []
    if late:
        columns = [c for i, found in late.items() for c in _late_counts(asked[i], found)]
        frames.append(([*late], df.agg(F.array(*columns).alias("counts"), _nothing(len(late)).alias("examples"))))
    for places in _shared(asked):
        frames.append((places, values.frame(df, [asked[i] for i in places])))
    frames += [([i], _query(df, e)) for i, e in asked.items() if e.tier == "query"]
    if not frames:
        return {}
    parts = [frame.select(F.lit(k).alias("k"), "counts", "examples") for k, (_, frame) in enumerate(frames)]
    answers = {r.k: r for r in reduce(DataFrame.unionAll, parts).collect()}
    return {
        place: _answer(asked[place], answers[k].counts[3 * n : 3 * n + 3], answers[k].examples[n])
        for k, (places, _) in enumerate(frames)
        for n, place in enumerate(places)
    }


def _late_counts(expectation: Expectation, found: Sequence[Any]) -> list[Column]:
    broken = looked_at(expectation) & statistics.beyond(expectation, found)
    return [c.cast("bigint") for c in _counts(expectation, F.coalesce(broken, F.lit(False)))]


def _shared(asked: dict[int, Expectation]) -> list[list[int]]:
    places: defaultdict[object, list[int]] = defaultdict(list)
    for i, expectation in asked.items():
        if expectation.tier == "values":
            places[values.key(expectation)].append(i)
    return [*places.values()]


def _query(df: DataFrame, expectation: Expectation) -> DataFrame:
    """How many rows a query of the version finds; what it may say was checked before anything ran (check.py)."""
    view = f"batch_{uuid4().hex}"
    df.createOrReplaceTempView(view)
    text = str(expectation.said["unexpected_rows_query"]).replace("{batch}", view)
    try:
        count = df.sparkSession.sql(text).agg(F.count(F.lit(1)).alias("n"))
    finally:
        df.sparkSession.catalog.dropTempView(view)
    return count.select(F.array("n", "n", "n").alias("counts"), _nothing(1).alias("examples"))


def _nothing(count: int) -> Column:
    return F.array(*[F.lit(None).cast("string")] * count)


def _answer(expectation: Expectation, counts: Sequence[int], example: str | None) -> Judgement:
    if expectation.tier == "values":
        return values.decide(expectation, counts, example)
    if expectation.tier == "query":
        return of_value(expectation, counts[0] == 0, counts[0], f"{counts[0]:,} unexpected rows")
    return of_rows(expectation, *counts)
