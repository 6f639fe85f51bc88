"""SQL text to a tree and to tokens, by sqlglot in Spark's dialect; the only place that parses."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import lru_cache

from sqlglot import exp
from sqlglot.dialects.spark import Spark
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.tokenizer_core import Token

from pipelines.errors import SpecError

MOST_LETTERS = 50_000  # a select is written by hand
_TOKEN = re.compile(r"<Token token_type: (?:TokenType\.SENTINEL.*|.*?, text: (.*?), line: .*)", re.DOTALL)


def relations(select: str) -> tuple[str, ...]:
    """The relations that a SELECT reads, each once, in the order of the text; its own CTEs are not among them."""
    found = sorted(tables(query(select)), key=lambda table: int(table.this.meta.get("start", 0)))
    return tuple(dict.fromkeys(table.name for table in found))


@lru_cache(maxsize=256)
def query(select: str) -> exp.Query:
    """The parsed SELECT; shared, so never changed. Errors: SpecError if it is anything else."""
    if len(select) > MOST_LETTERS:
        raise SpecError(f"{len(select)} letters of SQL; the most is {MOST_LETTERS}")
    words = tokens(select)
    if not words or words[0].text.upper() not in ("SELECT", "WITH", "("):
        raise SpecError(f"should be one SELECT, got {words[0].text[:40] if words else 'nothing'}")
    try:
        found = Spark().parse(select)
    except SqlglotError as error:
        raise SpecError(f"not SQL: {_reason(error)}") from None
    except RecursionError:
        raise SpecError("not SQL that can be read: nested too deep") from None
    if len(found) != 1 or not isinstance(found[0], exp.Select | exp.SetOperation):
        raise SpecError(f"should be one SELECT, got {' and '.join(s.key.upper() for s in found if s)}")
    return found[0]


def tokens(select: str) -> list[Token]:
    """The words as written, with their places in the text."""
    try:
        return list(Spark().tokenize(select))
    except SqlglotError as error:
        raise SpecError(f"not SQL: {_reason(error)}") from None


def _reason(error: SqlglotError) -> str:
    """One plain line, without the parser's terminal colours and quotations."""
    if isinstance(error, ParseError) and error.errors:
        first = error.errors[0]
        said = _TOKEN.sub(lambda m: f"'{m[1]}'" if m[1] else "the end", str(first["description"])).rstrip(".")
        return f"{said} (line {first['line']}, letter {first['col']} of the SQL)"
    return re.sub(r"\x1b\[[0-9;]*m", "", str(error)).splitlines()[0].rstrip(".")


def tables(query: exp.Query) -> Iterator[exp.Table]:
    """Every table reference that is not one of the query's own CTEs."""
    for table in query.find_all(exp.Table, bfs=False):
        if table.args.get("db") or table.name.lower() not in _ctes_seen(table):
            yield table


def _ctes_seen(table: exp.Table) -> set[str]:
    """Names of the CTEs that stand before `table` in the queries around it."""
    seen: set[str] = set()
    node: exp.Expr = table
    inside: exp.Expr | None = None
    while node.parent:
        inside = node if isinstance(node, exp.CTE) else inside
        node = node.parent
        for cte in (node.args.get("with_") or exp.With(expressions=[])).expressions:
            if cte is inside:
                break
            seen.add(cte.alias.lower())
    return seen


def near(word: str, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?" where something is close, otherwise what there is."""
    there = list(known)
    close = get_close_matches(word, there, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; there is {', '.join(there[:12])}{', ...' if len(there) > 12 else ''}" if there else ""
