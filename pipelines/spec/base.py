"""What every spec is: a frozen value that refuses what it does not know."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_LONGEST = 100 * 366 * 86400  # seconds
LENGTH = re.compile(r"([0-9]+)\s*(second|minute|hour|day|week)s?")


class Spec(BaseModel):
    """Frozen; an unknown key is an error; a value of the wrong type is never coerced."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, populate_by_name=True, allow_inf_nan=False, defer_build=True
    )


def length_of(text: object) -> timedelta:
    """'3 hours' -> three hours; ValueError for anything that is not NUMBER UNIT."""
    match = LENGTH.fullmatch(text.strip()) if isinstance(text, str) else None
    if not match:
        raise ValueError(f"should be a length of time such as '3 hours', got {text!r}")
    seconds = int(match[1][:12]) * _UNITS[match[2]]
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"should be between 1 second and 100 years, got {text!r}")
    return timedelta(seconds=seconds)


def length_text(length: timedelta) -> str:
    """Three hours -> '3h': the largest unit that divides it, for column names."""
    seconds = int(length.total_seconds())
    unit = max((u for u in _UNITS if seconds % _UNITS[u] == 0), key=_UNITS.__getitem__)
    return f"{seconds // _UNITS[unit]}{unit[0]}"


def length_words(length: timedelta, rounded: bool = False) -> str:
    """Three hours -> '3 hours'; rounded down to two or more of a unit up to days: '3 days' of a little more."""
    seconds = int(length.total_seconds())
    units = {u: s for u, s in _UNITS.items() if not rounded or u != "week"}
    fitting = [u for u, s in units.items() if (seconds >= 2 * s if rounded else seconds % s == 0)]
    unit = max(fitting, key=units.__getitem__, default="second")
    count = seconds // units[unit]
    return f"{count:,} {unit}{'' if count == 1 else 's'}"


Length = Annotated[
    timedelta,
    BeforeValidator(length_of),
    PlainSerializer(lambda t: f"{int(t.total_seconds())} seconds", return_type=str),
    WithJsonSchema({"type": "string", "pattern": rf"^{LENGTH.pattern}$", "examples": ["3 hours"]}),
]
NAME, COLUMN = r"^[a-z][a-z0-9_]{0,62}$", r"^[A-Za-z_][A-Za-z0-9_]{0,127}$"
Name = Annotated[str, Field(pattern=NAME, description="snake_case name")]
Column = Annotated[str, Field(pattern=COLUMN, description="a column")]
