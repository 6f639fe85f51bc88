"""A batch on disk between its source and its tables: Parquet, one folder a fate, counted by its footers.

A batch that was staged to its end says so by a file of its own, written last.
A replay takes such a batch as it lies: what a database or a topic holds may
have changed since.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow.fs as pafs
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from pipelines import adopt, where

COMPLETE = "_complete.json"  # Spark passes over names that begin with '_'
MOST_ROWS_HERE = 2_000_000  # keys counted by the driver; more go to Spark
MOST_A_FILE = 250_000  # rows of a table with keys, for a MERGE writes every file anew of which it changes a row


@dataclass(frozen=True)
class Staged:
    """A written batch: where, of what schema, and its Parquet footers by fate and file."""

    path: str
    column: str
    schema: StructType
    footers: dict[str, dict[str, pq.FileMetaData]]

    @property
    def rows(self) -> int:
        """Of all fates."""
        return sum(self.of(fate) for fate in self.footers)

    def of(self, fate: str) -> int:
        """Rows of one fate."""
        return sum(f.num_rows for f in self.footers.get(fate, {}).values())

    def read(self, spark: SparkSession, fate: str) -> DataFrame:
        """The rows of one fate, in their written schema."""
        files = f"{self.path}/{self.column}={fate}"
        return (
            spark.read.schema(self.schema).parquet(files) if self.of(fate) else spark.createDataFrame([], self.schema)
        )

    def distinct(self, fate: str, columns: Sequence[str]) -> int | None:
        """Distinct values of some columns taken together, counted without a Spark job; None where rows are too many."""
        if self.of(fate) > MOST_ROWS_HERE:
            return None
        system, place = where.at(f"{self.path}/{self.column}={fate}")
        if not self.of(fate):
            return 0
        held = pq.read_table(place, filesystem=system, columns=list(columns), partitioning=None)
        return int(held.group_by(list(columns)).aggregate([]).num_rows)

    def bounds(self, fate: str, column: str) -> tuple[Any, Any]:
        """Least and greatest value of a text or integer column; (None, None) where the footers do not tell."""
        groups = [f.row_group(i) for f in self.footers.get(fate, {}).values() for i in range(f.num_row_groups)]
        found = [_statistics(g, column) for g in groups if g.num_rows]
        told = [s for s in found if s is not None and s.has_min_max and isinstance(s.min, str | int)]
        if not told or len(told) < len(found):
            return None, None
        return min(s.min for s in told), max(s.max for s in told)


def write(df: DataFrame, path: str, column: str, keyed: bool = False) -> Staged:
    """Write df once, split by a text column. Cost: one pass, no sort. An earlier batch at the path is replaced.

    keyed: its rows go to a table into which others are merged later.
    """
    spark = df.sparkSession
    spark.conf.set("spark.sql.maxConcurrentOutputFileWriters", "16")
    writer = df.write.option("maxRecordsPerFile", MOST_A_FILE if keyed else 0)
    writer.mode("overwrite").partitionBy(column).parquet(path)
    schema = StructType([f for f in df.schema if f.name != column])
    return Staged(path, column, schema, _footers(path, column))


def complete(staged: Staged, counts: dict[str, int]) -> None:
    """Say that a batch lies there whole; counts: what its source says of it, kept for a replay."""
    system, place = where.at(staged.path)
    said = {"schema": staged.schema.jsonValue(), "rows": staged.rows, "counts": counts}
    with system.open_output_stream(f"{place}/{COMPLETE}") as file:
        file.write(json.dumps(said).encode())


def resumed(path: str, column: str) -> tuple[Staged, dict[str, int]] | None:
    """A batch that lies there whole, with its counts; None where it has to be staged."""
    system, place = where.at(path)
    if system.get_file_info(f"{place}/{COMPLETE}").type != pafs.FileType.File:
        return None
    with system.open_input_stream(f"{place}/{COMPLETE}") as file:
        said = json.loads(file.read())
    staged = Staged(path, column, StructType.fromJson(said["schema"]), _footers(path, column))
    return (staged, said["counts"]) if staged.rows == said["rows"] else None


def _footers(path: str, column: str) -> dict[str, dict[str, pq.FileMetaData]]:
    found: dict[str, dict[str, pq.FileMetaData]] = {}
    for file, footer in adopt.footers(path).items():
        found.setdefault(file.rsplit("/", 2)[1].removeprefix(f"{column}="), {})[file] = footer
    return found


def _statistics(group: pq.RowGroupMetaData, column: str) -> pq.Statistics | None:
    named: Sequence[pq.ColumnChunkMetaData] = [group.column(i) for i in range(group.num_columns)]
    return next((c.statistics for c in named if c.path_in_schema == column), None)
