"""A person is forgotten: what would be erased where, then the erasure, what follows from it, and the proof.

What endpoints look up goes first, then scores before features and features before tables, so that after a kill at any
moment the rows by which others are found are still there, and the same command goes on. Old versions keep erased rows
until their files are gone: VACUUM comes last, once every stage has read what changed, and leaves nothing but the newest
version of each table.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipelines import keyed, locks, log, pii, requestlog, where
from pipelines.deferring import warehouse_of
from pipelines.errors import ConflictError, DataError, SpecError
from pipelines.plan import Stage, following, stages
from pipelines.run import exported
from pipelines.run.order import Forget, Order
from pipelines.run.pipeline import run
from pipelines.run.waiting import cut_off
from pipelines.spec import Pipeline, Target
from pipelines.state import FORGET, History, Json, Warehouse, dataset, named, parts
from pipelines.subject import Held, held, landed
from pipelines.told import Forgotten

Tell = Callable[[Stage, str], None]
REQUESTS = "requests in "  # a folder of the landing folder
OF_A_TABLE = ("files_read", "old_files", "commits_that_name", "files_removed")  # of what is none, 0


@dataclass(frozen=True)
class Subject:
    """A person as the command line names one: column -> value; and where the pipeline has rows."""

    pipeline: Pipeline
    target: Target
    keys: Mapping[str, str]

    @property
    def warehouse(self) -> Warehouse:
        """The tables of the pipeline."""
        return warehouse_of(self.pipeline, self.target)

    @property
    def tables(self) -> tuple[Held, ...]:
        """Those that hold the person's rows by their columns."""
        return held(self.pipeline, self.keys)

    def tokens(self, columns: Mapping[str, bool]) -> dict[str, str]:
        """Of some of the columns."""
        secret = pii.key()
        return {column: pii.token(self.keys[column], secret) for column in columns}

    def wanted(self, columns: Mapping[str, bool]) -> dict[str, str]:
        """Column -> what stands in it, as text."""
        tokens = self.tokens(columns)
        return {column: tokens[column] if token else self.keys[column] for column, token in columns.items()}


def found(subject: Subject) -> dict[str, Any]:
    """What would be erased: rows by table, what VACUUM would remove, the models that learned from them. No engine.

    Cost: reads the key columns of each table. Errors: SpecError where tables are another target's.
    """
    if subject.target.defer_to:  # and their landing folder may be one
        raise SpecError("the target defers to another; forget there, and drop this warehouse")
    lines: list[dict[str, Any]] = []
    models: dict[str, int | None] = {}
    for each in subject.tables:
        wanted, table = subject.wanted(each.columns), f"tables.{each.table}"
        for part in parts(table):
            lines += _line(subject.warehouse, table, part, partial(_rows, wanted=wanted))
        for feature in each.features:
            keys = _keys(subject, table, wanted, subject.pipeline.features[feature].keys)
            for stage in (s for s in each.stages if _of(subject, s, feature)):
                for part in parts(stage):
                    lines += _line(subject.warehouse, stage, part, partial(_joined, keys=keys))
            models |= _models(subject, feature, keys)
    beside = _asked(subject) | _looked_up(subject, _named(subject, _by_feature(subject)))
    lines += [{"table": name, "rows": rows, "old_files": 0, "old_bytes": 0} for name, rows in beside.items()]
    return {"tables": lines, "models": models, "unsearched": _unsearched(subject)}


def _asked(subject: Subject, dry: bool = True) -> dict[str, int]:
    """Request log in the landing folder -> its lines of the person; made blank unless it is a dry run."""
    root, found = subject.target.landing, dict[str, int]()
    for each in subject.tables:
        for path, fields in landed(subject.pipeline, each).items():
            wanted = {field: subject.keys[key] for field, key in fields.items()}
            rows = requestlog.erase(Path(root) / path, wanted, dry)
            found |= {f"{REQUESTS}{path}": rows} if rows else {}
    return found


def _looked_up(subject: Subject, keys: exported.Keys, dry: bool = True) -> dict[str, int]:
    """What endpoints look up by key -> the person's keys in it; taken out unless it is a dry run."""
    return exported.erase(subject.pipeline.pipeline, subject.target, keys, dry)


