"""Upkeep of one Delta table: many small files become few, files that no version in use needs are removed.

A version is in use while it is published, while something was made of it that
goes on from there, or while a registered model learned from it. VACUUM knows
only an age, so the age is taken from the oldest version in use: files that were
removed when it ceased to be the newest are kept. No row changes, and no reader
sees another version.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from math import ceil

import pyarrow.fs as pafs
from pyspark.sql import SparkSession

from pipelines import crash, log, tables, where

SMALL, MOST_SMALL = 16 << 20, 16  # bytes; so many smaller files are made into larger ones
LARGE, LARGE_KEYED = 1 << 30, 32 << 20  # bytes; a MERGE writes every file anew of which it changes a row
LEAST_HOURS = 168  # Delta's own least: who has read or written for a week is not disturbed


@dataclass(frozen=True)
class Todo:
    """What would be done to a table, from its log alone."""

    path: str
    files: int
    small: int
    optimize: bool
    by: str  # the order of rows in the files that are made: a MERGE on it then reads few of them
    keep_hours: int


@dataclass(frozen=True)
class Done:
    """What became of it; bytes are those of data on disk, old versions with them."""

    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int


def todo(path: str, used: Collection[int], now: datetime, by: str = "") -> Todo:
    """Look at a table. used: its versions in use; by: the column by which its rows are found. Cost: reads the log."""
    sizes = log.file_sizes(path)
    small = sum(size < min(SMALL, _large(by) // 4) for size in sizes)
    return Todo(path, len(sizes), small, small >= MOST_SMALL, by, keep_hours(log.moments(path), used, now))


def keep_hours(moments: dict[int, datetime], used: Collection[int], now: datetime) -> int:
    """Hours that keep every version in use readable.

    moments: version -> when it was committed; a version ends when the next one is.
    """
    ended = [moments[v + 1] for v in used if v + 1 in moments]
    return max([LEAST_HOURS, *(ceil((now - end).total_seconds() / 3600) + 1 for end in ended)])


def carry_out(spark: SparkSession, what: Todo) -> Done:
    """OPTIMIZE if it pays, then VACUUM. Cost: rewrites small files; lists the table's folder."""
    before = _bytes(what.path)
    if what.optimize:
        tables.optimize(spark, what.path, _large(what.by), what.by)
        crash.point("between compaction and vacuum", what.path)
    tables.vacuum(spark, what.path, what.keep_hours)
    return Done(what.files, len(log.file_sizes(what.path)), before, _bytes(what.path))


def _large(by: str) -> int:
    """Bytes of a file that is not made larger."""
    return LARGE_KEYED if by else LARGE


def _bytes(path: str) -> int:
    system, place = where.at(path)
    files = system.get_file_info(pafs.FileSelector(place, recursive=True))
    return sum(f.size or 0 for f in files if f.type == pafs.FileType.File and "/_delta_log/" not in f.path)
