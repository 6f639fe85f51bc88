"""b09: from a record's moment in Kafka to its score in Delta, at a steady rate.

    PYTHONPATH=.:scripts:tests python -m benchmarks.b09_streaming [--rate R] [--seconds S]

Open loop: each record has a moment of its own, whether or not those before it were scored, and its clock starts there;
it stops when the commit that holds its score lies in Delta's log. Ours is `lakeloom score --continuous`: a table with
its quarantine, features, scores by the champion, each exactly once; the record of what was done comes after. Peer is
one query of Spark's that reads, scores and appends (peers/streaming.py), with its default options. Broker, sender and
service share two cores. What is due in the first seconds, while the service starts and warms up, is not counted.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Annotated, Any

import numpy as np
import psutil
import pyarrow.parquet as pq
import typer
from e2e.project import COMMAND, Project
from kafka.broker import Broker, running
from kafka.stream import FIRST, POISON, records, trained

from pipelines.spark import start
from pipelines.spec import Target

STEP_S, DRAIN_S, MOST_RECORDS, SHOWN = 0.01, 120, 1_000_000, (50, 99, 100)
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Arm:
    """A service, the topic that it reads and the table that it fills."""

    name: str
    command: Sequence[str | Path]
    topic: str
    scores: Path


@dataclass(frozen=True)
class Found:
    """Seconds from due to readable of each record that counts, by the number of its commit; CPU of the service."""

    name: str
    asked: int
    latencies: Any
    commits: int
    cpu_s: float

    def line(self) -> str:
        """A row of the table."""
        lost = self.asked - len(self.latencies)
        shown = " | ".join(f"{np.percentile(self.latencies, p):.2f}" if self.latencies.size else "-" for p in SHOWN)
        return f"| {self.name} | {self.asked:,} | {shown} | {lost} | {self.commits} | {self.cpu_s:.0f} |"


def measured(arm: Arm, broker: Broker, rate: int, warm: int, seconds: int) -> Found:
    """Start it, send to it at a steady rate, wait until all is scored."""
    sent = records(FIRST, FIRST + rate * (warm + seconds))
    counted = range(FIRST + rate * warm, FIRST + len(sent))
    meant = sum(n % POISON != POISON - 1 for n in counted)
    with service(arm) as process:
        begun = time.time() + 1
        sender = Thread(target=send, args=(broker, arm.topic, sent, begun, rate))
        sender.start()
        time.sleep(1 + warm)
        before = _cpu_s(process)
        sender.join()
        used, limit = _cpu_s(process) - before, time.time() + DRAIN_S
        while (found := readable(arm.scores, begun, rate, counted))[0].size < meant and time.time() < limit:
            time.sleep(1)
    return Found(arm.name, meant, *found, used)


def send(broker: Broker, topic: str, sent: Sequence[str], begun: float, rate: int) -> None:
    """Every record at its moment, or as soon after it as the sender is there."""
    producer, done = broker.producer(**{"linger.ms": 5, "queue.buffering.max.messages": 1_000_000}), 0
    while done < len(sent):
        due = min(len(sent), int((time.time() - begun) * rate))
        for number in range(done, due):
            producer.produce(topic, sent[number], partition=number % 2)
        producer.poll(0)
        done = max(done, due)
        time.sleep(STEP_S)
    producer.flush()


def readable(scores: Path, begun: float, rate: int, counted: range) -> tuple[Any, int]:
    """Of the records that count and are scored: seconds from due to the commit; and in how many commits they came."""
    latencies, commits, seen = [np.array([])], 0, set[int]()
    for log in sorted(scores.glob("_delta_log/*[0-9].json")):
        actions = [json.loads(line) for line in log.read_text().splitlines()]
        files = [scores / a["add"]["path"] for a in actions if "add" in a]
        ids = [pq.ParquetFile(file).read(["id"])["id"].to_numpy() for file in files]
        mine = np.concatenate([np.array([], int), *ids])
        mine = mine[(mine >= counted.start) & (mine < counted.stop)]
        assert not seen.intersection(mine.tolist()), "a record was scored twice"
        seen.update(mine.tolist())
        latencies.append(log.stat().st_mtime - begun - (mine - FIRST) / rate)
        commits += bool(mine.size)
    return np.concatenate(latencies), commits


@contextmanager
def service(arm: Arm) -> Iterator[int]:
    """Its process, while it goes on."""
    log = arm.scores.parents[1] / f"{arm.topic}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as said:
        process = subprocess.Popen(arm.command, stdout=said, stderr=said, start_new_session=True, cwd=ROOT)
        try:
            yield process.pid
            assert process.poll() is None, log.read_text()[-3000:]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(DRAIN_S)


def _cpu_s(process: int) -> float:
    whole = psutil.Process(process)
    found = 0.0
    for each in (whole, *whole.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            found += sum(each.cpu_times()[:4])  # with those of its children that have ended
    return found


def arms(place: Path, broker: Broker) -> Iterator[Arm]:
    """Ours and the peer, each with a champion of the same first records."""
    spark = start(Target(master="local[2]", driver_memory="1g"), "b09")
    made, topic = trained(place / "ours", broker, MOST_RECORDS)
    spark.stop()
    yield Arm("ours", (COMMAND, "score", made.conf, "live", "--continuous"), topic, _scores(made))
    learn, other = place / "learn.json", broker.topic(2)
    learn.write_text("\n".join(records(0, FIRST)))
    peer = (sys.executable, "-m", "benchmarks.peers.streaming", broker.address, other, learn, place / "peer")
    yield Arm("one query", peer, other, place / "peer" / "scores")


def _scores(made: Project) -> Path:
    return Path(made.warehouse.path("scores.live"))


def main(
    rate: Annotated[int, typer.Option(min=1, help="records a second")] = 10_000,
    seconds: Annotated[int, typer.Option(min=1)] = 60,
    warm: Annotated[int, typer.Option(min=1, help="seconds before those that count")] = 60,
    only: Annotated[str, typer.Option(help="an arm whose name has this")] = "",
) -> None:
    """Measure each arm in turn, print one table."""
    typer.echo(
        f"| {rate:,} a second | records | p50 s | p99 s | longest s | not scored | commits | CPU-s in {seconds} s |"
    )
    typer.echo("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with TemporaryDirectory(prefix="lakeloom-b09-") as folder:
        place = Path(folder)
        (place / "broker").mkdir()
        with running(place / "broker") as broker:
            for arm in arms(place, broker):
                if only in arm.name:
                    typer.echo(measured(arm, broker, rate, warm, seconds).line())


if __name__ == "__main__":
    typer.run(main)
