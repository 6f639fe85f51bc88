"""One Delta table: read a version or a range of versions, append or merge exactly once.

Every write carries a transaction (app, version) and the same pair as the
commit's user metadata. A replay finds the metadata and writes nothing; should
two writers race, the second is skipped by the transaction in the table's log.
Transaction options stand on the write, never on the shared session: two
streams would race on it.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from uuid import uuid4

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from pipelines import adopt, log
from pipelines.adopt import PROPERTIES, Footers, Mode
from pipelines.log import Commit, Transaction

FEW = "spark.sql.sources.parallelPartitionDiscovery.threshold"  # files that Spark looks up without a job of its own
LITERAL = re.compile(r"/[\w/.=@+,-]*")  # a local path that means itself, not a pattern
UNCOMMITTED = "_uncommitted"  # a folder in a table's: neither Delta nor VACUUM looks into it
CHANGE = ("_change_type", "_commit_version", "_commit_timestamp")


def read(spark: SparkSession, path: str, version: int, in_part: bool = False) -> DataFrame:
    """The table as it was at a version: the files of its log, as Parquet, where they are few and plain; else by Delta.

    Delta's reader replays the log in Spark jobs, ten times the cost of reading a small table.
    in_part: a condition follows that most files do not meet; Delta does not even open those.
    """
    plain = None if in_part else _plain(spark, path, version)
    if plain is None:
        return spark.read.format("delta").option("versionAsOf", version).load(path)
    return _files(spark, plain, plain.file_uris())


def _plain(spark: SparkSession, path: str, version: int) -> DeltaTable | None:
    """A version that is what its files say, which are few and lie on a local path."""
    try:
        table = log.plain(path, version)
        files = table.file_uris() if table else []
    except DeltaError:  # Spark says better what is wrong
        return None
    few = len(files) <= int(str(spark.conf.get(FEW)))
    return table if few and all(map(LITERAL.fullmatch, files)) else None


def _files(spark: SparkSession, table: DeltaTable, files: Sequence[str]) -> DataFrame:
    schema = StructType.fromJson(json.loads(table.schema().to_json()))
    return spark.read.schema(schema).parquet(*files) if files else spark.createDataFrame([], schema)


def changes(spark: SparkSession, path: str, after: int, upto: int, keys: Sequence[str] = ()) -> DataFrame:
    """Rows inserted or updated in versions (after, upto]; after -1 is the whole table, after = upto none of it.

    keys: of the table; then each row is there once, as it is at `upto`. Without, once for each version that changed it.
    """
    if after < 0:
        return read(spark, path, upto)
    if after >= upto:
        return read(spark, path, upto).where("false")
    added = _added(spark, path, after, upto)
    if added is not None:
        return added
    several = keys and upto > after + 1
    rows = _last(spark, path, after, upto, keys) if several else _feed(spark, path, after, upto)
    return rows.where(F.col("_change_type").isin("insert", "update_postimage")).drop(*CHANGE)


def _added(spark: SparkSession, path: str, after: int, upto: int) -> DataFrame | None:
    """Rows of (after, upto] where no row was changed and the files of before are still there: those of the others."""
    before, now = _plain(spark, path, after), _plain(spark, path, upto)
    if before is None or now is None or not log.inserts_only(path, after, upto):
        return None
    held, files = set(before.file_uris()), now.file_uris()
    return _files(spark, now, [f for f in files if f not in held]) if held <= set(files) else None


def gone(spark: SparkSession, path: str, after: int, upto: int, keys: Sequence[str]) -> DataFrame:
    """The keys of rows that versions (after, upto] deleted and did not bring back; after must be a version before."""
    return _last(spark, path, after, upto, keys).where("_change_type = 'delete'").select(*keys)


def altered(spark: SparkSession, path: str, after: int, upto: int) -> DataFrame:
    """Every row that changed in versions (after, upto], as it was and as it became. Reads changes alone."""
    return _feed(spark, path, after, upto).drop(*CHANGE)


def unlike(spark: SparkSession, path: str, after: int, upto: int, columns: Sequence[str]) -> DataFrame:
    """Rows, by some columns, that only one of two versions has. Cost: reads both whole; a shuffle of each."""
    one, other = (read(spark, path, version).select(*columns) for version in (after, upto))
    return one.exceptAll(other).unionByName(other.exceptAll(one))


def _feed(spark: SparkSession, path: str, after: int, upto: int) -> DataFrame:
    feed = spark.read.format("delta").option("readChangeFeed", "true")
    return feed.option("startingVersion", after + 1).option("endingVersion", upto).load(path)


def _last(spark: SparkSession, path: str, after: int, upto: int, keys: Sequence[str]) -> DataFrame:
    """What became of each row: its last change; of one version, what was written in place of what was deleted."""
    rows = _feed(spark, path, after, upto).where("_change_type <> 'update_preimage'")
    order = F.struct("_commit_version", F.col("_change_type") != "delete")
    newest = F.max_by(F.struct(*[f"`{c}`" for c in rows.columns]), order).alias("_last")
    return rows.groupBy(*keys).agg(newest).select("_last.*")


def append(df: DataFrame, path: str, transaction: Transaction) -> Commit:
    """Append all rows in one commit; the table is made by the first. A replay writes nothing.

    Errors: ConflictError if another writer holds the same transaction.
    """
    return _write(df, path, "append", transaction, None)


def take(df: DataFrame, files: Footers, path: str, transaction: Transaction) -> Commit:
    """Append df, whose rows are those of some Parquet files: the files as they lie, where they can be taken."""
    return _write(df, path, "append", transaction, files)


def overwrite(df: DataFrame, path: str, transaction: Transaction) -> Commit:
    """Replace all rows and the schema in one commit. A replay writes nothing."""
    return _write(df, path, "overwrite", transaction, None)


def _write(df: DataFrame, path: str, mode: Mode, transaction: Transaction, files: Footers | None) -> Commit:
    """Spark writes Parquet, and delta-rs commits it; Spark does both where delta-rs cannot."""
    done = log.find(path, transaction)
    if done:
        return done
    schema = df.schema.json()
    if adopt.fits(schema, path, mode):
        with _written(df, path) if files is None else nullcontext(files) as found:
            return adopt.commit(found, schema, path, mode, transaction)
    writer = df.write.format("delta").mode(mode).options(**PROPERTIES)
    if mode == "overwrite":
        writer = writer.option("overwriteSchema", "true")
    writer.options(**transaction.options).save(path)
    return log.committed(path, transaction)


@contextmanager
def _written(df: DataFrame, path: str) -> Iterator[Footers]:
    """df as Parquet in a folder inside the table's, removed in the end; what a kill leaves there is replaced."""
    place = f"{path}/{UNCOMMITTED}"
    df.write.mode("overwrite").parquet(place)
    try:
        yield adopt.footers(place)
    finally:
        adopt.remove(place)


