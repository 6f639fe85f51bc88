"""A topic scored as it fills, by a service that is ended, and killed: each record once, whatever happens."""

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from e2e.project import COMMAND, LIMIT_S, Project, apart, project
from test_readme import ROOT, bash, blocks, like

from kafka.broker import Broker, running
from kafka.stream import FIRST, expected, numbers, ran, records, scored, trained
from pipelines.crash import VARIABLE

pytestmark = [pytest.mark.spark, pytest.mark.kafka]

SUBMIT = ("spark-submit", "--master", "local[2]", "--driver-memory", "1g", "--conf", "spark.log.level=ERROR")


def walked(made: Project, page: Path, **names: str) -> str:
    """The page's blocks, run in the project's folder; one marked `here` in this process, to spare a JVM."""
    said = ""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        for block in blocks(page):
            if block.mark == "run here":
                ran(made.lakeloom(block.text.split()[1]))
            elif block.mark == "run":
                code, said = bash(block.text, made.root)
                assert code == 0, said
            elif block.mark == "said":
                assert like(block.text).fullmatch(said), said
    return said


@pytest.mark.long
def test_a_broker_that_dies_under_a_service_and_comes_back_loses_nothing(spark, tmp_path):
    place = tmp_path / "broker"
    place.mkdir()
    with running(place) as broker:
        made, topic = trained(tmp_path / "lake", broker, most_records=10_000)
        with serving(made, tmp_path / "said") as said:
            broker.spread(topic, records(FIRST, 600))
            until(lambda: numbers(made.published("scores.live")) == expected(600))
            broker.server.down()
            until(lambda: "does not answer" in said.read_text())
            broker.server.up()
            broker.spread(topic, records(600, 800))
            until(lambda: numbers(made.published("scores.live")) == expected(800))

    assert "Traceback" not in said.read_text()
    assert len(made.rows("tables.payments", "quarantine")) == 8


@contextmanager
def serving(made: Project, log: Path) -> Iterator[Path]:
    """`lakeloom score live --continuous` while it is asked; it ends by SIGTERM, with 0."""
    with log.open("w") as out:
        service = subprocess.Popen([COMMAND, "score", made.conf, "live", "--continuous"], stdout=out, stderr=out)
    try:
        yield log
        service.terminate()
        assert service.wait(LIMIT_S) == 0, log.read_text()
    finally:
        service.kill()
        service.wait()


def until(met: Callable[[], bool]) -> None:
    ends = time.monotonic() + LIMIT_S
    while not met():
        assert time.monotonic() < ends
        time.sleep(0.5)


def test_a_service_that_is_ended_and_killed_scores_and_sends_each_record(spark, broker: Broker, tmp_path):
    made, payments, scores = project(tmp_path, "payments"), broker.topic(2), broker.topic(2)

    # the page: a champion is trained on 400, a service scores 300 more and is ended
    walked(made, ROOT / "docs" / "streaming.md", BROKERS=broker.address, PAYMENTS=payments, SCORES=scores)
    assert numbers(made.rows("scores.live")) == expected(700)
    assert broker.held(scores) == len(expected(700))

    # under spark-submit, killed after it has sent and before it has said so
    broker.spread(payments, records(700, 900))
    gap = {VARIABLE: "before the run record @ scores.live", "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    door = [*SUBMIT, str(ROOT / "jobs" / "stream.py"), "live", str(made.conf), "--target", "local"]
    killed = apart(door, LIMIT_S, **gap)
    assert killed.code == -signal.SIGKILL, killed.err
    broker.spread(payments, records(900, 1000))

    scored(made)

    assert numbers(made.rows("scores.live")) == expected(1000)
    assert len(made.rows("tables.payments", "quarantine")) == 10
    sent = Counter(broker.messages(scores))
    assert len(sent) == len(expected(1000))  # a reader that drops what it has seen has each answer once
    assert sum(sent.values()) == len(expected(1000)) + len(expected(900)) - len(expected(700))
