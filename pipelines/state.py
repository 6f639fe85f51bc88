"""The warehouse seen without a JVM: table versions, intents and run records, by delta-rs.

The warehouse is the state: `_runs`, `_intents`, `_quality`, `_metrics`, `_epochs`,
`_alerts` and `_forgotten` are Delta tables beside the data, written by delta-rs whole: a row
costs milliseconds. A stage is done when its row in `_runs` says so.

Layout under the warehouse: <pipeline>/<kind>/<name>, <pipeline>/_runs and the others, <pipeline>/_locks/<stage>.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, TypeVar, get_origin

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.fs as pafs
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from pipelines import held, where
from pipelines.errors import ConflictError
from pipelines.told import Alert, Epoch, Forgotten, Quality, Tally

SHADOW = "shadow"  # the part beside scores that a challenger answers into
BESIDE = {"tables": ("quarantine", "deleted"), "scores": (SHADOW,)}  # what can lie beside the table of a stage
RESTORE = "restore"  # among an intent's inputs: the batch takes its table back to what a run published
PROMOTE = "promote"  # among an intent's inputs: the batch points a model's champion at a version
WAITS = "waits"  # in the detail of a model's record: the version that a person is asked to promote
BACKFILL = "backfill"  # among an intent's inputs: the batch makes an interval of its table anew
FORGET = "forget"  # among an intent's inputs: the batch erases a person's rows, and later ones let none in
ADDED = "added"  # among an intent's inputs: to which version of a view what rows are added
FILES = "files"  # in the detail of a failed record: those that could not be taken, path -> why
MOST_BATCHES = 2**32  # of a generation
TRIES = 5  # of an append, where others make its table
Json = Any  # what json.loads gives back
Status = Literal["ok", "refused", "failed"]


def parts(stage: str) -> tuple[str, ...]:
    """The Delta tables that a stage may have: its own, '', and those beside it."""
    return ("", *BESIDE.get(stage.partition(".")[0], ()))


def named(stage: str, part: str) -> str:
    """How a stage's table, or one beside it, is called: 'tables.flights_quarantine'."""
    return f"{stage}_{part}" if part else stage


@dataclass(frozen=True)
class Intent:
    """What one batch of one stage is going to do, written before its first commit; a replay obeys it."""

    pipeline: str
    stage: str
    generation: int  # rises with a full refresh: transaction ids begin anew
    batch: int  # 0, 1, 2 ... within a generation
    run_id: str
    definition: str
    now: datetime  # UTC; the `current_timestamp()` of this batch
    inputs: dict[str, Json] = field(default_factory=dict)  # table -> version range, source -> files

    @property
    def added(self) -> tuple[str, ...]:
        """Columns beyond the source's schema that the table has with this batch."""
        return tuple(name for read in self.inputs.values() for name in read.get("added", ()))


@dataclass(frozen=True)
class Record:
    """One row of `_runs`: what one attempt of a stage read, wrote and counted."""

    pipeline: str
    stage: str
    generation: int
    batch: int
    run_id: str
    definition: str
    status: Status
    started_at: datetime
    seconds: float
    why: str = ""  # why it ran
    published_version: int | None = None  # of the stage's table; None: the one before stays
    model_version: int | None = None
    inputs: dict[str, Json] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)  # rows_in, applied, superseded, quarantined, dropped, ...
    detail: dict[str, Json] = field(default_factory=dict)  # reasons, metrics, curves: for the summary and the report
    error: str = ""

    @property
    def ended_at(self) -> datetime:
        """When it was written, UTC."""
        return self.started_at + timedelta(seconds=self.seconds)


Row = Intent | Record | Quality | Tally | Epoch | Alert | Forgotten
Known = TypeVar("Known", Intent, Record)
Lent = TypeVar("Lent", Intent, Record, Quality)
_LOGS: dict[type[Row], str] = {
    Intent: "_intents", Record: "_runs", Quality: "_quality", Tally: "_metrics", Epoch: "_epochs",
    Alert: "_alerts", Forgotten: "_forgotten",
}  # fmt: skip
_TYPES: dict[Any, pa.DataType] = {
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
    int | None: pa.int64(),
    float | None: pa.float64(),
    datetime | None: pa.timestamp("us", tz="UTC"),
}


