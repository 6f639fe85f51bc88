"""Everything that can be known to be wrong before an engine starts: names, columns, and the order of time.

`check` reads the conf alone and says all it finds at once. It never guesses:
where an upstream table is broken, what stands on it is left unjudged. To add a
check, yield a Flaw in the function of its noun.

Time: a column is known at its table's event_time unless `known_at` names a
later moment. Lateness is followed through the SQL: what is made of a late
column is late, and has to say so.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pipelines.columns import Columns, Origin, carry, ddl, filters, lineage, near, refuse, refuse_expression, relations
from pipelines.derivable import underivable
from pipelines.errors import SpecError
from pipelines.holdable import unholdable
from pipelines.promises import broken
from pipelines.spec import (
    HISTORY,
    AsOf,
    Feature,
    Jdbc,
    Lines,
    Model,
    Pipeline,
    Table,
    Window,
)
from pipelines.spec.task import EXPLAINED
from pipelines.tagged import exposed
from pipelines.trainable import absent, unfit
from pipelines.watches import unwatchable

MOST_FLAWS = 10  # said at once
TIMELESS = "table {} has no event_time, so nothing says when its rows are known"
Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Flaw:
    """One sentence about one place; `key` leads from the place to the line that is to be changed."""

    place: Place
    sentence: str
    key: Place = ()


@dataclass
class _Seen:
    """What is known of a conf so far: the columns of its relations, and which of them are late."""

    pipeline: Pipeline
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tables: dict[str, Columns] = field(default_factory=dict)
    late: dict[Origin, str] = field(default_factory=dict)  # column of a table -> the moment that makes it known

    def relations(self) -> dict[str, tuple[str, ...]]:
        """Name -> columns of all that could be read."""
        return {**self.sources, **{name: tuple(made) for name, made in self.tables.items()}}


def check(pipeline: Pipeline, lines: Lines) -> None:
    """Silent for a conf that holds together; otherwise one SpecError, a sentence a line, each with file:line."""
    refuse_flawed(flaws(pipeline), lines)


def refuse_flawed(flaws: Iterable[Flaw], lines: Lines) -> None:
    """Silent where there is no flaw; otherwise one SpecError, a sentence a line, each with file:line."""
    found = [f"{lines.at((*f.place, *f.key))}: {'.'.join(map(str, f.place))}: {f.sentence}" for f in flaws]
    said = list(dict.fromkeys(found))
    if len(said) > MOST_FLAWS:
        said[MOST_FLAWS - 1 :] = [f"{lines.file}: and {len(said) - MOST_FLAWS + 1} more"]
    if said:
        raise SpecError("\n".join(said))


def flaws(pipeline: Pipeline) -> Iterator[Flaw]:
    """All that is wrong, tables first, in an order in which each stands after what it reads."""
    return _flaws(_Seen(pipeline))


def columns(pipeline: Pipeline) -> dict[str, tuple[str, ...]]:
    """Source or table -> its columns, as far as the conf tells them."""
    seen = _Seen(pipeline)
    for _ in _flaws(seen):
        pass  # what is flawed has no columns
    return seen.relations()


def _flaws(seen: _Seen) -> Iterator[Flaw]:
    pipeline = seen.pipeline
    yield from _sources(seen)
    order, circles = _order(pipeline)
    for circle in circles:
        yield Flaw(("tables", circle[0]), f"tables read each other in a circle: {' -> '.join(circle)}", ("select",))
    for name in order:
        yield from _table(name, pipeline.tables[name], seen)
    for name, feature in pipeline.features.items():
        yield from _feature(name, feature, seen)
    for name, model in pipeline.models.items():
        yield from _model(name, model, seen)
    yield from _scores(pipeline)
    for name, monitor in pipeline.monitors.items():
        yield from (Flaw(("monitors", name, *keys), sentence) for keys, sentence in unwatchable(monitor, pipeline))
    yield from (Flaw(place, sentence) for place, sentence in exposed(pipeline, seen.tables))
    yield from _fused(pipeline)


def _fused(pipeline: Pipeline) -> Iterator[Flaw]:
    waits = [name for name, model in pipeline.models.items() if model.promotion == "by_hand"]
    if pipeline.airflow.fuse == "all" and waits:
        yield Flaw(("airflow", "fuse"), f"all leaves no task between for the approval of models.{waits[0]}; say true")


def _sources(seen: _Seen) -> Iterator[Flaw]:
    for name, source in seen.pipeline.sources.items():
        try:
            columns = ddl(source.ddl)
        except SpecError as error:
            yield Flaw(("sources", name, "schema"), str(error))
            continue
        seen.sources[name] = (*columns, *source.beside)
        yield from (Flaw(("sources", name, *keys), sentence) for keys, sentence in unholdable(source, columns))


def _order(pipeline: Pipeline) -> tuple[list[str], list[list[str]]]:
    """Tables, each after those it reads, and the circles among them (a -> b -> a)."""
    reads = {name: _reads(table, pipeline.tables) for name, table in pipeline.tables.items()}
    done: dict[str, None] = {}
    circles: list[list[str]] = []
    for start in reads:
        path, left = [start], [iter(reads[start])]
        while left and start not in done:
            following = next(left[-1], None)
            if following is None:
                done[path.pop()] = None
                left.pop()
            elif following in path:
                circles.append([*path[path.index(following) :], following])
            elif following not in done:
                path.append(following)
                left.append(iter(reads[following]))
    return list(done), circles


def _reads(table: Table, known: Collection[str]) -> tuple[str, ...]:
    try:
        return tuple(name for name in relations(table.select) if name in known)
    except SpecError:
        return ()


def _table(name: str, table: Table, seen: _Seen) -> Iterator[Flaw]:
    place = ("tables", name)
    if name in seen.pipeline.sources:
        yield Flaw(place, "a source has the same name")
    for part in ("quarantine", "deleted"):
        if name.removesuffix(f"_{part}") != name and name.removesuffix(f"_{part}") in seen.pipeline.tables:
            yield Flaw(place, f"is the name of what was {part} of another table; name it otherwise")
    if table.source is not None and table.source not in seen.pipeline.sources:
        yield Flaw((*place, "from"), f"no source '{table.source}'{near(table.source, seen.pipeline.sources)}")
    source = seen.pipeline.sources.get(table.source or "")
    if isinstance(source, Jdbc) and source.overlap and not table.keys:
        yield Flaw(place, f"{table.source} reads an overlap again, and without keys its rows would come twice")
    try:
        refuse(table.select, [*seen.pipeline.sources, *seen.pipeline.tables])
        yield from _inputs(name, table, seen.pipeline)
        if table.source in relations(table.select):
            carry(table.select, str(table.source), "row")  # refuses what loses or multiplies rows
        known = seen.relations()
        if not set(relations(table.select)) <= set(known):
            return  # what it reads is broken, and has been said to be
        made = lineage(table.select, known)
        rows = filters(table.select, known)
        yield from _changes(name, table, made)
    except SpecError as error:
        yield Flaw((*place, "select"), str(error))
        return
    made = _timed(table, made)
    seen.tables[name] = made
    misnamed = list(_named(place, table, made))
    yield from misnamed or _leaks(name, table, made, rows, seen)


def _changes(name: str, table: Table, made: Columns) -> Iterator[Flaw]:
    """What deletes, and what a kept history adds."""
    place = ("tables", name)
    try:
        if table.apply_as_deletes and not refuse_expression(table.apply_as_deletes, tuple(made)):
            yield Flaw((*place, "apply_as_deletes"), f"'{table.apply_as_deletes}' reads no column of the select")
    except SpecError as error:
        yield Flaw((*place, "apply_as_deletes"), str(error))
    for column in _history(table):
        if column in made:
            yield Flaw(
                place, f"stored_as_scd_type: 2 adds a column '{column}'; name the select's otherwise", ("select",)
            )


def _history(table: Table) -> tuple[str, ...]:
    """The columns that a kept history adds."""
    return HISTORY if table.stored_as_scd_type == 2 else ()


def _timed(table: Table, made: Columns) -> Columns:
    """With the columns that a kept history adds; both come of the sequence."""
    return {**made, **dict.fromkeys(_history(table), made[table.sequence_by])} if table.sequence_by in made else made


def _inputs(name: str, table: Table, pipeline: Pipeline) -> Iterator[Flaw]:
    place, read = ("tables", name, "select"), relations(table.select)
    if table.source in pipeline.sources and table.source not in read:
        yield Flaw(place, f"does not read its source, from: {table.source}")
    if table.snapshots and table.source in pipeline.sources and pipeline.sources[table.source].kind != "files":
        kind = pipeline.sources[table.source].kind
        yield Flaw(("tables", name, "snapshots"), f"a batch of kind: {kind} is no whole state; snapshots are of files")
    others = [r for r in read if r in pipeline.sources and r != table.source]
    if others and table.source in pipeline.sources:
        yield Flaw(place, f"reads the source {others[0]}, but a refresh reads what is new in {table.source} alone")
    if others and not table.source:
        yield Flaw(place, f"reads the source {others[0]}; a materialized view reads tables (or add from: {others[0]})")
    if not read:
        yield Flaw(place, "reads no relation")


def _named(place: Place, table: Table, made: Columns) -> Iterator[Flaw]:
    """Every column that the table's other keys name has to come out of its select."""
    named: list[tuple[Place, str]] = [(("keys", i), key) for i, key in enumerate(table.keys)]
    named += [((key,), value) for key in ("sequence_by", "event_time") if (value := getattr(table, key))]
    named += [(("known_at", column), c) for column, moment in table.known_at.items() for c in (column, moment)]
    for i, expectation in enumerate(table.expect):
        named += [(("expect", i, expectation.name, key), c) for key, c in expectation.promise.columns]
        for keys, sentence in broken(expectation, made):
            yield Flaw((*place, "expect", i, expectation.name, *keys), sentence)
    for where, column in named:
        if column not in made:
            yield Flaw((*place, *where), f"no column '{column}'{near(column, made)}")


