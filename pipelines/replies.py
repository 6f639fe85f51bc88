"""A request for scores and its reply, without a web framework: the endpoint and a serverless function share it.

A folder holds `model.onnx` and `metadata.json`, as `lakeloom export` writes
them, and `features.sqlite` where keys are to be looked up. A body is one row as
a JSON object, `{"rows": [...]}` or `{"keys": [...]}`; a reply is a status and a
JSON value, and an error is one sentence.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipelines.errors import DataError, LakeloomError, PlatformError
from pipelines.keyed import FILE, REMOTE, Held, Keyed, UnknownKeyError
from pipelines.onnx import Column, Graph
from pipelines.shap import CONTRIBUTIONS, VECTOR, Shap
from pipelines.signature import Signature

GRAPH, METADATA = "model.onnx", "metadata.json"
MOST_BYTES, MOST_ROWS = 10 << 20, 10_000
MOST_WARNED = 20  # sentences about categories that were not seen
WARM_UP = 20  # calls before the first request
OK, NOT_FOUND, TOO_LARGE, UNSUPPORTED, UNPROCESSABLE, UNAVAILABLE = 200, 404, 413, 415, 422, 503
STATUSES: dict[type[LakeloomError], int] = {UnknownKeyError: NOT_FOUND, PlatformError: UNAVAILABLE}
Json = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """What is sent back."""

    status: int
    body: Json
    given: Sequence[Mapping[str, Any]] = ()  # the rows that were scored, with the keys that they were found by


class Lookup(Protocol):
    """What is held of keys: keyed.Keyed, or remote.Remote."""

    def rows(self, asked: Sequence[Any]) -> list[Held]:
        """Of each key, as Keyed has it."""


def _keyed(folder: Path) -> Lookup | None:
    if (folder / REMOTE).exists():
        from pipelines.remote import Remote

        return Remote.opened(folder / REMOTE)
    return Keyed.opened(folder / FILE) if (folder / FILE).exists() else None


@dataclass(frozen=True)
class Served:
    """One version of a model, opened. It never changes: another version is another value."""

    graph: Graph
    signature: Signature
    metadata: Mapping[str, Any]
    keyed: Lookup | None = None
    explain: int = 0  # so many contributions stand in an answer; null where the model has none

    @cached_property
    def shap(self) -> Shap | None:
        """What tells the parts of its answers."""
        return Shap.said_by(self.graph.said) if self.graph.explains else None

    @classmethod
    def opened(cls, folder: Path, explain: int = 0) -> "Served":
        """Of an exported folder, scored some times already. Errors: DataError where the graph was changed."""
        try:
            metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise PlatformError(f"{folder / METADATA}: cannot be read: {error}") from error
        graph = Graph.opened(folder / GRAPH, metadata["sha256"])
        served = cls(graph, Signature.said_by(graph.said), metadata, _keyed(folder), explain)
        for _ in range(WARM_UP if metadata.get("example") else 0):
            served.answers([metadata["example"]])
        return served

    @property
    def version(self) -> int:
        """Its number in the registry."""
        return int(self.metadata["version"])

    def reply(self, body: bytes, content_type: str = "application/json") -> Reply:
        """Score a body. Never raises for what a client sends."""
        if content_type.partition(";")[0].strip().lower() != "application/json":
            return Reply(UNSUPPORTED, {"error": f"the body is application/json, got {content_type or 'no type'}"})
        if len(body) > MOST_BYTES:
            return too_large()
        try:
            return self._scored(_parsed(body))
        except LakeloomError as error:
            status = next((s for kind, s in STATUSES.items() if isinstance(error, kind)), UNPROCESSABLE)
            return Reply(status, {"error": str(error).encode(errors="backslashreplace").decode()})  # half a letter

    def _scored(self, given: Json) -> Reply:
        named = next((name for name in ("rows", "keys") if set(given) == {name} and isinstance(given[name], list)), "")
        rows, batch = given[named] if named else [given], bool(named)
        if len(rows) > MOST_ROWS:
            return Reply(TOO_LARGE, {"error": f"{len(rows):,} rows in one request; the most is {MOST_ROWS:,}"})
        held = self._held(rows) if named == "keys" else []
        sent = [{**key, **each.row} for key, each in zip(rows, held, strict=True)] if held else rows
        rows = [each.row for each in held] if held else rows
        _refuse(rows)
        self.signature.refuse_unknown(rows)
        answers, warnings = self.answers(rows), self.signature.unseen(rows)
        for answer, each in zip(answers, held, strict=False):
            answer["as_of"] = each.as_of
        head = {"model": self.metadata["model"], "version": self.version}
        told = {"answers": answers} if batch else {"answer": answers[0]}
        return Reply(OK, {**head, **told, "warnings": warnings[:MOST_WARNED]}, sent)

    def _held(self, keys: Sequence[Any]) -> list[Held]:
        if self.keyed is None:
            raise DataError("no features are held here; send them, or serve with --lookup")
        return self.keyed.rows(keys)

    def answers(self, rows: Sequence[Mapping[str, Any]]) -> list[Json]:
        """An answer for each row. Errors: DataError for a row that is not as the model wants it."""
        told, wanted = self.explain and self.shap, [port.name for port in self.graph.outputs]
        columns = self.graph.score(self.signature.columns(rows), [*wanted, VECTOR] if told else wanted)
        listed: dict[str, list[Any]] = {name: _listed(columns[name]) for name in wanted}
        if self.explain:
            listed[CONTRIBUTIONS] = told.of(columns[VECTOR]).top(self.explain) if told else [None] * len(rows)
        return [dict(zip(listed, values, strict=True)) for values in zip(*listed.values(), strict=True)]


def _listed(values: Column) -> list[Any]:
    """As JSON has them: what is no finite number is null."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        endless, values = ~np.isfinite(values), values.astype(object)
        values[endless] = None
    listed: list[Any] = values.tolist()
    return listed


def place(body: bytes, keys: Sequence[str]) -> float:
    """From 0 to 1, the same for the same keys of a request's first row; where it has none of them, by the body."""
    try:
        given = _parsed(body)
        rows = next((given[name] for name in ("rows", "keys") if isinstance(given.get(name), list)), [given])
        found = [str(rows[0][key]) for key in keys]
    except (LakeloomError, LookupError, TypeError):
        found = []
    text = json.dumps(found).encode() if found else body
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) / 2**64


def too_large() -> Reply:
    """Of a body that is not read to its end."""
    return Reply(TOO_LARGE, {"error": f"the body is over {MOST_BYTES >> 20} MB; send fewer rows at a time"})


def _parsed(body: bytes) -> Json:
    try:
        found = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the body is not JSON: {(str(error) or 'nested too deep').splitlines()[0]}") from None
    if not isinstance(found, dict):
        raise DataError('the body is one row as an object, or {"rows": [...]}')
    return found


def _no_number(said: str) -> float:
    raise ValueError(f"{said} is no finite number; a missing value is null")


def _refuse(rows: Sequence[Any]) -> None:
    if not rows:
        raise DataError("there is no row to score")
    for place, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"row {place}: should be an object, got {type(row).__name__}")
        if endless := next((k for k, v in row.items() if isinstance(v, float) and abs(v) == float("inf")), None):
            raise DataError(f"row {place}: {endless} is no finite number; a missing value is null")
