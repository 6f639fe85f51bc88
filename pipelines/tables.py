"""One Delta table: read a version or a range of versions, append or merge exactly once.

Every write carries a transaction (app, version) and the same pair as the
commit's user metadata. A replay finds the metadata and writes nothing; should
two writers race, Delta itself skips the second (`txnAppId`, `txnVersion`).
Transaction options stand on the write, never on the shared session: two
streams would race on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.errors import ConflictError, PlatformError

PROPERTIES = {
    "delta.enableChangeDataFeed": "true",
    "delta.checkpointInterval": "50",
    # An older version can be read as long as its files are there: upkeep decides on them, by what is in use.
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}
LOOK_BACK = 200  # commits searched for a replay
CHANGE = ("_change_type", "_commit_version", "_commit_timestamp")


@dataclass(frozen=True)
class Transaction:
    """Who writes, and its how-manieth write this is; version rises per app."""

    app: str
    version: int

    @property
    def tag(self) -> str:
        """As it stands in the commit's user metadata."""
        return f"{self.app}#{self.version}"

    @property
    def options(self) -> dict[str, str | int]:
        """Of a DataFrame's write."""
        return {"txnAppId": self.app, "txnVersion": self.version, "userMetadata": self.tag}


@dataclass(frozen=True)
class Commit:
    """A commit as the log tells it."""

    version: int
    metrics: Mapping[str, str] = field(default_factory=dict)
    tag: str = ""  # of the transaction that wrote it
    overwrote: bool = False

    @property
    def rewrites(self) -> bool:
        """True where a row that was there before is changed or gone."""
        return self.overwrote or self.count("numTargetRowsUpdated", "numTargetRowsDeleted") > 0

    def count(self, *names: str) -> int:
        """The sum of some operation metrics; one that is absent counts nothing."""
        return sum(int(self.metrics.get(n, 0)) for n in names)

    @property
    def applied(self) -> int:
        """Rows inserted or updated: numOutputRows of an append, the matched and new rows of a MERGE."""
        if "numTargetRowsInserted" in self.metrics:
            return self.count("numTargetRowsInserted", "numTargetRowsUpdated")
        return self.count("numOutputRows")


def read(spark: SparkSession, path: str, version: int) -> DataFrame:
    """The table as it was at a version."""
    return spark.read.format("delta").option("versionAsOf", version).load(path)


def changes(spark: SparkSession, path: str, after: int, upto: int) -> DataFrame:
    """Rows inserted or updated in versions (after, upto], as they are at `upto`; after -1 is the whole table."""
    if after < 0:
        return read(spark, path, upto)
    feed = spark.read.format("delta").option("readChangeFeed", "true")
    rows = feed.option("startingVersion", after + 1).option("endingVersion", upto).load(path)
    return rows.where(F.col("_change_type").isin("insert", "update_postimage")).drop(*CHANGE)


def inserts_only(path: str, after: int, upto: int) -> bool:
    """True where no commit in (after, upto] updated or deleted a row; answered by the log alone."""
    commits = [c for c in _history(path) if after < c.version <= upto]
    return not any(c.rewrites for c in commits)


def row_count(path: str, version: int) -> int:
    """Rows of a version, summed from the log."""
    return DeltaTable(path, version=version).count()


def find(path: str, transaction: Transaction) -> Commit | None:
    """The commit of a transaction, if it is already in the table."""
    return next((c for c in _history(path) if c.tag == transaction.tag), None)


def append(df: DataFrame, path: str, transaction: Transaction) -> Commit:
    """Append all rows in one commit; the table is made by the first. A replay writes nothing.

    Errors: ConflictError if another writer holds the same transaction.
    """
    done = find(path, transaction)
    if done:
        return done
    writer = df.write.format("delta").mode("append").options(**PROPERTIES)
    writer.options(**transaction.options).save(path)
    return _read_back(path, transaction)


def overwrite(df: DataFrame, path: str, transaction: Transaction) -> Commit:
    """Replace all rows and the schema in one commit. A replay writes nothing."""
    done = find(path, transaction)
    if done:
        return done
    writer = df.write.format("delta").mode("overwrite").option("overwriteSchema", "true").options(**PROPERTIES)
    writer.options(**transaction.options).save(path)
    return _read_back(path, transaction)


UPSERT = "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"


def merge(df: DataFrame, path: str, on: str, when: str, transaction: Transaction, cheap: bool = False) -> Commit:
    """MERGE df (aliased `s`, at most one row for each of the table's) into the table (`t`). A replay writes nothing.

    on   : the SQL condition of a match, literal bounds included so that files are pruned.
    when : the WHEN clauses.
    cheap: df is no more than files read twice and alike; Delta then keeps no copy of it, a tenth of the CPU time.
    """
    done = find(path, transaction)
    if done:
        return done
    child = _child(df.sparkSession, transaction)
    if cheap:
        child.conf.set("spark.databricks.delta.merge.materializeSource", "none")
    df.createOrReplaceGlobalTempView("lakeloom_merge")
    child.sql(f"MERGE INTO delta.`{path}` t USING global_temp.lakeloom_merge s ON {on} {when}")
    df.sparkSession.catalog.dropGlobalTempView("lakeloom_merge")
    return _read_back(path, transaction)


