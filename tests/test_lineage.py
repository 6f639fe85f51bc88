"""What is made of what, and the events that say so: each goes through the classes of OpenLineage's own client."""

import json
import re
import threading
import typing
from datetime import UTC, datetime
from enum import Enum
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any
from uuid import UUID

import attr
import pytest
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.errors import SpecError
from pipelines.lineage import Parent, Told, events, graph, send
from pipelines.spec import LineageFile, LineageHttp, Target, load
from pipelines.state import Record
from pipelines.told import Quality

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf" / "flights.yml"
NOW = datetime(2026, 3, 1, 5, 0, 0, tzinfo=UTC)
AIRFLOW = "airflow/flights.tables.flights/2f6b1d0e-64a4-5c3d-9a52-0d5f7e5d1a11"
DAG_RUN = "airflow/flights/7a0a5d5c-1b0c-5a1e-8d0c-0d5f7e5d1a11"
FACETS = {  # the class of each facet that we send, by the key it stands under
    "parent": "parent_run.ParentRunFacet", "errorMessage": "error_message_run.ErrorMessageRunFacet",
    "jobType": "job_type_job.JobTypeJobFacet", "sql": "sql_job.SQLJobFacet",
    "schema": "schema_dataset.SchemaDatasetFacet", "version": "dataset_version_dataset.DatasetVersionDatasetFacet",
    "columnLineage": "column_lineage_dataset.ColumnLineageDatasetFacet",
    "dataQualityAssertions": "data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet",
    "outputStatistics": "output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet",
}  # fmt: skip
TARGET = Target(warehouse="/lake/warehouse", landing="s3://bucket/landing")


def record(**changed: object) -> Record:
    given: dict[str, object] = {
        "pipeline": "flights", "stage": "tables.flights", "generation": 0, "batch": 3, "run_id": "r7",
        "definition": "d", "status": "ok", "started_at": NOW, "seconds": 12.5, "published_version": 4,
        "inputs": {"flights_raw": {"files": 2}, "tables.airports": {"upto": 1}, "tables.planes": {"upto": 0}},
        "counts": {"rows_in": 10, "applied": 9}, "detail": {"rows": 900},
    }  # fmt: skip
    return Record(**{**given, **changed})


def promise(label: str, success: bool) -> Quality:
    counted = (10, 1, 10.0) if not success else (10, 0, 0.0)
    return Quality("flights", "tables.flights", "r7", 0, 3, NOW, "e", label, "fail", None, "row", success, *counted, "")


def taken(kind: Any, value: Any) -> None:
    """JSON as the client has it: each key is known, none that is needed lacks, each value is of its type."""
    if attr.has(kind):
        known = {a.name: a for a in attr.fields(kind)}
        assert set(value) <= set(known), f"{kind.__name__} has no {set(value) - set(known)}"
        for name, inner in value.items():
            taken(_annotation(kind, name), inner)
        made = kind(**{a.alias: value[n] for n, a in known.items() if a.init and n in value})  # its own validators
        urls = [value[n] for n in ("_schemaURL", "schemaURL") if n in value]
        assert all(url == made._get_schema() for url in urls)
    elif typing.get_origin(kind) in (typing.Union, UnionType):
        taken(next(a for a in typing.get_args(kind) if a is not NoneType), value)
    elif typing.get_origin(kind) is list:
        for item in value:
            taken(typing.get_args(kind)[0], item)
    elif typing.get_origin(kind) is dict:
        for key, item in value.items():
            facet = _facet(key) or typing.get_args(kind)[1]
            assert issubclass(facet, typing.get_args(kind)[1]), f"{key} does not stand there"
            taken(facet, item)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        kind(value)
    else:
        assert isinstance(value, kind), f"{value!r} is no {kind}"


def _annotation(kind: Any, name: str) -> Any:
    """The type of an attribute, read where its class stands: the client names a Job in two of its files."""
    owner = next(base for base in kind.__mro__ if name in vars(base).get("__annotations__", {}))
    return eval(owner.__annotations__[name], vars(import_module(owner.__module__)))


def _facet(key: str) -> Any:
    file, _, name = FACETS.get(key, "").partition(".")
    return getattr(import_module(f"openlineage.client.generated.{file}"), name) if name else None


