"""A run record as OpenLineage has it: a START and a COMPLETE or FAIL of one run of one job. Pure.

A stage is a job, an attempt is a run, a table a dataset at its version. The forms are those of OpenLineage 2-0-2;
a test puts every event through the classes of its own Python client. Ids follow from what they name, so a run record
that is sent twice is the same run. Source: https://openlineage.io/docs/spec/object-model
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipelines.lineage.graph import graph
from pipelines.spec import Pipeline, Target

if TYPE_CHECKING:
    from pipelines.state import Record
from pipelines.told import Quality

PRODUCER = "https://github.com/lakeloom/lakeloom"
SPEC = "https://openlineage.io/spec"
EVENT = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS = {
    "parent": "1-2-0/ParentRunFacet", "errorMessage": "1-0-1/ErrorMessageRunFacet", "jobType": "2-0-4/JobTypeJobFacet",
    "sql": "1-1-0/SQLJobFacet", "schema": "1-2-0/SchemaDatasetFacet", "version": "1-0-1/DatasetVersionDatasetFacet",
    "columnLineage": "1-2-0/ColumnLineageDatasetFacet", "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "dataQualityAssertions": "1-1-0/DataQualityAssertionsDatasetFacet",
}  # fmt: skip
Event = dict[str, Any]


@dataclass(frozen=True)
class Parent:
    """The run that had this one started: that of Airflow's task; and the first above all: that of its DAG."""

    namespace: str
    job: str
    run: str  # a UUID
    root: "Parent | None" = None

    @classmethod
    def of(cls, text: str, root: str = "") -> "Parent | None":
        """From 'namespace/job/run', as Airflow writes it; None where it is no such thing."""
        parts = text.rsplit("/", 2)
        try:
            return cls(parts[0], parts[1], str(uuid.UUID(parts[2])), cls.of(root)) if len(parts) == 3 else None
        except ValueError:
            return None

    def as_json(self) -> dict[str, Any]:
        """As the facet has it."""
        named = {"run": {"runId": self.run}, "job": {"namespace": self.namespace, "name": self.job}}
        return {**named, "root": self.root.as_json()} if self.root else named


@dataclass(frozen=True)
class Told:
    """What one attempt is known by: its record, what was found of promises, the types of what it wrote."""

    record: "Record"
    quality: Sequence["Quality"] = ()
    types: Mapping[str, str] | None = None
    lent: frozenset[str] = frozenset()  # stages whose tables lie where the target defers to


@dataclass(frozen=True)
class Places:
    """Where what a pipeline reads and makes lies, by namespace and name as OpenLineage has them."""

    pipeline: Pipeline
    target: Target
    lent: frozenset[str]

    def of(self, stage: str) -> dict[str, str]:
        """Of 'tables.flights' or 'sources.flights_raw'."""
        kind, _, name = stage.partition(".")
        source = self.pipeline.sources.get(name) if kind == "sources" else None
        if source is not None:
            path = getattr(source, "path", None)
            return _placed(f"{self.target.landing}/{path}") if path else _served(self.target, source)
        root = self.target.defer_to if stage in self.lent else self.target.warehouse
        return _placed(f"{root}/{self.pipeline.pipeline}/{kind}/{name}")


def events(pipeline: Pipeline, target: Target, told: Told, parent: Parent | None = None) -> tuple[Event, Event]:
    """The attempt's beginning and its end. A refused attempt is a FAIL with its sentence."""
    record, places = told.record, Places(pipeline, target, told.lent)
    facets = _run_facets(record, parent)
    run = {"runId": run_id(record), "facets": facets}
    whole = {"producer": PRODUCER, "schemaURL": EVENT, "job": _job(pipeline, record)}
    begun = {k: v for k, v in facets.items() if k != "errorMessage"}
    start = {"eventType": "START", "eventTime": _time(record.started_at), "run": {**run, "facets": begun}, **whole}
    end = {
        "eventType": "COMPLETE" if record.status == "ok" else "FAIL",
        "eventTime": _time(record.ended_at),
        "run": run,
        **whole,
        "inputs": [
            *(_input(places, name, read) for name, read in record.inputs.items() if "." in name or read),
            *_judged(places, told),
        ],
        "outputs": _outputs(places, told) if record.published_version is not None else [],
    }
    return {**start, "inputs": [], "outputs": []}, end


