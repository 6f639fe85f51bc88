"""Quality: what a bad row is, and whether a version keeps what was promised of it.

rules.py       a bad row, as Columns
fused.py       all rules in the pass that writes
fitting.py     whether an expectation fits the columns it names
shape.py       answers of the log and the schema
statistics.py  answers of one aggregate
values.py      answers of counted values
aggregates.py  all of those of a version in one job, or two
judgement.py   what was found
suites.py      who judges what of a version
adapter.py     Great Expectations: what the others cannot decide, whole suites on demand, Data Docs, suite JSON
overtime.py    promises over time: freshness and volume
"""
