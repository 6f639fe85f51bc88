"""Load the classes that every run loads, so that the JVM which runs this can archive them (scripts/bootstrap).

With -XX:ArchiveClassesAtExit=FILE the JVM writes FILE at its end; later JVMs map it instead of reading, checking and
linking some ten thousand classes again. A JVM that the file does not fit ignores it.
"""

import tempfile
from pathlib import Path
from typing import Any, cast

from pipelines.spark import session
from pipelines.spec import Target

WAIT_S = 120


def main() -> None:
    """A little of what a run does: read CSV, write Parquet and Delta, merge, window, aggregate."""
    with tempfile.TemporaryDirectory() as place, session(Target(master="local[2]"), "class archive") as spark:
        (Path(place) / "rows.csv").write_text("id,at\n1,2013-01-01T00:00:00Z\n2,2013-01-02T00:00:00Z\n")
        rows = spark.read.schema("id INT, at TIMESTAMP").csv(f"{place}/rows.csv", header=True)
        rows.createOrReplaceTempView("rows")
        table = f"{place}/table"
        rows.write.partitionBy("id").parquet(f"{place}/parquet")
        rows.write.format("delta").option("delta.enableChangeDataFeed", "true").save(table)
        spark.conf.set("spark.sql.runSQLOnFiles", "true")
        spark.sql(f"MERGE INTO delta.`{table}` t USING rows s ON t.id = s.id WHEN MATCHED THEN UPDATE SET *")
        spark.read.format("delta").load(table).createOrReplaceTempView("table")
        spark.sql("SELECT id, max(at) OVER (PARTITION BY id ORDER BY at) FROM table").groupBy("id").count().collect()
        java = cast(Any, spark.sparkContext)._gateway.proc
    java.stdin.close()  # it ends, and only then writes the archive
    java.wait(WAIT_S)


if __name__ == "__main__":
    main()