def _table(rows: Sequence[Row]) -> pa.Table:
    """Rows of one kind; mappings as JSON text."""
    values = [{k: json.dumps(v) if isinstance(v, dict) else v for k, v in vars(row).items()} for row in rows]
    schema = pa.schema([(f.name, _TYPES.get(f.type, pa.string())) for f in fields(rows[0])])
    return pa.Table.from_pylist(values, schema=schema)


@dataclass(frozen=True)
class Warehouse:
    """The tables of one pipeline under the target's root; some may be read from another's (deferring.py)."""

    root: str
    pipeline: str
    lender: "Warehouse | None" = None
    lent: frozenset[str] = frozenset()  # stages whose tables and records are the lender's, and never written

    def path(self, stage: str, part: str = "") -> str:
        """Where the table of 'tables.flights' lies; part names a table beside it: 'quarantine'."""
        if self.lender and stage in self.lent:
            return self.lender.path(stage, part)
        return f"{self.root}/{self.pipeline}/{named(stage, part).replace('.', '/', 1)}"

    def lock(self, stage: str) -> str:
        """Where the lock of a stage lies: who writes its table holds it."""
        assert stage not in self.lent, f"{stage} is not written here"
        return f"{self.root}/{self.pipeline}/_locks/{stage}"

    def write(self, row: Intent | Record | Alert | Forgotten) -> None:
        """Append one row: one commit. Errors: ConflictError where another record closed the batch or a later one."""
        _append(self._log(type(row)), row, _closing(row))

    def remember(self, found: Sequence[Quality] | Sequence[Tally] | Sequence[Epoch]) -> None:
        """Write what one batch found: one commit. What a replay finds takes the place of what was found before."""
        if not found:
            return
        log, batch = self._log(type(found[0])), {k: getattr(found[0], k) for k in ("stage", "generation", "batch")}
        if self._held(log, batch):
            of_batch = " AND ".join(f"{k} = {v!r}" for k, v in batch.items())
            write_deltalake(log, _table(found), mode="overwrite", predicate=of_batch)
        else:
            write_deltalake(log, _table(found), mode="append")

    def records(self) -> tuple[Record, ...]:
        """All run records of the pipeline, oldest first."""
        mine = (r for r in self._held_rows(Record) if r.stage not in self.lent)
        return tuple(sorted((*mine, *self._published()), key=lambda r: (r.generation, r.batch, r.started_at)))

    def intents(self) -> tuple[Intent, ...]:
        """The intents of the pipeline, oldest first; of a batch that was taken anew the newest."""
        done = {(r.stage, r.generation, r.batch) for r in self._published()}
        theirs = (i for i in self._theirs(Warehouse.intents) if (i.stage, i.generation, i.batch) in done)
        found = [*self._held_rows(Intent), *theirs]
        found.sort(key=lambda i: (i.generation, i.batch, i.now))
        return tuple({(i.stage, i.generation, i.batch): i for i in found}.values())

    def _published(self) -> tuple[Record, ...]:
        """The lender's, of what is lent: what it was refused, or is at, is its own affair."""
        return tuple(r for r in self._theirs(Warehouse.records) if r.stage in self.lent and r.status == "ok")

    def _theirs(self, asked: "Callable[[Warehouse], tuple[Lent, ...]]") -> tuple[Lent, ...]:
        """What the lender answers; nothing where there is none."""
        return asked(self.lender) if self.lender else ()

    def first_generation(self, stage: str) -> int:
        """With which a stage begins here: after the lender's, so that who read that one's table sees another."""
        theirs = (i.generation for i in self._theirs(Warehouse.intents) if i.stage == stage)
        return max(theirs, default=-1) + 1

    def forgets(self) -> tuple[Intent, ...]:
        """By which people were forgotten, the lender's too: they come in nowhere."""
        return tuple(i for i in (*self.intents(), *self._theirs(Warehouse.intents)) if FORGET in i.inputs)

    def quality(self) -> tuple[Quality, ...]:
        """All that was found of promises, oldest first."""
        theirs = (q for q in self._theirs(Warehouse.quality) if q.stage in self.lent)
        found = (*(Quality(**r) for r in self._rows(Quality)), *theirs)
        return tuple(sorted(found, key=lambda q: (q.generation, q.batch, q.at)))

    def tallies(self, stage: str) -> tuple[Tally, ...]:
        """All that a monitor has counted, oldest batch first."""
        return tuple(Tally(**r) for r in self._rows(Tally) if r["stage"] == stage)

    def epochs(self, stage: str) -> tuple[Epoch, ...]:
        """The epochs of a model's trainings, oldest batch first."""
        found = (Epoch(**r) for r in self._rows(Epoch) if r["stage"] == stage)
        return tuple(sorted(found, key=lambda e: (e.generation, e.batch, e.epoch)))

    def alerts(self) -> tuple[Alert, ...]:
        """All that was sent."""
        return tuple(Alert(**r) for r in self._rows(Alert))

    def forgotten(self) -> tuple[Forgotten, ...]:
        """All who were forgotten, by token, oldest first."""
        return tuple(Forgotten(**r) for r in self._rows(Forgotten))

    def version(self, stage: str, part: str = "") -> int | None:
        """The newest version of a table; None where there is none."""
        table = self.delta(stage, part)
        return table.version() if table else None

    def delta(self, stage: str, part: str = "") -> DeltaTable | None:
        """The table as delta-rs sees it; None where there is none."""
        return _opened(self.path(stage, part))

    def compact(self) -> None:
        """Make the many small files of intents, records and counts into few; their readers see no difference."""
        for kind in (Intent, Record, Tally):
            with suppress(TableNotFoundError):
                DeltaTable(self._log(kind)).optimize.compact()

    def newest(self, stage: str, version: int, column: str) -> datetime | None:
        """The greatest moment (UTC) of a column in a version, by the log's statistics; None where they do not tell."""
        actions = pa.table(DeltaTable(self.path(stage), version=version).get_add_actions(flatten=True))
        if not {f"max.{column}", f"null_count.{column}"} <= set(actions.column_names):
            return None
        parts = (actions[k].to_pylist() for k in (f"max.{column}", f"null_count.{column}", "num_records"))
        highest = [most for most, nulls, rows in zip(*parts, strict=True) if nulls is None or nulls < rows]
        moments = [moment(most) for most in highest if isinstance(most, date)]
        return max(moments) if moments and len(moments) == len(highest) else None

    def _held(self, log: str, batch: Mapping[str, Json]) -> bool:
        try:
            rows = dataset(DeltaTable(log))
        except TableNotFoundError:
            return False
        stage, generation, number = (pc.field(k) == v for k, v in batch.items())
        return bool(rows.count_rows(filter=stage & generation & number))

    def _log(self, kind: type[Row]) -> str:
        return f"{self.root}/{self.pipeline}/{_LOGS[kind]}"

    def _rows(self, kind: type[Row]) -> Iterator[dict[str, Json]]:
        try:
            rows = dataset(DeltaTable(self._log(kind))).to_table().to_pylist()
        except TableNotFoundError:
            return
        for row in sorted(rows, key=lambda r: (r["generation"], r["batch"], r["at"])):
            yield _parsed(row, kind)

    def _held_rows(self, kind: type[Known]) -> Iterator[Known]:
        return held.rows(self._log(kind), lambda row: kind(**_parsed(row, kind)))


