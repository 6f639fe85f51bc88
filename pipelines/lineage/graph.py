"""A conf as a graph: which stages and columns are made of which. Pure.

A node is a stage or source ('tables.flights'), or a column of one ('tables.flights.arr_delay'). A stage is made of
stages, a column of columns; a model, and what is scored by it, has no columns of its own: it is made of what it reads.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

from pipelines.check import columns
from pipelines.columns import lineage
from pipelines.derivable import read_by
from pipelines.errors import SpecError
from pipelines.plan import stages
from pipelines.spec import Feature, Model, Pipeline

Needs = Mapping[str, tuple[str, ...]]
Tree = dict[str, "Tree | None"]  # None: as it stands further up; written out each time, a wide conf has no end
LABEL = "label"  # under this name the label of a model is read as a select's only output


@dataclass(frozen=True)
class Graph:
    """Node -> what it is made of, for stages and for columns."""

    stages: Needs
    columns: Needs

    def named(self, name: str) -> str:
        """The node that is meant: its id, or the end of it if nothing else ends so. Errors: SpecError."""
        every = [*self.stages, *self.columns]
        if name in every:
            return name
        found = [n for n in self.stages if n.endswith(f".{name}")] or [
            n for n in self.columns if n.endswith(f".{name}")
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise SpecError(f"'{name}' could be {', '.join(found[:8])}{' ...' * (len(found) > 8)}; say which")
        near = get_close_matches(name, [*every, *(n.partition(".")[2] for n in every)], n=1, cutoff=0.5)
        raise SpecError(f"nothing is named '{name}'{f'; did you mean {near[0]!r}?' if near else ''}")

    def upstream(self, node: str) -> "Tree":
        """What a node is made of, and that of what; {} where it is made of nothing here."""
        return _tree(node, self._of(node), set())

    def downstream(self, node: str) -> "Tree":
        """What is made of a node, and of that, likewise."""
        return _tree(node, self._back[node in self.stages], set())

    def _of(self, node: str) -> Needs:
        return self.stages if node in self.stages else self.columns

    @cached_property
    def _back(self) -> dict[bool, Needs]:
        return {True: _reversed(self.stages), False: _reversed(self.columns)}


def _tree(node: str, needs: Needs, seen: set[str]) -> "Tree":
    found: Tree = {}
    for other in needs.get(node, ()):
        known = other in seen and bool(needs.get(other))
        seen.add(other)
        found[other] = None if known else _tree(other, needs, seen)
    return found


def _reversed(needs: Needs) -> Needs:
    found: dict[str, list[str]] = {}
    for node, read in needs.items():
        for other in read:
            found.setdefault(other, []).append(node)
    return {node: tuple(made) for node, made in found.items()}


def graph(pipeline: Pipeline) -> Graph:
    """Of a conf that `check` has passed."""
    return Graph(_stages(pipeline), dict(_columns(pipeline)))


def _stages(pipeline: Pipeline) -> Needs:
    sources: dict[str, tuple[str, ...]] = {f"sources.{name}": () for name in pipeline.sources}
    made = {stage.id: stage.needs for stage in stages(pipeline)}
    taken = {f"tables.{n}": (f"sources.{t.source}",) for n, t in pipeline.tables.items() if t.source}
    return sources | {stage: (*taken.get(stage, ()), *needs) for stage, needs in made.items()}


def _columns(pipeline: Pipeline) -> Iterator[tuple[str, tuple[str, ...]]]:
    relations = columns(pipeline)
    for name in pipeline.sources:
        yield from ((f"sources.{name}.{column}", ()) for column in relations.get(name, ()))
    for name, table in pipeline.tables.items():
        for column, origins in lineage(table.select, relations).items():
            yield f"tables.{name}.{column}", _nodes(pipeline, sorted(origins))
    for name, feature in pipeline.features.items():
        yield from _feature(name, feature)
    for name, model in pipeline.models.items():
        yield f"models.{name}", _learned(pipeline, model, relations)
    for name, score in pipeline.scores.items():
        yield f"scores.{name}", (f"models.{score.model}", *_outputs(pipeline, score.of))
    for name, monitor in pipeline.monitors.items():
        yield f"monitors.{name}", (f"scores.{monitor.scores}",)


def _nodes(pipeline: Pipeline, origins: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """A relation is a source or a table; a table of the same name hides the source."""
    return tuple(f"{'tables' if name in pipeline.tables else 'sources'}.{name}.{column}" for name, column in origins)


def _feature(name: str, feature: Feature) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Of a derived column, what those are made of that it reads."""
    found, at = dict(_seen(name, feature)), f"features.{name}"
    yield from found.items()
    for column, text in feature.derive.items():
        origins = (node for read in sorted(read_by(feature, text)) for node in found[f"{at}.{read}"])
        yield f"{at}.{column}", tuple(dict.fromkeys(origins))


def _seen(name: str, feature: Feature) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Keys and as_of_time are the spine's; a joined value is made of its column and of the keys that found it."""
    at = f"features.{name}"
    for column in (*feature.keys, feature.as_of_time, *feature.columns):
        yield f"{at}.{column}", (f"tables.{feature.spine}.{column}",)
    for part in feature.as_of:
        keys = tuple(f"tables.{part.table}.{key}" for key in part.keys)
        for output, column in zip(part.outputs(), part.columns, strict=True):
            yield f"{at}.{output}", (f"tables.{part.table}.{column}", *keys)
    for window in feature.windows:
        keys = tuple(f"tables.{window.table}.{key}" for key in window.keys)
        made = [c for _ in window.over for c, aggregates in window.aggregates.items() for _ in aggregates]
        for output, column in zip(window.outputs(), made, strict=True):
            yield f"{at}.{output}", tuple(dict.fromkeys((f"tables.{window.table}.{column}", *keys)))


def _learned(pipeline: Pipeline, model: Model, relations: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    spine = pipeline.features[model.features].spine
    label = lineage(f"SELECT ({model.label}) AS {LABEL} FROM {spine}", relations)[LABEL] if model.label else frozenset()
    return tuple(dict.fromkeys((*_outputs(pipeline, model.features), *_nodes(pipeline, sorted(label)))))


def _outputs(pipeline: Pipeline, feature: str) -> tuple[str, ...]:
    return tuple(f"features.{feature}.{column}" for column in pipeline.features[feature].outputs())
