"""What a Spark application has used so far, as Spark itself counts it: read twice, the difference is a stage's usage.

Spark's status store adds up every task's metrics by executor, with or without its pages; a reading is one look at
it. No listener of ours hears each task, which Python would slow down. In a local session the driver is the executor.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.cost import HOUR_MS, Usage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WAIT_MS = 2_000  # for the events of tasks that have just ended
_SIZES = {"k": 1 / 1024, "m": 1, "g": 1024, "t": 1024**2}


@dataclass(frozen=True)
class Executor:
    """One executor, its sums since the application began."""

    cores: int
    added_ms: int  # since the epoch, by the driver's clock
    removed_ms: int | None
    task_ms: int
    read_bytes: int
    shuffled_bytes: int
    gpus: int = 0

    def held_ms(self, since: int, until: int) -> int:
        """How long it was there in an interval."""
        return max(0, min(until, self.removed_ms or until) - max(since, self.added_ms))


@dataclass(frozen=True)
class Reading:
    """All executors that there were, at one moment."""

    at_ms: int
    memory_mib: int  # of one executor
    executors: tuple[Executor, ...]

    def until(self, later: "Reading") -> Usage:
        """What was used between two readings of one application."""
        held = [(e, e.held_ms(self.at_ms, later.at_ms)) for e in later.executors]
        return Usage(
            core_ms=sum(e.cores * ms for e, ms in held),
            memory_mib_ms=sum(later.memory_mib * ms for _, ms in held),
            gpu_ms=sum(e.gpus * ms for e, ms in held),
            task_ms=later.sum("task_ms") - self.sum("task_ms"),
            read_bytes=later.sum("read_bytes") - self.sum("read_bytes"),
            shuffled_bytes=later.sum("shuffled_bytes") - self.sum("shuffled_bytes"),
        )

    def for_an_hour(self) -> Usage:
        """What these executors would hold in an hour."""
        there = [e for e in self.executors if e.removed_ms is None]
        memory = len(there) * self.memory_mib * HOUR_MS
        gpus = sum(e.gpus for e in there) * HOUR_MS
        return Usage(core_ms=sum(e.cores for e in there) * HOUR_MS, memory_mib_ms=memory, gpu_ms=gpus)

    def sum(self, name: str) -> int:
        """Of one count, over all executors."""
        return sum(getattr(e, name) for e in self.executors)


def reading(spark: "SparkSession") -> Reading | None:
    """As things stand; None where the session cannot be looked into (Spark Connect). Cost: a few calls an executor."""
    context: Any = getattr(getattr(spark, "_jsc", None), "sc", None)
    if context is None:
        return None
    inside = context()
    with suppress(Exception):  # a bus that is late: what it has told so far is what there is
        inside.listenerBus().waitUntilEmpty(WAIT_MS)
    listed = inside.statusStore().executorList(False)
    found = [listed.apply(i) for i in range(listed.size())]
    local = str(spark.sparkContext.master).startswith("local")
    working = [e for e in found if local or e.id() != "driver"]
    memory = spark.conf.get("spark.driver.memory" if local else "spark.executor.memory", "1g")
    return Reading(time.time_ns() // 10**6, mebibytes(memory or "1g"), tuple(_executor(e) for e in working))


def _executor(found: Any) -> Executor:
    removed = found.removeTime()
    return Executor(
        cores=found.totalCores(),
        added_ms=found.addTime().getTime(),
        removed_ms=removed.get().getTime() if removed.isDefined() else None,
        task_ms=found.totalDuration(),
        read_bytes=found.totalInputBytes(),
        shuffled_bytes=found.totalShuffleRead(),
        gpus=_gpus(found.resources().get("gpu")),
    )


def _gpus(found: Any) -> int:
    """Addresses that the cluster manager gave an executor; 0 where it was asked for none."""
    return len(found.get().addresses()) if found.isDefined() else 0


def mebibytes(text: str) -> int:
    """Of Spark's '4g', '512m' or bytes."""
    digits, unit = text.strip().lower().rstrip("b"), ""
    if digits[-1:] in _SIZES:
        digits, unit = digits[:-1], digits[-1]
    return round(float(digits) * _SIZES[unit]) if unit else int(digits) // 1024**2