def run_id(record: "Record") -> str:
    """The same for the same attempt, whoever asks."""
    at = (record.pipeline, record.stage, record.run_id, record.generation, record.batch, record.started_at.isoformat())
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PRODUCER}/{'/'.join(map(str, at))}"))


def _run_facets(record: "Record", parent: Parent | None) -> dict[str, Any]:
    found = {}
    if parent:
        found["parent"] = _facet("parent", **parent.as_json())
    if record.error:
        found["errorMessage"] = _facet("errorMessage", message=record.error, programmingLanguage="PYTHON")
    return found


def _job(pipeline: Pipeline, record: "Record") -> dict[str, Any]:
    kind, name = record.stage.split(".")
    facets = {"jobType": _facet("jobType", processingType="BATCH", integration="LAKELOOM", jobType=kind.upper())}
    if kind == "tables" and name in pipeline.tables:
        facets["sql"] = _facet("sql", query=pipeline.tables[name].select, dialect="spark")
    return {"namespace": "lakeloom", "name": f"{record.pipeline}.{record.stage}", "facets": facets}


def _input(places: Places, name: str, read: Any) -> dict[str, Any]:
    version = read.get("upto") if isinstance(read, Mapping) else None
    facets = {"version": _facet("version", datasetVersion=str(version))} if version is not None else {}
    stage = name if "." in name else f"sources.{name}"
    return {**places.of(stage), "facets": facets, "inputFacets": {}}


def _outputs(places: Places, told: Told) -> list[dict[str, Any]]:
    record = told.record
    facets = {"version": _facet("version", datasetVersion=str(record.published_version))}
    if told.types:
        facets["schema"] = _facet("schema", fields=[{"name": n, "type": t} for n, t in told.types.items()])
    lineage = _column_lineage(places, record.stage)
    if lineage["fields"]:
        facets["columnLineage"] = lineage
    rows = record.detail.get("rows", record.counts.get("applied", record.counts.get("scored")))
    counted = {"outputStatistics": _facet("outputStatistics", rowCount=rows)} if rows is not None else {}
    return [{**places.of(record.stage), "facets": facets, "outputFacets": counted}]


def _judged(places: Places, told: Told) -> Iterator[dict[str, Any]]:
    """What was made, as an input of its own judgement: there OpenLineage wants what was asserted of it."""
    version = told.record.published_version
    if told.quality and version is not None:
        said = _facet("dataQualityAssertions", assertions=[_assertion(told, q) for q in told.quality])
        made = _input(places, told.record.stage, {"upto": version})
        yield {**made, "inputFacets": {"dataQualityAssertions": said}}


def _assertion(told: Told, found: "Quality") -> dict[str, Any]:
    column, severity = found.label.partition(":")[0], found.severity
    of = {"column": column} if column in (told.types or ()) else {}
    return {"assertion": found.label, "success": found.success, **of, **({"severity": severity} if severity else {})}


def _column_lineage(places: Places, stage: str) -> dict[str, Any]:
    fields = {
        node.rpartition(".")[2]: {"inputFields": list(_fields(places, read))}
        for node, read in graph(places.pipeline).columns.items()
        if node.rpartition(".")[0] == stage and read
    }
    return _facet("columnLineage", fields=fields)


def _fields(places: Places, read: Iterable[str]) -> Iterable[dict[str, Any]]:
    for node in read:
        at, _, column = node.rpartition(".")
        yield {**places.of(at), "field": column, "transformations": [{"type": "DIRECT"}]}


def _placed(path: str) -> dict[str, str]:
    parts = urlsplit(path)
    if not parts.scheme:
        return {"namespace": "file", "name": path}
    return {"namespace": f"{parts.scheme}://{parts.netloc}", "name": parts.path.lstrip("/") or "/"}


def _served(target: Target, source: Any) -> dict[str, str]:
    """A topic or a database's table."""
    place = target.connections.get(source.connection)
    if source.kind == "kafka":
        brokers = getattr(place, "brokers", source.connection)
        return {"namespace": f"kafka://{brokers.split(',')[0]}", "name": source.topic}
    parts = urlsplit(getattr(place, "url", ""))
    database = parts.path.strip("/") or source.connection
    return {"namespace": f"postgres://{parts.netloc or source.connection}", "name": f"{database}.{source.table}"}


def _facet(name: str, **said: Any) -> dict[str, Any]:
    version, _, kind = FACETS[name].partition("/")
    return {"_producer": PRODUCER, "_schemaURL": f"{SPEC}/facets/{version}/{kind}.json#/$defs/{kind}", **said}


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
