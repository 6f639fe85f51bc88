"""Alerts: which records call for one, in which words, each sent once to a webhook and never with its address."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pipelines import alerts
from pipelines.plan import Stage
from pipelines.run.alerting import alerted
from pipelines.spec import Alerts, Pipeline, Target
from pipelines.state import Record, Warehouse

NOW = datetime(2026, 3, 1, 5, 0, 0, tzinfo=UTC)
HOOK = Alerts(url="${env:HOOK}")
DRIFTED = ("January 2024: 2 of 9 features drifted: temp (psi 0.31) & <b>", "labels of 0 of 9 rows are known")


def record(stage: str = "monitors.w", **changed: object) -> Record:
    detail = {"decision": {"verdict": "investigate", "reasons": list(DRIFTED), "asks": False}}
    given = {"generation": 0, "batch": 0, "run_id": "r1", "definition": "d", "status": "ok", "started_at": NOW,
             "seconds": 1.0, "detail": detail if stage.startswith("monitors.") else {}}  # fmt: skip
    return Record("p", stage, **{**given, **changed})


def decided(verdict: str, *reasons: str) -> dict[str, object]:
    return {"detail": {"decision": {"verdict": verdict, "reasons": list(reasons), "asks": False}}}


@contextmanager
def webhook(status: int = 200) -> Iterator[tuple[str, list[tuple[str, dict[str, str]]]]]:
    """An address on this machine, and what was posted to it: the id and the body."""
    got: list[tuple[str, dict[str, str]]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.headers[alerts.HEADER], json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *said: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/services/canary-7f3a", got
        server.shutdown()


def test_a_decision_is_told_with_its_reasons_as_slack_takes_it(monkeypatch):
    with webhook() as (url, got):
        monkeypatch.setenv("HOOK", url)
        said = alerts.send(HOOK, alerts.said(record(), HOOK))

    assert said == ""
    assert [body for _, body in got] == [
        {
            "text": "p: monitors.w: investigate\nJanuary 2024: 2 of 9 features drifted: temp (psi 0.31) &amp; &lt;b&gt;"
            "\nlabels of 0 of 9 rows are known\nrun r1"
        }
    ]


@pytest.mark.parametrize(
    ("found", "event"),
    [
        (record(**decided("wait", "December: holds")), None),
        (record(**decided("retrain", "December: worse")), "p: monitors.w: retrain"),
        (record("tables.t", status="refused", error="tables.t: version 3 is not published"), "p: tables.t: refused"),
        (record("tables.t"), None),
        (record("tables.t", status="failed", error="disk"), None),
        (record("scores.s", status="failed"), None),
    ],
)
def test_what_calls_for_an_alert(found, event):
    said = alerts.said(found, HOOK)

    assert (said.text.splitlines()[0] if said else None) == event


def test_only_what_is_asked_for_is_told():
    quiet = Alerts(url="${env:HOOK}", on=("retrain",))

    assert alerts.said(record(), quiet) is None
    assert alerts.said(record("tables.t", status="refused", error="e"), quiet) is None


def test_each_is_sent_once_and_the_next_window_is_another(tmp_path, monkeypatch):
    pipeline, stage = Pipeline(pipeline="p", sources={}, tables={}), Stage("monitors", "w")
    target = Target(warehouse=str(tmp_path), alerts=HOOK)
    held = Warehouse(str(tmp_path), "p")
    told: list[str] = []
    runs = [
        record(),
        record(batch=1, run_id="r2", **decided("investigate", DRIFTED[0].replace("0.31", "0.32"))),  # it moved a little
        record(batch=2, run_id="r3", **decided("investigate", "February 2024: 1 of 9 features drifted: wind")),
    ]
    with webhook() as (url, got):
        monkeypatch.setenv("HOOK", url)
        for i, found in enumerate(runs):
            held.write(Record(**{**vars(found), "started_at": NOW + timedelta(hours=i)}))
            alerted(pipeline, target, stage, told.append)
            alerted(pipeline, target, stage, told.append)  # a second run finds nothing new

    assert told == []
    assert [body["text"].splitlines()[1][:8] for _, body in got] == ["January ", "February"]
    assert [(a.run_id, a.id) for a in held.alerts()] == [("r1", got[0][0]), ("r3", got[1][0])]


def test_a_promise_that_is_broken_more_often_is_told_once_for_each_window():
    def broken(window: str, promise: str, share: str) -> alerts.Said | None:
        found = decided("investigate", f"of tables.t {share} of the rows break '{promise}', 0.3% before", "nothing")
        held = {"stage": "tables.t", "promise": promise, "window": window}
        found["detail"]["decision"] |= {"window": "", "broken": [held]}  # type: ignore[index]
        return alerts.said(record(**found), HOOK)

    first, more, later, other = (
        broken(*each) for each in (("May", "a", "4%"), ("May", "a", "5%"), ("June", "a", "4%"), ("May", "b", "4%"))
    )

    assert first.text.splitlines()[1] == "of tables.t 4% of the rows break 'a', 0.3% before"
    assert first.id == more.id and len({first.id, later.id, other.id}) == 3


@pytest.mark.parametrize(
    ("status", "why"), [(500, "HTTPError 500"), (None, "URLError")], ids=["a server that fails", "none"]
)
def test_what_could_not_be_sent_is_told_without_the_address_and_sent_later(tmp_path, monkeypatch, status, why):
    pipeline, stage = Pipeline(pipeline="p", sources={}, tables={}), Stage("monitors", "w")
    target, told = Target(warehouse=str(tmp_path), alerts=HOOK), []
    Warehouse(str(tmp_path), "p").write(record())
    with webhook(status or 200) as (url, _):
        monkeypatch.setenv("HOOK", url if status else "http://127.0.0.1:9/services/canary-7f3a")
        alerted(pipeline, target, stage, told.append)
    with webhook() as (url, got):
        monkeypatch.setenv("HOOK", url)
        alerted(pipeline, target, stage, told.append)

    assert told == [f"an alert was not sent, and will be by the next run: {why}"]
    assert len(got) == 1


def test_an_address_that_is_none_is_not_repeated(monkeypatch):
    monkeypatch.setenv("HOOK", "file:///etc/canary-7f3a")

    assert alerts.send(HOOK, alerts.Said("i", "t")) == (
        "an alert was not sent: the environment variable HOOK holds no address"
    )


def test_a_target_names_the_variable_and_no_address(tmp_path: Path):
    assert Target(alerts=HOOK).secrets() == ("HOOK",)
