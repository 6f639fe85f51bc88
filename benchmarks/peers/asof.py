"""The newest earlier row of each of some tables, as feature stores' guides write it: nothing of ours."""

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

WITHIN = "INTERVAL 90 DAYS"


def range_joins(labels: DataFrame, events: Mapping[str, DataFrame]) -> DataFrame:
    """A range join and row_number for each table, one after another on the growing frame."""
    return reduce(lambda rows, name: _ranged(rows, name, events[name]), events, labels)


def _ranged(labels: DataFrame, name: str, events: DataFrame) -> DataFrame:
    past = events.select(F.col("key").alias("of"), F.col("at").alias("then"), F.col("value").alias(f"{name}_value"))
    earlier = (F.col("of") == F.col("key")) & (F.col("then") < F.col("at"))
    fresh = F.col("then") >= F.col("at") - F.expr(WITHIN)
    joined = labels.join(past, earlier & fresh, "left")
    newest = Window.partitionBy("label").orderBy(F.col("then").desc())
    return joined.withColumn("n", F.row_number().over(newest)).where("n = 1").drop("n", "of", "then")


def separate_joins(labels: DataFrame, events: Mapping[str, DataFrame]) -> DataFrame:
    """A union and last() over a window for each table by itself, joined to the labels by their id."""
    made = [_last(labels, name, rows) for name, rows in events.items()]
    return reduce(lambda rows, more: rows.join(more, "label"), made, labels)


def _last(labels: DataFrame, name: str, events: DataFrame) -> DataFrame:
    found = F.struct(F.col("at").alias("then"), "value").alias("found")
    rows = labels.select("label", "key", "at", F.lit(None).cast("struct<then:timestamp,value:double>").alias("found"))
    both = rows.unionByName(events.select(F.lit(None).cast("bigint").alias("label"), "key", "at", found))
    before = Window.partitionBy("key").orderBy("at").rowsBetween(Window.unboundedPreceding, -1)
    seen = both.withColumn("last", F.last("found", ignorenulls=True).over(before)).where("label IS NOT NULL")
    fresh = F.col("last.then") >= F.col("at") - F.expr(WITHIN)
    return seen.select("label", F.when(fresh, F.col("last.value")).alias(f"{name}_value"))
