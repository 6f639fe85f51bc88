"""Expectations that the rows of a column keep, as a first draft for a person; each only warns but the plainest.

The rules are those of Deequ's constraint suggestion (Schelter et al., VLDB
2018): completeness with its confidence bound, categories, no negative numbers.
"""

import json
from math import floor, sqrt

import pyarrow as pa
import pyarrow.compute as pc

FEWEST_ROWS = 100  # fewer show no habit
MOST_CATEGORIES, FEWEST_OF_EACH = 12, 10  # values; rows of each, on average
SURE = 1.96  # standard errors: 95 %


def suggestions(column: str, values: pa.ChunkedArray) -> list[str]:
    """Lines of YAML under `expect:` for one column of a table; pure, one pass for each rule."""
    rules = [_complete, _categories, _not_negative] if len(values) >= FEWEST_ROWS else [_complete]
    found = [rule(values) for rule in rules]
    return [_line(column, *each) for each in found if each]


Rule = tuple[str, dict[str, object], str]  # GX name, arguments, on_fail


def _line(column: str, name: str, arguments: dict[str, object], on_fail: str) -> str:
    said = ", ".join(f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in arguments.items())
    given = f"{{column: {column}{', ' + said if said else ''}}}"
    return f"      - {name}: {given}\n        on_fail: {on_fail}"


def _complete(values: pa.ChunkedArray) -> Rule | None:
    """No null where none was seen; else the share of values that is 95 % sure to be kept."""
    if values.null_count == 0:
        return "expect_column_values_to_not_be_null", {}, "quarantine"
    share = 1 - values.null_count / len(values)
    least = floor(100 * (share - SURE * sqrt(share * (1 - share) / len(values)))) / 100
    kept = len(values) >= FEWEST_ROWS and least > 0
    return ("expect_column_values_to_not_be_null", {"mostly": least}, "warn") if kept else None


def _categories(values: pa.ChunkedArray) -> Rule | None:
    """The values of a text that takes only a few."""
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return None
    seen = sorted(v for v in pc.unique(values).to_pylist() if v is not None)
    few = 1 < len(seen) <= MOST_CATEGORIES and len(values) >= FEWEST_OF_EACH * len(seen)
    return ("expect_column_values_to_be_in_set", {"value_set": seen}, "warn") if few else None


def _not_negative(values: pa.ChunkedArray) -> Rule | None:
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)) or values.null_count == len(values):
        return None
    least = pc.min(values).as_py()
    return ("expect_column_values_to_be_between", {"min_value": 0}, "warn") if least >= 0 else None
