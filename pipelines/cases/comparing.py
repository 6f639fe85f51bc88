"""Expected rows against found ones: which are missing, which are too many, and both beside each other as text. Pure."""

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isclose, isnan

MOST_ROWS = 10  # of each kind that a text shows
Row = Mapping[str, object]


@dataclass(frozen=True)
class Difference:
    """Where what was found is not what a test expects: at least one row is missing or unexpected."""

    what: str  # 'flights', 'quarantine of flights'
    at: str  # file:line
    columns: tuple[str, ...]  # that are compared
    missing: tuple[Row, ...]
    unexpected: tuple[Row, ...]
    differing: tuple[str, ...] = ()  # the columns in which the one missing and the one unexpected row differ

    def text(self) -> str:
        """A sentence, then the rows, aligned, at most ten of each kind."""
        marked = [*_marked("missing", self.missing), *_marked("unexpected", self.unexpected)]
        cells = [["", *self.columns], *([mark, *[shown(row[c]) for c in self.columns]] for mark, row in marked)]
        kinds = (("missing", self.missing), ("unexpected", self.unexpected))
        more = [f"  and {len(rows) - MOST_ROWS} more {kind}" for kind, rows in kinds if len(rows) > MOST_ROWS]
        return "\n".join([f"{self.at}: {self.what}: {self._sentence()}", *_aligned(cells), *more])

    def _sentence(self) -> str:
        if self.differing:
            return f"one row differs, in {', '.join(self.differing)}"
        kinds = (("missing", self.missing), ("unexpected", self.unexpected))
        told = [f"{len(rows)} {kind} row{'' if len(rows) == 1 else 's'}" for kind, rows in kinds if rows]
        return ", ".join(told)


def difference(
    what: str, at: str, columns: Sequence[str], expected: Sequence[Row], found: Sequence[Row], tolerance: float
) -> Difference | None:
    """None where found is expected, each row as often, in any order.

    Rows are alike where all these columns are: null is like null, NaN like NaN, floats within the tolerance.
    """
    missing, left = _unmatched(expected, found, columns, 0.0)
    missing, left = _unmatched(missing, left, columns, tolerance)  # what is equal to the letter is taken first
    if not missing and not left:
        return None
    one = len(missing) == len(left) == 1
    differing = [c for c in columns if one and not alike(missing[0][c], left[0][c], tolerance)]
    return Difference(what, at, tuple(columns), tuple(missing), tuple(left), tuple(differing))


def _unmatched(
    expected: Iterable[Row], found: Iterable[Row], columns: Sequence[str], tolerance: float
) -> tuple[list[Row], list[Row]]:
    missing, left = [], list(found)
    for row in expected:
        match = next((i for i, r in enumerate(left) if all(alike(row[c], r[c], tolerance) for c in columns)), None)
        if match is None:
            missing.append(row)
        else:
            left.pop(match)
    return missing, left


def alike(one: object, other: object, tolerance: float) -> bool:
    """Two values as Arrow gives them."""
    if isinstance(one, float) and isinstance(other, float):
        close = isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
        return close or (isnan(one) and isnan(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[k], other[k], tolerance) for k in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        pairs = zip(_ordered(one), _ordered(other), strict=False)
        return len(one) == len(other) and all(alike(a, b, tolerance) for a, b in pairs)
    return one == other


def _ordered(values: Sequence[object]) -> Sequence[object]:
    """The pairs of a map by their keys, for a map has no order; any other list as it is."""
    of_map = isinstance(values, list) and all(isinstance(v, tuple) for v in values)
    return sorted(values, key=repr) if of_map else values


def shown(value: object) -> str:
    """A value as a file of tests would have it; moments in UTC."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, datetime):
        return str(value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=shown, ensure_ascii=False)
    plain = not isinstance(value, str) or (value.isprintable() and value == value.strip() and value not in ("", "null"))
    return str(value) if plain else json.dumps(value, ensure_ascii=False)


def _marked(kind: str, rows: Sequence[Row]) -> list[tuple[str, Row]]:
    return [(kind, row) for row in rows[:MOST_ROWS]]


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [("  " + "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True))).rstrip() for line in cells]
