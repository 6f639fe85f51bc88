"""Rows that were committed, sent on to where others listen: at least once, and equal byte by byte where twice.

A sink is no part of a commit. It is served after the commit and before the run
record, from the rows of that commit; where that was cut off, the replay sends
the same rows again. What a row is sent as follows from the row alone, so a
reader drops what it has seen: same key, same value.
"""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.errors import PlatformError, SpecError
from pipelines.spec import KafkaBrokers, KafkaSink, Target

WAIT_MS = 30_000  # for brokers to answer, and to take a record
AS_SENT = {"ignoreNullFields": "false"}  # of JSON: a missing answer is null, not absent
OPTIONS = {
    "kafka.acks": "all",
    "kafka.enable.idempotence": "true",
    "kafka.max.block.ms": str(WAIT_MS),
    "kafka.request.timeout.ms": str(WAIT_MS // 2),
    "kafka.delivery.timeout.ms": str(WAIT_MS),
}


def brokers(target: Target, place: str, sink: KafkaSink) -> str:
    """The target's brokers that a sink names. Errors: SpecError; place: of the scores, for the sentence."""
    found = target.connections.get(sink.connection)
    if not isinstance(found, KafkaBrokers):
        there = sorted(name for name, c in target.connections.items() if isinstance(c, KafkaBrokers))
        known = f"there is {', '.join(there)}" if there else "it has none"
        raise SpecError(f"{place}.sinks: the target has no `kind: kafka` connection '{sink.connection}'; {known}")
    return found.brokers


def messages(rows: DataFrame, keys: Sequence[str]) -> DataFrame:
    """key and value of each row: its keys as a JSON object, and all of it as one. Lazy; no shuffle."""
    key, value = F.struct(*keys), F.struct(*[F.col(f"`{c}`") for c in rows.columns])
    return rows.select(F.to_json(key, AS_SENT).alias("key"), F.to_json(value, AS_SENT).alias("value"))


def send(rows: DataFrame, keys: Sequence[str], to: str, topic: str) -> None:
    """Write rows into a topic. Cost: one pass. Errors: PlatformError where the brokers do not take them all."""
    options = {"kafka.bootstrap.servers": to, "topic": topic, **OPTIONS}
    try:
        messages(rows, keys).write.format("kafka").options(**options).save()
    except Exception as error:
        raise PlatformError(f"{to} does not take records of {topic}: {_first(error)}") from error


def _first(error: Exception) -> str:
    """What Kafka said, amid what Spark says of its job."""
    lines = [line.strip() for line in str(error).splitlines()]
    kafka = [line.partition("errors.")[2] for line in lines if "org.apache.kafka.common.errors." in line]
    return (kafka or lines or [type(error).__name__])[0][:200]
