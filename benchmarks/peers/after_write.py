"""Ten checks of lineitem by a user's own Spark, after the write: one aggregate for all, or a count for each.

It imports nothing of ours. Each check returns how many rows break each rule.
"""

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F


def rules() -> list[Column]:
    """What a bad row looks like; null is neither true nor false, so it counts nowhere."""
    return [
        F.col("l_orderkey").isNull(),
        ~F.col("l_quantity").between(1, 50),
        ~F.col("l_extendedprice").between(1, 200000),
        ~F.col("l_discount").between(0, 0.1),
        ~F.col("l_tax").between(0, 0.08),
        ~F.col("l_returnflag").isin("A", "N", "R"),
        ~F.col("l_linestatus").isin("F", "O"),
        ~F.col("l_shipmode").isin("AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"),
        ~F.col("l_shipinstruct").rlike("^[A-Z ]+$"),
        F.col("l_receiptdate") <= F.col("l_shipdate"),
    ]


def read(spark: SparkSession, ddl: str, landed: str) -> DataFrame:
    """The landed files."""
    return spark.read.schema(ddl).parquet(landed)


def write(rows: DataFrame, table: str) -> DataFrame:
    """A new Delta table, and what is in it."""
    rows.write.format("delta").save(table)
    return rows.sparkSession.read.format("delta").load(table)


def one_aggregate(rows: DataFrame) -> list[int]:
    """One job."""
    found = rows.agg(*[F.count_if(rule).alias(str(i)) for i, rule in enumerate(rules())]).first()
    assert found
    return list(found)


def ten_counts(rows: DataFrame) -> list[int]:
    """A job for each rule."""
    return [rows.filter(rule).count() for rule in rules()]
