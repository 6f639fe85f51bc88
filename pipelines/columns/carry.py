"""One column of a streaming table's source, carried through its SELECT to the output: where each row came from.

A streaming table keeps every row, so that rows in and rows out can be held
against each other. Its SELECT may rename, compute, and LEFT JOIN; what leaves,
leaves by an expectation, with a count and a reason.
"""

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from pipelines.columns.parse import query, tokens
from pipelines.errors import SpecError

_NOT_BY_ROW = {
    "where": "WHERE loses rows unseen; write the condition as an expectation with on_fail: drop",
    "group": "GROUP BY belongs into a materialized view: a table without `from`",
    "having": "HAVING belongs into a materialized view: a table without `from`",
    "qualify": "QUALIFY loses rows unseen; keys and sequence_by keep the newest row",
    "distinct": "DISTINCT loses rows unseen; keys keep one row of each",
    "limit": "LIMIT loses rows unseen",
    "offset": "OFFSET loses rows unseen",
    "laterals": "LATERAL VIEW multiplies rows; explode them in a materialized view",
}


def carry(select: str, source: str, column: str) -> str:
    """The same SELECT with `column` of the source as one more output; nothing else of the text changes.

    Errors: SpecError where an output row does not stand for one row of the source.
    """
    tree = query(select)
    if not isinstance(tree, exp.Select):
        raise SpecError(f"{tree.key.upper()} does not keep the rows of {source} one by one")
    carriers, places = {source.lower()}, []
    for cte in (tree.args.get("with_") or exp.With(expressions=[])).expressions:
        if isinstance(cte.this, exp.Select) and _aliases(cte.this, carriers):
            places += _thread(cte.this, carriers, column)
            carriers.add(cte.alias.lower())
    if not _aliases(tree, carriers):
        raise SpecError(f"a streaming table reads {source} in its own FROM or through WITH, not in a subquery")
    places += _thread(tree, carriers, column)
    return _inserted(select, places)


def _aliases(select: exp.Select, carriers: set[str]) -> list[str]:
    """The names under which a SELECT reads relations that carry the column."""
    from_ = select.args.get("from_")
    read = [from_.this] if from_ else []
    read += [j.this for j in select.args.get("joins") or []]
    return [t.alias_or_name for t in read if isinstance(t, exp.Table) and t.name.lower() in carriers]


def _thread(select: exp.Select, carriers: set[str], column: str) -> list[tuple[int, str]]:
    """[(place of the FROM's relation, text to add)]; empty where a star brings the column along."""
    _refuse_not_by_row(select)
    names = _aliases(select, carriers)
    first = select.args["from_"].this
    if len(names) > 1 or not isinstance(first, exp.Table) or first.name.lower() not in carriers:
        raise SpecError(
            "a streaming table reads its source once, first in FROM; what is looked up stands in LEFT JOINs"
        )
    for item in select.expressions:
        if isinstance(item, exp.Star) or (isinstance(item, exp.Column) and item.is_star and item.table == names[0]):
            return []
    return [(first.this.meta["start"], f", {names[0]}.{column} ")]


def _refuse_not_by_row(select: exp.Select) -> None:
    for part, why in _NOT_BY_ROW.items():
        if select.args.get(part):
            raise SpecError(f"in a streaming table {why}")
    for join in select.args.get("joins") or []:
        if join.side != "LEFT":
            raise SpecError(
                f"in a streaming table {join.side or join.kind or 'INNER'} JOIN loses or multiplies rows; use LEFT JOIN"
            )
    for item in select.expressions:
        if item.find(exp.AggFunc, exp.Window, exp.Explode):
            said = item.sql("spark")[:60]
            raise SpecError(f"in a streaming table {said} reads other rows; compute it in a view or as a feature")


def _inserted(select: str, places: list[tuple[int, str]]) -> str:
    """Each text put before the FROM that stands before its place."""
    froms = [t.start for t in tokens(select) if t.token_type == TokenType.FROM]
    for place, text in sorted(places, reverse=True):
        at = max(f for f in froms if f < place)
        select = f"{select[:at]}{text}{select[at:]}"
    return select