def _closing(row: Row) -> Transaction | None:
    """What only one record of a batch can commit, though its writer was paused after it had confirmed its lock."""
    closes = isinstance(row, Record) and row.status != "failed"
    return Transaction(f"closed {row.stage}", row.generation * MOST_BATCHES + row.batch + 1) if closes else None


def _append(log: str, row: Row, once: Transaction | None) -> None:
    rows, said = _table([row]), CommitProperties(app_transactions=[once] if once else None)
    for left in reversed(range(TRIES)):
        seen = _opened(log) or _made(log, rows.schema)
        if once and (seen.transaction_version(once.app_id) or 0) >= once.version:
            raise ConflictError(f"{row.stage}: another run has closed batch {row.batch} meanwhile")
        try:
            return write_deltalake(seen, rows, mode="append", commit_properties=said)
        except CommitFailedError:  # another made the table at the same moment, or closed the batch
            if not left:
                raise


def _made(path: str, schema: pa.Schema) -> DeltaTable:
    with suppress(DeltaError):  # another made it at the same moment
        DeltaTable.create(path, schema, mode="ignore")
    return DeltaTable(path)


def _opened(path: str) -> DeltaTable | None:
    try:
        return DeltaTable(path)
    except TableNotFoundError:
        return None


def _parsed(row: Mapping[str, Json], kind: type[Row]) -> dict[str, Json]:
    texts = {f.name for f in fields(kind) if get_origin(f.type) is dict}
    return {k: json.loads(v) if k in texts else v for k, v in row.items()}


