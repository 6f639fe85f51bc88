"""Score again and again: the batches of a run, one round after the other, until nothing is left or it is told to stop.

There is no second way from a source to a score. A round is what `run` does with the tables, features and scores that
one `scores` of the conf needs: intent, staged rows, commits with their transaction ids, record. So a loop that was
killed is made good by its next start, and a round that finds nothing writes nothing. Models are not trained here; the
alias is asked before each batch of scores, and a version that it moved to answers from that batch on.

A loop that goes on (`Pace.goes_on`) waits where nothing is new, and longer each time; it does the same where data are
refused, another run holds a lock, or a server does not answer. A session that died ends it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from threading import Event
from typing import Any

from deltalake.exceptions import DeltaError

from pipelines.errors import ConflictError, DataError, LakeloomError, PlatformError, SpecError
from pipelines.plan import stages
from pipelines.run.order import Order
from pipelines.run.pipeline import Outcome, Run, Tell, once, opened
from pipelines.run.waiting import champion
from pipelines.spec import Pipeline, Target
from pipelines.state import History, Record

IDLE_S, TROUBLED_S = (0.2, 5.0), (1.0, 60.0)  # from the first wait to the longest, each twice the one before
COMPACT = 100  # rounds that wrote something, after which the many small files of `_runs` and `_intents` become few


@dataclass(frozen=True)
class Pace:
    """How long it goes on. `stop` is set from outside; the batch that is being done is ended."""

    goes_on: bool = False
    stop: Event = field(default_factory=Event)


@dataclass(frozen=True)
class Round:
    """What one round came to."""

    outcomes: tuple[Outcome, ...]
    seconds: float
    error: LakeloomError | None = None  # of the first stage that was refused, or of what did not answer

    @property
    def records(self) -> tuple[Record, ...]:
        """Of the stages that did something."""
        return tuple(o.record for o in self.outcomes if o.record)

    @property
    def idle(self) -> bool:
        """True where nothing was there to be done."""
        return not self.records and self.error is None

    @property
    def rows_in(self) -> int:
        """Rows that came from sources."""
        return sum(r.counts.get("rows_in", 0) for r in self.records if r.stage.startswith("tables.") and _behind(r))

    @property
    def scored(self) -> int:
        """Rows that were scored."""
        return sum(r.counts.get("scored", 0) for r in self.records)

    @property
    def behind(self) -> dict[str, int]:
        """Source -> records, files or versions that were left to the next batch; of sources that were read."""
        return {source: left for r in self.records for source, left in _behind(r).items()}


def needed(pipeline: Pipeline, name: str) -> tuple[str, ...]:
    """The stages that one `scores` of the conf stands on, and itself, in order; no model. Errors: SpecError."""
    if name not in pipeline.scores:
        raise SpecError(f"no scores '{name}'; there is {', '.join(pipeline.scores) or 'none in this conf'}")
    every = stages(pipeline)
    found = {f"scores.{name}"}
    for stage in reversed(every):
        found |= {n for n in stage.needs if not n.startswith("models.")} if stage.id in found else set()
    return tuple(s.id for s in every if s.id in found)


def rounds(pipeline: Pipeline, target: Target, name: str, tell: Tell, pace: Pace) -> Iterator[Round]:
    """Round after round; without `goes_on` up to the first that finds nothing, or that an error ends.

    Errors: SpecError; DataError where no champion is there yet; PlatformError where Spark died.
    """
    asked = Run.of(pipeline, target, Order(needed(pipeline, name)), tell)
    model = pipeline.scores[name].model
    if champion(History.of(asked.warehouse), f"models.{model}") is None:
        raise DataError(f"{model} has no champion to score with; `lakeloom run` trains one")
    worked, waits = 0, _Waits()
    with opened(asked, lambda _: False) as session, ExitStack() as heeded:
        start = cache(lambda: _heeding(session(), heeded, pace.stop))
        while not pace.stop.is_set():
            found = _round(asked.again(), start, pace)
            yield found
            worked += bool(found.records)
            if found.records and worked % COMPACT == 0:
                _compact(asked)
            if not pace.goes_on and (found.idle or found.error):
                return
            _refuse_dead(found, start)
            pace.stop.wait(waits.after(found))


def _heeding(spark: Any, heeded: ExitStack, stop: Event) -> Any:
    """The session, whose JVM passes SIGTERM on."""
    from pipelines.spark import heeding

    heeded.enter_context(heeding(spark, stop.set))
    return spark


def _round(asked: Run, start: Callable[[], Any], pace: Pace) -> Round:
    """Each stage once; where it is to stop, no further than the stage that is being done.

    What does not answer, or is locked, keeps no other stage from what was published before.
    """
    begun, outcomes, errors = time.monotonic(), list[Outcome](), list[LakeloomError]()
    for stage in asked.order.select:
        if pace.stop.is_set():
            break
        try:
            outcomes += once(replace(asked, order=Order((stage,))), start)
        except (PlatformError, ConflictError) as found:
            errors.append(found)
    errors += [o.error for o in outcomes if o.error]
    return Round(tuple(outcomes), time.monotonic() - begun, next(iter(errors), None))


def _compact(asked: Run) -> None:
    with suppress(DeltaError, OSError):  # another time, then
        asked.warehouse.compact()


class _Waits:
    """How long to wait after a round: not at all after work."""

    def __init__(self) -> None:
        self.last = 0.0

    def after(self, found: Round) -> float:
        """Seconds; where nothing was done, twice as long each time."""
        between = TROUBLED_S if found.error else IDLE_S
        self.last = 0.0 if found.records else min(max(2 * self.last, between[0]), between[1])
        return between[0] if found.records and found.error else self.last


def _refuse_dead(found: Round, start: Callable[[], Any]) -> None:
    """A session does not come back: whoever watches this process starts it again."""
    if not isinstance(found.error, PlatformError):
        return
    with suppress(Exception):
        if not start().sparkContext._jsc.sc().isStopped():
            return
    raise found.error


def _behind(record: Record) -> dict[str, int]:
    """Of the sources among a record's inputs."""
    return {name: read["behind"] for name, read in record.inputs.items() if "behind" in read}
