"""The newest features of each key, in one file: what a request that names keys alone is answered with. No engine.

SQLite, read by its page cache in some ten microseconds. The file is written whole and never changed: newer features are
another file, and so are those without a person who is forgotten. A key is the text of its values, in the order of the
feature table's keys.
"""

import json
import shutil
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import DataError, PlatformError

FILE, REMOTE = "features.sqlite", "features.redis.json"  # beside the graph: the file, or what remote.py is to look up
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Held:
    """What is held of a key: its features, and the moment they are of, as ISO 8601."""

    as_of: str
    row: Row


def write(file: Path, keys: Sequence[str], rows: Iterable[tuple[Row, Held]]) -> int:
    """Keys with their features; of several rows of a key the newest stays. Returns how many keys there are."""
    with closing(sqlite3.connect(file)) as made, made:
        made.execute("CREATE TABLE names (names TEXT)")
        made.execute("INSERT INTO names VALUES (?)", (json.dumps(list(keys)),))
        made.execute("CREATE TABLE held (key TEXT PRIMARY KEY, as_of TEXT, row TEXT) WITHOUT ROWID")
        newest = "ON CONFLICT (key) DO UPDATE SET as_of = excluded.as_of, row = excluded.row"
        lines = ((key_of(keys, key), held.as_of, json.dumps(held.row, default=str)) for key, held in rows)
        made.executemany(f"INSERT INTO held VALUES (?, ?, ?) {newest} WHERE excluded.as_of > as_of", lines)
        found: int = made.execute("SELECT count(*) FROM held").fetchone()[0]
    return found


def erase(file: Path, keys: Collection[str]) -> None:
    """Write the file anew without some keys. Who has it open goes on with the old one, until that is closed."""
    part = file.with_name(f".{file.name}")
    part.unlink(missing_ok=True)
    with closing(_connected(file)) as old, closing(sqlite3.connect(part, isolation_level=None)) as made:
        old.backup(made)
        made.execute("PRAGMA journal_mode = OFF")  # which would hold what goes
        made.execute("PRAGMA secure_delete = OFF")  # not everywhere there, and VACUUM does without
        made.executemany("DELETE FROM held WHERE key = ?", [(key,) for key in keys])
        made.execute("VACUUM")  # a row that is deleted lies in the file until then
    shutil.copymode(file, part)
    part.replace(file)


def newest(keys: Sequence[str], rows: Iterable[tuple[Row, Held]]) -> dict[str, Held]:
    """Of several rows of a key the newest, in memory."""
    found: dict[str, Held] = {}
    for row, held in rows:
        key = key_of(keys, row)
        if key not in found or found[key].as_of < held.as_of:
            found[key] = held
    return found


def key_of(names: Sequence[str], row: Row) -> str:
    """The text of a key."""
    return json.dumps([str(row[name]) for name in names])


def as_key(names: Sequence[str], place: int, asked: Any) -> str:
    """The same of what a client sent. Errors: DataError where it names no key."""
    if not isinstance(asked, dict) or set(asked) != set(names):
        raise DataError(f"row {place}: a key is an object of {', '.join(names)}, got {json.dumps(asked)[:60]}")
    return key_of(names, asked)


@dataclass(frozen=True)
class Keyed:
    """An opened file; `keys` are the columns that name a row."""

    keys: tuple[str, ...]
    connection: sqlite3.Connection

    @classmethod
    def opened(cls, file: Path) -> "Keyed":
        """Errors: PlatformError where it is no such file."""
        try:
            connection = _connected(file)
            names = connection.execute("SELECT names FROM names").fetchone()[0]
        except sqlite3.Error as error:
            raise PlatformError(f"{file}: cannot be read: {error}") from error
        return cls(tuple(json.loads(names)), connection)

    @property
    def count(self) -> int:
        """How many keys there are."""
        found: int = self.connection.execute("SELECT count(*) FROM held").fetchone()[0]
        return found

    def there(self, keys: Iterable[str]) -> list[str]:
        """Those keys of which something is held."""
        asked = "SELECT 1 FROM held WHERE key = ?"
        return [key for key in keys if self.connection.execute(asked, (key,)).fetchone()]

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()

    def rows(self, asked: Sequence[Any]) -> list[Held]:
        """What is held of each. Errors: DataError for what names no key, UnknownKeyError."""
        return [self._row(place, each) for place, each in enumerate(asked)]

    def _row(self, place: int, asked: Any) -> Held:
        key = as_key(self.keys, place, asked)
        held = self.connection.execute("SELECT as_of, row FROM held WHERE key = ?", (key,)).fetchone()
        if held is None:
            raise UnknownKeyError.of(place, asked)
        return Held(held[0], json.loads(held[1]))


def _connected(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True, check_same_thread=False)


class UnknownKeyError(DataError):
    """A key that nothing is held of."""

    @classmethod
    def of(cls, place: int, asked: Any) -> "UnknownKeyError":
        """In one sentence."""
        return cls(f"row {place}: no features are held of {json.dumps(asked)[:60]}")
