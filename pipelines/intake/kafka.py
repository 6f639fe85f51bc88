"""A Kafka topic as a source: each batch is a range of offsets a partition, fixed before it is read.

What was read is known by offsets alone; no consumer group is committed to, so
nothing but the intent says where the next batch begins. Offsets count the
records, unless compaction or a transaction left gaps: then a consumer of its
own counts what lies in the range, and the gap is a count of the run record. A
consumer looks for lost keys before the batch is fixed, and where keys become
columns for those.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pipelines.columns import ddl
from pipelines.drift import ADDABLE, MOST_ADDED, Drift
from pipelines.errors import DataError, PlatformError, SpecError
from pipelines.intake.base import Asked, Counted, Reading, brought, counted
from pipelines.intake.servers import WAIT_S, connection, missing
from pipelines.landing import as_object, wanted
from pipelines.spec import Kafka, KafkaBrokers
from pipelines.state import Json

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_WAY_OUT = "give it a table of its own, or say `expired: skip` in sources.{} and make the table anew"
ENOUGH = 100  # records that tell that a topic lost a key; the first batch tells with any
BACK = 1_000  # offsets, in which they are looked for
Range = tuple[int, int]  # offsets [from, upto)
Ranges = dict[int, Range]  # by partition


def news(asked: Asked) -> str:
    """'1,200 new records of clicks'. Cost: asks the brokers for offsets."""
    found = _new(asked, _bounds(asked))
    if any(upto < since for since, upto in found.values()):
        return f"{_source(asked).topic} ends before what was read of it"
    waiting = sum(upto - since for since, upto in found.values())
    taken = sum(upto - since for since, upto in _limited(found, _source(asked).most_records).values())
    part = "" if taken == waiting else f", of which a batch takes {taken:,}"
    return f"{counted(waiting, 'new record')} of {asked.name}{part}" if waiting else ""


def take(asked: Asked) -> dict[str, Json]:
    """The next range of each partition; behind: offsets that are left to the next batch.

    Errors: DataError where records expired before they were read, or lost a key of the schema.
    """
    bounds, known = _bounds(asked), _id(asked)
    _refuse_loss(asked, known, bounds)
    waiting = _new(asked, bounds)
    ranges = _limited(waiting, _source(asked).most_records)
    if _source(asked).on_schema_change != "quarantine":
        _refuse_lost(asked, ranges, bounds)
    parts = {str(p): list(r) for p, r in ranges.items()}
    behind = _span(waiting) - _span(ranges)
    taken = {"topic": _source(asked).topic, "id": known, "partitions": parts, "behind": behind}
    return {**taken, **_columns(asked, _grown(asked, ranges))}


def stands(asked: Asked, batch: Json) -> bool:
    """True: offsets that expired meanwhile are refused as they are read, or counted."""
    return True


def again(asked: Asked) -> dict[str, Json]:
    """All offsets that were taken and have not expired. Errors: DataError where the topic is another one."""
    bounds, known, began = _bounds(asked), _id(asked), _began(asked)
    if asked.taken[-1]["id"] != known:
        raise DataError(f"{asked.stage}: {_source(asked).topic} is another topic than the one that was read")
    low = {p: max(began[p], bounds[p][0]) for p in began if p in bounds}
    held = {str(p): [min(low.get(p, upto), upto), upto] for p, upto in _ended(asked).items()}
    columns = _columns(asked, brought(asked.taken))
    if not all("wanted" in batch for batch in asked.taken):  # of some a key that lacked was null, and stays so
        columns.pop("wanted", None)
    return {"topic": _source(asked).topic, "id": known, "partitions": held, **columns}


@contextmanager
def reading(asked: Asked, spark: "SparkSession", batch: Json) -> Iterator[Reading]:
    """Exactly the offsets that were taken; those that expired meanwhile are refused, or counted as `expired`."""
    taken = {int(p): (since, upto) for p, (since, upto) in batch["partitions"].items()}
    low = {p: first for p, (first, _) in _bounds(asked).items()}
    _refuse_expired(asked, taken, low)
    left = {p: (min(max(since, low.get(p, since)), upto), upto) for p, (since, upto) in taken.items()}
    offsets, held = _span(taken), _span(left)

    def witness(staged: int) -> Counted:
        rows = held if staged == held else sum(1 for _ in _records(asked, left))  # offsets have gaps
        return Counted(rows, 0, {"offsets": offsets, "gap": held - rows, "expired": offsets - held})

    yield Reading(_frame(asked, _scan(asked, spark, left), batch), held, witness)


def _source(asked: Asked) -> Kafka:
    assert isinstance(asked.source, Kafka)
    return asked.source


def _brokers(asked: Asked) -> str:
    return connection(asked, _source(asked).connection, KafkaBrokers).brokers


def _columns(asked: Asked, columns: Sequence[str]) -> dict[str, Json]:
    """What is to be done with keys beyond the schema, and with records that lack one, as it is now."""
    policy = _source(asked).on_schema_change
    strict = {} if policy == "fail" else {"strict": True}
    asks = {"wanted": wanted(_source(asked))} if policy == "quarantine" else {}
    return {**strict, **asks, **({"added": list(columns)} if columns else {})}


def _refuse_lost(asked: Asked, ranges: Ranges, bounds: Mapping[int, Range]) -> None:
    """No key is lost in silence: one that no record has of a batch and before it, nor of the newest that there are.

    Errors: DataError. Cost: reads one record where it has all that the schema has, else up to the first of each key.
    """
    here = {p: _back(bounds[p][0], r) for p, r in ranges.items() if r[0] < r[1]}
    lost, told = _lost(asked, here, wanted(_source(asked)))
    if not lost or told < (1 if asked.anew or not asked.taken else ENOUGH):
        return
    lost, _ = _lost(asked, {p: _back(low, (last, last)) for p, (low, last) in bounds.items()}, lost.less)
    if lost:
        raise DataError(
            f"{asked.stage}: {_source(asked).topic} {lost.words}, which none of {counted(told, 'record')} has; name "
            f"under `optional` of sources.{asked.name} what a record may lack, or mend the schema"
        )


def _back(low: int, read: Range) -> Range:
    return max(low, min(read[0], read[1] - BACK)), read[1]


def _lost(asked: Asked, ranges: Ranges, keys: Sequence[str]) -> tuple[Drift, int]:
    """Those of some keys that no record has, and of how many objects that was seen."""
    lost, found, told = list(keys), dict[str, None](), 0
    for message in _records(asked, ranges) if lost and ranges else ():
        held = as_object(message.value() or b"")
        told += held is not None
        lost = [name for name in lost if name not in (held or ())]
        if not lost:
            break
        if len(found) < MOST_ADDED:
            found.update(dict.fromkeys(held or ()))
    return Drift(less=tuple(lost), near=tuple(found)), told


def _grown(asked: Asked, ranges: Ranges) -> list[str]:
    """The columns that the table has beyond the schema with these records; too many new ones, and there are none.

    A key that cannot be a column stays one that its record is refused for: nobody can mend what lies in a topic. Of two
    that differ in case alone, the one that more records have becomes a column.
    Cost: where keys become columns, every record is read once more, by one consumer.
    """
    before = brought(asked.taken)
    if _source(asked).on_schema_change != "add_columns":
        return [] if asked.anew else before
    known = {*ddl(_source(asked).ddl), *_source(asked).beside, *before}
    there, new = {name.lower() for name in known}, dict[str, str]()
    for key, _ in sorted(_keys(asked, ranges, known).items(), key=lambda k: (-k[1], k[0])):
        if ADDABLE.fullmatch(key) and key.lower() not in there:
            new.setdefault(key.lower(), key)
    return [*before, *(new.values() if len(new) <= MOST_ADDED else ())]


def _keys(asked: Asked, ranges: Ranges, known: Set[str]) -> Counter[str]:
    """Those of the records that are not known, and how many have them; counted until they are too many."""
    found = Counter[str]()
    for message in _records(asked, ranges):
        held = as_object(message.value() or b"")
        if held and len(found) <= MOST_ADDED:
            found.update(held.keys() - known)
    return found


def _span(ranges: Ranges) -> int:
    return sum(upto - since for since, upto in ranges.values())


def _new(asked: Asked, bounds: Mapping[int, Range]) -> Ranges:
    """What no batch took: all that is held, later from where the last ended; a partition added since begins at 0."""
    if asked.anew or not asked.taken:
        return dict(sorted(bounds.items()))
    ended = _ended(asked)
    return {p: (ended.get(p, 0), last) for p, (_, last) in sorted(bounds.items())}


def _ended(asked: Asked) -> dict[int, int]:
    """Partition -> the offset before which everything was taken."""
    return {int(p): upto for batch in asked.taken for p, (_, upto) in batch["partitions"].items()}


def _began(asked: Asked) -> dict[int, int]:
    """Partition -> the first offset that was taken."""
    return {int(p): r[0] for batch in reversed(asked.taken) for p, r in batch["partitions"].items()}


def _limited(ranges: Ranges, most: int | None) -> Ranges:
    """At most so many offsets, of each partition by its share, so that none starves."""
    total = _span(ranges)
    if most is None or total <= most:
        return ranges
    shares = {p: (upto - since) * most // total for p, (since, upto) in ranges.items()}
    for p, (since, upto) in ranges.items():
        shares[p] += min(most - sum(shares.values()), upto - since - shares[p])
    return {p: (since, since + shares[p]) for p, (since, _) in ranges.items()}


def _refuse_loss(asked: Asked, known: str, bounds: Mapping[int, Range]) -> None:
    """No gap is silent: neither behind what was read, nor in what a full refresh would no longer find."""
    if asked.anew:
        _refuse_forgotten(asked, known, bounds)
    elif asked.taken and (asked.taken[-1]["id"] != known or any(u < s for s, u in _new(asked, bounds).values())):
        raise DataError(
            f"{asked.stage}: {_source(asked).topic} is another topic than the one of that name which was read before; "
            f"{_WAY_OUT.format(asked.name)}"
        )
    else:
        _refuse_expired(asked, _new(asked, bounds), {p: first for p, (first, _) in bounds.items()})


def _refuse_forgotten(asked: Asked, known: str, bounds: Mapping[int, Range]) -> None:
    began = _began(asked)
    other = any(batch["id"] != known for batch in asked.taken)
    for p, upto in _ended(asked).items():
        gone = other or p not in bounds or bounds[p][0] > began[p]
        if upto > began[p] and gone and _source(asked).expired == "refuse":
            raise DataError(
                f"{asked.stage}: a full refresh would lose records that {_source(asked).topic}-{p} no longer holds; "
                f"{_WAY_OUT.format(asked.name)}"
            )


def _refuse_expired(asked: Asked, wanted: Ranges, low: Mapping[int, int]) -> None:
    gone = {p: (since, low[p]) for p, (since, upto) in wanted.items() if since < upto and low.get(p, since) > since}
    if gone and _source(asked).expired == "refuse":
        p, (since, first) = next(iter(gone.items()))
        raise DataError(
            f"{asked.stage}: offsets {since} to {first - 1} of {_source(asked).topic}-{p} expired before they were "
            f"read ({len(gone)} partitions); say `expired: skip` in sources.{asked.name} to count them and go on"
        )


def _consumer(asked: Asked, **options: Any) -> Any:
    try:
        from confluent_kafka import Consumer
    except ImportError:
        raise missing("kafka", "confluent-kafka") from None
    return Consumer(
        {
            "bootstrap.servers": _brokers(asked),
            "group.id": "lakeloom",  # asked for by the library; nothing is committed to it
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "socket.timeout.ms": WAIT_S * 1000,
            "logger": _silent(),
            **options,
        }
    )


def _silent() -> Any:
    """What librdkafka would write to stderr comes as an error as well."""
    logger = logging.getLogger("lakeloom.kafka")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def _bounds(asked: Asked) -> dict[int, Range]:
    """Partition -> [first offset held, end of what is committed). Errors: PlatformError, SpecError."""
    with suppress(ImportError):
        from confluent_kafka import KafkaException, TopicPartition
    topic = _source(asked).topic
    with closing(_consumer(asked)) as consumer:
        try:
            known = consumer.list_topics(topic, WAIT_S).topics[topic]
            if known.error is not None:
                others = sorted(t for t in consumer.list_topics(timeout=WAIT_S).topics if not t.startswith("_"))
                there = f"there is {', '.join(others)}" if others else "there is none"
                raise SpecError(f"sources.{asked.name}: no topic '{topic}' at {_brokers(asked)}; {there}")
            wanted = (TopicPartition(topic, p) for p in sorted(known.partitions))
            return {w.partition: consumer.get_watermark_offsets(w, WAIT_S) for w in wanted}
        except KafkaException as found:
            raise PlatformError(f"sources.{asked.name}: {_brokers(asked)} does not answer: {_said(found)}") from None


def _id(asked: Asked) -> str:
    """The topic's own id: one that is deleted and made again has another."""
    from confluent_kafka import KafkaException, TopicCollection
    from confluent_kafka.admin import AdminClient

    admin = AdminClient({"bootstrap.servers": _brokers(asked), "logger": _silent()})
    (topic,) = admin.describe_topics(TopicCollection([_source(asked).topic]), request_timeout=WAIT_S).values()
    try:
        return str(topic.result().topic_id)
    except KafkaException as found:
        raise PlatformError(f"sources.{asked.name}: {_brokers(asked)} does not answer: {_said(found)}") from None