def restore(spark: SparkSession, path: str, version: int | None, transaction: Transaction) -> Commit:
    """Take a table back to a version, or to no rows where that is None. Where nothing differs Delta commits nothing."""
    done = find(path, transaction)
    if done:
        return done
    child = _child(spark, transaction)
    back = f"RESTORE TABLE delta.`{path}` TO VERSION AS OF {version}"
    child.sql(f"DELETE FROM delta.`{path}`" if version is None else back)
    return find(path, transaction) or Commit(DeltaTable(path).version())


def columns(path: str) -> list[str]:
    """The names of the newest version's columns, by the log."""
    return [field.name for field in DeltaTable(path).schema().fields]


def grow(spark: SparkSession, path: str, names: Sequence[str], tag: str) -> None:
    """Add columns of text to the end; a commit that changes no row. Errors: Spark's own where one is there already."""
    child = _own(spark)
    child.conf.set("spark.databricks.delta.commitInfo.userMetadata", tag)
    child.sql(f"ALTER TABLE delta.`{path}` ADD COLUMNS ({', '.join(f'`{name}` STRING' for name in names)})")


def optimize(spark: SparkSession, path: str) -> None:
    """Make small files into large ones; a commit that changes no row."""
    _own(spark).sql(f"OPTIMIZE delta.`{path}`")


def vacuum(spark: SparkSession, path: str, hours: int) -> None:
    """Remove files that left the table longer ago. Cost: lists its folder."""
    session = _own(spark)
    session.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")  # the table's own is endless
    session.conf.set("spark.databricks.delta.vacuum.retentionWindowIgnore.enabled", "false")  # or RETAIN says nothing
    session.sql(f"VACUUM delta.`{path}` RETAIN {hours} HOURS")


def file_sizes(path: str) -> list[int]:
    """Bytes of each file of the newest version, by the log."""
    sizes: list[int] = pa.table(DeltaTable(path).get_add_actions(flatten=True))["size_bytes"].to_pylist()
    return sizes


def moments(path: str) -> dict[int, datetime]:
    """When each version that the log still tells of was committed."""
    return {c["version"]: datetime.fromtimestamp(c["timestamp"] / 1000, UTC) for c in DeltaTable(path).history()}


def _child(spark: SparkSession, transaction: Transaction) -> SparkSession:
    """A session of its own, so that its transaction id is seen by no other write."""
    child = _own(spark)
    child.conf.set("spark.databricks.delta.write.txnAppId", transaction.app)
    child.conf.set("spark.databricks.delta.write.txnVersion", str(transaction.version))
    child.conf.set("spark.databricks.delta.commitInfo.userMetadata", transaction.tag)
    return child


def _own(spark: SparkSession) -> SparkSession:
    """A session in which no conf's SQL runs, so that a table may be named by its path."""
    child = spark.newSession()
    child.conf.set("spark.sql.shuffle.partitions", str(spark.conf.get("spark.sql.shuffle.partitions")))
    child.conf.set("spark.sql.variable.substitute", "false")  # a key '${env:HOME}' is a key
    child.conf.set("spark.sql.runSQLOnFiles", "true")
    return child


def _read_back(path: str, transaction: Transaction) -> Commit:
    done = find(path, transaction)
    if done is None:
        last = DeltaTable(path).transaction_version(transaction.app)
        raise ConflictError(f"{path}: {transaction.tag} was not committed; the table is at {last}: another writer runs")
    return done


def _history(path: str) -> list[Commit]:
    try:
        commits = DeltaTable(path).history(LOOK_BACK)
    except TableNotFoundError:
        return []
    except Exception as found:
        raise PlatformError(f"{path}: its log cannot be read: {str(found).splitlines()[0]}") from found
    return [_commit(c) for c in commits]


def _commit(entry: Mapping[str, Any]) -> Commit:
    overwrote = entry.get("operationParameters", {}).get("mode") == "Overwrite" and entry["version"] > 0
    return Commit(entry["version"], entry.get("operationMetrics", {}), entry.get("userMetadata") or "", overwrote)


def beyond(path: str, column: str, low: Any) -> bool:
    """True where every value of a column in the newest version is below `low`, by the log's statistics alone."""
    actions = pa.table(DeltaTable(path).get_add_actions(flatten=True))
    if f"max.{column}" not in actions.column_names:
        return False
    highest = [
        v for v, n in zip(actions[f"max.{column}"].to_pylist(), actions["num_records"].to_pylist(), strict=True) if n
    ]
    return all(v is not None and type(v) is type(low) and v < low for v in highest)


def applied(path: str, after: int, upto: int) -> int:
    """Rows inserted or updated in versions (after, upto], by the log alone."""
    return sum(c.applied for c in _history(path) if after < c.version <= upto)
