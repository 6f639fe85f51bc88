"""`lakeloom lineage`: what a table, a model or a column is made of, and what is made of it. No engine, no warehouse."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.tree import Tree

from pipelines.cli.terminal import Conf, Format, checked, out, show_data


def lineage(
    conf: Conf,
    name: Annotated[str, typer.Argument(help="a table, a model, a column: tables.flights, flights.arr_delay")],
    format: Format = "text",
) -> None:
    """Show what it is made of, and what is made of it, as the conf says: of a stage stages, of a column columns."""
    from pipelines.lineage import graph

    known = graph(checked(conf))
    node = known.named(name)
    found = {"node": node, "upstream": known.upstream(node), "downstream": known.downstream(node)}
    if format == "json":
        show_data(format, found, str)
        return
    for title, tree in (("made of", found["upstream"]), ("goes into", found["downstream"])):
        out.print(_drawn(Tree(f"{escape(node)} {title}{'' if tree else ' nothing here'}"), tree))


def _drawn(at: Tree, found: Any) -> Tree:
    for node, below in found.items():
        if below is None:
            at.add(f"{escape(node)} ...")  # as above
        else:
            _drawn(at.add(escape(node)), below)
    return at
