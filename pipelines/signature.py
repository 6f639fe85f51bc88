"""What a model asks of a row, and how a row's values enter its graph. Pure: no engine, no web.

A feature has the type of its column and a kind: what it was taken for. Numbers
enter a graph as doubles, categories and texts as the text that Spark makes of
them, times as microseconds since 1970 in UTC. Missing is null, and stands in a
graph as MISSING says. Values are those of JSON, or those that Arrow gives.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError

NO_TIME = int(np.iinfo(np.int64).min)  # stands for a missing timestamp
MISSING: dict[str, Any] = {"number": float("nan"), "category": "(missing)", "text": "", "time": NO_TIME}
TENSORS: dict[str, Any] = {"number": np.float64, "category": np.object_, "text": np.object_, "time": np.int64}
WHOLE = {"tinyint": 8, "smallint": 16, "int": 32, "bigint": 64}  # bits
SAID = "lakeloom"  # the name under which a graph holds its signature, as JSON
MOST_TOLD = 10_000  # known values of a category, beyond which none are listed
SHOWN = 3  # features that a sentence names
Kind = Literal["number", "category", "text", "time"]
Row = Mapping[str, Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Feature:
    """A column that the graph reads. `values`: of a category, those seen in training, where they are not too many."""

    name: str
    type: str  # as Spark names it: double, string, timestamp, ...
    kind: Kind
    values: tuple[str, ...] = ()

    def value(self, given: Any) -> Any:
        """As it enters the graph. Errors: ValueError saying what is wanted."""
        if given is None:
            return MISSING[self.kind]
        return _READ[self.kind](given, self.type)


@dataclass(frozen=True)
class Signature:
    """Features that a graph reads, and columns that rows may hold beside them."""

    features: tuple[Feature, ...]
    beside: tuple[str, ...] = ()  # keys, the row's time, features that the model found of no use

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Signature":
        """Of what a graph says of itself."""
        features = tuple(Feature(**{**f, "values": tuple(f["values"])}) for f in said["features"])
        return cls(features, tuple(said["beside"]))

    @classmethod
    def said_by(cls, said: Mapping[str, str]) -> "Signature":
        """Of a graph's own words."""
        return cls.of(json.loads(said[SAID]))

    def as_json(self) -> dict[str, Any]:
        """For `of`."""
        return {"features": [asdict(f) for f in self.features], "beside": list(self.beside)}

    def columns(self, rows: Sequence[Row]) -> dict[str, NDArray[Any]]:
        """A column for each feature. Errors: DataError for the first row that is not as it should be, and why."""
        made = {}
        for feature in self.features:
            values = [_value(feature, row, place) for place, row in enumerate(rows)]
            made[feature.name] = np.array(values, dtype=TENSORS[feature.kind])
        return made

    def refuse_unknown(self, rows: Sequence[Row]) -> None:
        """Errors: DataError for a row that lacks a feature, or holds what is none."""
        names = {f.name for f in self.features}
        known = names.union(self.beside)
        for place, row in enumerate(rows):
            if extra := next((name for name in row if name not in known), None):
                raise DataError(f"row {place}: {extra}: no such feature{_near(extra, sorted(known))}")
            if lacking := [f.name for f in self.features if f.name not in row]:
                raise DataError(f"row {place}: lacks {_listed(lacking)}; a missing value is null")

    def unseen(self, rows: Sequence[Row]) -> list[str]:
        """Sentences on categories that were not in the training rows: the model takes them all for one."""
        found = []
        for feature in self.features:
            known = frozenset(feature.values)
            for place, row in enumerate(rows if known else ()):
                value = feature.value(row.get(feature.name))
                if value not in known:
                    found.append(f"row {place}: {feature.name}: {str(value)[:60]!r} was not seen in training")
        return found


def _value(feature: Feature, row: Row, place: int) -> Any:
    given = row.get(feature.name)
    try:
        return feature.value(given)
    except ValueError as wanted:
        raise DataError(f"row {place}: {feature.name} is {wanted}, got {str(given)[:60]!r}") from None


def _number(given: Any, type: str) -> float:
    if type.startswith("decimal") and isinstance(given, str | Decimal):
        given = _decimal(given, type)
    if isinstance(given, bool) or not isinstance(given, int | float | Decimal):
        raise ValueError(f"a number ({type})")
    if type in WHOLE:
        return float(_whole(given, type))
    if type.startswith("decimal"):
        return float(_decimal(str(given), type))
    try:
        return float(np.float32(given)) if type == "float" else float(given)
    except OverflowError:
        raise ValueError(f"a number ({type})") from None


def _whole(given: Any, type: str) -> int:
    most = 2 ** (WHOLE[type] - 1)
    if isinstance(given, bool) or not isinstance(given, int | float) or given != given or given != int(given):
        raise ValueError(f"a whole number ({type})")
    if not -most <= given < most:
        raise ValueError(f"a whole number of {WHOLE[type]} bits ({type})")
    return int(given)


def _decimal(given: str | Decimal, type: str) -> Decimal:
    scale = int(type.partition(",")[2].rstrip(")") or 0)
    try:
        return Decimal(given).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)
    except ArithmeticError:
        raise ValueError(f"a number ({type})") from None


def _category(given: Any, type: str) -> str:
    """The text that Spark makes of a value of the type."""
    if type == "boolean":
        if not isinstance(given, bool):
            raise ValueError("true or false")
        return "true" if given else "false"
    if type in WHOLE:
        return str(_whole(given, type))
    if type == "date":
        return _day(given).isoformat()
    if type.startswith("decimal"):
        return f"{_decimal(str(given), type):f}"
    return _text(given, type)


def _text(given: Any, type: str) -> str:
    if not isinstance(given, str):
        raise ValueError(f"a text ({type})")
    return given


def _time(given: Any, type: str) -> int:
    if type == "date":
        day = _day(given)
        given = datetime(day.year, day.month, day.day, tzinfo=UTC)
    try:
        moment = given if isinstance(given, datetime) else datetime.fromisoformat(_text(given, type))
    except ValueError:
        raise ValueError("a timestamp as in ISO 8601, of UTC unless it says so") from None
    apart = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return (apart.days * 86_400 + apart.seconds) * 1_000_000 + apart.microseconds


def _day(given: Any) -> date:
    try:
        return given if isinstance(given, date) else date.fromisoformat(_text(given, "date"))
    except ValueError:
        raise ValueError("a day as in ISO 8601") from None


_READ: dict[str, Callable[[Any, str], Any]] = {
    "number": _number, "category": _category, "text": _text, "time": _time,
}  # fmt: skip


def _near(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"; did you mean '{near[0]}'?" if near else f"; there is {_listed(list(known))}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
