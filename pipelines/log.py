"""The log of one Delta table, read without a JVM by delta-rs: its commits, and what they say of its rows."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from numpy.typing import NDArray

from pipelines import where
from pipelines.errors import ConflictError, PlatformError

ROWS = "numOutputRows"  # of a commit that appends: the rows that it wrote
LOOK_BACK = 200  # commits searched for a replay
ADDS = frozenset(
    ("WRITE", "MERGE", "CREATE TABLE", "OPTIMIZE", "VACUUM START", "VACUUM END", "ADD COLUMNS", "SET TBLPROPERTIES")
)  # operations that can leave all rows that were there before


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
    adds: bool = True  # of a kind that can leave all rows that were there before

    @property
    def rewrites(self) -> bool:
        """True where a row that was there before may be changed or gone."""
        return not self.adds or self.count("numTargetRowsUpdated", "numTargetRowsDeleted") > 0

    def count(self, *names: str) -> int:
        """The sum of some operation metrics; one that is absent counts nothing."""
        return sum(int(self.metrics.get(n, 0)) for n in names)

    @property
    def applied(self) -> int:
        """Rows inserted or updated: numOutputRows of an append, the matched and new rows of a MERGE."""
        if "numTargetRowsInserted" in self.metrics:
            return self.count("numTargetRowsInserted", "numTargetRowsUpdated")
        return self.count(ROWS)


def inserts_only(path: str, after: int, upto: int) -> bool:
    """True where no commit in (after, upto] updated or deleted a row; answered by the log alone."""
    return not any(c.rewrites for c in _between(path, after, upto))


def types(path: str, version: int) -> dict[str, str]:
    """Column -> its type, in a version."""
    return {f.name: str(f.type) for f in DeltaTable(path, version=version).schema().fields}


def plain(path: str, version: int | None = None) -> DeltaTable | None:
    """A version, if its files are what it holds: no deletion vectors, no mapped columns, no partitions."""
    table = DeltaTable(path, version=version)
    return table if table.protocol().min_reader_version == 1 and not table.metadata().partition_columns else None


def files(path: str, version: int) -> list[str]:
    """The files of a version by their place in the table; `deleted` says which of their rows it has not."""
    added = pa.table(DeltaTable(path, version=version).get_add_actions(flatten=True))
    return [unquote(name) for name in added["path"].to_pylist()]


def deleted(path: str, version: int) -> dict[str, NDArray[np.int64]]:
    """Of each file that has a deletion vector the numbers of the rows that it takes away, from 0."""
    table = DeltaTable(path, version=version)
    if "deletionVectors" not in (table.protocol().reader_features or ()):
        return {}
    vectors, root = pa.table(table.deletion_vectors()), table.table_uri.rstrip("/") + "/"
    rows = zip(vectors["filepath"].to_pylist(), vectors["selection_vector"], strict=True)
    return {unquote(name.removeprefix(root)): np.flatnonzero(~np.asarray(kept.values)) for name, kept in rows}


def row_count(path: str, version: int) -> int:
    """Rows of a version, summed from the log."""
    return DeltaTable(path, version=version).count()


def readable(path: str, version: int) -> bool:
    """True while the log tells of a version and each of its files is there. Cost: looks at every file."""
    try:
        table = DeltaTable(path, version=version)
        names = pa.table(table.get_add_actions(flatten=True))["path"].to_pylist()
    except DeltaError:
        return False
    system, place = where.at(path)
    files = system.get_file_info([f"{place}/{unquote(name)}" for name in names])
    return all(f.type == pafs.FileType.File for f in files)


def find(path: str, transaction: Transaction) -> Commit | None:
    """The commit of a transaction, if it is already in the table."""
    return next((c for c in _history(path) if c.tag == transaction.tag), None)


def committed(path: str, transaction: Transaction) -> Commit:
    """The commit that was just made, read back. Errors: ConflictError where it is not there."""
    done = find(path, transaction)
    if done is None:
        last = DeltaTable(path).transaction_version(transaction.app)
        raise ConflictError(f"{path}: {transaction.tag} was not committed; the table is at {last}: another writer runs")
    return done


def file_sizes(path: str) -> list[int]:
    """Bytes of each file of the newest version, by the log."""
    sizes: list[int] = pa.table(DeltaTable(path).get_add_actions(flatten=True))["size_bytes"].to_pylist()
    return sizes


def moments(path: str) -> dict[int, datetime]:
    """When each version that the log still tells of was committed."""
    return {c["version"]: datetime.fromtimestamp(c["timestamp"] / 1000, UTC) for c in DeltaTable(path).history()}


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
    return sum(c.applied for c in _between(path, after, upto))


def known_before(path: str, after: int, upto: int, columns: Collection[str], moment: datetime | None) -> int:
    """At most so many rows changed in versions (after, upto] with one of some columns before a moment (None: any).

    By the least values that the log has of new files. A commit that changed or removed rows counts with all of them,
    for what they were before it does not tell.
    """
    commits = _between(path, after, upto)
    return sum(_all(path, c) if c.rewrites or moment is None else _new(path, c, columns, moment) for c in commits)


def _all(path: str, commit: Commit) -> int:
    """Rows that a commit changed; those of its version where it does not say."""
    changed = commit.applied + commit.count("numTargetRowsDeleted", "numDeletedRows")
    return changed or (row_count(path, commit.version) if commit.rewrites else 0)


def _new(path: str, commit: Commit, columns: Collection[str], moment: datetime) -> int:
    """Rows of the files that a commit added in which the least value of some column lies before the moment."""
    added = [json.loads(a["stats"]) if a.get("stats") else {} for a in _added(path, commit.version)]
    early = [stats.get("numRecords") for stats in added if any(_may_be(stats, c, moment) for c in columns)]
    return min(commit.applied, sum(commit.applied if rows is None else rows for rows in early))


def _may_be(stats: Mapping[str, Any], column: str, moment: datetime) -> bool:
    """Whether a file may have a value of a column before a moment."""
    least, rows = stats.get("minValues", {}).get(column), stats.get("numRecords")
    if least is None:
        return rows is None or stats.get("nullCount", {}).get(column) != rows
    try:
        found = datetime.fromisoformat(str(least))
    except ValueError:  # a year that Python's calendar has not
        return True
    return (found if found.tzinfo else found.replace(tzinfo=UTC)) < moment


def added_bytes(path: str, after: int, upto: int) -> int:
    """Of the files that versions (after, upto] added with new rows, by the log alone."""
    return sum(int(a["size"]) for version in range(max(after, -1) + 1, upto + 1) for a in _added(path, version))


def _added(path: str, version: int) -> list[dict[str, Any]]:
    """The files that one version added with new rows."""
    system, place = where.at(path)
    with system.open_input_stream(f"{place}/_delta_log/{version:020}.json") as file:
        actions = [json.loads(line) for line in file.read().splitlines() if line.strip()]
    return [a["add"] for a in actions if "add" in a and a["add"].get("dataChange", True)]


def _between(path: str, after: int, upto: int) -> list[Commit]:
    """Those of versions (after, upto]; there need be no table where that is none."""
    if after >= upto:
        return []
    found = [c for c in _history(path, DeltaTable(path).version() - after) if after < c.version <= upto]
    assert len(found) == upto - max(after, -1), f"{path}: the log no longer tells of versions {after + 1} to {upto}"
    return found


def _history(path: str, most: int = LOOK_BACK) -> list[Commit]:
    try:
        commits = DeltaTable(path).history(most)
    except TableNotFoundError:
        return []
    except Exception as found:
        raise PlatformError(f"{path}: its log cannot be read: {str(found).splitlines()[0]}") from found
    return [_commit(c) for c in commits]


def _commit(entry: Mapping[str, Any]) -> Commit:
    overwrites = entry.get("operationParameters", {}).get("mode") == "Overwrite" and entry["version"] > 0
    adds = entry["operation"] in ADDS and not overwrites
    metrics = entry.get("operationMetrics") or {ROWS: entry.get(ROWS, 0)}  # the latter where delta-rs wrote
    return Commit(entry["version"], metrics, entry.get("userMetadata") or "", adds)
