"""Where a person's rows are found by the conf alone: in which tables, by which of their columns, as value or as token.

Rows are found by columns of tables with `from`, feature rows and scores by the keys of such rows. What cannot be found
is refused and not passed over: a masked column, and a table that has the same column under another name.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pipelines.check import columns
from pipelines.columns import Columns, lineage, near
from pipelines.errors import SpecError
from pipelines.spec import Files, Pipeline


@dataclass(frozen=True)
class Held:
    """One table that holds a person's rows, and what is made of them row by row."""

    table: str
    columns: dict[str, bool]  # by which they are found -> whether these hold tokens
    features: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[str, ...]:
        """What is erased, in this order: what is made of rows before the rows that it is found by."""
        kinds = (("scores", self.scores), ("features", self.features), ("tables", (self.table,)))
        return tuple(f"{kind}.{name}" for kind, names in kinds for name in names)


def held(pipeline: Pipeline, keys: Collection[str]) -> tuple[Held, ...]:
    """The tables of which some keys are columns. Errors: SpecError where rows would be passed over."""
    made = _made(pipeline)
    for key in keys:
        if not any(key in of for of in made.values()):
            every = sorted({column for of in made.values() for column in of})
            raise SpecError(f"--key {key}: no table with `from` has such a column{near(key, every)}")
    found = tuple(_held(pipeline, name, of, keys) for name, of in made.items() if set(keys) & set(of))
    _refuse_passed_over(made, {h.table: h for h in found})
    return found


def landed(pipeline: Pipeline, held: Held) -> dict[str, dict[str, str]]:
    """Of a table's source, where that is JSON in a folder: its path -> field -> the key that is made of it."""
    made, found = _made(pipeline)[held.table], dict[str, dict[str, str]]()
    for key in held.columns:
        for name, field in made[key]:
            source = pipeline.sources.get(name)
            if isinstance(source, Files) and source.format == "json":
                found.setdefault(source.path, {})[field] = key
    return found


def found_by(pipeline: Pipeline, table: str, columns: Collection[str]) -> dict[str, bool]:
    """Those columns of one table -> whether they hold tokens. Errors: SpecError for one that finds no row any more."""
    made = _made(pipeline)[table]
    for column in columns:
        if column not in made:
            raise SpecError(f"tables.{table} has no column '{column}'{near(column, made)}")
    return {column: _tokens(pipeline, table, column, made) for column in columns}


def _made(pipeline: Pipeline) -> dict[str, Columns]:
    known = columns(pipeline)
    return {name: lineage(t.select, known) for name, t in pipeline.tables.items() if t.source}


def _held(pipeline: Pipeline, name: str, made: Columns, keys: Collection[str]) -> Held:
    features = tuple(f for f, feature in pipeline.features.items() if feature.spine == name)
    scores = tuple(s for s, score in pipeline.scores.items() if score.of in features)
    return Held(name, {key: _tokens(pipeline, name, key, made) for key in keys if key in made}, features, scores)


def _tokens(pipeline: Pipeline, name: str, key: str, made: Columns) -> bool:
    """Whether a column holds tokens. Errors: SpecError for what is blank."""
    how = {g for source, c in made[key] if (s := pipeline.sources.get(source)) and (g := s.pii.get(c))}
    blank = sorted(how - {"tokenize"})
    if blank:
        raise SpecError(f"tables.{name}: {key} is made of what `pii` guards by {blank[0]}, and finds no row")
    return bool(how)


def _refuse_passed_over(made: dict[str, Columns], found: dict[str, Held]) -> None:
    roots = {root for h in found.values() for key in h.columns for root in made[h.table][key]}
    for name, column in _others(made, found, roots):
        raise SpecError(
            f"tables.{name}: {column} is made of the same, and no key finds its rows; add --key {column}=..."
        )


def _others(made: dict[str, Columns], found: Collection[str], roots: Collection[object]) -> Iterator[tuple[str, str]]:
    for name in (n for n in made if n not in found):
        yield from ((name, column) for column, origins in made[name].items() if set(origins) & set(roots))