def _said(found: Exception) -> str:
    error = found.args[0] if found.args else found
    return str(error.str() if hasattr(error, "str") else error)


def _records(asked: Asked, ranges: Ranges) -> Iterator[Any]:
    """Messages that a consumer finds in the ranges. Errors: PlatformError where the brokers give no more."""
    from confluent_kafka import TopicPartition

    left = {p: r for p, r in ranges.items() if r[0] < r[1]}
    with closing(_consumer(asked, **{"enable.partition.eof": True})) as consumer:
        consumer.assign([TopicPartition(_source(asked).topic, p, since) for p, (since, _) in left.items()])
        while left:
            message = consumer.poll(WAIT_S)
            if message is None:
                raise PlatformError(f"sources.{asked.name}: {_brokers(asked)} gave no record in {WAIT_S} s; run again")
            p, here = message.partition(), message.offset()
            if p in left and message.error() is None and here < left[p][1]:
                yield message
            if p in left and (message.error() is not None or here >= left[p][1] - 1):
                del left[p]


def _frame(asked: Asked, scan: "DataFrame", batch: Json) -> "DataFrame":
    """What was scanned as records; a value that is no object of the schema is malformed, with its text."""
    from pyspark.sql import functions as F

    from pipelines.ingest import CORRUPT, WHY, Beyond, Keys, objects, shaped

    source, columns = _source(asked), batch.get("added", ())
    value = F.try_validate_utf8(F.col("value"))
    bytes_ = F.when(value.isNull(), F.concat(F.lit("base64:"), F.base64("value")))
    texts = scan.select(
        value.alias("value"),
        F.when(F.col("value").isNull(), F.lit("null")).otherwise(bytes_).alias("torn"),
        F.concat(F.lit(f"{source.topic}-"), "partition", F.lit("@"), "offset").alias("stood"),
        F.try_validate_utf8(F.col("key")).alias("kafka_key"),
        F.col("partition").alias("kafka_partition"),
        F.col("offset").alias("kafka_offset"),
        F.col("timestamp").alias("kafka_timestamp"),
    )
    keys = Keys(columns, batch.get("strict", False), batch.get("wanted", ()))
    flat = objects(texts, source.ddl, keys, F.col("torn"))
    return shaped(flat, source, F.col("stood"), F.col(CORRUPT), Beyond(columns, F.col(WHY)))


def _scan(asked: Asked, spark: "SparkSession", ranges: Ranges) -> "DataFrame":
    topic, left = _source(asked).topic, {p: r for p, r in ranges.items() if r[0] < r[1]}
    if not left:
        empty = "key BINARY, value BINARY, topic STRING, partition INT, offset BIGINT, timestamp TIMESTAMP"
        return spark.createDataFrame([], empty)
    given = {
        "kafka.bootstrap.servers": _brokers(asked),
        "kafka.isolation.level": "read_committed",
        "assign": json.dumps({topic: sorted(left)}),
        "startingOffsets": json.dumps({topic: {str(p): since for p, (since, _) in left.items()}}),
        "endingOffsets": json.dumps({topic: {str(p): upto for p, (_, upto) in left.items()}}),
        "failOnDataLoss": "true",
    }
    return spark.read.format("kafka").options(**given).load()
