"""Aggregates that can be added to: where new rows only add to the groups of a SELECT, no old row is read again.

`count`, `sum`, `min`, `max` and their like of two sets of rows follow from
those of each. Other aggregates (avg, median, a count of distinct values) need
the rows, so a select with one is made whole.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlglot import exp

from pipelines.columns.allow import replace_now
from pipelines.columns.parse import query, relations

COMBINED: dict[type[exp.Expr], str] = {
    exp.Count: "sum",
    exp.CountIf: "sum",
    exp.Sum: "sum",
    exp.Min: "min",
    exp.Max: "max",
    exp.LogicalAnd: "bool_and",
    exp.LogicalOr: "bool_or",
}
WHOLE = ("with_", "joins", "laterals", "having", "qualify", "distinct", "limit", "offset", "order", "sort", "windows")


@dataclass(frozen=True)
class Additive:
    """A SELECT of groups over one relation: its outputs that name a group, and how each other one is combined."""

    relation: str
    keys: tuple[str, ...]
    combined: dict[str, str]  # output -> sum, min, max ...


def additive(select: str) -> Additive | str:
    """What new rows add to, or in words why the select has to be made whole; '' where it makes no groups."""
    tree, read = query(select), relations(select)
    if not isinstance(tree, exp.Select) or not (tree.args.get("group") or tree.find(exp.AggFunc)):
        return ""
    clause = next((c for c in WHOLE if tree.args.get(c)), None)
    if clause or any(node is not tree for node in tree.find_all(exp.Query)):
        return f"{clause.strip('_').rstrip('s').upper() if clause else 'a subquery'} is made of all rows"
    if len(read) != 1:
        return f"it reads {' and '.join(read)}"
    if replace_now(select, datetime.min) != select:
        return "its rows depend on the time at which it is made"
    return _groups(tree, read[0])


def _groups(tree: exp.Select, relation: str) -> Additive | str:
    clause = tree.args.get("group") or exp.Group(expressions=[])
    if any(said for kind, said in clause.args.items() if kind != "expressions"):
        return "its groups overlap"
    keys, combined = [], {}
    for place, output in enumerate(tree.expressions, 1):
        value = output.unalias()
        if _named(output, place, clause.expressions):
            keys.append(output.alias_or_name)
        elif type(value) in COMBINED and not value.find(exp.Distinct):
            combined[output.alias_or_name] = COMBINED[type(value)]
        else:
            return f"'{value.sql('spark')}' cannot be added to"
    told = len(keys) == len(clause.expressions)
    return Additive(relation, tuple(keys), combined) if told else "not every group is among its outputs"


def _named(output: exp.Expr, place: int, groups: list[exp.Expr]) -> bool:
    """Whether an output is what the select groups by: said as itself, by its alias, or by its place."""
    value = output.unalias()
    said = (value, exp.column(output.alias_or_name), exp.Literal.number(place))
    return not value.find(exp.AggFunc, exp.Anonymous) and any(one == group for one in said for group in groups)