def _by_feature(subject: Subject) -> dict[str, pa.Table]:
    """Feature table -> the keys of the person's rows."""
    found = {}
    for each in subject.tables:
        wanted = subject.wanted(each.columns)
        for name in each.features:
            found[name] = _keys(subject, f"tables.{each.table}", wanted, subject.pipeline.features[name].keys)
    return found


def _named(subject: Subject, rows: Mapping[str, pa.Table]) -> dict[tuple[str, ...], set[str]]:
    """What endpoints look the person up by, by its columns: keys of those rows, and as the person was named."""
    given = [subject.wanted(each.columns) for each in subject.tables]
    found: dict[tuple[str, ...], set[str]] = {}
    for name, theirs in rows.items():
        keys = subject.pipeline.features[name].keys
        every = [*theirs.to_pylist(), *(wanted for wanted in given if set(keys) <= set(wanted))]
        found.setdefault(keys, set()).update(keyed.key_of(keys, row) for row in every)
    return found


def _of(subject: Subject, stage: str, feature: str) -> bool:
    kind, name = stage.split(".")
    return name == feature if kind == "features" else kind == "scores" and subject.pipeline.scores[name].of == feature


def _line(warehouse: Warehouse, stage: str, part: str, count: Callable[[DeltaTable], int]) -> list[dict[str, Any]]:
    table = warehouse.delta(stage, part)
    if table is None:
        return []
    old = _old(table)
    return [{"table": named(stage, part), "rows": count(table), "old_files": len(old), "old_bytes": sum(old.values())}]


def _rows(table: DeltaTable, wanted: Mapping[str, str]) -> int:
    """The person's rows, by the columns that the table has."""
    columns = [c for c in wanted if c in {f.name for f in table.schema().fields}]
    rows = dataset(table).to_table(columns=columns) if columns else pa.table({})
    return int(pc.sum(_is(rows, wanted)).as_py() or 0)


def _is(rows: pa.Table, wanted: Mapping[str, str]) -> pa.ChunkedArray | pa.Array:
    found = pa.array([False] * rows.num_rows)
    for column in (c for c in wanted if c in rows.column_names):
        found = pc.or_(found, pc.fill_null(pc.equal(pc.cast(rows[column], pa.string()), wanted[column]), False))
    return found


def _keys(subject: Subject, table: str, wanted: Mapping[str, str], keys: tuple[str, ...]) -> pa.Table:
    delta = subject.warehouse.delta(table)
    if delta is None:
        return pa.table({key: [] for key in keys})
    rows = dataset(delta).to_table(columns=list(dict.fromkeys((*keys, *wanted))))
    return rows.filter(_is(rows, wanted)).select(list(keys)).group_by(list(keys)).aggregate([])


def _joined(table: DeltaTable, keys: pa.Table) -> int:
    rows = dataset(table).to_table(columns=keys.column_names)
    return int(rows.join(keys, keys.column_names, join_type="left semi").num_rows) if keys.num_rows else 0


def _models(subject: Subject, feature: str, keys: pa.Table) -> dict[str, int | None]:
    """'late_arrival version 3' -> rows of the person in the features that it learned from; None: they are gone."""
    stage, found = f"features.{feature}", dict[str, int | None]()
    for record in subject.warehouse.records():
        version, read = record.detail.get("version"), record.inputs.get(stage, {}).get("upto")
        if record.stage.startswith("models.") and version is not None and read is not None:
            path = subject.warehouse.path(stage)
            rows = _joined(DeltaTable(path, version=read), keys) if log.readable(path, read) else None
            found |= {f"{record.stage} version {version}": rows} if rows != 0 else {}
    return found


def _unsearched(subject: Subject) -> list[str]:
    """Tables in which nobody was looked for, for they have none of the columns; views are made anew."""
    searched = {each.table for each in subject.tables}
    return [f"tables.{name}" for name, t in subject.pipeline.tables.items() if t.source and name not in searched]


