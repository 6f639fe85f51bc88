"""Expectations: promises about a table, by their Great Expectations names and arguments.

base.py         what every promise is: its tier, the columns it reads, the arguments all share
row.py          each row decides alone, so `drop` and `quarantine` are possible
aggregate.py    a column's statistic or its distinct values decide
table.py        the schema, the number of rows, a query
expectation.py  the conf's face: exactly one name, and what a breach does

To add one, write its arguments in the file of its kind and its name in
expectation.py; how it is decided stands in quality/.
"""

from pipelines.spec.expectations.base import Promise, Tier
from pipelines.spec.expectations.expectation import LEFT_OUT, Expectation, OnFail

__all__ = ["LEFT_OUT", "Expectation", "OnFail", "Promise", "Tier"]
