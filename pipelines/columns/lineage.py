"""Where each output of a SELECT comes from: the columns of its relations, through CTEs, joins and subqueries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from pipelines.columns.parse import near, query
from pipelines.errors import SpecError

Origin = tuple[str, str]  # relation, column
Columns = dict[str, frozenset[Origin]]  # output -> what it is made of, in order


def lineage(select: str, relations: Mapping[str, Sequence[str]]) -> Columns:
    """Every output of a SELECT, in order -> the columns of `relations` that its value is made of.

    Errors: SpecError for an unknown or ambiguous column, an output without a name, two of one name.
    """
    return _Reader().outputs(query(select), _frames(relations), ())


def filters(select: str, relations: Mapping[str, Sequence[str]]) -> frozenset[Origin]:
    """The columns that decide which rows there are: WHERE, HAVING, QUALIFY, JOIN ... ON, at any depth."""
    reader = _Reader()
    reader.outputs(query(select), _frames(relations), ())
    return frozenset(reader.rows)


def _frames(relations: Mapping[str, Sequence[str]]) -> dict[str, Columns]:
    return {name.lower(): {c: frozenset({(name, c)}) for c in columns} for name, columns in relations.items()}


@dataclass
class _Scope:
    """What the columns of one SELECT can name: its relations by alias, and its earlier outputs."""

    frames: dict[str, Columns] = field(default_factory=dict)
    joined: set[str] = field(default_factory=set)  # USING columns: the same on both sides
    hidden: set[str] = field(default_factory=set)  # right sides of SEMI and ANTI joins
    aliases: Columns = field(default_factory=dict)

    def star(self, only: str = "") -> Iterator[tuple[str, frozenset[Origin]]]:
        """The columns of all relations, or of one, in order; a USING column once."""
        met: set[str] = set()
        for alias, frame in self.frames.items():
            for name, origins in frame.items() if (only or alias) == alias and alias not in self.hidden else ():
                if name.lower() in self.joined & met and not only:
                    continue
                met.add(name.lower())
                yield name, origins

    def find(self, parts: Sequence[str]) -> frozenset[Origin] | None:
        """The origins of `alias.column.field`, `column.field` or an earlier output; None where there is none."""
        head, *rest = (p.lower() for p in parts)
        if rest and head in self.frames:
            found = {n.lower(): o for n, o in self.frames[head].items()}
            if rest[0] in found:
                return found[rest[0]]
        holders = {a: o for a, f in self.frames.items() for n, o in f.items() if n.lower() == head}
        seen = {a: o for a, o in holders.items() if a not in self.hidden}
        if len(seen) > 1 and head not in self.joined:
            raise SpecError(f"column '{parts[0]}' is in {' and '.join(seen)}; say which")
        if seen:
            return frozenset().union(*seen.values())
        return next((o for n, o in self.aliases.items() if n.lower() == head), None)

    def names(self, alias: str = "") -> list[str]:
        """All that could have been meant."""
        return list(self.frames[alias]) if alias in self.frames else [n for f in self.frames.values() for n in f]


_Scopes = tuple[_Scope, ...]  # innermost last


class _Reader:
    """One walk over one query; `rows` collects what decides which rows there are."""

    def __init__(self, strict: bool = True) -> None:
        self.strict = strict  # outputs need names of their own
        self.rows: set[Origin] = set()

    def outputs(self, query: exp.Expr, frames: Mapping[str, Columns], outer: _Scopes) -> Columns:
        """The outputs of a SELECT, a set operation or either in parentheses."""
        for cte in (query.args.get("with_") or exp.With(expressions=[])).expressions:
            frames = {**frames, cte.alias.lower(): self.outputs(cte.this, frames, outer)}
        if isinstance(query, exp.Subquery | exp.Paren):
            return self.outputs(query.this, frames, outer)
        if isinstance(query, exp.SetOperation):
            return self._both(query, frames, outer)
        if isinstance(query, exp.Select):
            return self._select(query, frames, outer)
        raise SpecError(f"{query.key.upper()} is not read here; write a SELECT")

    def _both(self, query: exp.SetOperation, frames: Mapping[str, Columns], outer: _Scopes) -> Columns:
        other = _Reader(strict=False)
        left, right = self.outputs(query.left, frames, outer), other.outputs(query.right, frames, outer)
        self.rows |= other.rows
        if len(left) != len(right):
            raise SpecError(f"{query.key.upper()} of {len(left)} and {len(right)} columns")
        if query.args.get("by_name"):
            return {n: o | next((v for k, v in right.items() if k.lower() == n.lower()), o) for n, o in left.items()}
        return {n: o | r for (n, o), r in zip(left.items(), right.values(), strict=True)}

    def _select(self, query: exp.Select, frames: Mapping[str, Columns], outer: _Scopes) -> Columns:
        scope = self._scope(query, frames, outer)
        scopes = (*outer, scope)
        for name, origins in self._projections(query, frames, scopes):
            taken = name.lower() in (n.lower() for n in scope.aliases)
            if taken and self.strict:
                raise SpecError(f"two outputs are named '{name}'")
            scope.aliases[f"{name}#{len(scope.aliases)}" if taken or not name else name] = origins
        for clause in ("where", "having", "qualify"):
            self.rows |= self.origins(query.args.get(clause), frames, scopes)
        for clause in ("group", "order", "sort", "cluster", "distribute", "windows"):
            self.origins(query.args.get(clause), frames, scopes)
        return scope.aliases

    def _scope(self, query: exp.Select, frames: Mapping[str, Columns], outer: _Scopes) -> _Scope:
        scope = _Scope()
        joins: list[exp.Join] = query.args.get("joins") or []
        first = query.args.get("from_")
        for join in [*([first] if first else []), *joins]:
            if str(join.args.get("method") or "").upper() == "NATURAL":
                raise SpecError("NATURAL JOIN changes when a column is added; name the columns with USING")
            alias, frame = self._frame(join.this, frames, outer)
            if alias in scope.frames:
                raise SpecError(f"two relations are named '{alias}'; give one an alias")
            scope.frames[alias] = frame
            scope.joined |= {c.name.lower() for c in join.args.get("using") or []}
            self.rows |= self.origins(join.args.get("on"), frames, (*outer, scope))
            if str(join.args.get("kind") or "").upper() in ("SEMI", "ANTI"):
                scope.hidden.add(alias)
        for view in query.args.get("laterals") or []:
            made = self.origins(view.this, frames, (*outer, scope))
            names = [c.name for c in view.args["alias"].args.get("columns") or []] or ["col"]
            scope.frames[view.alias.lower()] = {name: made for name in names}
        return scope

    def _frame(self, node: exp.Expr, frames: Mapping[str, Columns], outer: _Scopes) -> tuple[str, Columns]:
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier) and not node.args.get("db"):
            if node.name.lower() not in frames:
                raise SpecError(f"reads '{node.name}', which is no source or table{near(node.name, frames)}")
            return node.alias_or_name.lower(), frames[node.name.lower()]
        if isinstance(node, exp.Subquery):
            return node.alias.lower() or f"#{id(node)}", self.outputs(node, frames, outer)
        raise SpecError(f"reads {node.sql('spark')[:60]}; only the pipeline's own relations are read")

    def _projections(
        self, query: exp.Select, frames: Mapping[str, Columns], scopes: _Scopes
    ) -> Iterator[tuple[str, frozenset[Origin]]]:
        for node in query.expressions:
            if node.is_star:
                yield from _star(node, scopes[-1])
                continue
            names = [i.name for i in node.expressions] if isinstance(node, exp.Aliases) else [node.alias_or_name]
            origins = self.origins(node, frames, scopes)
            if self.strict and not ("" not in names and isinstance(node, exp.Alias | exp.Aliases | exp.Column)):
                raise SpecError(f"the output '{node.sql('spark')[:60]}' has no name; add AS name")
            yield from ((name, origins) for name in names)

    def origins(
        self, node: exp.Expr | list[exp.Expr] | None, frames: Mapping[str, Columns], scopes: _Scopes
    ) -> frozenset[Origin]:
        """All that the value of `node` is made of, subqueries included."""
        found: set[Origin] = set()
        left = list(node) if isinstance(node, list) else [node] if node else []
        while left:
            at = left.pop()
            if isinstance(at, exp.Query):
                inner = _Reader(strict=False)
                found |= frozenset().union(*inner.outputs(at, frames, scopes).values()) | inner.rows
            elif isinstance(at, exp.Column) and not at.is_star:
                found |= _resolved(at, scopes)
            else:
                left += list(at.iter_expressions())
        return frozenset(found)


def _star(node: exp.Expr, scope: _Scope) -> Iterator[tuple[str, frozenset[Origin]]]:
    alias = node.args["table"].name.lower() if isinstance(node, exp.Column) and node.args.get("table") else ""
    if alias and alias not in scope.frames:
        raise SpecError(f"'{alias}.*' names no relation{near(alias, scope.frames)}")
    star = node.this if isinstance(node, exp.Column) else node
    dropped = {c.name.lower() for c in star.args.get("except_") or []}
    yield from ((name, origins) for name, origins in scope.star(alias) if name.lower() not in dropped)


def _resolved(column: exp.Column, scopes: _Scopes) -> frozenset[Origin]:
    parts = [part.name for part in column.parts]
    for scope in reversed(scopes):
        found = scope.find(parts)
        if found is not None:
            return found
    alias = parts[0].lower() if len(parts) > 1 else ""
    raise SpecError(f"no column '{'.'.join(parts)}'{near(parts[-1], scopes[-1].names(alias))}")
