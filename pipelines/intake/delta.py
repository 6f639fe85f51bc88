"""A Delta table of others as a source: each batch is a range of versions, counted by the table's own log.

The first batch takes the table as it stands; each later one what the versions
since have added. `rows` reads the files that they appended, and refuses a
version that changed or removed a row; `changes` reads the change feed.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from pipelines import footer, where
from pipelines.columns import ddl, near
from pipelines.errors import DataError, PlatformError, SpecError
from pipelines.intake.base import Asked, Counted, Reading, counted, losses, shape
from pipelines.spec import Delta
from pipelines.state import Json

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Actions = list[dict[str, Any]]
FIRST = "!"  # sorts before the digits of a hash


def news(asked: Asked) -> str:
    """'versions 4 to 6 of events, of which a batch takes 100 records'. Cost: one look at the log."""
    table, after = _table(asked), _after(asked)
    upto = table.version()
    if upto == after:
        return ""
    if after < 0:
        return f"{asked.name} at version {upto}"
    most = _source(asked).most_records
    part = f", of which a batch takes {counted(most, 'record')}" if most is not None and upto > after + 1 else ""
    return f"version{'s' if upto > after + 1 else ''} {_span(after, upto)} of {asked.name}{part}"


def take(asked: Asked) -> dict[str, Json]:
    """The versions since the last batch; behind: those that are left to the next.

    Errors: DataError where they cannot be read as what they are.
    """
    table, after = _table(asked), _after(asked)
    newest, known = table.version(), str(table.metadata().id)
    if asked.taken and not asked.anew and (asked.taken[-1]["id"] != known or newest < after):
        raise DataError(
            f"{asked.stage}: {_source(asked).path} is another table than the one read before (version {after}); "
            f"`lakeloom run --full-refresh {asked.stage}` begins with it again"
        )
    _refuse_columns(asked, table)
    upto = _reached(asked, after, newest) if after >= 0 else newest
    return {"id": known, "after": after, "upto": upto, "shape": shape(_source(asked)), "behind": newest - upto}


def stands(asked: Asked, batch: Json) -> bool:
    """True: a version does not change."""
    return True


def again(asked: Asked) -> dict[str, Json]:
    """The table at the last version that was taken. Errors: SpecError for a change feed, which begins where it did."""
    if _feeds(asked):
        raise SpecError(f"sources.{asked.name}: a change feed is not read twice; `lakeloom run --full-refresh` can")
    return {**asked.taken[-1], "after": -1}


@contextmanager
def reading(asked: Asked, spark: "SparkSession", batch: Json) -> Iterator[Reading]:
    """The table at a version, or what some versions added; the log is the witness."""
    after, upto = batch["after"], batch["upto"]
    if after < 0:
        rows = DeltaTable(_path(asked), version=upto).count()
        yield Reading(
            _whole(asked, spark, upto), rows, lambda _: Counted(rows, 0, {"versions": upto + 1, **losses(batch)})
        )
        return
    counts = [_rows(asked, version) for version in range(after + 1, upto + 1)]
    frame = _changes(asked, spark, after, upto) if _feeds(asked) else _added(asked, spark, after, upto)
    yield Reading(frame, sum(counts), lambda _: Counted(sum(counts), 0, {"versions": len(counts)}))


def _source(asked: Asked) -> Delta:
    assert isinstance(asked.source, Delta)
    return asked.source


def _feeds(asked: Asked) -> bool:
    return _source(asked).read == "changes"


def _path(asked: Asked) -> str:
    return f"{asked.target.landing.rstrip('/')}/{_source(asked).path.rstrip('/')}"


def _after(asked: Asked) -> int:
    """The last version that was taken; -1 before the first."""
    return int(asked.taken[-1]["upto"]) if asked.taken and not asked.anew else -1


def _reached(asked: Asked, after: int, newest: int) -> int:
    """The last version of a batch that takes no more records than it may; a version is never split.

    Errors: DataError for one that cannot be read, before it is taken.
    """
    held, most = 0, _source(asked).most_records
    for version in range(after + 1, newest + 1):
        more = _rows(asked, version)
        if most is not None and held and more and held + more > most:
            return version - 1
        held += more
    return newest


def _span(after: int, upto: int) -> str:
    return str(upto) if upto == after + 1 else f"{after + 1} to {upto}"


def _table(asked: Asked) -> DeltaTable:
    try:
        return DeltaTable(_path(asked))
    except TableNotFoundError:
        raise SpecError(
            f"{_path(asked)}: no Delta table there; mend the source's `path` or the target's `landing`"
        ) from None
    except DeltaError as found:
        raise PlatformError(f"{_path(asked)}: its log cannot be read: {str(found).splitlines()[0]}") from None


def _refuse_columns(asked: Asked, table: DeltaTable) -> None:
    held = {field.name: field.type for field in pa.schema(table.schema().to_arrow())}
    for column, wanted in ddl(_source(asked).ddl).items():
        if column not in held:
            raise SpecError(f"sources.{asked.name}: {_path(asked)} has no column '{column}'{near(column, list(held))}")
        if not _feeds(asked) and not footer.reads(held[column], wanted):  # files are read as they are declared
            kind = footer.in_words(held[column])
            raise SpecError(
                f"sources.{asked.name}: {_path(asked)} has {column} as {kind}, which is not read as {wanted}; "
                "declare it so, and cast it in the select"
            )
    settings = table.metadata().configuration
    if _feeds(asked) and settings.get("delta.enableChangeDataFeed") != "true":
        raise SpecError(
            f"sources.{asked.name}: {_path(asked)} keeps no change feed; "
            f"set delta.enableChangeDataFeed, or say read: rows"
        )
    if not _feeds(asked) and settings.get("delta.columnMapping.mode", "none") != "none":
        raise SpecError(f"sources.{asked.name}: {_path(asked)} maps its columns' names; say read: changes")


def _actions(asked: Asked, version: int) -> Actions:
    """One version's actions. Errors: DataError where the log no longer has it."""
    system, path = where.at(_path(asked))
    try:
        with system.open_input_stream(f"{path}/_delta_log/{version:020}.json") as file:
            return [json.loads(line) for line in file.read().splitlines() if line.strip()]
    except FileNotFoundError:
        raise DataError(
            f"{asked.stage}: version {version} of {_path(asked)} is no longer in its log, and was not read; "
            f"`lakeloom run --full-refresh {asked.stage}` takes the table as it stands"
        ) from None


