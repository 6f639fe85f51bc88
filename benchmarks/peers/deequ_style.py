"""Ten checks of lineitem the way Deequ's runner carries them out: all metrics in one scan, two aggregates each.

Deequ has no release for this Spark, so this is its arithmetic, not its code:
Completeness, Compliance and PatternMatch are each a sum of matches and a
count, and a check compares their quotient with an assertion (here: is 1).
A range is Compliance with a predicate of Spark SQL, a set likewise; missing
values comply. It imports nothing of ours.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def completeness(column: str) -> Column:
    """Rows that have a value."""
    return F.sum(F.col(column).isNotNull().cast("int"))


def compliance(predicate: str) -> Column:
    """Rows for which a predicate holds."""
    return F.sum(F.expr(predicate).cast("int"))


def pattern_match(column: str, pattern: str) -> Column:
    """Rows in which the pattern finds something."""
    return F.sum(F.when(F.regexp_extract(column, pattern, 0) != "", 1).otherwise(0))


def within(column: str, low: float, high: float) -> Column:
    """isContainedIn with bounds."""
    return compliance(f"`{column}` IS NULL OR (`{column}` >= {low} AND `{column}` <= {high})")


def contained(column: str, *values: str) -> Column:
    """isContainedIn with values."""
    quoted = ",".join(f"'{value}'" for value in values)
    return compliance(f"`{column}` IS NULL OR `{column}` IN ({quoted})")


def check(rows: DataFrame) -> list[int]:
    """How many rows each metric does not count."""
    matches = [
        completeness("l_orderkey"),
        within("l_quantity", 1, 50),
        within("l_extendedprice", 1, 200000),
        within("l_discount", 0, 0.1),
        within("l_tax", 0, 0.08),
        contained("l_returnflag", "A", "N", "R"),
        contained("l_linestatus", "F", "O"),
        contained("l_shipmode", "AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"),
        pattern_match("l_shipinstruct", "^[A-Z ]+$"),
        compliance("l_receiptdate > l_shipdate"),
    ]
    found = rows.agg(*[each for match in matches for each in (match, F.count("*"))]).first()
    assert found
    return [count - match for match, count in zip(found[::2], found[1::2], strict=True)]