def valid(event: dict[str, Any]) -> None:
    from openlineage.client.generated.base import RunEvent

    taken(RunEvent, event)
    UUID(event["run"]["runId"])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda e: e.update(eventTime="yesterday"), "Expected 4 digits"),
        (lambda e: e.update(eventType="DONE"), "DONE"),
        (lambda e: e["run"].update(id=1), "has no {'id'}"),
        (lambda e: e["job"].pop("name"), "name"),
        (lambda e: e["outputs"][0]["facets"]["columnLineage"].update(fields=[1]), "list"),
        (lambda e: e["outputs"][0]["facets"]["version"].update(_schemaURL="https://other"), "assert"),
    ],
)
def test_an_event_of_another_form_would_be_seen(change, why):
    _, end = events(load(CONF), TARGET, Told(record()))
    change(end)

    with pytest.raises((AssertionError, TypeError, ValueError, AttributeError), match=re.escape(why)):
        valid(end)


def test_what_a_branch_reads_of_another_target_lies_there():
    branch = TARGET.model_copy(update={"defer_to": "/lake/prod", "warehouse": "/lake/branch"})
    lent = Told(record(), lent=frozenset({"tables.airports"}))

    _, end = events(load(CONF), branch, lent)

    valid(end)
    names = {each["name"] for each in end["inputs"]}
    assert {"/lake/prod/flights/tables/airports", "/lake/branch/flights/tables/planes"} <= names
    assert end["outputs"][0]["name"] == "/lake/branch/flights/tables/flights"


def test_a_run_record_is_two_events_of_one_run():
    told = Told(record(), [promise("origin: not be null", True)], {"flight_id": "string", "arr_delay": "integer"})

    start, end = events(load(CONF), TARGET, told, Parent.of(AIRFLOW, DAG_RUN))

    for event in (start, end):
        valid(event)
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == end["run"]["runId"]
    assert (start["eventTime"], end["eventTime"]) == ("2026-03-01T05:00:00.000+00:00", "2026-03-01T05:00:12.500+00:00")
    assert end["job"]["name"] == "flights.tables.flights"
    assert end["job"]["facets"]["sql"]["query"] == load(CONF).tables["flights"].select
    assert end["run"]["facets"]["parent"]["run"]["runId"] == "2f6b1d0e-64a4-5c3d-9a52-0d5f7e5d1a11"
    assert end["run"]["facets"]["parent"]["job"] == {"namespace": "airflow", "name": "flights.tables.flights"}
    assert end["run"]["facets"]["parent"]["root"] == {
        "run": {"runId": "7a0a5d5c-1b0c-5a1e-8d0c-0d5f7e5d1a11"}, "job": {"namespace": "airflow", "name": "flights"}
    }  # fmt: skip


def test_an_event_names_what_was_read_and_written_at_which_version():
    types = {"origin": "string", "air_time": "integer"}
    told = Told(record(), [promise("origin: not be null", True), promise("rows", False)], types)

    _, end = events(load(CONF), TARGET, told)

    assert [
        (i["namespace"], i["name"], i["facets"].get("version", {}).get("datasetVersion")) for i in end["inputs"]
    ] == [
        ("s3://bucket", "landing/flights", None),
        ("file", "/lake/warehouse/flights/tables/airports", "1"),
        ("file", "/lake/warehouse/flights/tables/planes", "0"),
        ("file", "/lake/warehouse/flights/tables/flights", "4"),  # as what was asserted of it
    ]
    (out,) = end["outputs"]
    assert (out["name"], out["facets"]["version"]["datasetVersion"]) == ("/lake/warehouse/flights/tables/flights", "4")
    assert out["outputFacets"]["outputStatistics"]["rowCount"] == 900
    assert end["inputs"][-1]["inputFacets"]["dataQualityAssertions"]["assertions"] == [
        {"assertion": "origin: not be null", "success": True, "column": "origin"},
        {"assertion": "rows", "success": False},
    ]
    dest = out["facets"]["columnLineage"]["fields"]["built"]["inputFields"]
    assert [(f["name"], f["field"]) for f in dest] == [("/lake/warehouse/flights/tables/planes", "built")]


def test_a_refused_attempt_is_a_failure_with_its_sentence():
    refused = record(status="refused", published_version=None, error="tables.flights: a promise is broken")

    start, end = events(load(CONF), TARGET, Told(refused))

    for event in (start, end):
        valid(event)
    assert end["eventType"] == "FAIL" and end["outputs"] == []
    assert end["run"]["facets"]["errorMessage"]["message"] == "tables.flights: a promise is broken"
    assert "errorMessage" not in start["run"]["facets"]


@pytest.mark.parametrize("stage", ["features.departures", "models.late_arrival", "scores.late_arrival_daily"])
def test_every_kind_of_stage_has_valid_events(stage):
    version = None if stage.startswith("models") else 2

    for event in events(load(CONF), TARGET, Told(record(stage=stage, inputs={}, published_version=version))):
        valid(event)


