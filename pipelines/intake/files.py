"""Files as a source: what is new is known by path and stamp, what was taken before by content (landing.py)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipelines import landing
from pipelines.errors import DataError
from pipelines.intake.base import Asked, Counted, Reading
from pipelines.spec import Files
from pipelines.state import Json

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def news(asked: Asked) -> str:
    """'2 new files of flights_raw, 1.3 MB'. Cost: lists the folder. Errors: SpecError without one."""
    new = _fresh(asked)
    size = sum(f.size for f in new) / 1e6
    return f"{len(new)} new file{'s' if len(new) > 1 else ''} of {asked.name}, {size:.1f} MB" if new else ""


def take(asked: Asked) -> dict[str, Json]:
    """The census of the new files; a file whose content was taken before is marked, and will not be read."""
    taken = _taken(asked)
    new = landing.arrivals(_source(asked), asked.target.landing) if asked.anew else _fresh(asked)
    before = set() if asked.anew else {f["content"] for f in taken}
    found = landing.census(_source(asked), new)
    if asked.anew:
        _refuse_loss(asked.stage, taken, {f.content for f in found})
    elif not asked.table.keys:
        _refuse_changed(taken, found)
    marked = []
    for file in found:
        marked.append({**vars(file), "duplicate": file.content in before})
        before.add(file.content)
    return {"files": marked}


@contextmanager
def reading(asked: Asked, spark: "SparkSession", batch: Json) -> Iterator[Reading]:
    """The files that are no duplicates; the census is the witness."""
    from pipelines.ingest import read

    files = batch["files"]
    rows = sum(f["rows"] for f in files if not f["duplicate"])
    again = sum(f["rows"] for f in files if f["duplicate"])
    kinds = {"files": len(files), "duplicate_files": sum(f["duplicate"] for f in files)}
    frame = read(spark, _source(asked), [f["path"] for f in files if not f["duplicate"]])
    yield Reading(frame, rows, lambda _: Counted(rows, again, kinds))


def _source(asked: Asked) -> Files:
    assert isinstance(asked.source, Files)
    return asked.source


def _taken(asked: Asked) -> list[dict[str, Any]]:
    return [f for batch in asked.taken for f in batch["files"]]


def _fresh(asked: Asked) -> tuple[landing.Arrival, ...]:
    seen = {f["path"]: f["stamp"] for f in _taken(asked)}
    return landing.fresh(landing.arrivals(_source(asked), asked.target.landing), seen)


def _refuse_loss(stage: str, taken: Sequence[Any], held: set[str]) -> None:
    gone = [f["path"] for f in taken if f["content"] not in held and not f["duplicate"]]
    if gone:
        raise DataError(
            f"{stage}: a full refresh would lose the rows of {gone[0]} ({len(gone)} files): it is gone; land it again"
        )


def _refuse_changed(taken: Sequence[Any], found: Sequence[landing.Landed]) -> None:
    before = {f["path"]: f["content"] for f in taken}
    for file in found:
        if before.get(file.path, file.content) != file.content:
            raise DataError(
                f"{file.path}: was changed after it was read, and a table without keys cannot tell which rows "
                f"are new; land it under a new name"
            )