def replace(df: DataFrame, path: str, where: str, transaction: Transaction) -> Commit:
    """Replace the rows that a condition names by those of df, each of which meets it. A replay writes nothing."""
    done = log.find(path, transaction)
    if done:
        return done
    writer = df.write.format("delta").mode("overwrite").option("replaceWhere", where)
    writer.options(**transaction.options).save(path)
    return log.committed(path, transaction)


UPSERT = "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"


def merge(df: DataFrame, path: str, on: str, when: str, transaction: Transaction, cheap: bool = False) -> Commit:
    """MERGE df (aliased `s`, at most one row for each of the table's) into the table (`t`). A replay writes nothing.

    on   : the SQL condition of a match, literal bounds included so that files are pruned.
    when : the WHEN clauses.
    cheap: df is no more than files read twice and alike; Delta then keeps no copy of it, a tenth of the CPU time.
    """
    done = log.find(path, transaction)
    if done:
        return done
    child = _child(df.sparkSession, transaction)
    if cheap:
        child.conf.set("spark.databricks.delta.merge.materializeSource", "none")
    view = f"lakeloom_merge_{uuid4().hex}"  # the application's other merges have theirs
    df.createGlobalTempView(view)
    try:
        child.sql(f"MERGE INTO delta.`{path}` t USING global_temp.{view} s ON {on} {when}")
    finally:
        df.sparkSession.catalog.dropGlobalTempView(view)
    return log.committed(path, transaction)


def restore(spark: SparkSession, path: str, version: int | None, transaction: Transaction) -> Commit:
    """Take a table back to a version, or to no rows where that is None. Where nothing differs Delta commits nothing."""
    done = log.find(path, transaction)
    if done:
        return done
    child = _child(spark, transaction)
    back = f"RESTORE TABLE delta.`{path}` TO VERSION AS OF {version}"
    child.sql(f"DELETE FROM delta.`{path}`" if version is None else back)
    return log.find(path, transaction) or Commit(DeltaTable(path).version())


def columns(path: str) -> list[str]:
    """The names of the newest version's columns, by the log."""
    return [field.name for field in DeltaTable(path).schema().fields]


def grow(spark: SparkSession, path: str, columns: Mapping[str, str], tag: str) -> None:
    """Add columns, name -> type, to the end; a commit that changes no row. Errors: Spark's own where one is there."""
    child = _own(spark)
    child.conf.set("spark.databricks.delta.commitInfo.userMetadata", tag)
    child.sql(f"ALTER TABLE delta.`{path}` ADD COLUMNS ({', '.join(f'`{n}` {t}' for n, t in columns.items())})")


def fitted(df: DataFrame, path: str, tag: str) -> DataFrame:
    """Rows with the columns of a table: it first gains those that it lacks, and those that rows lack are null."""
    there = StructType.fromJson(json.loads(DeltaTable(path).schema().to_json()))
    new = {f.name: f.dataType.simpleString() for f in df.schema if f.name not in there.names}
    if new:
        grow(df.sparkSession, path, new, tag)
    return df.withColumns({f.name: F.lit(None).cast(f.dataType) for f in there if f.name not in df.columns})


def optimize(spark: SparkSession, path: str, size: int, by: str = "") -> None:
    """Make files smaller than `size` bytes into such, in the order of a column if one is given; changes no row."""
    session = _own(spark)
    session.conf.set("spark.databricks.delta.optimize.minFileSize", str(size))
    session.conf.set("spark.databricks.delta.optimize.maxFileSize", str(size))
    session.conf.set("spark.databricks.delta.optimize.zorder.checkStatsCollection.enabled", "false")
    session.sql(f"OPTIMIZE delta.`{path}`" + (f" ZORDER BY (`{by}`)" if by else ""))


def vacuum(spark: SparkSession, path: str, hours: int) -> None:
    """Remove files that left the table longer ago. Cost: lists its folder."""
    session = _own(spark)
    session.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")  # the table's own is endless
    session.conf.set("spark.databricks.delta.vacuum.retentionWindowIgnore.enabled", "false")  # or RETAIN says nothing
    session.sql(f"VACUUM delta.`{path}` RETAIN {hours} HOURS")


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