def forget(subject: Subject, tell: Tell) -> dict[str, Any]:
    """Erase, run what follows, remove old files, look again, write it down. After a kill the same call goes on.

    Errors: DataError where a table's newest version is not the published one; ConflictError where a batch is open or
    a stage has not read what changed: then old files stay, and the same call goes on later.
    """
    before = found(subject)
    history = History.of(subject.warehouse)
    for each in subject.tables:
        for stage in each.stages:
            _refuse_unsettled(subject, history, stage)
    rows = _by_feature(subject)  # while there are any
    keys = _named(subject, rows)
    _looked_up(subject, keys, dry=False)
    for each in subject.tables:
        _erase(subject, each, before, tell)
    _asked(subject, dry=False)
    affected = _affected(subject)
    _run(subject, Order(tuple(s for s in affected if s not in {f"tables.{e.table}" for e in subject.tables})), tell)
    _refuse_unread(subject, affected)
    removed = _vacuum(subject, affected)
    _looked_up(subject, keys, dry=False)  # of an endpoint that fetched its features meanwhile
    left = {named(*at): {**_left(subject, at, rows), "files_removed": count} for at, count in removed.items()}
    beside = _asked(subject) | _looked_up(subject, keys)
    return _recorded(subject, before, left, beside)


def _refuse_unsettled(subject: Subject, history: History, stage: str) -> None:
    last, begun = history.ended(stage), cut_off(subject.warehouse, history, stage)
    if begun and FORGET not in begun.inputs:
        raise ConflictError(f"{stage}: a batch of it was cut off; `lakeloom run` ends it, then the same command again")
    if last and last.status == "refused" and subject.warehouse.delta(stage):
        raise DataError(f"{stage}: its newest version was refused and is not published; mend or restore it first")


def _erase(subject: Subject, each: Held, before: Mapping[str, Any], tell: Tell) -> None:
    """Each stage, unless nothing of the person is there and it knows that it is to let none in."""
    rows = {line["table"]: line["rows"] for line in before["tables"]}
    history, tokens = History.of(subject.warehouse), subject.tokens(each.columns)
    for stage in each.stages:
        asked = [i.inputs[FORGET]["tokens"] for i in history.intents if i.stage == stage and FORGET in i.inputs]
        there = sum(rows.get(named(stage, part), 0) for part in parts(stage))
        known = tokens in asked if stage.startswith("tables.") else True
        if history.published(stage) is None or (known and not there and not history.open_intent(stage)):
            continue
        _run(subject, Order((stage,), {stage: Forget(tokens)}), tell)


def _run(subject: Subject, order: Order, tell: Tell) -> None:
    for outcome in run(subject.pipeline, subject.target, order, tell) if order.select else ():
        if outcome.error:
            raise outcome.error


def _affected(subject: Subject) -> tuple[str, ...]:
    """All stages in whose files a person's rows could lie, in the order of a run; and the monitors that read them."""
    held = {f"tables.{each.table}" for each in subject.tables}
    named = held | {s for stage in held for s in following(subject.pipeline, stage)}
    return tuple(s.id for s in stages(subject.pipeline) if s.id in named)


def _refuse_unread(subject: Subject, affected: tuple[str, ...]) -> None:
    """Nothing is removed that a stage still has to read."""
    history = History.of(subject.warehouse)
    for stage in (s for s in stages(subject.pipeline) if s.kind != "models"):
        last = history.last(stage.id, "ok")
        frozen = stage.kind == "features" and subject.pipeline.features[stage.name].clock == "arrival"
        for name in (n for n in stage.needs[: 1 if frozen else None] if n in affected):
            read = last.inputs.get(name, {}).get("upto") if last else None
            if read is not None and read != history.published(name):
                raise ConflictError(
                    f"{stage.id} has not read what changed in {name}, so files of old versions stay; "
                    f"`lakeloom run`, then the same command again"
                )