def moment(value: date) -> datetime:
    """A date is its midnight; what has no zone is in UTC."""
    whole = value if isinstance(value, datetime) else datetime.combine(value, time())
    return whole if whole.tzinfo else whole.replace(tzinfo=UTC)


def dataset(table: DeltaTable) -> pads.Dataset:
    """A table's newest version, to be read by pyarrow through a file system of its own.

    delta-rs would hand pyarrow one in Python, whose threads can abort the process as it exits.
    """
    system, path = where.at(table.table_uri)
    whole = pads.ParquetReadOptions(coerce_int96_timestamp_unit="us")  # in nanoseconds the year 9999 does not fit
    return table.to_pyarrow_dataset(filesystem=pafs.SubTreeFileSystem(path, system), parquet_read_options=whole)


@dataclass(frozen=True)
class History:
    """What the pipeline did so far, read once: the answers that stages and `plan` ask for."""

    records: tuple[Record, ...]
    intents: tuple[Intent, ...]

    @classmethod
    def of(cls, warehouse: Warehouse) -> "History":
        """Two small reads by delta-rs."""
        return cls(warehouse.records(), warehouse.intents())

    def without(self, intent: Intent) -> "History":
        """As it would be if a batch had not been begun."""
        return History(self.records, tuple(i for i in self.intents if i != intent))

    def by(self, moment: datetime) -> "History":
        """As it was at a moment."""
        return History(tuple(r for r in self.records if r.ended_at <= moment), ())

    def last(self, stage: str, status: Status | None = None) -> Record | None:
        """The newest record of a stage; of one status if given."""
        return next((r for r in reversed(self.records) if r.stage == stage and status in (None, r.status)), None)

    def ended(self, stage: str) -> Record | None:
        """The newest record of a stage that did not break off."""
        return next((r for r in reversed(self.records) if r.stage == stage and r.status != "failed"), None)

    def published(self, stage: str) -> int | None:
        """The version that readers of a stage's table see; None before the first publication."""
        return next(
            (
                r.published_version
                for r in reversed(self.records)
                if r.stage == stage and r.published_version is not None
            ),
            None,
        )

    def generation(self, stage: str) -> int:
        """The present generation of a stage, from its intents."""
        return max((i.generation for i in self.intents if i.stage == stage), default=0)

    def begun(self, stage: str) -> int:
        """The first generation of a stage: what was read of an earlier one was another target's table."""
        return min((i.generation for i in self.intents if i.stage == stage), default=0)

    def open_intent(self, stage: str) -> Intent | None:
        """The last intent of a stage if no record closed it: its batch must be replayed."""
        last = next((i for i in reversed(self.intents) if i.stage == stage), None)
        if last is None:
            return None
        closed = any(
            (r.stage, r.generation, r.batch) == (stage, last.generation, last.batch) and r.status != "failed"
            for r in self.records
        )
        return None if closed else last

    def next_batch(self, stage: str) -> int:
        """The number after the last intent's, in the present generation."""
        mine = [i.batch for i in self.intents if i.stage == stage and i.generation == self.generation(stage)]
        return max(mine, default=-1) + 1

    def taken(self, stage: str, source: str, upto: "Record | None" = None) -> tuple[Json, ...]:
        """What each batch of a stage took from a source in this generation, oldest first.

        upto: a record of another generation, to see what was taken by then. A table that was restored begins its
        generation with what it had taken by then.
        """
        generation, batch = (upto.generation, upto.batch) if upto else (self.generation(stage), self.next_batch(stage))
        mine = [i for i in self.intents if (i.stage, i.generation) == (stage, generation) and i.batch <= batch]
        before = [batch for i in mine for batch in i.inputs.get(RESTORE, {}).get("taken", ())]
        return (*before, *(i.inputs[source] for i in mine if source in i.inputs))
