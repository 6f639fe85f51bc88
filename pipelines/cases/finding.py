"""The tests of a conf: the files beside it that name its pipeline, refused where they ask for what the conf has not.

Nothing is skipped in silence: a file whose pipeline no conf has is an error, and so is a conf without a test.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.check import Flaw, Place, check, columns, refuse_flawed
from pipelines.columns import near
from pipelines.errors import SpecError
from pipelines.spec import Case, Cases, Lines, Pipeline, load_cases, load_lines
from pipelines.spec.case import Row, Rows

FOLDER = "tests"  # beside the confs
REASONS = "reasons"  # of a refused row, beside its table's columns
_PIPELINE = re.compile(r"^pipeline:\s*[\"']?(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Found:
    """One test: the pipeline that it tests, and where it stands."""

    pipeline: Pipeline
    case: Case
    place: Place
    lines: Lines

    def at(self, *place: str | int) -> str:
        """'file:line' of the test or of a part of it."""
        return self.lines.at((*self.place, *place))

    def __str__(self) -> str:
        """Its sentence, by which pytest names it."""
        return self.case.test


def found(conf: Path, only: str = "") -> tuple[Found, ...]:
    """The tests of a conf, or those whose sentence has the text `only`; by file, in its order. No engine is started.

    Errors: SpecError for flaws of the conf or of a file of tests, and where no test is left.
    """
    pipeline, lines = load_lines(conf)
    check(pipeline, lines)
    files = [load_cases(path) for path in sorted((conf.parent / FOLDER).glob("*.yml"))]
    every = [f for cases, where in files if _mine(cases, where, pipeline, conf) for f in _of(cases, where, pipeline)]
    asked = tuple(f for f in every if only in f.case.test)
    if not asked:
        has = f"with '{only}' in its sentence; there is {'; '.join(map(str, every))}" if every else "names it"
        raise SpecError(f"{conf.parent / FOLDER}: no test of pipeline '{pipeline.pipeline}' {has}")
    return asked


def _mine(cases: Cases, lines: Lines, pipeline: Pipeline, conf: Path) -> bool:
    """True for tests of this pipeline. Errors: SpecError where they are of none."""
    beside = {n for path in conf.parent.glob("*.yml") for n in _PIPELINE.findall(path.read_text("utf-8", "replace"))}
    if cases.pipeline not in beside | {pipeline.pipeline}:
        said = f"no conf has this name, '{cases.pipeline}'{near(cases.pipeline, sorted(beside))}"
        raise SpecError(f"{lines.at(('pipeline',))}: pipeline: {said}")
    return cases.pipeline == pipeline.pipeline


def _of(cases: Cases, lines: Lines, pipeline: Pipeline) -> list[Found]:
    refuse_flawed(_flaws(cases, pipeline), lines)
    return [Found(pipeline, case, ("tests", i), lines) for i, case in enumerate(cases.tests)]


def _flaws(cases: Cases, pipeline: Pipeline) -> Iterator[Flaw]:
    has = columns(pipeline)
    sources = {name: has[name] for name in pipeline.sources}
    tables = {name: has[name] for name in pipeline.tables}
    features = {n: (*f.keys, f.as_of_time, *f.outputs()) for n, f in pipeline.features.items()}
    refusing = {n: (*has[n], REASONS) for n, table in pipeline.tables.items() if table.source}
    for i, case in enumerate(cases.tests):
        place: Place = ("tests", i)
        if case.test in [c.test for c in cases.tests[:i]]:
            yield Flaw((*place, "test"), f"'{case.test}' stands twice")
        yield from _unknown((*place, "given"), case.given, "source", sources)
        for n, rows in enumerate(case.later):
            yield from _unknown((*place, "later", n), rows, "source", sources)
        yield from _unknown((*place, "expect"), case.expect, "table", {**tables, **features})
        yield from _unclear((*place, "expect"), case.expect, set(tables) & set(features))
        yield from _unknown((*place, "quarantine"), case.quarantine, "table with `from`", refusing)
        yield from _unreasoned((*place, "quarantine"), case.quarantine)


def _unknown(place: Place, given: Rows, kind: str, known: Mapping[str, Collection[str]]) -> Iterator[Flaw]:
    """Names and columns that the conf has not; expected rows that cannot be compared."""
    for name, rows in given.items():
        if name not in known:
            yield Flaw((*place, name), f"no {kind} '{name}'{near(name, known)}")
            continue
        for i, row in enumerate(rows):
            for column in [c for c in row if c not in known[name]]:
                yield Flaw((*place, name, i, column), f"{name} has no column '{column}'{near(column, known[name])}")
        if kind != "source":
            yield from _uneven((*place, name), rows)


def _uneven(place: Place, rows: Sequence[Row]) -> Iterator[Flaw]:
    """What a row does not name would not be compared, or be null; neither is guessed."""
    for i, row in enumerate(rows):
        if not row:
            yield Flaw((*place, i), "names no column to compare")
        for column in [c for c in rows[0] if c not in row]:
            yield Flaw((*place, i), f"does not name '{column}', which the first row does; write null where it is null")
        for column in [c for c in row if c not in rows[0]]:
            yield Flaw((*place, i, column), f"the first row does not name '{column}'; write null where it is null")


def _unclear(place: Place, expect: Rows, both: Collection[str]) -> Iterator[Flaw]:
    for name in expect:
        if name in both:
            yield Flaw((*place, name), "is the name of a table and of a feature table; one of them needs another")


def _unreasoned(place: Place, quarantine: Rows) -> Iterator[Flaw]:
    for name, rows in quarantine.items():
        for i, row in enumerate(rows):
            reasons = row.get(REASONS)
            if not isinstance(reasons, list) or not reasons or not all(isinstance(r, str) for r in reasons):
                yield Flaw((*place, name, i), f"needs {REASONS}, a list of texts as `lakeloom show` has them")