def _paths(subject: Subject, affected: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(stage, part) of every table on disk."""
    for stage in (s for s in affected if not s.startswith("monitors.")):
        for part in parts(stage):
            if subject.warehouse.delta(stage, part):
                yield stage, part


def _vacuum(subject: Subject, affected: tuple[str, ...]) -> dict[tuple[str, str], int]:
    """(stage, part) -> Parquet files that are gone."""
    from pipelines import tables
    from pipelines.spark import session

    removed = {}
    with session(subject.target, subject.pipeline.pipeline) as spark:
        for stage, part in _paths(subject, affected):
            with locks.held(subject.warehouse.lock(stage), "forget"):
                there = len(_parquet(*_place(subject, stage, part)))
                tables.vacuum(spark, subject.warehouse.path(stage, part), 0)
                removed[stage, part] = there - len(_parquet(*_place(subject, stage, part)))
    return removed


def _place(subject: Subject, stage: str, part: str) -> tuple[pafs.FileSystem, str]:
    table = subject.warehouse.delta(stage, part)
    assert table
    system, place = where.at(table.table_uri)
    return system, place


def _recorded(
    subject: Subject, before: Mapping[str, Any], left: Mapping[str, dict[str, Json]], beside: Mapping[str, int]
) -> dict[str, Any]:
    """The proof: what any file that is left on disk still holds. Errors: DataError where that is not nothing.

    left: of tables. beside: rows in request logs and in what endpoints look up.
    """
    rows = {line["table"]: line["rows"] for line in before["tables"]}
    erased = {name: {"erased": rows.get(name, 0), **said} for name, said in left.items()}
    for name in (name for name in rows if name.startswith((REQUESTS, exported.WHERE))):
        erased[name] = {"erased": rows[name], "rows_left": beside.get(name, 0), **dict.fromkeys(OF_A_TABLE, 0)}
    tokens = {column: token for each in subject.tables for column, token in subject.tokens(each.columns).items()}
    warehouse = subject.warehouse
    last = max((r for r in warehouse.records()), key=lambda r: r.started_at)
    row = Forgotten(
        warehouse.pipeline, "", last.run_id, 0, 0, datetime.now(UTC), tokens, erased, dict(before["models"])
    )
    warehouse.write(replace(row, batch=len(warehouse.forgotten())))
    still = [name for name, found in erased.items() if found["rows_left"] or found["old_files"]]
    if still:
        raise DataError(f"{still[0]}: rows or files of old versions are left on disk: {erased[still[0]]}")
    return {"tokens": tokens, "tables": erased, "models": before["models"], "unsearched": before["unsearched"]}


def _left(subject: Subject, at: tuple[str, str], rows: Mapping[str, pa.Table]) -> dict[str, Json]:
    """Of one table: rows in any Parquet file of its folder, files of old versions, commits whose text names a token.

    rows: keys of the person's feature rows, by which features and scores are searched; files_read: how many were.
    """
    table = subject.warehouse.delta(*at)
    wanted = {c: text for each in subject.tables for c, text in subject.wanted(each.columns).items()}
    assert table
    system, place = _place(subject, *at)
    texts = [f for f in system.get_file_info(pafs.FileSelector(f"{place}/_delta_log")) if f.path.endswith(".json")]
    naming = sum(any(w[:32] in _text(system, f.path) for w in wanted.values()) for f in texts)
    keys = [theirs for name, theirs in rows.items() if theirs.num_rows and _of(subject, at[0], name)]
    found = [n for path in _parquet(system, place) if (n := _in_file(system, path, wanted, keys)) is not None]
    said = {"rows_left": sum(found), "files_read": len(found), "old_files": len(_old(table))}
    return {**said, "commits_that_name": naming}


def _text(system: pafs.FileSystem, path: str) -> str:
    with system.open_input_stream(path) as file:
        return str(file.read().decode())


def _parquet(system: pafs.FileSystem, place: str) -> list[str]:
    files = system.get_file_info(pafs.FileSelector(place, recursive=True))
    return [f.path for f in files if f.path.endswith(".parquet") and "/_delta_log/" not in f.path]


def _in_file(system: pafs.FileSystem, path: str, wanted: Mapping[str, str], keys: Sequence[pa.Table]) -> int | None:
    """The person's rows, by value or by key; None where it has the columns of neither."""
    there = set(pq.read_schema(path, filesystem=system).names)
    known = [each for each in keys if set(each.column_names) <= there]
    columns = {*(c for c in wanted if c in there), *(c for each in known for c in each.column_names)}
    if not columns:
        return None
    rows = pq.read_table(path, filesystem=system, columns=sorted(columns), partitioning=None)
    by_key = [int(rows.join(each, each.column_names, join_type="left semi").num_rows) for each in known]
    return max(int(pc.sum(_is(rows, wanted)).as_py() or 0), *by_key, 0)


def _old(table: DeltaTable) -> dict[str, int]:
    """Parquet files in a table's folder that its newest version does not name -> bytes."""
    system, place = where.at(table.table_uri)
    now = {f"{place.rstrip('/')}/{name}" for name in log.files(table.table_uri, table.version())}
    return {f.path: f.size or 0 for f in system.get_file_info(_parquet(system, place)) if f.path not in now}
