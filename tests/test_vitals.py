"""What Prometheus reads of a loop, over real HTTP on loopback."""

import socket
from urllib.request import urlopen

import pytest
from test_streaming import IDLE, TAKEN, outcome

from pipelines.errors import PlatformError
from pipelines.run.streaming import Round
from pipelines.vitals import HOST, served


def test_rounds_are_counted_as_they_come_and_what_is_left_is_that_of_the_last():
    table = outcome("tables.flights", inputs=TAKEN, counts={"rows_in": 10})
    scores = outcome("scores.live", counts={"scored": 9}, detail={"model_version": 4})
    rest = outcome("tables.flights", inputs={"flights_raw": {"behind": 0}}, counts={"rows_in": 3})

    with served(0) as (vitals, port):
        for found in (Round((table, scores), 2.0), Round((rest,), 1.0), IDLE, Round((), 1.0, PlatformError("no disk"))):
            vitals.add(found)
        with urlopen(f"http://{HOST}:{port}/metrics") as answer:
            lines = answer.read().decode().splitlines()

    assert {
        'lakeloom_rounds_total{outcome="worked"} 2.0',
        'lakeloom_rounds_total{outcome="idle"} 1.0',
        'lakeloom_rounds_total{outcome="troubled"} 1.0',
        "lakeloom_rows_in_total 13.0",
        "lakeloom_rows_scored_total 9.0",
        'lakeloom_behind{source="flights_raw"} 0.0',
        "lakeloom_model_version 4.0",
        'lakeloom_batch_seconds_sum{stage="tables.flights"} 3.0',
        'lakeloom_batch_seconds_bucket{le="2.0",stage="scores.live"} 1.0',
    } <= set(lines)


def test_a_port_that_is_taken_is_one_sentence():
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(PlatformError, match=rf"^{HOST}:{port} cannot be listened on: .*; name another port$"):
            with served(port):
                pass
