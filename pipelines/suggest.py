"""Expectations that the rows of a column keep, as a first draft for a person; each only warns but the plainest.

The rules are those of Deequ's constraint suggestion (Schelter et al., VLDB
2018): completeness with its confidence bound, categories, no negative numbers.
"""

import json
from math import floor, sqrt

import pyarrow as pa

from pipelines.profile import Profile

FEWEST_ROWS = 100  # fewer show no habit
FEWEST_OF_EACH = 10  # rows of a category, on average
SURE = 1.96  # standard errors: 95 %


def suggestions(column: str, seen: Profile) -> list[str]:
    """Lines of YAML under `expect:` for one column of a table, which has this name in it."""
    rules = [_complete, _categories, _not_negative] if seen.rows >= FEWEST_ROWS else [_complete]
    found = [rule(seen) for rule in rules]
    return [_line(column, *each) for each in found if each]


Rule = tuple[str, dict[str, object], str]  # GX name, arguments, on_fail


def _line(column: str, name: str, arguments: dict[str, object], on_fail: str) -> str:
    said = ", ".join(f"{k}: {json.dumps(v, ensure_ascii=False)}" for k, v in arguments.items())
    given = f"{{column: {column}{', ' + said if said else ''}}}"
    return f"      - {name}: {given}\n        on_fail: {on_fail}"


def _complete(seen: Profile) -> Rule | None:
    """No null where none was seen; else the share of values that is 95 % sure to be kept."""
    if not seen.nulls:
        return "expect_column_values_to_not_be_null", {}, "quarantine"
    share = 1 - seen.nulls / seen.rows
    least = floor(100 * (share - SURE * sqrt(share * (1 - share) / seen.rows))) / 100
    kept = seen.rows >= FEWEST_ROWS and least > 0
    return ("expect_column_values_to_not_be_null", {"mostly": least}, "warn") if kept else None


def _categories(seen: Profile) -> Rule | None:
    """The values of a text that takes only a few."""
    few = len(seen.categories) > 1 and seen.rows >= FEWEST_OF_EACH * len(seen.categories)
    return ("expect_column_values_to_be_in_set", {"value_set": list(seen.categories)}, "warn") if few else None


def _not_negative(seen: Profile) -> Rule | None:
    number = pa.types.is_integer(seen.type) or pa.types.is_floating(seen.type)
    kept = number and seen.least is not None and seen.least >= 0
    return ("expect_column_values_to_be_between", {"min_value": 0}, "warn") if kept else None