@pytest.mark.parametrize("text", ["", "airflow/dag", "airflow/dag/not-a-uuid", "a/b/c/d"])
def test_what_is_no_parent_is_none(text):
    assert Parent.of(text) is None


def test_events_are_appended_to_a_file(tmp_path):
    target = Target(lineage=LineageFile(kind="file", path=str(tmp_path / "deep" / "lineage.jsonl")))

    assert send(target, [{"a": 1}, {"b": 2}]) == send(target, [{"c": 3}]) == ""

    lines = (tmp_path / "deep" / "lineage.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_events_are_posted_with_the_token_of_the_environment(monkeypatch):
    got = []

    class Marquez(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["Authorization"], json.loads(body)))
            self.send_response(201)
            self.end_headers()

        def log_message(self, *said: object) -> None:
            pass

    monkeypatch.setenv("OL_KEY", "canary-51c2")
    with HTTPServer(("127.0.0.1", 0), Marquez) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/api/v1/lineage"
        said = send(Target(lineage=LineageHttp(kind="http", url=url, token="${env:OL_KEY}")), [{"a": 1}])
        server.shutdown()

    assert (said, got) == ("", [("/api/v1/lineage", "Bearer canary-51c2", {"a": 1})])


def test_a_server_that_is_away_is_told_and_no_error(monkeypatch):
    monkeypatch.setenv("OL_KEY", "canary-51c2")
    place = LineageHttp(kind="http", url="http://127.0.0.1:9/lineage", token="${env:OL_KEY}")

    said = send(Target(lineage=place), [{"a": 1}])

    assert said.startswith("lineage was not sent: URLError: ") and "canary" not in said


def test_a_column_is_followed_to_its_sources_and_its_scores():
    known = graph(load(CONF))

    assert known.upstream("features.departures.weather_temp") == {
        "tables.weather.temp": {"sources.weather_raw.temp": {}},
        "tables.weather.origin": {"sources.weather_raw.origin": {}},
    }
    assert list(known.downstream("tables.planes.built")) == ["tables.flights.built"]
    assert "models.late_arrival" in known.downstream("tables.flights.arr_delay")  # its label is made of it
    assert known.upstream("tables.airports.faa") == {"sources.airports_raw.faa": {}}


def test_a_derived_feature_is_made_of_what_those_are_that_it_reads(tmp_path):
    path, old = tmp_path / "flights.yml", "    as_of:\n"
    path.write_text(CONF.read_text().replace(old, f"    derive: {{felt: weather_temp - weather_wind_speed}}\n{old}", 1))

    known = graph(load(path))

    both = known.upstream("features.departures.weather_temp") | known.upstream("features.departures.weather_wind_speed")
    assert known.upstream("features.departures.felt") == both
    assert set(both) == {f"tables.weather.{column}" for column in ("temp", "wind_speed", "origin")}


def test_what_stands_further_up_is_not_written_out_again():
    found = graph(load(CONF)).upstream("scores.late_arrival_daily")

    assert found["models.late_arrival"] == {"features.departures": None}
    assert list(found["features.departures"]) == ["tables.flights", "tables.weather"]


@pytest.mark.parametrize(
    ("name", "node"),
    [
        ("flights", "tables.flights"),
        ("late_arrival", "models.late_arrival"),
        ("flights.arr_delay", "tables.flights.arr_delay"),
        ("tables.flights.arr_delay", "tables.flights.arr_delay"),
        ("flights_raw", "sources.flights_raw"),
    ],
)
def test_a_node_is_found_by_the_end_of_its_name(name, node):
    assert graph(load(CONF)).named(name) == node


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("flihgts", "nothing is named 'flihgts'; did you mean 'flights'?"),
        ("arr_delay", "'arr_delay' could be sources.flights_raw.arr_delay, tables.flights.arr_delay; say which"),
    ],
)
def test_a_name_that_is_none_or_many_is_one_sentence(name, sentence):
    with pytest.raises(SpecError) as refused:
        graph(load(CONF)).named(name)
    assert str(refused.value) == sentence


def test_the_command_draws_both_ways_and_speaks_json():
    drawn = CliRunner(env={"NO_COLOR": "1"}).invoke(app, ["lineage", str(CONF), "tables.planes"])
    told = CliRunner().invoke(app, ["lineage", str(CONF), "tables.planes.built", "--format", "json"])

    assert drawn.stdout.splitlines()[:4] == [
        "tables.planes made of", "└── sources.planes_raw", "tables.planes goes into", "└── tables.flights",
    ]  # fmt: skip
    assert json.loads(told.stdout)["upstream"] == {"sources.planes_raw.year": {}}
