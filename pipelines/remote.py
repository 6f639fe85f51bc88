"""The newest features of each key in Redis, which several endpoints share: the same rows as the file of keyed.py.

A snapshot is one hash, written under another name and then renamed, so that it is there whole or not at all; it never
changes, but for a person who is forgotten. Its name says which version reads it and of which features it is, so the
second endpoint finds it there. The two newest of a version are kept, for an endpoint goes on with its own until it has
fetched the next.
"""

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import redis

from pipelines.errors import PlatformError
from pipelines.keyed import Held, Row, UnknownKeyError, as_key, newest

URL = "LAKELOOM_REDIS_URL"  # a variable, for a URL may hold a password
NAMES = ""  # a field that no key is
WAIT_S, AT_ONCE, KEPT = 2, 1_000, 2
Json = dict[str, Any]


def client() -> Any:
    """Of the server that the environment names. Errors: PlatformError where it names none."""
    if not os.environ.get(URL):
        raise PlatformError(f"{URL} is not set; it names the server, such as redis://127.0.0.1:6379/0")
    try:
        found: Any = redis.Redis.from_url(os.environ[URL], socket_timeout=WAIT_S, socket_connect_timeout=WAIT_S)
    except ValueError as error:
        raise PlatformError(f"{URL} is no address of a Redis server: {error}") from None
    return found


def write(version: str, features: int, keys: Sequence[str], rows: Iterable[tuple[Row, Held]]) -> tuple[Json, int]:
    """What stands beside the graph, and how many keys there are. version: 'flights.late@3'. Memory: a row a key.

    Errors: PlatformError where Redis does not answer.
    """
    server, name = client(), f"lakeloom:{version}:{features}"
    try:
        if not server.exists(name):
            _fill(server, name, keys, newest(keys, rows))
        _forget(server, f"lakeloom:{version}", name)
        return {"name": name, "keys": list(keys)}, server.hlen(name) - 1
    except redis.RedisError as error:
        raise PlatformError(f"Redis does not hold the features: {_first(error)}") from None


def _fill(server: Any, name: str, keys: Sequence[str], held: dict[str, Held]) -> None:
    made, left = f"{name}:{os.urandom(8).hex()}", iter(held.items())
    server.hset(made, NAMES, json.dumps(list(keys)))
    server.expire(made, 3600)  # of a writer that was killed
    while some := dict(islice(left, AT_ONCE)):
        server.hset(made, mapping={key: json.dumps([h.as_of, h.row], default=str) for key, h in some.items()})
    server.persist(made)
    server.rename(made, name)


def _forget(server: Any, of: str, name: str) -> None:
    """All snapshots of a version but the newest."""
    server.lrem(of, 0, name)
    server.lpush(of, name)
    for old in server.lrange(of, KEPT, -1):
        server.unlink(old)
    server.ltrim(of, 0, KEPT - 1)


def erase(pipeline: str, keys: Mapping[tuple[str, ...], Collection[str]], dry: bool = False) -> dict[str, int]:
    """Snapshot of a pipeline's models -> how many of a person's keys it holds; they are taken out. dry: only counted.

    keys: by the columns that they are of. Errors: PlatformError where Redis does not answer.
    """
    server = client()
    try:
        names = sorted(name.decode() for name in server.scan_iter(f"lakeloom:{pipeline}.*:*", AT_ONCE, "hash"))
        found = {name: _erased(server, name, keys, dry) for name in names}
    except redis.RedisError as error:
        raise PlatformError(f"Redis may still hold features of a person: {_first(error)}") from None
    return {name: count for name, count in found.items() if count}


def _erased(server: Any, name: str, keys: Mapping[tuple[str, ...], Collection[str]], dry: bool) -> int:
    asked = list(keys.get(tuple(json.loads(server.hget(name, NAMES) or "[]")), ()))
    parts = [asked[i : i + AT_ONCE] for i in range(0, len(asked), AT_ONCE)]
    held = [[key for key, row in zip(part, server.hmget(name, part), strict=True) if row] for part in parts]
    for part in (part for part in held if part and not dry):
        server.hdel(name, *part)
    return sum(map(len, held))


@dataclass(frozen=True)
class Remote:
    """A snapshot; `keys` are the columns that name a row."""

    keys: tuple[str, ...]
    name: str
    server: Any

    @classmethod
    def opened(cls, file: Path) -> "Remote":
        """Errors: PlatformError where the environment names no server."""
        said = json.loads(file.read_text(encoding="utf-8"))
        return cls(tuple(said["keys"]), said["name"], client())

    def rows(self, asked: Sequence[Any]) -> list[Held]:
        """What is held of each. Errors: DataError for what names no key, UnknownKeyError; PlatformError."""
        fields = [as_key(self.keys, place, each) for place, each in enumerate(asked)]
        try:
            names, *found = self.server.hmget(self.name, [NAMES, *fields])
        except redis.RedisError as error:
            raise PlatformError(f"the features cannot be looked up: {_first(error)}") from None
        if names is None:
            raise PlatformError("the features that this version reads are no longer held; POST /reload fetches others")
        return [_held(place, each, value) for place, (each, value) in enumerate(zip(asked, found, strict=True))]


def _held(place: int, asked: Any, value: bytes | None) -> Held:
    if value is None:
        raise UnknownKeyError.of(place, asked)
    as_of, row = json.loads(value)
    return Held(as_of, row)


def _first(error: Exception) -> str:
    """Without the address, which may hold a password."""
    return (str(error).splitlines() or [type(error).__name__])[0].split(" connecting to ")[0][:200]