def _leaks(name: str, table: Table, made: Columns, rows: Collection[Origin], seen: _Seen) -> Iterator[Flaw]:
    """What is made of a late column is late; a table with time has to say when."""
    late = _late(name, table, made, seen)
    stated = {*table.known_at, *table.known_at.values(), table.event_time, *_history(table)}
    for output, origins in made.items():
        if table.event_time and output in stated:
            moment: str | None = table.known(output)
        else:
            cause = next((o for o in sorted(origins) if o in late), None)
            moment = late[cause] if cause else None
            if cause and table.event_time:
                said = f"{output} reads {'.'.join(cause)}, which is known at {moment}"
                yield Flaw(("tables", name), f"{said}; state it: known_at: {{{output}: {moment}}}", ("select",))
        if moment and moment != table.event_time:
            seen.late[name, output] = moment
    cause = next((o for o in sorted(rows) if o in late), None)
    if cause and table.event_time:
        said = f"which rows it has is decided by {'.'.join(cause)}, which is known at {late[cause]}"
        yield Flaw(("tables", name), f"{said}, after event_time {table.event_time}; keep the rows", ("select",))


def _late(name: str, table: Table, made: Columns, seen: _Seen) -> dict[Origin, str]:
    """What the select reads that is known only after event_time -> the moment at which it is.

    Two ways: a column of an upstream table that is late there; and a column of which alone an output is made that
    known_at calls late. A column of which event_time itself is made is never late; nor is the sequence, for a row ends
    by that of another event.
    """
    late = {o: seen.late[o] for origins in made.values() for o in origins if o in seen.late}
    late |= {o: m for o, m in seen.late.items() if o[0] in relations(table.select)}
    for output, origins in made.items():
        moment = table.known(output)
        if moment and moment != table.event_time and len(origins) == 1 and output not in _history(table):
            late.setdefault(next(iter(origins)), moment)
    start = made.get(table.event_time or "", frozenset())
    return {o: m for o, m in late.items() if o not in start and (o[0], m) not in start}


