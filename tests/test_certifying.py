"""What the endpoint says over HTTP of rows whose answers are known: a part of the certificate, and of its gate."""

import json
import math
import sys
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from online import FEATURES, graph

from pipelines.models.graphs.draft import Draft
from pipelines.onnx import Graph
from pipelines.run.certifying import GATE, Certificate, over_http
from pipelines.signature import SAID, Signature

pytestmark = pytest.mark.spark

SENT = datetime(2026, 1, 31, 12, tzinfo=UTC)
ANSWERS = ("score", "predicted")


def answered(wind: float | None) -> dict:
    """A row as Spark has it; the model is that of online.py: the logistic function of wind / 10."""
    score = 1 / (1 + math.exp(-(0.0 if wind is None or math.isnan(wind) else wind) / 10))
    return {"wind": wind, "carrier": "UA", "sent": SENT, "score": score, "predicted": score >= 0.5}


@pytest.fixture(scope="module")
def opened():
    return Graph.opened(graph())


@pytest.fixture
def before():
    return Certificate("ab", 300, 1e-9, 1e-6)


def test_the_first_rows_are_asked_over_http_as_a_client_would(opened, before):
    rows = [answered(wind) for wind in (None, math.nan, *range(298))]

    found = over_http(before, opened, rows, ANSWERS)

    assert found == replace(before, over_http=200)
    assert found.as_gate() == {
        "gate": GATE, "passed": True, "why": "300 rows, 1e-09 apart at most (1e-06 allowed); 200 of them over HTTP",
    }  # fmt: skip


def test_an_answer_that_differs_over_http_closes_the_gate(opened, before):
    rows = [answered(1.0), {**answered(2.0), "score": 0.75}, {**answered(3.0), "predicted": False}]

    found = over_http(before, opened, rows, ANSWERS)

    assert (found.over_http, found.unlike, found.passed) == (3, 1, False)
    assert found.largest == pytest.approx(0.75 - 1 / (1 + math.exp(-0.2)))


def test_a_reply_that_is_no_answer_closes_the_gate_and_says_why(opened, before):
    found = over_http(before, opened, [{**answered(1.0), "carrier": 7}], ANSWERS)

    assert not found.passed
    why = 'over HTTP: {"error":"row 0: carrier is a text (string), got \'7\'"}'
    assert found.as_gate()["why"] == f"300 rows, 1e-09 apart at most (1e-06 allowed), 1 answered otherwise; {why}"


def test_what_json_cannot_hold_and_what_is_too_much_for_a_request_is_not_asked(opened, before):
    endless = over_http(before, opened, [{**answered(0.0), "wind": math.inf}, answered(1.0)], ANSWERS)
    # of an unknown carrier, which weighs 1 less than UA
    large = over_http(before, opened, 3 * [{**answered(-10.0), "wind": 0.0, "carrier": "x" * (5 << 20)}], ANSWERS)

    assert (endless.over_http, endless.passed) == (1, True)
    assert (large.over_http, large.passed) == (1, True)


def test_an_answer_that_is_no_number_is_null_over_http(before):
    draft = Draft()
    score = draft.op("Log", draft.feature("wind", "number"))
    said = {**Signature(FEATURES[:1]).as_json(), "task": "regression", "classes": []}
    opened = Graph.opened(draft.finished({"score": score}, {SAID: json.dumps(said)}))
    rows = [{"wind": wind, "score": math.log(wind) if wind > 0 else math.nan} for wind in (1.0, -1.0, 5.0)]

    assert over_http(before, opened, rows, ["score"]) == replace(before, over_http=3)
    assert over_http(before, opened, [{"wind": -1.0, "score": 0.0}], ["score"]).largest == math.inf


def test_without_a_web_server_no_row_is_asked_over_http(opened, before, monkeypatch):
    monkeypatch.setitem(sys.modules, "pipelines.run.asking", None)

    assert over_http(before, opened, [answered(1.0)], ANSWERS) == before
