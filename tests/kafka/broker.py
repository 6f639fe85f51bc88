"""A real Kafka broker on loopback: one process in KRaft mode, from jars pinned in jars.lock beside this file."""

import os
import socket
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ports import free_port

LIMIT_S, CONFIGURED = 180, "server.properties"
ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("LAKELOOM_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "lakeloom"))
CONFIG = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={logs}
auto.create.topics.enable=false
num.network.threads=1
num.io.threads=2
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""


@dataclass(frozen=True)
class Broker:
    """host:port, and what a test does to a topic; clients of the library itself, none of ours."""

    address: str
    server: "Server"

    def admin(self) -> Any:
        """A client that makes and empties topics."""
        from confluent_kafka.admin import AdminClient

        return AdminClient({"bootstrap.servers": self.address})

    def topic(self, partitions: int = 1) -> str:
        """A new topic of a name of its own."""
        from confluent_kafka.admin import NewTopic

        name = f"clicks.{uuid.uuid4().hex[:8]}"
        admin = self.admin()  # its futures end with it
        _done(admin.create_topics([NewTopic(name, partitions, 1)]))
        return name

    def again(self, topic: str) -> None:
        """Delete a topic, and make an empty one of the same name."""
        from confluent_kafka.admin import NewTopic

        admin, until = self.admin(), time.monotonic() + LIMIT_S
        _done(admin.delete_topics([topic]))
        while topic in admin.list_topics(timeout=LIMIT_S).topics and time.monotonic() < until:
            time.sleep(0.1)
        _done(admin.create_topics([NewTopic(topic, 1, 1)]))

    def send(self, topic: str, *values: str | bytes | None, partition: int = 0, key: str | None = None) -> None:
        """Records, in this order."""
        producer = self.producer()
        for value in values:
            producer.produce(topic, value, key, partition)
        assert producer.flush(LIMIT_S) == 0

    def spread(self, topic: str, values: Sequence[str]) -> None:
        """Records dealt out to the two partitions of a topic, many at a time."""
        producer = self.producer(**{"linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
        for number, value in enumerate(values):
            producer.produce(topic, value, partition=number % 2)
        assert producer.flush(LIMIT_S) == 0

    def held(self, topic: str) -> int:
        """How many records a topic has."""
        return len(self.messages(topic))

    def messages(self, topic: str) -> list[tuple[bytes, bytes]]:
        """Key and value of each record of a topic with two partitions."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "test", "enable.partition.eof": True})
        consumer.assign([TopicPartition(topic, p, 0) for p in range(2)])
        found, ended = [], 0
        while ended < 2:
            message = consumer.poll(LIMIT_S)
            assert message is not None
            if message.error():
                ended += 1
            else:
                found.append((message.key(), message.value()))
        consumer.close()
        return found

    def producer(self, **options: Any) -> Any:
        """A client that writes."""
        from confluent_kafka import Producer

        return Producer({"bootstrap.servers": self.address, "linger.ms": 0, **options})

    def expire(self, topic: str, before: int) -> None:
        """Drop the records of partition 0 before an offset, as retention would."""
        from confluent_kafka import TopicPartition

        admin = self.admin()
        _done(admin.delete_records([TopicPartition(topic, 0, before)]))


@dataclass
class Server:
    """The broker's process; what it has written is still there when it is up again."""

    place: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    def up(self) -> None:
        """Until it answers."""
        with (self.place / "broker.log").open("a") as log:
            self.process = subprocess.Popen(_java("kafka.Kafka", self.place / CONFIGURED), stdout=log, stderr=log)
        _wait(self.process, self.port, self.place / "broker.log")

    def down(self) -> None:
        """At once, as kill -9 does it."""
        if self.process:
            self.process.kill()
            self.process.wait()


def _done(futures: dict[Any, Any]) -> None:
    for future in futures.values():
        future.result(LIMIT_S)


@contextmanager
def running(place: Path) -> Iterator[Broker]:
    """Up once it answers; at the end this process is ended, no other."""
    port = free_port()
    config, server = place / CONFIGURED, Server(place, port)
    config.write_text(CONFIG.format(port=port, controller=free_port(), logs=place / "logs"))
    known = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")  # one in 64 begins with a dash
    named = ("format", f"--cluster-id={known}", "--config", config)
    done = subprocess.run(_java("kafka.tools.StorageTool", *named), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    try:
        server.up()
        yield Broker(f"127.0.0.1:{port}", server)
    finally:
        server.down()


def _java(*command: object) -> list[str]:
    jars = CACHE.expanduser() / "kafka"
    subprocess.run([ROOT / "scripts" / "jars", Path(__file__).with_name("jars.lock"), jars], check=True)
    scala = next(Path(os.environ["SPARK_HOME"], "jars").glob("scala-library-*.jar"))
    java = Path(os.environ["JAVA_HOME"], "bin", "java")
    small = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
    return [str(java), *small, "-cp", f"{jars}/*:{scala}", *map(str, command)]


def _wait(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])
