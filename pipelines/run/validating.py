"""The whole suite of a table by Great Expectations itself: of what is published on demand, or as a gate before it is.

A run judges what it writes in one pass or two; here the judge it took its
language from looks at the same version, and renders what it found.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipelines import tables
from pipelines.deferring import warehouse_of
from pipelines.errors import DataError, SpecError
from pipelines.quality.adapter import NOT_ON_SPARK, Asked, document, judged
from pipelines.quality.judgement import Judgement
from pipelines.quality.suites import own
from pipelines.run.context import Context
from pipelines.spark import session
from pipelines.spec import Expectation, Pipeline, Target
from pipelines.state import History


@dataclass(frozen=True)
class Validated:
    """One table: what was found of each expectation, and those that were not asked."""

    stage: str
    version: int
    found: tuple[Judgement, ...]
    left_out: tuple[str, ...]  # labels; Great Expectations has them for SQL databases alone

    @property
    def broken(self) -> tuple[Judgement, ...]:
        """Those that do not hold, whatever follows from it."""
        return tuple(j for j in self.found if not j.success)

    def as_json(self) -> dict[str, Any]:
        """For a terminal."""
        return {**asdict(self), "checks": len(self.found), "broken": [j.label for j in self.broken]}


def validate(pipeline: Pipeline, target: Target, stages: Sequence[str], folder: Path) -> list[Validated]:
    """Validate the published version of these tables, or of all that promise something; Data Docs go to the folder.

    Errors: SpecError for an unknown table; DataError where one was not published, where a check could not be carried
            out, and where there was none to carry out.
    """
    named = _named(pipeline, stages)
    versions = _published(pipeline, target, named)
    warehouse = warehouse_of(pipeline, target)
    with session(target, pipeline.pipeline) as spark:
        frames = {s: own(tables.read(spark, warehouse.path(s), version)) for s, version in versions.items()}
        suites = {s: tuple(e for e in suite if _asked(e)) for s, suite in named.items()}
        asked = [Asked(s.partition(".")[2], versions[s], frames[s], suites[s]) for s in named]
        results = document(asked, folder)
    return [_found(a, named[f"tables.{a.name}"], r) for a, r in zip(asked, results, strict=True)]


def gate(ctx: Context, version: int) -> tuple[Judgement, ...]:
    """What Great Expectations finds broken in a version that is not published yet. Its Data Docs are rendered.

    Errors: DataError where a check could not be carried out.
    """
    table = ctx.pipeline.tables[ctx.stage.name]
    asked = tuple(e for e in table.expect if _asked(e))
    ctx.tell(f"Great Expectations judges {len(asked)} promises")
    frame = own(tables.read(ctx.spark, ctx.path(), version))
    each = Asked(ctx.stage.name, version, frame, asked)
    (results,) = document([each], docs(ctx.target, f"{ctx.pipeline.pipeline}.{ctx.stage.name}"))
    broken = _found(each, table.expect, results).broken
    return tuple(replace(j, label=f"{j.label}, by Great Expectations", tier="gx") for j in broken)


def docs(target: Target, name: str) -> Path:
    """Where Data Docs lie unless somebody says otherwise: beside the warehouse."""
    return Path(target.warehouse).parent / "data_docs" / name


def _found(asked: Asked, every: Sequence[Expectation], results: Sequence[Any]) -> Validated:
    if len(results) != len(asked.expectations):
        raise DataError(f"tables.{asked.name}: {len(results)} of {len(asked.expectations)} checks were carried out")
    found = tuple(judged(e, r) for e, r in zip(asked.expectations, results, strict=True))
    return Validated(f"tables.{asked.name}", asked.version, found, tuple(e.label for e in every if not _asked(e)))


def _asked(expectation: Expectation) -> bool:
    return NOT_ON_SPARK not in expectation.name


def _named(pipeline: Pipeline, stages: Sequence[str]) -> dict[str, tuple[Expectation, ...]]:
    """Table -> its suite."""
    suites = {f"tables.{name}": table.expect for name, table in pipeline.tables.items()}
    for stage in stages:
        if stage not in suites:
            raise SpecError(f"no table '{stage}'; there is {', '.join(suites)}")
    named = {stage: suites[stage] for stage in stages or [s for s, suite in suites.items() if suite]}
    empty = [stage for stage, suite in named.items() if not any(_asked(e) for e in suite)]
    if empty or not named:
        raise DataError(f"{', '.join(empty) or pipeline.pipeline}: no check to carry out; a table's are in its expect")
    return named


def _published(pipeline: Pipeline, target: Target, stages: Iterable[str]) -> dict[str, int]:
    history = History.of(warehouse_of(pipeline, target))
    versions = {stage: history.published(stage) for stage in stages}
    missing = [stage for stage, version in versions.items() if version is None]
    if missing:
        raise DataError(f"{', '.join(missing)}: nothing was published yet; `lakeloom run` makes it")
    return {stage: version for stage, version in versions.items() if version is not None}
