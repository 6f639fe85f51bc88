"""Where columns that a source's `pii` guards end up, and where they must not: orders, keys, features.

What comes of a guarded column is followed through the SQL, table by table: `upper(email)` is as much a person's as
`email`. In a table it may stand, for it stands there guarded; a model learns from it only where a conf says so.
"""

from collections.abc import Iterable, Iterator, Mapping

from pipelines.columns import Columns, Origin
from pipelines.spec import Feature, Pipeline, Table

Found = Iterator[tuple[tuple[str | int, ...], str]]  # (place in the conf, sentence)
_BLANK = {"redact": "is null in every row", "mask": "is the same for many persons"}  # and so is no key


def exposed(pipeline: Pipeline, made: Mapping[str, Columns]) -> Found:
    """Flaws of tables, features and models; made: the columns of the tables whose SQL could be read."""
    guarded = {(s, c): how for s, source in pipeline.sources.items() for c, how in source.pii.items()}
    roots = spread(pipeline, made) if guarded else {}
    for name, table in pipeline.tables.items() if guarded else ():
        yield from _misused(name, table, roots, guarded)
    for name, feature in pipeline.features.items():
        yield from _features(name, feature, roots)
    for name, model in pipeline.models.items():
        of = pipeline.features.get(model.features)
        if of is None:
            continue
        for column in model.fairness.columns if model.fairness else ():
            yield from _told(("models", name, "fairness", "columns"), (of.spine, column), of, roots)
        for column in (c for c in model.sliced if c not in of.outputs()):  # a feature has been told of
            yield from _told(("models", name, "slices"), (of.spine, column), of, roots)


def spread(pipeline: Pipeline, made: Mapping[str, Columns]) -> dict[Origin, frozenset[Origin]]:
    """Column of a table -> the guarded columns of sources that it is made of; where there are any.

    made: each table after those that it reads.
    """
    found = {(s, c): frozenset({(s, c)}) for s, source in pipeline.sources.items() for c in source.pii}
    for name, columns in made.items():
        for column, origins in columns.items():
            roots = frozenset(root for origin in origins for root in found.get(origin, ()))
            found.update({(name, column): roots} if roots else {})
    return found


def _misused(name: str, table: Table, roots: Mapping[Origin, frozenset[Origin]], how: Mapping[Origin, str]) -> Found:
    """What decides which row is meant, or which came first, needs the value itself, or a token of it."""
    for key in ("sequence_by", "event_time"):
        column = getattr(table, key)
        for root in sorted(roots.get((name, column), ()))[:1]:
            yield ("tables", name, key), f"{column} is made of {'.'.join(root)}, which is pii and has no order any more"
    for i, column in enumerate(table.keys):
        found = sorted(roots.get((name, column), ()))
        if found and all(how[root] in _BLANK for root in found):
            said = f"{column} is made of {'.'.join(found[0])}, which {_BLANK[how[found[0]]]}; take tokenize"
            yield ("tables", name, "keys", i), said


def _features(name: str, feature: Feature, roots: Mapping[Origin, frozenset[Origin]]) -> Found:
    read: list[tuple[tuple[str | int, ...], Origin]] = [(("columns",), (feature.spine, c)) for c in feature.columns]
    read += [(("as_of", i, "columns"), (a.table, c)) for i, a in enumerate(feature.as_of) for c in a.columns]
    read += [(("windows", i, "aggregates"), (w.table, c)) for i, w in enumerate(feature.windows) for c in w.aggregates]
    for keys, origin in read:
        yield from _told(("features", name, *keys), origin, feature, roots)
    unread = [c for c in feature.allow_pii if not any(c == column and (t, c) in roots for _, (t, column) in read)]
    for column in unread:
        yield ("features", name, "allow_pii"), f"{column} is no feature that is made of pii"


def _told(
    place: Iterable[str | int], origin: Origin, feature: Feature, roots: Mapping[Origin, frozenset[Origin]]
) -> Found:
    if origin in roots and origin[1] not in feature.allow_pii:
        root = ".".join(min(roots[origin]))
        said = f"{origin[1]} is made of {root}, which is pii; leave it out, or state it: allow_pii: [{origin[1]}]"
        yield tuple(place), said
