"""A `select` read as text: what it reads, what it makes, and whether a conf may say it. Pure; no engine.

parse.py    text to a tree, by sqlglot; `relations`
lineage.py  every output -> the columns it is made of
allow.py    the functions and relations that a conf may name; `replace_now`
additive.py where new rows only add to the groups of a select
carry.py    where each row came from, carried through a streaming table's select
ddl.py      'year INT, origin STRING' -> names and types
tree.py     the SELECT of a fitted stage as small trees
"""

from pipelines.columns.additive import Additive, additive
from pipelines.columns.allow import FUNCTIONS, refuse, refuse_expression, replace_now
from pipelines.columns.carry import carry
from pipelines.columns.ddl import backquoted, ddl, ddl_text
from pipelines.columns.lineage import Columns, Origin, filters, lineage
from pipelines.columns.parse import near, relations
from pipelines.columns.tree import Call, Constant, Name, Node, trees

__all__ = [
    "FUNCTIONS", "Additive", "Call", "Columns", "Constant", "Name", "Node", "Origin", "additive", "backquoted",
    "carry", "ddl", "ddl_text", "filters", "lineage", "near", "refuse", "refuse_expression", "relations",
    "replace_now", "trees",
]  # fmt: skip