def _rows(asked: Asked, version: int) -> int:
    """Rows that a version adds, or changes that it feeds. Errors: DataError for a version that cannot be read."""
    actions = _actions(asked, version)
    moved = [a[k] for a in actions for k in ("add", "remove") if k in a and a[k].get("dataChange", True)]
    fed = [a["cdc"] for a in actions if "cdc" in a]
    if _feeds(asked):
        return sum(_held(asked, file) for file in (fed or moved))
    gone = any("remove" in a and a["remove"].get("dataChange", True) for a in actions)
    if gone or any(f.get("deletionVector") for f in moved):
        did = next((a["commitInfo"].get("operation", "") for a in actions if "commitInfo" in a), "") or "a commit"
        raise DataError(
            f"{asked.stage}: version {version} of {_path(asked)} ({did}) changed or removed rows, and read: rows takes "
            f"appends alone; say read: changes"
        )
    return sum(_held(asked, file) for file in moved)


def _held(asked: Asked, file: dict[str, Any]) -> int:
    """Rows of one file: by its statistics in the log, else by its footer, less those that are deleted."""
    told = json.loads(file.get("stats") or "{}").get("numRecords")
    if told is None:
        system, path = where.at(_path(asked))
        told = pq.read_metadata(f"{path}/{unquote(file['path'])}", filesystem=system).num_rows
    return int(told) - int((file.get("deletionVector") or {}).get("cardinality", 0))


def _whole(asked: Asked, spark: "SparkSession", version: int) -> "DataFrame":
    from pyspark.sql import functions as F

    rows = spark.read.format("delta").option("versionAsOf", version).load(_path(asked))
    marked = rows.withColumns({"change_type": F.lit("insert"), "commit_version": F.lit(version).cast("bigint")})
    return _shaped(asked, marked if _feeds(asked) else rows, f"@{version}")


def _added(asked: Asked, spark: "SparkSession", after: int, upto: int) -> "DataFrame":
    """The appended files themselves: as much is read as is new, however large the table."""
    source, root = _source(asked), _path(asked)
    actions = [a for version in range(after + 1, upto + 1) for a in _actions(asked, version)]
    files = [unquote(a["add"]["path"]) for a in actions if "add" in a and a["add"].get("dataChange", True)]
    reader = spark.read.schema(source.ddl).option("basePath", root)
    rows = reader.parquet(*[f"{root}/{f}" for f in files]) if files else spark.createDataFrame([], source.ddl)
    return _shaped(asked, rows, f"@{_span(after, upto)}")


def _changes(asked: Asked, spark: "SparkSession", after: int, upto: int) -> "DataFrame":
    feed = spark.read.format("delta").option("readChangeFeed", "true")
    rows = feed.option("startingVersion", after + 1).option("endingVersion", upto).load(_path(asked))
    named = {"_change_type": "change_type", "_commit_version": "commit_version"}
    found = rows.withColumnsRenamed(named)
    return _shaped(asked, found, "") if not asked.table.keys else _ordered(_shaped(asked, _left(found), ""))


def _left(changes: "DataFrame") -> "DataFrame":
    """For a table with keys: an update is the deletion of the row before it, and the row after it."""
    from pyspark.sql import functions as F

    kind = F.col("change_type")
    return changes.withColumn("change_type", F.when(kind == "update_preimage", "delete").otherwise(kind))


def _ordered(rows: "DataFrame") -> "DataFrame":
    """Within a version a deletion comes before every row: its hash, by which equal versions are ordered, is less."""
    from pyspark.sql import functions as F

    from pipelines.ingest import ROW

    told = F.col(ROW)["hash"]
    first = F.when(F.col("change_type") == "delete", F.concat(F.lit(FIRST), told)).otherwise(told)
    return rows.withColumn(ROW, F.col(ROW).withField("hash", first))


def _shaped(asked: Asked, rows: "DataFrame", version: str) -> "DataFrame":
    """The declared columns; they are of their type already, so that no record is malformed."""
    from pyspark.sql import functions as F

    from pipelines.ingest import shaped

    source, beside = _source(asked), _source(asked).beside
    typed = rows.select(*[F.col(f"`{n}`").cast(kind).alias(n) for n, kind in ddl(source.ddl).items()], *beside)
    at = F.concat(F.lit("@"), F.col("commit_version")) if beside else F.lit(version)
    return shaped(typed, source, F.concat(F.lit(source.path), at), F.lit(None).cast("string"))
