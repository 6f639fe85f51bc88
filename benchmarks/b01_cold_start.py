"""b01: a process from nothing to its first job and its first Delta commit.

Ours opens the session as every stage does. `local jars` is plain PySpark with
the Delta jars where it finds them; `ivy` is what Delta's quick start teaches,
`spark.jars.packages`, with the jars already in its cache. The file is its own
child: `python -m benchmarks.b01_cold_start WAY FOLDER`.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from deltalake import DeltaTable
from pyspark.sql import SparkSession

from benchmarks.machine import run_process
from benchmarks.measure import Answer, Arm, Contest
from pipelines.spark import session
from pipelines.spec import Target

ROWS = 1000
DELTA = "io.delta:delta-spark_4.2_2.13:4.4.0"
PAIRS = {"quick": 3, "full": 7}


def contests(profile: str, scratch: Path) -> Iterator[Contest]:
    """One contest; the warm-up fills the page cache, and Ivy's own."""
    peers = _arm("local jars", "plain", scratch), _arm("ivy", "ivy", scratch)
    yield Contest(
        "b01", "start", _arm("ours", "ours", scratch), peers, PAIRS[profile], warmups=1, control_pairs=PAIRS[profile]
    )


def _arm(name: str, way: str, scratch: Path) -> Arm:
    table, log = scratch / way, scratch / f"{way}.log"
    argv = [sys.executable, "-m", __name__, way, str(table)]
    return Arm(
        name,
        prepare=lambda: shutil.rmtree(table, ignore_errors=True),
        act=lambda: run_process(argv, Path.cwd(), log),
        answer=lambda: _answer(table),
    )


def _answer(table: Path) -> Answer:
    ids = DeltaTable(table).to_pyarrow_table().column("id").to_pylist()
    return Answer(len(ids), str(sum(ids)))


def _first_commit(spark: SparkSession, table: str) -> None:
    numbers = spark.range(ROWS)
    numbers.count()
    numbers.write.format("delta").save(table)


def _peer(options: dict[str, str]) -> SparkSession:
    builder = SparkSession.builder.master("local[*]")
    builder = builder.config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    builder = builder.config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    for key, value in options.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _child(way: str, table: str) -> None:
    if way == "ours":
        with session(Target(), "b01") as spark:
            _first_commit(spark, table)
        return
    spark = _peer({"spark.jars.packages": DELTA} if way == "ivy" else {})
    _first_commit(spark, table)
    spark.stop()


if __name__ == "__main__":
    _child(*sys.argv[1:])
