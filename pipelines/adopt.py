"""Parquet files that Spark has written, taken into a Delta table as they lie: one commit by delta-rs.

A commit by Spark rebuilds the table's state first, to look for the transaction id, and an append of what was staged
reads and encodes each row again. Here a file gets a second name (a link where there are links, else a copy), and the
commit names it with the statistics of its footer. Only tables and types that both writers treat alike are taken; else
Spark writes.
"""

import json
import math
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, Literal
from urllib.parse import quote

import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Schema
from deltalake import Transaction as AppTransaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, create_table_with_add_actions

from pipelines import log, where
from pipelines.log import Commit, Transaction

PROPERTIES = {
    "delta.enableChangeDataFeed": "true",
    "delta.checkpointInterval": "50",
    # An older version can be read as long as its files are there: upkeep decides on them, by what is in use.
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
}
FEATURES = {"appendOnly", "changeDataFeed", "invariants"}  # of tables to which delta-rs may write
PLAIN = re.compile(r"string|byte|short|integer|long|float|double|boolean|date|timestamp|binary|decimal\(\d+,\d+\)")
NAME = re.compile(r"\w+")
MOST_COLUMNS, MOST_LETTERS = 32, 32  # with statistics; of a text in them
AFTER_ASCII, AFTER_ALL = "\x7f", "\U0010ffff"  # letters that no text goes on with, or hardly any
Mode = Literal["append", "overwrite"]
Footers = Mapping[str, pq.FileMetaData]  # by path
Json = Any  # what json.loads gives back


def fits(schema: str, path: str, mode: Mode) -> bool:
    """True where files of a schema (Spark's, as JSON) can be taken into the table, or can become one. Reads its log."""
    fields = json.loads(schema)["fields"]
    if not all(_plain(f["type"]) and NAME.fullmatch(f["name"]) and not f["metadata"] for f in fields):
        return False
    table = _table(path)
    if table is None:
        return True
    known = set(table.protocol().writer_features or ()) <= FEATURES
    if not known or mode == "overwrite":
        return known
    there = {f["name"]: _nullable(f["type"]) for f in json.loads(table.schema().to_json())["fields"]}
    return all(there.get(f["name"]) == _nullable(f["type"]) for f in fields)


def commit(files: Footers, schema: str, path: str, mode: Mode, transaction: Transaction) -> Commit:
    """Take some files into a table in one commit; the first makes it. A replay commits nothing.

    schema: of the table where it is made or overwritten; the files may have more columns, which are not read.
    Cost  : a link or a copy for each file; no row is read.
    Errors: ConflictError if another writer was first.
    """
    held = {place: footer for place, footer in files.items() if footer.num_rows}
    actions = [_action(place, footer, path) for place, footer in held.items()]
    made = Schema.from_json(json.dumps(_nullable(json.loads(schema))))
    said = _said(transaction, sum(footer.num_rows for footer in held.values()))
    table = _table(path)
    try:
        if table is None:
            create_table_with_add_actions(
                path, made, actions, mode, [], configuration=PROPERTIES, commit_properties=said
            )
        elif transaction.version > _last(table, transaction.app):
            shape = made if mode == "overwrite" else table.schema()
            table.create_write_transaction([*actions], mode, shape, [], commit_properties=said)
    except DeltaError as error:  # where another was first, reading back tells with which transaction
        if not isinstance(error, CommitFailedError) and not (table is None and _table(path)):
            raise
    return log.committed(path, transaction)


def _last(table: DeltaTable, app: str) -> int:
    found = table.transaction_version(app)
    return -1 if found is None else found


def _said(transaction: Transaction, rows: int) -> CommitProperties:
    """No retries: a commit follows the version that was looked at, so that of many writers one is first."""
    return CommitProperties(
        custom_metadata={"userMetadata": transaction.tag, log.ROWS: str(rows)},
        app_transactions=[AppTransaction(transaction.app, transaction.version)],
        max_commit_retries=0,
    )


def footers(folder: str) -> dict[str, pq.FileMetaData]:
    """Of all Parquet files under a folder, by path."""
    system, place = where.at(folder)
    files = system.get_file_info(pafs.FileSelector(place, recursive=True))
    return {f.path: pq.read_metadata(f.path, filesystem=system) for f in files if f.path.endswith(".parquet")}


