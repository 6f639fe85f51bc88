"""A feature table as readers saw it at a moment or after a run: its vintage. No engine is started, nothing is copied.

Which version that was, `_runs` says; the version itself is still in the
table's log, as long as upkeep has left its files.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.dataset as pads
import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from pipelines import where
from pipelines.deferring import warehouse_of
from pipelines.errors import DataError, SpecError
from pipelines.spec import Pipeline, Target
from pipelines.state import History, Record, dataset, moment

RUNS = 5  # named where a run is not known


@dataclass(frozen=True)
class Vintage:
    """One published version of a feature table, and the record of the refresh that made it."""

    stage: str
    record: Record
    table: DeltaTable

    def summary(self) -> dict[str, Any]:
        """What it is and what it was made of."""
        read = {stage.removeprefix("tables."): r["upto"] for stage, r in self.record.inputs.items()}
        return {
            "stage": self.stage,
            "version": self.record.published_version,
            "run": self.record.run_id,
            "published_at": self.record.ended_at.isoformat(timespec="seconds"),
            "rows": self.table.count(),
            "read": read,
        }

    def head(self, most: int) -> list[dict[str, Any]]:
        """Some of its rows."""
        rows: list[dict[str, Any]] = dataset(self.table).head(most).to_pylist()
        return rows

    def write(self, folder: Path) -> None:
        """All rows as Parquet. Errors: SpecError where the folder is there and not empty."""
        refuse_filled(folder)
        pads.write_dataset(dataset(self.table), folder, format="parquet")


def refuse_filled(folder: Path) -> None:
    """Errors: SpecError where a folder to write into is there and not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SpecError(f"--to {folder}: is there already; name a folder that is empty or new")


def vintage(pipeline: Pipeline, target: Target, name: str, as_of: str) -> Vintage:
    """The version of features.NAME that was published by a moment (ISO 8601, UTC unless it says so) or by a run's end.

    Errors: SpecError for an unknown name, moment or run; DataError where nothing was published by then, or files of
    that version were removed.
    """
    if name not in pipeline.features:
        raise SpecError(f"no feature table '{name}'; there is {', '.join(pipeline.features) or 'none'}")
    warehouse, stage = warehouse_of(pipeline, target), f"features.{name}"
    history = History.of(warehouse)
    by = moment_of(history, as_of)
    published = [r for r in history.records if r.stage == stage and r.published_version is not None]
    found = [r for r in published if r.ended_at <= by]
    if not found:
        first = f"; the first was at {published[0].ended_at:%Y-%m-%d %H:%M:%S} UTC" if published else ""
        raise DataError(f"{stage}: no version was published by {by:%Y-%m-%d %H:%M:%S} UTC{first}")
    return Vintage(stage, found[-1], _held(warehouse.path(stage), stage, found[-1]))


def moment_of(history: History, as_of: str) -> datetime:
    """Of a timestamp, or the end of the run of that id. Errors: SpecError where it is neither."""
    ended = [r.ended_at for r in history.records if r.run_id == as_of]
    if ended:
        return max(ended)
    try:
        return moment(datetime.fromisoformat(as_of)).astimezone(UTC)
    except ValueError:
        known = ", ".join(list(dict.fromkeys(r.run_id for r in history.records))[-RUNS:]) or "none yet"
        raise SpecError(
            f"--as-of '{as_of}': is neither a timestamp such as 2013-12-01T05:00 nor a run; the last runs: {known}"
        ) from None


def _held(path: str, stage: str, record: Record) -> DeltaTable:
    """The version, all files of which are there."""
    lost = f"{stage}: version {record.published_version} of run {record.run_id} is gone: upkeep removed files of it"
    try:
        table = DeltaTable(path, version=record.published_version)
    except DeltaError:
        raise DataError(lost) from None
    system, _ = where.at(path)
    files = system.get_file_info([_place(uri) for uri in table.file_uris()])
    if any(f.type != pafs.FileType.File for f in files):
        raise DataError(lost)
    return table


def _place(uri: str) -> str:
    """Of a file in its file system."""
    return where.at(uri)[1] if urlsplit(uri).scheme else uri
