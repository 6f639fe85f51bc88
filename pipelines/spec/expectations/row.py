"""Promises that each row keeps or breaks alone."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipelines.spec.expectations.base import (
    Bounds,
    Counts,
    IgnorePair,
    OfColumn,
    OfColumns,
    OfPair,
    Value,
    Values,
)

Texts = Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
Pair = Annotated[tuple[Value | None, ...], Field(min_length=2, max_length=2)]


class NotBeNull(OfColumn):
    """The column has a value."""


class BeNull(OfColumn):
    """The column has no value."""


class BeBetween(Bounds, OfColumn):
    """A present value lies in [min_value, max_value]; a missing one passes."""


class BeInSet(OfColumn):
    """A present value is one of value_set; a missing one passes."""

    value_set: Values


class NotBeInSet(OfColumn):
    """A present value is none of value_set."""

    value_set: Values


class MatchRegex(OfColumn):
    """A present value matches regex somewhere (Java syntax); a missing one passes."""

    regex: str = Field(min_length=1)


class NotMatchRegex(OfColumn):
    """A present value matches regex nowhere (Java syntax)."""

    regex: str = Field(min_length=1)


class MatchRegexList(OfColumn):
    """A present value matches one of regex_list, or all of them."""

    regex_list: Texts
    match_on: Literal["any", "all"] | None = Field(default=None, description="any unless stated")


class NotMatchRegexList(OfColumn):
    """A present value matches none of regex_list."""

    regex_list: Texts


class _Like(OfColumn):
    escape: str | None = Field(
        default=None, min_length=1, max_length=1, description="makes the next _ or % literal; a backslash unless stated"
    )

    @model_validator(mode="after")
    def _escapes_something(self) -> "_Like":
        sign = self.escape or "\\"
        for pattern in (*getattr(self, "like_pattern_list", ()), getattr(self, "like_pattern", "")):
            left = pattern.replace(sign * 2, "")
            for after in left.split(sign)[1:]:
                if after[:1] not in ("_", "%"):
                    raise ValueError(
                        f"in '{pattern}' nothing follows {sign} that it could make literal: _, % or {sign}"
                    )
        return self


class MatchLike(_Like):
    """A present value is like like_pattern (SQL: _ one letter, % any)."""

    like_pattern: str = Field(min_length=1)


class NotMatchLike(_Like):
    """A present value is not like like_pattern."""

    like_pattern: str = Field(min_length=1)


class MatchLikeList(_Like):
    """A present value is like one of like_pattern_list, or all of them."""

    like_pattern_list: Texts
    match_on: Literal["any", "all"] | None = Field(default=None, description="any unless stated")


class NotMatchLikeList(_Like):
    """A present value is like none of like_pattern_list."""

    like_pattern_list: Texts


class LengthsBetween(Counts, OfColumn):
    """A present text has between min_value and max_value letters."""


class LengthsEqual(OfColumn):
    """A present text has this many letters."""

    value: int = Field(ge=0, lt=2**31)


class BeJson(OfColumn):
    """A present text is JSON."""


class PairAGreater(OfPair):
    """column_A > column_B where both are present."""

    or_equal: bool = False
    ignore_row_if: IgnorePair | None = Field(default=None, description="both_values_are_missing unless stated")


class PairEqual(OfPair):
    """column_A = column_B; one missing is a breach, both missing are not looked at."""

    ignore_row_if: IgnorePair | None = Field(default=None, description="both_values_are_missing unless stated")


class PairInSet(OfPair):
    """(column_A, column_B) is one of value_pairs_set."""

    value_pairs_set: Annotated[tuple[Pair, ...], Field(min_length=1)]
    ignore_row_if: IgnorePair | None = Field(default=None, description="both_values_are_missing unless stated")


class SumEqual(OfColumns):
    """The columns add up to sum_total; a missing one counts as 0."""

    sum_total: float


class AllEqual(OfColumns):
    """The columns hold the same value."""


class AllDifferent(OfColumns):
    """No two of the columns hold the same value."""