def remove(folder: str) -> None:
    """Remove a folder, if it is there."""
    system, place = where.at(folder)
    if system.get_file_info(place).type == pafs.FileType.Directory:
        system.delete_dir(place)


def _table(path: str) -> DeltaTable | None:
    try:
        return DeltaTable(path)
    except TableNotFoundError:
        return None


def _plain(kind: Json) -> bool:
    if isinstance(kind, str):
        return bool(PLAIN.fullmatch(kind))
    parts = {"struct": ("fields",), "array": ("elementType",), "map": ("keyType", "valueType")}.get(kind["type"], ())
    if parts == ("fields",):
        return all(_plain(f["type"]) and not f["metadata"] for f in kind["fields"])
    return bool(parts) and all(_plain(kind[part]) for part in parts)


def _nullable(kind: Json) -> Json:
    """The type with every part one that may be null, as Delta tables have them."""
    if isinstance(kind, dict):
        return {k: True if k in _NULLS else _nullable(v) for k, v in kind.items()}
    return [_nullable(part) for part in kind] if isinstance(kind, list) else kind


_NULLS = ("nullable", "containsNull", "valueContainsNull")


def _action(file: str, footer: pq.FileMetaData, path: str) -> AddAction:
    name = file.rsplit("/", 1)[1]
    size = _placed(file, path, name)
    stats = json.dumps(statistics(footer))
    return AddAction(quote(name), size, {}, int(time.time() * 1000), True, stats)


def _placed(file: str, path: str, name: str) -> int:
    """Give a file its place in the table's folder, again if need be; its bytes."""
    system, folder = where.at(path)
    system.create_dir(folder)
    if isinstance(system, pafs.LocalFileSystem):
        _linked(file, f"{folder}/{name}")
    else:
        system.copy_file(file, f"{folder}/{name}")
    return int(system.get_file_info(f"{folder}/{name}").size)


def _linked(file: str, place: str) -> None:
    """A second name for a file; a whole copy under it where a mount has no links, or is another's."""
    try:
        os.link(file, place)
    except FileExistsError:  # a replay of the same batch was here
        pass
    except OSError:
        part = f"{place}.{os.getpid()}.part"  # none of Delta's, so its vacuum removes what a kill leaves
        shutil.copyfile(file, part)
        os.replace(part, place)


def statistics(footer: pq.FileMetaData) -> dict[str, Json]:
    """What Delta says of a file: its rows; of its first columns least and greatest value, and how many are null."""
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    found: dict[str, Json] = {"numRecords": footer.num_rows, "minValues": {}, "maxValues": {}, "nullCount": {}}
    for number in range(min(footer.num_columns, MOST_COLUMNS)):
        chunks = [group.column(number) for group in groups]
        name = footer.schema.column(number).path
        told = [chunk.statistics for chunk in chunks]
        if not told or "." in name or not all(told):
            continue
        if all(s.has_null_count for s in told):
            found["nullCount"][name] = sum(s.null_count for s in told)
        least, greatest = _bounds(told, [c.num_values for c in chunks])
        if least is not None and greatest is not None:
            found["minValues"][name], found["maxValues"][name] = least, greatest
    return found


def _bounds(told: Sequence[pq.Statistics], values: Sequence[int]) -> tuple[Json, Json]:
    """As they stand in a log; (None, None) where the footer does not tell, or tells what a log would not hold."""
    held = [s for s, n in zip(told, values, strict=True) if s.null_count != n]
    if not held or not all(s.has_min_max for s in held):
        return None, None
    try:
        return _least(min(s.min for s in held)), _greatest(max(s.max for s in held))
    except (OverflowError, ValueError, TypeError):  # a year that Python's calendar has not
        return None, None


def _least(value: Any) -> Json:
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, str):
        return value[:MOST_LETTERS]
    return _exact(value)


def _greatest(value: Any) -> Json:
    """A log cuts text: a letter after all that begin alike. It cuts moments too, which readers allow for."""
    if isinstance(value, str) and len(value) > MOST_LETTERS:
        return value[:MOST_LETTERS] + (AFTER_ASCII if value[MOST_LETTERS] < AFTER_ASCII else AFTER_ALL)
    return _least(value)


def _exact(value: Any) -> Json:
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, int) else None


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
