"""A topic that is scored as it fills: what its test and its trials share.

A record has a number of its own; every hundredth cannot be read. A champion is
trained on the first of them; what comes later is scored by it, so that what a
loop made of it, however often it was killed, can be held against what one
undisturbed call makes of the same topic.
"""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from e2e.parcels import LOGISTIC
from e2e.project import WHEN_AND_WHERE, Project, Said, checksum, project

from kafka.broker import Broker

BEGAN, POISON = datetime(2026, 1, 1, tzinfo=UTC), 100
TARGET = "{{master: 'local[2]', driver_memory: 1g, connections: {{events: {{kind: kafka, brokers: '{}'}}}}}}"
SCHEMA = "id BIGINT, at TIMESTAMP, amount DOUBLE, seen_at TIMESTAMP, fraud BOOLEAN"
FIRST = 400  # records of which the champion learns
Content = tuple[tuple[int, str], tuple[int, str]]  # of scores and of quarantine


def records(begin: int, end: int) -> list[str]:
    """Those of these numbers; the same number is always the same record."""
    return [_record(number) for number in range(begin, end)]


def _record(number: int) -> str:
    if number % POISON == POISON - 1:
        return f'{{"id": {number}, "at": '
    dice, at = random.Random(number), BEGAN + timedelta(minutes=15 * number)
    amount = round(100 * dice.random(), 2)
    seen = (at + timedelta(seconds=30)).isoformat()
    said = {
        "id": number,
        "at": at.isoformat(),
        "amount": amount,
        "seen_at": seen,
        "fraud": dice.random() < amount / 120,
    }
    return json.dumps(said)


def trained(root: Path, broker: Broker, most_records: int) -> tuple[Project, str]:
    """A project with a champion, and its topic; what comes from now on is for `scores.live`."""
    made, topic = project(root, "payments"), broker.topic(2)
    (made.root / "conf" / "targets" / "local.yml").write_text(TARGET.format(broker.address))
    source = {"kind": "kafka", "connection": "events", "topic": topic, "schema": SCHEMA, "most_records": most_records}
    table = {
        "from": "raw",
        "keys": ["id"],
        "event_time": "at",
        "select": "SELECT id, at, amount, seen_at, fraud FROM raw",
    }
    table["known_at"] = dict.fromkeys(("seen_at", "fraud"), "seen_at")
    feature = {"spine": "payments", "keys": ["id"], "as_of_time": "at", "columns": ["amount"]}
    model = {"features": "seen", "label": "fraud", "task": "binary", "candidates": [LOGISTIC], "gates": []}
    made.write(
        sources={"raw": source},
        tables={"payments": table},
        features={"seen": feature},
        models={"fraud": model},
        scores={"live": {"model": "fraud", "of": "seen", "mode": "stream"}},
    )
    broker.spread(topic, records(0, FIRST))
    ran(made.lakeloom("run"))
    return made, topic


def ran(said: Said) -> Said:
    assert said.code == 0, said.err
    return said


def scored(made: Project) -> Said:
    """All that is there, undisturbed."""
    return ran(made.lakeloom("score", "live", "--format", "json"))


def content(made: Project) -> Content:
    """Scores and refused records, but for clocks and the numbers of batches."""
    rows, refused = made.rows("scores.live"), made.rows("tables.payments", "quarantine")
    return checksum(rows, WHEN_AND_WHERE), checksum(refused, (*WHEN_AND_WHERE, "_batch"))


def numbers(rows: Sequence[dict[str, object]]) -> list[object]:
    """Of scored records, in order."""
    return sorted(row["id"] for row in rows)  # type: ignore[type-var]


def expected(end: int) -> list[int]:
    """The numbers that are to be scored, each once."""
    return [n for n in range(FIRST, end) if n % POISON != POISON - 1]
