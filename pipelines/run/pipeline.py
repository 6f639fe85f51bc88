"""The order of a run: each stage is decided just before it would start, on what is there then.

One session serves all stages, and none is started where nothing has to run.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from importlib import import_module
from threading import Thread
from typing import Any

from pipelines import crash, locks, log
from pipelines.deferring import warehouse_of
from pipelines.errors import DataError, FilesError, PlatformError, SpecError
from pipelines.plan import Stage, Verdict, definition, effort, same_rows, stages, verdict
from pipelines.run.alerting import alerted
from pipelines.run.order import Ask, Backfill, Forget, FullRefresh, Order, Promote, Replay, Restore
from pipelines.run.tracing import traced
from pipelines.run.waiting import cut_off, publication, touched, waiting
from pipelines.spec import Kafka, Pipeline, Table, Target
from pipelines.spending import refuse_over_budget
from pipelines.state import FORGET, RESTORE, History, Record, Warehouse

ENTRY = {
    "tables": ("tables", "refresh"),
    "features": ("features", "refresh"),
    "models": ("models", "train"),
    "scores": ("scores", "publish"),
    "monitors": ("monitors", "watch"),
}

ALL = Order()
FEW_ROWS = 1_000_000  # of all tables together


@dataclass(frozen=True)
class Outcome:
    """One stage of a run: why it ran or not, and its record if it did."""

    verdict: Verdict
    record: Record | None = None
    error: DataError | None = None


Tell = Callable[[Stage, str], None]


@dataclass(frozen=True)
class Run:
    """One call of `run`: what was asked, and where."""

    pipeline: Pipeline
    target: Target
    order: Order
    tell: Tell
    run_id: str
    loaded: dict[tuple[str, str], Any] = field(default_factory=dict)  # models, so that one is loaded once

    @classmethod
    def of(cls, pipeline: Pipeline, target: Target, order: Order, tell: Tell) -> "Run":
        """A new one. Errors: SpecError for what the conf or its history has not."""
        asked = cls(pipeline, target, order, tell, _new_id())
        _refuse_unknown(asked)
        return asked

    def again(self) -> "Run":
        """The same, asked once more."""
        return replace(self, run_id=_new_id())

    @property
    def warehouse(self) -> Warehouse:
        """The tables of the pipeline on the target, as they stand now."""
        return _warehouse(self.pipeline, self.target, self.order)

    def making(self, stage: Stage) -> Warehouse:
        """The same for the attempt of a stage: it is made here, whatever another target publishes from now on."""
        return _warehouse(self.pipeline, self.target, self.order, (stage.id,))


def planned(pipeline: Pipeline, target: Target, order: Order = ALL) -> tuple[Verdict, ...]:
    """Every selected stage with its verdict as things stand now. No JVM is started."""
    warehouse, running = _warehouse(pipeline, target, order), set[str]()
    history = History.of(warehouse)
    found = []
    for stage in selected(pipeline, order):
        seen = _anew(verdict(stage, waiting(pipeline, target, history, stage, warehouse), frozenset(running)), order)
        try:
            _refuse_mixture(seen, warehouse, history, pipeline, order)
        except SpecError as refused:
            seen = Verdict(
                stage, False, f"refused: {str(refused).partition(': ')[2]}; {touched(pipeline, history, stage)}"
            )
        if isinstance(order.asks.get(stage.id), FullRefresh):
            seen = replace(seen, why=f"{seen.why}; {touched(pipeline, history, stage)}")
        running |= {stage.id} if seen.run else set()
        most = effort(pipeline, stage) if seen.run else ""
        found.append(replace(seen, why=f"{seen.why}; {most}") if most else seen)
    return tuple(found)


def run(pipeline: Pipeline, target: Target, order: Order, tell: Tell) -> Iterator[Outcome]:
    """Run what has to run, in order; one Outcome as each stage ends.

    A stage whose data or model is refused ends with its error; what needs it goes on with what was published before. So
    does a table to which nothing comes any more, where its `freshness` says `fail`; it keeps what it has.
    Errors: any other failure of a stage is recorded as 'failed' and raised.
    """
    asked = Run.of(pipeline, target, order, tell)
    if target.prices and target.prices.budget_usd is not None:
        refuse_over_budget(History.of(asked.warehouse), planned(pipeline, target, order), target)
    with opened(asked, _short) as start:
        for outcome in once(asked, start):
            yield _overdue(pipeline, outcome)


def _overdue(pipeline: Pipeline, outcome: Outcome) -> Outcome:
    seen = outcome.verdict
    table = pipeline.tables.get(seen.stage.name) if seen.stale else None
    if table is None or table.freshness is None or table.freshness.on_fail != "fail":
        return outcome
    return replace(outcome, error=DataError(f"{seen.stage.id}: nothing new came: {seen.stale}"))


@contextmanager
def opened(asked: Run, brief: Callable[[Run], bool]) -> Iterator[Callable[[], Any]]:
    """What starts the session where something has to run, and ends it; brief: whether there is little to do."""
    with ExitStack() as sessions:
        yield cache(lambda: sessions.enter_context(_session(asked, brief(asked))))


def once(asked: Run, start: Callable[[], Any]) -> Iterator[Outcome]:
    """Each stage once, in order."""
    for stage in selected(asked.pipeline, asked.order):
        decided = _decided(stage, asked)
        outcome = _told(stage, asked, start) if decided.run else Outcome(decided)
        alerted(asked.pipeline, asked.target, stage, partial(asked.tell, stage))
        yield outcome
        crash.point("between tables", stage.id)


def _new_id() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


def _refuse_unknown(asked: Run) -> None:
    """A run to go back to that is not there is said before anything starts."""
    lent = asked.warehouse.lent
    for stage, ask in asked.order.asks.items():
        if stage in lent:
            place = asked.warehouse.path(stage)
            raise SpecError(f"{stage}: it is read from {place}; --full-refresh {stage} makes it on this target")
        if isinstance(ask, Restore) and selected(asked.pipeline, asked.order):
            publication(History.of(asked.warehouse), stage, ask.to)


def _decided(stage: Stage, asked: Run) -> Verdict:
    warehouse = asked.warehouse
    history = History.of(warehouse)
    found = _anew(verdict(stage, waiting(asked.pipeline, asked.target, history, stage, warehouse)), asked.order)
    _refuse_mixture(found, warehouse, history, asked.pipeline, asked.order)
    return found


def _told(stage: Stage, asked: Run, start: Callable[[], Any]) -> Outcome:
    """The stage, and what others want to hear of it."""
    with traced(asked.pipeline, asked.target, (stage, asked.run_id), lambda text: asked.tell(stage, text)):
        return _alone(stage, asked, start)


def _alone(stage: Stage, asked: Run, start: Callable[[], Any]) -> Outcome:
    """The stage under its lock; decided again, for another run may have done it just before."""
    try:
        with locks.held(asked.making(stage).lock(stage.id), asked.run_id) as lock:
            crash.point("after the lock", stage.id)
            decided = _decided(stage, asked)
            return _attempt(decided, asked, start, lock) if decided.run else Outcome(decided)
    except Exception as error:
        if _of_the_platform(error):
            raise PlatformError(f"{stage.id}: {_sentence(error)}") from error
        raise


def _of_the_platform(error: Exception) -> bool:
    """Spark, its JVM, delta-rs or the system failed, and not a decision of ours."""
    from deltalake.exceptions import DeltaError
    from py4j.protocol import Py4JJavaError, Py4JNetworkError  # type: ignore[import-untyped]
    from pyspark.errors import PySparkException

    return isinstance(error, PySparkException | Py4JJavaError | Py4JNetworkError | OSError | DeltaError)


def selected(pipeline: Pipeline, order: Order) -> tuple[Stage, ...]:
    """The stages asked for, in their order. Errors: SpecError for one that the conf has not."""
    every = stages(pipeline)
    named, kinds = {s.id for s in every}, {s.kind for s in every}
    for asked in (*order.select, *order.asks):
        if asked not in named and not (asked in kinds and asked in order.select):
            raise SpecError(f"no stage '{asked}'; there is {', '.join(s.id for s in every)}")
    for stage, ask in order.asks.items():
        table = pipeline.tables.get(stage.removeprefix("tables."))
        if isinstance(ask, Replay) and (table is None or not table.source):
            raise SpecError(f"{stage}: only a table with `from` has a quarantine to replay")
        if isinstance(ask, FullRefresh) and ask.allow_loss:
            _refuse_no_loss(stage, pipeline)
        if isinstance(ask, Restore) and table is None:
            raise SpecError(f"{stage}: only a table is restored; what follows it is made anew from it")
        if isinstance(ask, Backfill):
            _refuse_backfill(stage, table)
    return tuple(s for s in every if not order.select or {s.id, s.kind} & set(order.select))


def _refuse_no_loss(stage: str, pipeline: Pipeline) -> None:
    """A topic says for itself what may be lost of it (`expired`)."""
    table = pipeline.tables.get(stage.removeprefix("tables."))
    if table is None or not table.source or isinstance(pipeline.sources[table.source], Kafka):
        raise SpecError(f"--allow-loss {stage}: no table of a source that may refuse a loss so; leave it out")


def _refuse_backfill(stage: str, table: Table | None) -> None:
    if table is None or not table.source:
        raise SpecError(f"{stage}: only a table with `from` is backfilled; what follows it is made anew from it")
    if not table.event_time:
        raise SpecError(f"{stage}: it has no event_time, which says what lies in an interval")
    if table.stored_as_scd_type == 2 or table.snapshots:
        raise SpecError(f"{stage}: a table whose rows follow from those before is made anew whole: --full-refresh")


def _attempt(decided: Verdict, asked: Run, start: Callable[[], Any], lock: locks.Lock) -> Outcome:
    from pipelines.metering import reading
    from pipelines.run.context import Context  # the engine, from here on
    from pipelines.run.stopping import stopped

    stage, ask = decided.stage, asked.order.asks.get(decided.stage.id)
    asked.tell(stage, decided.why)
    spark = None if isinstance(ask, Promote) else start()  # at once: a model is loaded into whatever session there is
    ctx = Context(
        pipeline=asked.pipeline,
        target=asked.target,
        warehouse=asked.making(stage),
        session=start,
        run_id=asked.run_id,
        stage=stage,
        why=decided.why,
        ask=ask,
        tell=lambda text: asked.tell(stage, text),
        lock=lock,
        meter=reading(spark) if spark else None,
        loaded=asked.loaded,
    )
    module, name = ("erasing", "erase") if _erases(ctx.ask, ctx.warehouse, ctx.history, stage) else ENTRY[stage.kind]
    try:
        return Outcome(decided, getattr(import_module(f"pipelines.run.{module}"), name)(ctx))
    except DataError as error:
        if isinstance(error, FilesError):
            stopped(ctx, error)
        return Outcome(decided, error=error)
    except Exception as error:
        with suppress(Exception):  # what broke the stage may break its record too: a full disk
            ctx.fail(error)
        raise


def _erases(ask: Ask | None, warehouse: Warehouse, history: History, stage: Stage) -> bool:
    """Whether a person is to be forgotten, or was about to be as an attempt was cut off."""
    begun = cut_off(warehouse, history, stage.id)
    return isinstance(ask, Forget) or (begun is not None and FORGET in begun.inputs)


def _sentence(error: Exception) -> str:
    """Spark's own first line, without its error class's stack; and what was the cause of it all, if that says more."""
    java = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    lines = str(java.toString() if java is not None else error).splitlines() or [type(error).__name__]
    cause = _cause(java)
    return lines[0][:400] + (f": {cause[:200]}" if cause and cause not in lines[0] else "")


def _cause(java: Any) -> str:
    """The message of the innermost exception of Java; '' where there is none."""
    while java is not None and java.getCause() is not None:
        java = java.getCause()
    said = str(java.getMessage() or "") if java is not None else ""
    return (said.splitlines() or [""])[0]


def _session(asked: Run, brief: bool) -> Any:
    from pipelines.spark import session

    Thread(target=_warm, args=(asked,), daemon=True).start()
    return session(asked.target, asked.pipeline.pipeline, brief)


def _short(asked: Run) -> bool:
    """A little comes on top of tables that are not large, and nothing is trained: over before Java has optimised."""
    history, every = History.of(asked.warehouse), selected(asked.pipeline, asked.order)
    if asked.order.asks or not all(history.last(stage.id, "ok") for stage in every):
        return False
    if any(stage.kind == "models" and _decided(stage, asked).run for stage in every):
        return False
    held = [(asked.warehouse.path(s.id), history.published(s.id)) for s in every if s.kind == "tables"]
    return sum(log.row_count(path, version) for path, version in held if version is not None) <= FEW_ROWS


def _warm(asked: Run) -> None:
    """Import, beside the JVM's start, what later stages would wait for: GX and MLflow take seconds each."""
    kinds = {s.kind for s in selected(asked.pipeline, asked.order)}
    with suppress(Exception):  # the stage that needs it will say so
        if "tables" in kinds:
            promised = (e for table in asked.pipeline.tables.values() for e in table.expect)
            import_module("pipelines.quality.suites").warm(promised)
        if kinds & {"models", "scores"}:
            import_module("pipelines.run.models")


