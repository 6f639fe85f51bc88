"""What a row is sent as follows from the row alone; who does not take it is named."""

from datetime import UTC, datetime

import pytest

from pipelines import sinks
from pipelines.errors import PlatformError, SpecError
from pipelines.spec import KafkaSink, Target

pytestmark = pytest.mark.spark

SINK = KafkaSink(kind="kafka", connection="events", topic="answers")
ROWS = [(7, datetime(2026, 3, 1, 12, tzinfo=UTC), 0.25, None), (8, datetime(2026, 3, 1, 13, tzinfo=UTC), 0.5, True)]
DDL = "id bigint, at timestamp, score double, predicted boolean"


def test_a_row_is_sent_as_its_keys_and_all_of_it_with_what_is_missing(frame):
    sent = sinks.messages(frame(ROWS, DDL), ["id"]).collect()

    assert sorted(map(tuple, sent)) == [
        ('{"id":7}', '{"id":7,"at":"2026-03-01T12:00:00.000Z","score":0.25,"predicted":null}'),
        ('{"id":8}', '{"id":8,"at":"2026-03-01T13:00:00.000Z","score":0.5,"predicted":true}'),
    ]


def test_brokers_that_do_not_answer_are_named_with_the_topic(frame, monkeypatch):
    monkeypatch.setitem(sinks.OPTIONS, "kafka.max.block.ms", "500")

    with pytest.raises(PlatformError, match=r"^127.0.0.1:1 does not take records of answers: .*Topic answers not pres"):
        sinks.send(frame(ROWS, DDL), ["id"], "127.0.0.1:1", "answers")


@pytest.mark.parametrize(
    ("connections", "there"),
    [({}, "it has none"), ({"other": {"kind": "kafka", "brokers": "h:1"}}, "there is other")],
)
def test_a_connection_that_the_target_has_not_is_said_before_anything_is_sent(connections, there):
    target = Target.model_validate({"connections": connections})

    with pytest.raises(SpecError) as caught:
        sinks.brokers(target, "scores.live", SINK)

    assert str(caught.value) == f"scores.live.sinks: the target has no `kind: kafka` connection 'events'; {there}"
