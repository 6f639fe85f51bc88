"""The rows of a small Delta table that only grows: a process reads each of its files once, for no file ever changes."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from pipelines import where

Row = TypeVar("Row")
FILE = "__filename"  # the name under which pyarrow tells where a row lies
Json = Any


@dataclass(frozen=True)
class Held:
    """What was read of a table."""

    folder: str  # of its commits, by URI
    version: int
    commit: tuple[int, int] | None  # of the version: when it was written, and its size
    rows: Mapping[str, list[Any]]  # by file


_HELD: dict[str, Held] = {}  # by where the table lies


def rows(path: str, made: Callable[[dict[str, Json]], Row]) -> Iterator[Row]:
    """All rows of a table, each made from what stands in it, in no order; nothing where there is no table.

    Cost: of a table that nobody wrote to since, two looks at its log.
    """
    known = _HELD.get(path)
    if known is None or not _newest(known):
        try:
            known = _HELD[path] = _read(DeltaTable(path), made, known.rows if known else {})
        except TableNotFoundError:
            return
    for found in known.rows.values():
        yield from found


def _newest(known: Held) -> bool:
    """Whether its last commit is the one that it was, and none follows."""
    commit, following = _commits(known.folder, known.version)
    return commit is not None and commit == known.commit and following is None


def _read(table: DeltaTable, made: Callable[[dict[str, Json]], Row], known: Mapping[str, list[Any]]) -> Held:
    names, folder = [uri.rpartition("/")[2] for uri in table.file_uris()], f"{table.table_uri.rstrip('/')}/_delta_log"
    commit, _ = _commits(folder, table.version())
    new = {name: [made(row) for row in found] for name, found in _by_file(table, set(names) - set(known))}
    return Held(folder, table.version(), commit, {name: known.get(name) or new.get(name, []) for name in names})


def _commits(folder: str, version: int) -> list[tuple[int, int] | None]:
    """Of a version and of the one that would follow; None where there is none."""
    system, path = where.at(folder)
    found = system.get_file_info([f"{path}/{v:020}.json" for v in (version, version + 1)])
    return [(f.mtime_ns, f.size) if f.type == pafs.FileType.File else None for f in found]


def _by_file(table: DeltaTable, names: Collection[str]) -> Iterator[tuple[str, list[dict[str, Json]]]]:
    """The rows of some files, read at once."""
    if not names:
        return
    system, path = where.at(table.table_uri)
    schema, inside = pa.schema(table.schema().to_arrow()), pafs.SubTreeFileSystem(path, system)
    some = pads.dataset(sorted(names), schema, "parquet", inside).to_table(columns=[*schema.names, FILE]).to_pylist()
    for name, of_file in groupby(sorted(some, key=itemgetter(FILE)), itemgetter(FILE)):
        yield name, [{k: v for k, v in row.items() if k != FILE} for row in of_file]
