"""A test is tried by the pipeline's own code: its rows land in a scratch place, its stages run, its tables are read.

Each source becomes a folder of JSON lines with the same columns; what a source
says of a record (`kafka_offset`, `change_type`) is given like any other column.
Promises about a table as a whole (warn, fail, freshness, volume) are left out:
three rows are an example, no delivery.
"""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyspark.sql import SparkSession

from pipelines import ingest
from pipelines.cases.comparing import Difference
from pipelines.cases.finding import REASONS, Found
from pipelines.cases.reading import Expected, differing, own
from pipelines.columns import ddl
from pipelines.errors import DataError, PlatformError, SpecError
from pipelines.plan import stages
from pipelines.run.order import Order
from pipelines.run.pipeline import run
from pipelines.sample import apart
from pipelines.spark import session
from pipelines.spec import Files, Pipeline, Source, Table, Target
from pipelines.spec.case import Row
from pipelines.state import History, Warehouse

_AS_IT_CAME = {REASONS: "_reasons", "record": "_record"}  # of a refused row that a test does not name


@dataclass(frozen=True)
class Result:
    """How a test ended."""

    found: Found
    seconds: float
    differences: tuple[Difference, ...] = ()
    error: str = ""  # why the pipeline stopped, if it did

    @property
    def passed(self) -> bool:
        """True where everything is as expected."""
        return not self.differences and not self.error

    def text(self) -> str:
        """The test's sentence, then what was not as expected."""
        stopped = [f"{self.found.at()}: {self.error}"] if self.error else []
        return "\n".join([str(self.found), *stopped, *[d.text() for d in self.differences]])

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        told = {"passed": self.passed, "seconds": self.seconds, "error": self.error}
        return {"test": str(self.found), "at": self.found.at(), **told, "differences": [*map(asdict, self.differences)]}


def tried(cases: Iterable[Found], target: Target) -> Iterator[Result]:
    """Each test in an empty warehouse of its own, which is gone afterwards; one session for all.

    Cost  : a run of the stages that a test names and of those that they need, for each delivery.
    Errors: SpecError where an expected value is not of its column's type; PlatformError where Spark does not start.
    """
    with session(target, "tests", brief=True) as spark, _scratch(target) as root:
        for number, case in enumerate(cases):
            yield _tried(case, apart(target, root / str(number)), spark)


@contextmanager
def _scratch(target: Target) -> Iterator[Path]:
    """A folder beside the warehouse, where a cluster sees it as well."""
    beside = None if "://" in target.warehouse else Path(target.warehouse).parent
    if beside:
        beside.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="tests-", dir=beside, ignore_cleanup_errors=True) as root:
        yield Path(root)


def _tried(case: Found, place: Target, spark: SparkSession) -> Result:
    begun, pipeline = time.monotonic(), _rehearsed(case.pipeline)
    select = _needed(pipeline, case)
    try:
        _refresh(case, pipeline, place, select)
    except (DataError, SpecError, PlatformError) as stopped:
        return Result(case, round(time.monotonic() - begun, 3), error=str(stopped))
    differences = tuple(_differences(case, select, place, spark))
    return Result(case, round(time.monotonic() - begun, 3), differences)


def _rehearsed(pipeline: Pipeline) -> Pipeline:
    """The same pipeline with sources that a test can land, and without promises that a few rows cannot keep."""
    sources = {name: _landed(name, source) for name, source in pipeline.sources.items()}
    tables = {name: _by_row(table) for name, table in pipeline.tables.items()}
    return pipeline.model_copy(update={"sources": sources, "tables": tables})


def _landed(name: str, source: Source) -> Files:
    beside = "".join(f", {column} {ingest.BESIDE[column]}" for column in source.beside)
    told = {"kind": "files", "format": "json", "path": name, "schema": source.ddl + beside, "pii": source.pii}
    return Files.model_validate(told)


def _by_row(table: Table) -> Table:
    rules = tuple(e for e in table.expect if e.fused)
    return table.model_copy(update={"expect": rules, "freshness": None, "volume": None})


def _stage(pipeline: Pipeline, name: str) -> str:
    return f"{'tables' if name in pipeline.tables else 'features'}.{name}"


def _needed(pipeline: Pipeline, case: Found) -> tuple[str, ...]:
    """The stages that a test names, and all that these need, in their order."""
    wanted = {_stage(pipeline, name) for name in (*case.case.expect, *case.case.quarantine)}
    for stage in reversed(stages(pipeline)):
        wanted |= set(stage.needs) if stage.id in wanted else set()
    return tuple(stage.id for stage in stages(pipeline) if stage.id in wanted)


def _refresh(case: Found, pipeline: Pipeline, place: Target, select: tuple[str, ...]) -> None:
    """Land and run, once for each delivery. Errors: what a stage ends with."""
    for number, given in enumerate((case.case.given, *case.case.later)):
        for source in given if number else pipeline.sources:
            _land(Path(place.landing, source), number, given.get(source, ()), pipeline.sources[source])
        for outcome in run(pipeline, place, Order(select), lambda stage, text: None):
            if outcome.error:
                raise outcome.error


def _land(folder: Path, number: int, rows: Sequence[Row], source: Source) -> None:
    """A file a delivery; what a row does not name is null.

    Empty lines are no records, and make it another file where its rows came before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    nothing = dict.fromkeys(ddl(source.ddl))
    lines = ["" for _ in range(number + 1)] + [json.dumps({**nothing, **row}) for row in rows]
    (folder / f"{number}.json").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _differences(case: Found, select: Sequence[str], place: Target, spark: SparkSession) -> Iterator[Difference]:
    warehouse = Warehouse(place.warehouse, case.pipeline.pipeline)
    history = History.of(warehouse)
    for name, rows in case.case.expect.items():
        stage = _stage(case.pipeline, name)
        made, version = warehouse.delta(stage), history.published(stage)
        assert made and version is not None, f"{stage} ran and published nothing"
        made.load_as_version(version)
        columns = tuple(rows[0]) if rows else _keys(case.pipeline, name) or own(made)
        yield from differing(case, Expected(name, ("expect", name), rows, {c: c for c in columns}), made, spark)
    for name in [n for n in case.pipeline.tables if f"tables.{n}" in select]:
        rows = case.case.quarantine.get(name, ())
        named = {c: f"_{c}" if c == REASONS else c for c in rows[0]} if rows else _AS_IT_CAME
        expected = Expected(f"quarantine of {name}", ("quarantine", name), rows, named)
        yield from differing(case, expected, warehouse.delta(f"tables.{name}", "quarantine"), spark)


def _keys(pipeline: Pipeline, name: str) -> tuple[str, ...]:
    return (pipeline.tables.get(name) or pipeline.features[name]).keys
