"""Expectations: promises about a table, by their Great Expectations names and arguments.

A *row* expectation decides each row alone, so `drop` and `quarantine` are
fused into the pass that writes. A *table* expectation, and any with `mostly`,
judges the version just written, so only `warn` and `fail` make sense there.
"""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from pipelines.spec.base import Column, Spec

OnFail = Literal["warn", "drop", "quarantine", "fail"]
Mostly = Field(default=None, gt=0, le=1, description="share of rows that must hold; warn and fail only")


class NotBeNull(Spec):
    """The column has a value."""

    column: Column
    mostly: float | None = Mostly


class BeBetween(Spec):
    """A present value lies in [min_value, max_value]; a missing one passes."""

    column: Column
    min_value: float | None = None
    max_value: float | None = None
    mostly: float | None = Mostly

    @model_validator(mode="after")
    def _a_bound(self) -> "BeBetween":
        if self.min_value is None and self.max_value is None:
            raise ValueError("needs min_value, max_value or both")
        return self


class BeInSet(Spec):
    """A present value is one of value_set; a missing one passes."""

    column: Column
    value_set: tuple[str | int | float, ...] = Field(min_length=1)
    mostly: float | None = Mostly


class MatchRegex(Spec):
    """A present value matches regex somewhere (Java syntax); a missing one passes."""

    column: Column
    regex: str = Field(min_length=1)
    mostly: float | None = Mostly


class PairAGreater(Spec):
    """column_A > column_B where both are present."""

    column_A: Column
    column_B: Column
    or_equal: bool = False
    mostly: float | None = Mostly


class BeUnique(Spec):
    """No present value stands twice in the table."""

    column: Column
    mostly: float | None = Mostly


class RowCountBetween(Spec):
    """The table has between min_value and max_value rows."""

    min_value: int | None = Field(default=None, ge=0, lt=2**63)
    max_value: int | None = Field(default=None, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _a_bound(self) -> "RowCountBetween":
        if self.min_value is None and self.max_value is None:
            raise ValueError("needs min_value, max_value or both")
        return self


class Expectation(Spec):
    """One promise: exactly one Great Expectations name, and what a breach does."""

    on_fail: OnFail = Field(default="warn", description="what a breach does")
    expect_column_values_to_not_be_null: NotBeNull | None = None
    expect_column_values_to_be_between: BeBetween | None = None
    expect_column_values_to_be_in_set: BeInSet | None = None
    expect_column_values_to_match_regex: MatchRegex | None = None
    expect_column_pair_values_a_to_be_greater_than_b: PairAGreater | None = None
    expect_column_values_to_be_unique: BeUnique | None = None
    expect_table_row_count_to_be_between: RowCountBetween | None = None

    TABLE_LEVEL: ClassVar[frozenset[str]] = frozenset(
        {"expect_column_values_to_be_unique", "expect_table_row_count_to_be_between"}
    )

    @model_validator(mode="after")
    def _one_decidable_promise(self) -> "Expectation":
        named = [n for n in type(self).model_fields if n.startswith("expect_") and getattr(self, n)]
        if len(named) != 1:
            raise ValueError(f"an expectation has exactly one name, got {', '.join(named) or 'none'}")
        if self.on_fail in ("drop", "quarantine") and not self.by_row:
            raise ValueError(f"{named[0]} cannot be decided row by row; on_fail can be warn or fail")
        return self

    @property
    def name(self) -> str:
        """The Great Expectations name."""
        return next(n for n in type(self).model_fields if n.startswith("expect_") and getattr(self, n))

    @property
    def arguments(self) -> dict[str, object]:
        """The arguments as Great Expectations takes them, None left out."""
        given: Spec = getattr(self, self.name)
        return given.model_dump(exclude_none=True)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads, in order."""
        return tuple(str(v) for k, v in self.arguments.items() if k.startswith("column"))

    @property
    def by_row(self) -> bool:
        """True where each row is decided alone."""
        return self.name not in self.TABLE_LEVEL and "mostly" not in self.arguments

    @property
    def fused(self) -> bool:
        """True where the pass that writes decides it (drop, quarantine)."""
        return self.on_fail in ("drop", "quarantine")

    @property
    def label(self) -> str:
        """A short reason for people: 'origin not null', 'air_time between 10 and 1500'."""
        a = self.arguments
        of = str(a.get("column", a.get("column_A", "rows")))
        rest = {k: v for k, v in a.items() if k not in ("column", "column_A", "mostly")}
        said = self.name.removeprefix("expect_").removeprefix("column_values_to_").removeprefix("column_pair_")
        tail = ", ".join(f"{k} {v}" for k, v in rest.items())
        return f"{of}: {said.replace('_', ' ')}" + (f" ({tail})" if tail else "")
