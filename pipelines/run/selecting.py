"""A select over frames: the tables of the pipeline at the versions that an intent fixed, and what is given beside."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from pipelines import tables
from pipelines.columns import carry, replace_now
from pipelines.ingest import ROW
from pipelines.run.context import Context
from pipelines.spec import Table


def sides(ctx: Context, inputs: Mapping[str, Any]) -> dict[str, DataFrame]:
    """The tables that an intent's inputs fix, their own bookkeeping columns left out."""
    found = {k.removeprefix("tables."): v["upto"] for k, v in inputs.items() if k.startswith("tables.")}
    read = {n: tables.read(ctx.spark, ctx.warehouse.path(f"tables.{n}"), v) for n, v in found.items()}
    return {name: plain(df) for name, df in read.items()}


def of_source(ctx: Context, table: Table, inputs: Mapping[str, Any], raw: DataFrame, now: datetime) -> DataFrame:
    """A table's select over records of its source; each row's `_row` comes with it."""
    assert table.source
    select = carry(replace_now(table.select, now), table.source, ROW)
    return selected(ctx.spark, select, {table.source: raw, **sides(ctx, inputs)})


def plain(df: DataFrame) -> DataFrame:
    """Without bookkeeping columns: what a select sees of a table."""
    return df.select(*[c for c in df.columns if not c.startswith("_")])


def selected(spark: SparkSession, select: str, relations: dict[str, DataFrame]) -> DataFrame:
    """A select over frames, each under its name."""
    for name, df in relations.items():
        df.createOrReplaceTempView(name)
    return spark.sql(select)
