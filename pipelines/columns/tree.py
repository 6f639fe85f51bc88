"""The SELECT of a fitted stage as small trees, for what computes it without Spark; nothing of the parser is in them.

Only what our own stages say is understood (models/numbers.py, categories.py):
arithmetic, conditions, parts of a timestamp, casts to a double or a text.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlglot import exp
from sqlglot.dialects.spark import Spark

from pipelines.errors import DataError


@dataclass(frozen=True)
class Name:
    """A column."""

    column: str


@dataclass(frozen=True)
class Constant:
    """A number, a text, or null."""

    value: float | str | None


@dataclass(frozen=True)
class Call:
    """An operator of OPERATORS, or a function by its name, on its arguments."""

    op: str
    args: tuple["Node", ...]


Node = Name | Constant | Call
OPERATORS: dict[type[exp.Expression], str] = {
    exp.Add: "add", exp.Sub: "sub", exp.Mul: "mul", exp.Div: "div", exp.Neg: "neg", exp.Abs: "abs",
    exp.Sin: "sin", exp.Cos: "cos", exp.IsNan: "isnan", exp.Or: "or", exp.EQ: "eq", exp.GT: "gt", exp.If: "if",
    exp.Coalesce: "coalesce", exp.Hour: "hour", exp.Minute: "minute", exp.DayOfYear: "dayofyear",
    exp.Month: "month", exp.Pad: "lpad", exp.Is: "is", exp.Rint: "rint",
}  # fmt: skip


def trees(select: str) -> dict[str, Node]:
    """'SELECT *, a + 1D AS b FROM t' -> {'b': add(a, 1)}. Errors: DataError for what is none of OPERATORS."""
    (found,) = Spark().parse(select)
    assert isinstance(found, exp.Select), "a stage of ours is one"
    return {each.alias: _node(each.this) for each in found.expressions if isinstance(each, exp.Alias)}


def _node(found: exp.Expression) -> Node:
    for kind, made in _SIMPLE.items():
        if isinstance(found, kind):
            return made(found)
    if isinstance(found, exp.Anonymous):
        return Call(str(found.this).lower(), tuple(map(_node, found.expressions)))
    if type(found) not in OPERATORS:
        raise DataError(f"{found.sql(dialect='spark')[:60]} is not known outside Spark")
    return Call(OPERATORS[type(found)], tuple(map(_node, _arguments(found))))


def _arguments(found: exp.Expression) -> list[Any]:
    """In the order of the text."""
    names = ("this", "expression", "true", "false", "fill_pattern")
    return [*(found.args[name] for name in names if found.args.get(name)), *found.args.get("expressions", ())]


def _cast(found: exp.Expression) -> Node:
    to = "double" if found.args["to"].is_type("double") else "text"
    inner = _node(found.this)
    if isinstance(inner, Constant) and to == "double" and inner.value is not None:
        return Constant(float(inner.value))
    return Call(to, (inner,))


def _literal(found: exp.Expression) -> Node:
    return Constant(str(found.this) if found.args["is_string"] else float(found.this))


_SIMPLE: dict[type[exp.Expression], Callable[[Any], Node]] = {
    exp.Column: lambda found: Name(found.name),
    exp.Literal: _literal,
    exp.Null: lambda _: Constant(None),
    exp.Paren: lambda found: _node(found.this),
    exp.TsOrDsToDate: lambda found: _node(found.this),
    exp.Cast: _cast,
}
