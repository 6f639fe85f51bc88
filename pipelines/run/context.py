"""What every stage is given, and how an attempt becomes a row of `_runs`."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import SparkSession

from pipelines import crash, log
from pipelines.locks import Lock
from pipelines.log import Transaction
from pipelines.metering import Reading, reading
from pipelines.plan import Stage, definition
from pipelines.run import waiting
from pipelines.run.order import Ask, FullRefresh
from pipelines.spec import Pipeline, Target
from pipelines.state import FORGET, History, Intent, Record, Status, Warehouse, parts


@dataclass(frozen=True)
class Context:
    """One attempt of one stage: who asks, where, and why."""

    pipeline: Pipeline
    target: Target
    warehouse: Warehouse
    session: Callable[[], SparkSession]  # starts it where there is none
    run_id: str
    stage: Stage
    why: str
    ask: Ask | None
    tell: Callable[[str], None]
    lock: Lock
    meter: Reading | None = None  # what the session had used when the attempt began
    loaded: dict[tuple[str, str], Any] = field(default_factory=dict)  # models that the run loaded before
    begun: float = field(default_factory=time.monotonic)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    history: History = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "history", History.of(self.warehouse))

    @property
    def spark(self) -> SparkSession:
        """The session of the run."""
        return self.session()

    @property
    def anew(self) -> FullRefresh | None:
        """How the stage is to be made anew, where it is."""
        return self.ask if isinstance(self.ask, FullRefresh) else None

    @property
    def full_refresh(self) -> bool:
        """True where the stage is to be made anew."""
        return self.anew is not None

    def undone(self, intent: Intent) -> "Context":
        """The same attempt as if a batch had not been begun; one that made the stage anew is asked for again."""
        anew = intent.batch == 0 and intent.generation > 0
        other = replace(self, ask=FullRefresh() if anew and not self.anew else self.ask)
        object.__setattr__(other, "history", self.history.without(intent))
        return other

    def path(self, part: str = "") -> str:
        """Of the stage's own table."""
        return self.warehouse.path(self.stage.id, part)

    def beside(self) -> dict[str, int]:
        """The versions of what lies beside the stage's table, for a record: what a restore would go back to."""
        found = {part: self.warehouse.version(self.stage.id, part) for part in parts(self.stage.id)[1:]}
        return {part: version for part, version in found.items() if version is not None}

    def published(self, stage: str) -> int | None:
        """The version that readers of another stage's table see."""
        return self.history.published(stage)

    def intend(self, inputs: dict[str, Any], new_generation: bool, defined: str = "") -> Intent:
        """Write down what the next batch will do, before its first commit; defined: by which definition, if another."""
        generation = self.history.generation(self.stage.id) + (
            new_generation and self.history.next_batch(self.stage.id) > 0
        )
        if not any(i.stage == self.stage.id for i in self.history.intents):
            generation = self.warehouse.first_generation(self.stage.id)
        intent = Intent(
            pipeline=self.pipeline.pipeline,
            stage=self.stage.id,
            generation=generation,
            batch=0 if generation > self.history.generation(self.stage.id) else self.history.next_batch(self.stage.id),
            run_id=self.run_id,
            definition=defined or definition(self.pipeline, self.stage),
            now=datetime.now(UTC),
            inputs=inputs,
        )
        self.warehouse.write(intent)
        crash.point("after the intent", self.stage.id)
        return intent

    def transaction(self, intent: Intent, part: str) -> Transaction:
        """The id of one write of a batch: its version rises with the batch."""
        return waiting.transaction(intent, part)

    def record(self, intent: Intent, status: Status = "ok", **found: Any) -> Record:
        """Write the attempt's row in `_runs`: with it, and only with it, the stage is done."""
        self.lock.confirm()
        crash.point("before the run record", self.stage.id)
        row = Record(
            pipeline=intent.pipeline,
            stage=intent.stage,
            generation=intent.generation,
            batch=intent.batch,
            run_id=self.run_id,
            definition=intent.definition,
            status=status,
            started_at=self.started_at,
            seconds=round(time.monotonic() - self.begun, 3),
            why=self.why,
            inputs=_without_files(intent.inputs),
            **{**found, "detail": {**found.get("detail", {}), **self._used(found.get("published_version"))}},
        )
        self.warehouse.write(row)
        crash.point("after the run record", self.stage.id)
        return row

    def _used(self, published: int | None) -> dict[str, dict[str, int]]:
        """What the attempt used of the session, for `lakeloom cost`; nothing where there is none."""
        now = reading(self.spark) if self.meter else None
        if self.meter is None or now is None:
            return {}
        before, written = self.published(self.stage.id), 0
        if published is not None and published != before:
            written = log.added_bytes(self.path(), -1 if before is None else before, published)
        return {"usage": asdict(replace(self.meter.until(now), written_bytes=written))}

    def fail(self, error: Exception) -> None:
        """Record that the attempt broke off, if it had begun a batch; the batch stays open and will be replayed."""
        intent = waiting.cut_off(self.warehouse, History.of(self.warehouse), self.stage.id)
        if intent:
            self.record(intent, "failed", error=(str(error).splitlines() or [type(error).__name__])[0][:500])


def _without_files(inputs: dict[str, Any]) -> dict[str, Any]:
    """A record names versions and columns; the files, and what was taken before, stand in the intent."""
    counted = {k: {**v, "files": len(v["files"])} if "files" in v else v for k, v in inputs.items()}
    named = {k: v for k, v in counted.items() if k != FORGET}  # a record names tables alone to those who follow
    return {k: {n: part for n, part in v.items() if n not in ("taken", "again")} for k, v in named.items()}
