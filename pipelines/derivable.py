"""Derived features: one SQL expression over the other columns of the same feature row, so that none sees the future.

The others are known at as_of_time, and so is what is made of them. An
expression is held to the functions that a select may call, reads no other row
and no clock: a row that is made again comes out the same.
"""

from collections.abc import Iterator
from datetime import datetime

from pipelines.columns import refuse_expression, replace_now
from pipelines.errors import SpecError
from pipelines.spec import Feature

_ANY_TIME = datetime(2000, 1, 1)


def read_by(feature: Feature, text: str) -> frozenset[str]:
    """The columns that an expression reads. Errors: SpecError where it is none that a conf may say."""
    read = refuse_expression(text, (*feature.seen(), feature.as_of_time))
    if replace_now(text, _ANY_TIME) != text:
        raise SpecError(f"'{text}' reads the clock; what a row may know ends at {feature.as_of_time}")
    if not read:
        raise SpecError(f"'{text}' reads no other feature, and so is the same in every row")
    return read


def underivable(feature: Feature) -> Iterator[tuple[tuple[str, ...], str]]:
    """(keys within the feature table, sentence) of what cannot be derived."""
    for name, text in feature.derive.items():
        try:
            read_by(feature, text)
        except SpecError as error:
            yield ("derive", name), str(error)