def _anew(decided: Verdict, order: Order) -> Verdict:
    ask = order.asks.get(decided.stage.id)
    return replace(decided, run=True, why=ask.why) if ask else decided


def _refuse_mixture(decided: Verdict, warehouse: Warehouse, history: History, pipeline: Pipeline, order: Order) -> None:
    """Rows selected by an old and by a new definition do not go into one table unasked."""
    stage = decided.stage
    if stage.kind != "tables" or not pipeline.tables[stage.name].source:
        return
    intent, now = cut_off(warehouse, history, stage.id), definition(pipeline, stage)
    ours = intent is not None and bool({RESTORE, FORGET} & set(intent.inputs))
    last = history.last(stage.id) if intent else history.ended(stage.id)
    begun = intent is not None and (ours or same_rows(intent.definition, now))
    if begun or stage.id in order.asks:
        return
    if last and last.status != "failed" and not same_rows(last.definition, now):
        anew = f"`lakeloom run --full-refresh {stage.id}` makes it anew from all that landed"
        if same_rows(last.definition, now, refused=False):
            anew = f"`lakeloom quarantine replay CONF {stage.id}` lets in what is no longer refused, {anew}"
        raise SpecError(f"{stage.id}: its select or expectations changed since its last refresh; {anew}")


def _warehouse(pipeline: Pipeline, target: Target, order: Order, own: tuple[str, ...] = ()) -> Warehouse:
    """What is asked to be made anew is the target's own."""
    return warehouse_of(pipeline, target, [*own, *(s for s, a in order.asks.items() if isinstance(a, FullRefresh))])