def _feature(name: str, feature: Feature, seen: _Seen) -> Iterator[Flaw]:
    place = ("features", name)
    tables = seen.pipeline.tables
    if feature.spine not in tables:
        yield Flaw((*place, "spine"), f"no table '{feature.spine}'{near(feature.spine, tables)}")
        return
    spine, made = tables[feature.spine], seen.tables.get(feature.spine)
    if feature.keys != spine.keys:
        has = f"[{', '.join(spine.keys)}]" if spine.keys else "none"
        yield Flaw((*place, "keys"), f"should be the keys of {feature.spine}, {has}, got [{', '.join(feature.keys)}]")
    if spine.stored_as_scd_type == 2:
        yield Flaw((*place, "spine"), f"{feature.spine} keeps all rows of a key, and a key has one feature row")
    if spine.event_time is None:
        yield Flaw((*place, "spine"), TIMELESS.format(feature.spine))
    if made is not None:
        yield from _missing((*place, "as_of_time"), [feature.as_of_time], feature.spine, made)
        yield from _missing((*place, "columns"), feature.columns, feature.spine, made)
        yield from _unknown_yet((*place, "columns"), feature, spine, made)
    for i, as_of in enumerate(feature.as_of):
        yield from _past((*place, "as_of", i), as_of, feature, seen)
    for i, window in enumerate(feature.windows):
        yield from _past((*place, "windows", i), window, feature, seen)
    yield from (Flaw((*place, *keys), sentence) for keys, sentence in underivable(feature))
    yield from _clashes(place, feature)


def _missing(place: Place, columns: Iterable[str], table: str, made: Collection[str]) -> Iterator[Flaw]:
    for column in columns:
        if column not in made:
            yield Flaw(place, f"table {table} has no column '{column}'{near(column, made)}")


