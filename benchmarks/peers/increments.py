"""New and corrected rows into lineitem as a user writes it: from Spark's and Delta's documentation, nothing of ours."""

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

KEYS = ["l_orderkey", "l_linenumber"]


def rebuild(spark: SparkSession, ddl: str, landed: str, table: str, keyed: bool) -> None:
    """All landed files again; of rows with the same keys the one received last."""
    rows = spark.read.schema(ddl).parquet(landed)
    (_newest(rows) if keyed else rows).write.format("delta").mode("overwrite").save(table)


def append(spark: SparkSession, ddl: str, arrived: str, table: str) -> None:
    """The new file, appended."""
    spark.read.schema(ddl).parquet(arrived).write.format("delta").mode("append").save(table)


def merge(spark: SparkSession, ddl: str, arrived: str, table: str) -> None:
    """The new file, merged by its keys and nothing else."""
    rows = _newest(spark.read.schema(ddl).parquet(arrived))
    same = " AND ".join(f"t.{key} = s.{key}" for key in KEYS)
    merged = DeltaTable.forPath(spark, table).alias("t").merge(rows.alias("s"), same)
    updated = merged.whenMatchedUpdateAll(condition="s.l_receiptdate > t.l_receiptdate")
    updated.whenNotMatchedInsertAll().execute()


def _newest(rows: DataFrame) -> DataFrame:
    latest = Window.partitionBy(*KEYS).orderBy(F.col("l_receiptdate").desc())
    return rows.withColumn("n", F.row_number().over(latest)).filter("n = 1").drop("n")
