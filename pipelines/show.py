"""What lies in the warehouse, read from the logs without a JVM: stages, one table, its quarantine."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from deltalake import DeltaTable

from pipelines.deferring import warehouse_of
from pipelines.errors import DataError, SpecError
from pipelines.monitor.history import newest_windows
from pipelines.plan import stages
from pipelines.spec import Pipeline, Target
from pipelines.state import FILES, History, Record, Warehouse, dataset

VERSIONS, ROWS = 10, 5  # shown


def overview(pipeline: Pipeline, target: Target) -> list[dict[str, Any]]:
    """Every stage: its last status, published version, rows and when. Cost: two small reads."""
    history = History.of(warehouse_of(pipeline, target))
    return [_line(history, stage.id) for stage in stages(pipeline)]


def _line(history: History, stage: str) -> dict[str, Any]:
    last = history.last(stage)
    version = history.published(stage)
    if last is None:
        return {"stage": stage, "status": "never ran", "version": None, "rows": None, "at": None, "error": ""}
    rows = last.detail.get("rows", last.counts.get("scored"))
    at = last.started_at.isoformat(timespec="seconds")
    shown = last.detail.get("version") if stage.startswith("models.") else version
    found = {"stage": stage, "status": last.status, "version": shown, "rows": rows, "at": at, "error": last.error}
    return {**found, FILES: last.detail[FILES]} if last.detail.get(FILES) else found


def table(pipeline: Pipeline, target: Target, stage: str) -> dict[str, Any]:
    """One stage's published table: columns, newest versions, first rows, and what was refused and why.

    Errors: SpecError for an unknown stage, DataError where nothing was published.
    """
    known = [s.id for s in stages(pipeline) if s.kind not in ("models", "monitors")]
    if stage not in known:
        raise SpecError(f"no table '{stage}'; there is {', '.join(known)}")
    warehouse = warehouse_of(pipeline, target)
    version = History.of(warehouse).published(stage)
    if version is None:
        raise DataError(f"{stage}: nothing was published yet; `lakeloom run` makes it")
    delta = DeltaTable(warehouse.path(stage), version=version)
    return {
        "stage": stage,
        "path": warehouse.path(stage),
        "published_version": version,
        "rows": delta.count(),
        "columns": {
            f.name: str(f.type.type) if hasattr(f.type, "type") else str(f.type) for f in delta.schema().fields
        },
        "publications": _publications(warehouse, stage),
        "versions": [_version(c) for c in DeltaTable(warehouse.path(stage)).history(VERSIONS)],
        "first_rows": _head(delta),
        "quarantine": _quarantine(warehouse, stage),
    }


def quarantines(pipeline: Pipeline, target: Target) -> list[dict[str, Any]]:
    """Each table that refused rows: how many lie there, and rows by reason. Cost: reads two columns of each."""
    warehouse = warehouse_of(pipeline, target)
    found = []
    for name in pipeline.tables:
        delta = warehouse.delta(f"tables.{name}", "quarantine")
        if delta and delta.count():
            reasons = Counter(r for row in dataset(delta).to_table(["_reasons"]).to_pylist() for r in row["_reasons"])
            found.append({"stage": f"tables.{name}", "rows": delta.count(), "reasons": dict(reasons.most_common())})
    return found


def refused(pipeline: Pipeline, target: Target, stage: str, most: int) -> list[dict[str, Any]]:
    """Rows of a table's quarantine as they came, with reasons, place and run. Errors: SpecError, DataError."""
    if stage not in (known := [f"tables.{name}" for name in pipeline.tables]):
        raise SpecError(f"no table '{stage}'; there is {', '.join(known)}")
    warehouse = warehouse_of(pipeline, target)
    delta = warehouse.delta(stage, "quarantine")
    if delta is None:
        raise DataError(f"{stage}: no row was ever refused")
    runs = {(i.generation, i.batch): i.run_id for i in warehouse.intents() if i.stage == stage}
    generation = max((g for g, _ in runs), default=0)
    columns = ["_hash", "_record", "_reasons", "_file", "_arrived_at", "_batch"]
    rows = dataset(delta).head(most, columns=columns).to_pylist()
    return [{**row, "_run": runs.get((generation, row.pop("_batch")), "")} for row in rows]


def unknown(pipeline: Pipeline, target: Target, stage: str, hashes: Collection[str]) -> list[str]:
    """Those hashes of which no row lies in a table's quarantine. Cost: reads one column."""
    delta = warehouse_of(pipeline, target).delta(stage, "quarantine")
    held = set(dataset(delta).to_table(["_hash"])["_hash"].to_pylist()) if delta else set()
    return sorted(set(hashes) - held)


def quality(pipeline: Pipeline, target: Target, stage: str) -> list[dict[str, Any]]:
    """What each refresh found of each promise of a table, oldest first; nothing, if it has none.

    Errors: SpecError for no table, DataError where no refresh ran.
    """
    if stage not in (known := [f"tables.{name}" for name in pipeline.tables]):
        raise SpecError(f"no table '{stage}'; there is {', '.join(known)}")
    found = [asdict(q) for q in warehouse_of(pipeline, target).quality() if q.stage == stage]
    table = pipeline.tables[stage.removeprefix("tables.")]
    if not found and (table.expect or table.freshness or table.volume):
        raise DataError(f"{stage}: no promise was judged yet; `lakeloom run` judges those of its `expect`")
    return found


def monitors(pipeline: Pipeline, target: Target, name: str = "") -> list[dict[str, Any]]:
    """Each monitor, or one: its windows, oldest first, as last judged, and its decision. Errors: SpecError.

    Cost: one small read.
    """
    if name and name not in pipeline.monitors:
        raise SpecError(f"no monitor '{name}'; there is {', '.join(pipeline.monitors) or 'none in the conf'}")
    records = warehouse_of(pipeline, target).records()
    return [_watched(m, pipeline, records) for m in pipeline.monitors if name in ("", m)]


def _watched(name: str, pipeline: Pipeline, records: Sequence[Record]) -> dict[str, Any]:
    mine = [r for r in records if r.stage == f"monitors.{name}" and r.status == "ok"]
    found = {"monitor": name, "scores": pipeline.monitors[name].scores}
    return {**found, "windows": newest_windows(mine), "decision": mine[-1].detail["decision"] if mine else None}


def _publications(warehouse: Warehouse, stage: str) -> list[dict[str, Any]]:
    """The runs that published the table, newest first: what `restore --to` can name."""
    mine = [r for r in warehouse.records() if r.stage == stage and r.published_version is not None][-VERSIONS:]
    return [
        {
            "run": r.run_id,
            "version": r.published_version,
            "at": r.started_at,
            "rows": r.detail.get("rows"),
            "why": r.why,
        }
        for r in reversed(mine)
    ]


def _version(commit: dict[str, Any]) -> dict[str, Any]:
    metrics = commit.get("operationMetrics", {})
    rows = metrics.get("numOutputRows", metrics.get("numTargetRowsInserted"))
    return {"version": commit["version"], "at": commit["timestamp"], "operation": commit["operation"], "rows": rows}


def _quarantine(warehouse: Warehouse, stage: str) -> dict[str, Any]:
    delta = warehouse.delta(stage, "quarantine") if stage.startswith("tables.") else None
    if delta is None:
        return {"rows": 0, "path": None, "first_rows": []}
    columns = ["_reasons", "_record", "_file", "_arrived_at"]
    return {"rows": delta.count(), "path": delta.table_uri, "first_rows": _head(delta, columns)}


def _head(delta: DeltaTable, columns: list[str] | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dataset(delta).head(ROWS, columns=columns).to_pylist()
    return found
