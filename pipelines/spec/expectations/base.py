"""What every promise is: a tier, the columns it reads, and the arguments that all of a kind share.

The tier says who decides. `row`: the pass that writes (drop, quarantine), or
the one aggregate over the written version (warn, fail). `aggregate` and
`values`: that aggregate, or a second one over counted values. `schema` and
`log`: nothing is read. `query`: its own SELECT. `gx`: Great Expectations.
"""

from datetime import date, datetime
from typing import Annotated, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from pipelines.spec.base import Column, Spec

Tier = Literal["row", "aggregate", "values", "schema", "log", "query", "gx"]
Severity = Literal["critical", "warning", "info"]
IgnorePair = Literal["both_values_are_missing", "either_value_is_missing", "neither"]
IgnoreRow = Literal["all_values_are_missing", "any_value_is_missing", "never"]
SHARED = ("mostly", "row_condition", "severity")  # last in every promise, and no part of what is promised


def moment(text: str) -> date | datetime:
    """'2013-01-01' -> a date, '2013-01-01 12:00:00' -> a time (UTC); ValueError for anything else."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is not None:
        raise ValueError(f"moments are UTC and say no zone, got {text!r}")
    return found.date() if len(text) == len("2013-01-01") else found


def _bound(value: object) -> object:
    try:
        known = isinstance(value, int | float) or (isinstance(value, str) and bool(moment(value)))
    except ValueError:
        known = False
    if isinstance(value, bool) or not known:
        raise ValueError(f"should be a number or a moment such as '2013-01-01 12:00:00', got {value!r:.60}")
    return float(value) if isinstance(value, int | float) else value


def _value(value: object) -> object:
    if not isinstance(value, str | int | float):
        raise ValueError(f"should be a text, a number, true or false, got {value!r:.60}")
    return value


Bound = Annotated[float | str, BeforeValidator(_bound), WithJsonSchema({"type": ["number", "string"]})]
Value = Annotated[
    bool | int | float | str, BeforeValidator(_value), WithJsonSchema({"type": ["boolean", "number", "string"]})
]
Values = Annotated[tuple[Value, ...], Field(min_length=1)]


class Promise(Spec):
    """Arguments of one expectation."""

    tier: ClassVar[Tier] = "aggregate"
    severity: Severity | None = Field(default=None, description="how bad a breach is, for reports; on_fail decides")

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """(argument, column) of every column it reads, in order, those of row_condition apart."""
        single = [(k, getattr(self, k, None)) for k in ("column", "column_A", "column_B")]
        return tuple((k, v) for k, v in single if v)

    @model_serializer(mode="wrap")
    def _shared_last(self, written: SerializerFunctionWrapHandler) -> dict[str, object]:
        said: dict[str, object] = written(self)
        return {k: said[k] for k in sorted(said, key=lambda k: SHARED.index(k) + 1 if k in SHARED else 0)}


class Conditional(Promise):
    """One that can be asked of some rows alone."""

    row_condition: str | None = Field(
        default=None, min_length=1, description="SQL over the table's columns; other rows are not looked at"
    )


class Mostly(Conditional):
    """One that counts rows, and may let some of them break it."""

    mostly: float | None = Field(
        default=None, gt=0, le=1, description="share of the rows looked at that must hold; warn and fail only"
    )


class OfColumn(Mostly):
    """Rows, by one column."""

    tier: ClassVar[Tier] = "row"
    column: Column


class OfPair(Mostly):
    """Rows, by two columns."""

    tier: ClassVar[Tier] = "row"
    column_A: Column
    column_B: Column


class OfColumns(Mostly):
    """Rows, by several columns."""

    tier: ClassVar[Tier] = "row"
    column_list: Annotated[tuple[Column, ...], Field(min_length=2)]
    ignore_row_if: IgnoreRow | None = Field(default=None, description="all_values_are_missing unless stated")

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Every column of the list."""
        return tuple(("column_list", c) for c in self.column_list)


class Ends(Promise):
    """What is observed lies in [min_value, max_value]."""

    min_value: Bound | None = None
    max_value: Bound | None = None

    @model_validator(mode="after")
    def _a_bound(self) -> "Ends":
        if self.min_value is None and self.max_value is None:
            raise ValueError("needs min_value, max_value or both")
        if isinstance(self.min_value, str) != isinstance(self.max_value, str) and None not in (
            self.min_value,
            self.max_value,
        ):
            raise ValueError("min_value and max_value are two numbers or two moments")
        return self


class Bounds(Ends):
    """The same, each end itself in or out."""

    strict_min: bool | None = Field(default=None, description="min_value itself is out")
    strict_max: bool | None = Field(default=None, description="max_value itself is out")


class Numbers(Bounds):
    """The same for what is always a number."""

    min_value: float | None = None
    max_value: float | None = None


class Counts(Bounds):
    """The same for what is counted."""

    min_value: int | None = Field(default=None, ge=0, lt=2**63)
    max_value: int | None = Field(default=None, ge=0, lt=2**63)