def _unknown_yet(place: Place, feature: Feature, spine: Table, made: Collection[str]) -> Iterator[Flaw]:
    """A column of the spine's own row may be seen only if it is known at as_of_time."""
    for column in feature.columns:
        moment = spine.known(column)
        if column not in made or moment is None or moment == feature.as_of_time:
            continue
        than = "not said to be before" if moment == spine.event_time else "after"
        yield Flaw(place, f"{column} is known at {moment}, {than} as_of_time {feature.as_of_time}")


def _past(place: Place, part: AsOf | Window, feature: Feature, seen: _Seen) -> Iterator[Flaw]:
    """A joined table needs a time, the keys on both sides, and the columns; under `clock: arrival` rows that arrive."""
    tables, spine = seen.pipeline.tables, feature.spine
    if part.table not in tables:
        yield Flaw((*place, "table"), f"no table '{part.table}'{near(part.table, tables)}")
        return
    if tables[part.table].event_time is None:
        yield Flaw((*place, "table"), TIMELESS.format(part.table))
    if feature.clock == "arrival" and tables[part.table].source is None:
        yield Flaw((*place, "table"), "the rows of a view do not arrive; clock: arrival needs a table with `from`")
    if part.table in seen.tables:
        yield from _missing((*place, "keys"), part.keys, part.table, seen.tables[part.table])
        key, wanted = ("columns", part.columns) if isinstance(part, AsOf) else ("aggregates", part.aggregates)
        yield from _missing((*place, key), wanted, part.table, seen.tables[part.table])
    if spine in seen.tables and spine != part.table:
        yield from _missing((*place, "keys"), part.keys, spine, seen.tables[spine])


def _clashes(place: Place, feature: Feature) -> Iterator[Flaw]:
    """Column names are compared as Spark does: without case."""
    met: dict[str, str] = {}
    for column in (*feature.keys, feature.as_of_time, *feature.outputs()):
        if column.lower() in met:
            yield Flaw(place, f"two columns are named {column}")
        met[column.lower()] = column


def _model(name: str, model: Model, seen: _Seen) -> Iterator[Flaw]:
    place, features = ("models", name), seen.pipeline.features
    yield from (Flaw((*place, *keys), sentence) for keys, sentence in unfit(model))
    if model.features not in features:
        yield Flaw((*place, "features"), f"no feature table '{model.features}'{near(model.features, features)}")
        return
    feature = features[model.features]
    outputs = feature.outputs()
    if not outputs:
        yield Flaw((*place, "features"), f"{model.features} has no feature columns to learn from")
    made = seen.tables.get(feature.spine)
    spine = tuple(made) if made is not None else (*feature.keys, *model.beside)
    yield from (Flaw((*place, *keys), sentence) for keys, sentence in absent(model, outputs, spine))
    if made is not None and model.label:
        yield from _label((*place, "label"), model, feature, made)


def _label(place: Place, model: Model, feature: Feature, made: Mapping[str, object]) -> Iterator[Flaw]:
    try:
        read = refuse_expression(model.label, tuple(made))
    except SpecError as error:
        yield Flaw(place, str(error))
        return
    if not read:
        yield Flaw(place, f"'{model.label}' reads no column of {feature.spine}")
    if model.forecasting:  # of the label what lies ahead is learned, so what it is now may be seen
        series = [c for c in model.forecasting.series if c not in feature.columns]
        yield from (Flaw(place, f"{c} names a series; {model.features}.columns should have it") for c in series)
        return
    lacking = ((n, c) for n, c in zip(("user", "item"), model.pair, strict=False) if c not in feature.columns)
    yield from (Flaw((*place[:-1], "recommendation", n), f"{model.features}.columns has no '{c}'") for n, c in lacking)
    for column in sorted(read & set(feature.columns)):
        yield Flaw(place, f"reads {column}, which {model.features} also gives as a feature")


def _scores(pipeline: Pipeline) -> Iterator[Flaw]:
    for name, score in pipeline.scores.items():
        place = ("scores", name)
        if name.endswith("_shadow") and name.removesuffix("_shadow") in pipeline.scores:
            yield Flaw(place, "is the name of what a challenger answers beside another score; name it otherwise")
        if score.model not in pipeline.models:
            yield Flaw((*place, "model"), f"no model '{score.model}'{near(score.model, pipeline.models)}")
        elif score.explain and (task := pipeline.models[score.model].task) not in EXPLAINED:
            yield Flaw((*place, "explain"), f"is for {', '.join(EXPLAINED)}; {score.model} has task: {task}")
        if score.of not in pipeline.features:
            yield Flaw((*place, "of"), f"no feature table '{score.of}'{near(score.of, pipeline.features)}")
        elif score.model in pipeline.models and pipeline.models[score.model].features != score.of:
            learned = pipeline.models[score.model].features
            yield Flaw((*place, "of"), f"model {score.model} learned from {learned}, not from {score.of}")
