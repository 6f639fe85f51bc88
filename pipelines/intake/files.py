"""Files as a source: what is new is known by path and stamp, what was taken before by content (landing.py).

A batch names its files and, of each whose columns are not just the schema's,
how it is to be read. `added` are the columns beyond the schema that the table
has with this batch, in the order in which they came.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipelines import landing
from pipelines.drift import quoted
from pipelines.errors import DataError, FilesError
from pipelines.intake.base import Asked, Counted, Reading, brought, counted, losses
from pipelines.spec import Files
from pipelines.state import Json

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def news(asked: Asked) -> str:
    """'2 new files of flights_raw, 1.3 MB; they add column price'. Errors: SpecError without a folder.

    Cost: lists the folder; where columns may be added, reads the beginning of each new file.
    """
    new = _fresh(asked)
    size = sum(f.size for f in new) / 1e6
    before = _before(asked)
    more = [name for name in landing.coming(_source(asked), new) if name not in before]
    adds = f"; adds column{'s' if len(more) > 1 else ''} {', '.join(more)}" if more else ""
    most = _source(asked).most_files
    part = f", of which a batch takes {most}" if most is not None and len(new) > most else ""
    return f"{counted(len(new), 'new file')} of {asked.name}, {size:.1f} MB{part}{adds}" if new else ""


def take(asked: Asked) -> dict[str, Json]:
    """The census of the new files; a file whose content was taken before is marked, and will not be read.

    behind: files that are left to the next batch.
    Errors: FilesError for those that cannot be taken; DataError where rows would be lost.
    """
    taken = _taken(asked)
    waiting = landing.arrivals(_source(asked), asked.target.landing) if asked.anew else _fresh(asked)
    new = _limited(waiting, None if asked.anew else _source(asked).most_files)
    before = set() if asked.anew else {f["content"] for f in taken}
    found = landing.census(_source(asked), new)
    lost = _lost(asked, taken, found) if asked.anew else {}
    if not asked.anew and not asked.table.keys:
        _refuse_changed(taken, found)
    marked = []
    for file in found:
        marked.append({**vars(file), "duplicate": file.content in before})
        before.add(file.content)
    columns = _grown(_before(asked), [f for f in marked if not f["duplicate"]])
    more = {**({"added": columns} if columns else {}), **({"lost": lost} if lost else {})}
    return {"files": marked, "behind": len(waiting) - len(new), **more, **_strictness(_source(asked))}


def stands(asked: Asked, batch: Json) -> bool:
    """True while every file that is to be read is there as it was taken. Cost: lists the folder."""
    listed = {a.path: a.stamp for a in landing.arrivals(_source(asked), asked.target.landing)}
    return all(f["duplicate"] or listed.get(f["path"]) == f["stamp"] for f in batch["files"])


def again(asked: Asked) -> dict[str, Json]:
    """The files that were taken and lie there as they were, each content once. Cost: lists the folder."""
    listed = {a.path: a.stamp for a in landing.arrivals(_source(asked), asked.target.landing)}
    held = [f for f in _taken(asked) if not f["duplicate"] and listed.get(f["path"]) == f["stamp"]]
    columns = brought(asked.taken)
    return {"files": held, **({"added": columns} if columns else {}), **_strictness(_source(asked))}


@contextmanager
def reading(asked: Asked, spark: "SparkSession", batch: Json) -> Iterator[Reading]:
    """The files that are no duplicates; the census is the witness."""
    from pipelines.ingest import Shape, read

    files = batch["files"]
    rows = sum(f["rows"] for f in files if not f["duplicate"])
    again = sum(f["rows"] for f in files if f["duplicate"])
    kinds = {"files": len(files), "duplicate_files": sum(f["duplicate"] for f in files)}
    kinds |= losses(batch)
    shapes: dict[Shape, list[str]] = {}
    for file in files:
        if not file["duplicate"]:
            shapes.setdefault(Shape(file.get("ddl", ""), file.get("drift", "")), []).append(file["path"])
    frame = read(spark, _source(asked), shapes, batch.get("added", ()), batch.get("strict", False))
    yield Reading(frame, rows, lambda _: Counted(rows, again, kinds))


def _source(asked: Asked) -> Files:
    assert isinstance(asked.source, Files)
    return asked.source


def _taken(asked: Asked) -> list[dict[str, Any]]:
    return [f for batch in asked.taken for f in batch["files"]]


def _before(asked: Asked) -> list[str]:
    """The columns that the table has beyond the schema."""
    return [] if asked.anew else brought(asked.taken)


def _grown(before: Sequence[str], files: Sequence[Any]) -> list[str]:
    """The same and what some files add. Errors: DataError for two names that differ in case alone."""
    found = dict.fromkeys(before)
    for file in files:
        known = {name.lower(): name for name in found}
        for name in file["added"]:
            if known.get(name.lower(), name) != name:
                there = quoted(known[name.lower()])
                raise FilesError({file["path"]: f"{quoted(name)} cannot be added beside {there}; mend the file"})
            found[name] = None
    return list(found)


def _strictness(source: Files) -> dict[str, bool]:
    """Of JSON, whose keys stand in each record: what is to be done with one beyond the schema, as it is now."""
    return {"strict": True} if source.format == "json" and source.on_schema_change != "fail" else {}


def _fresh(asked: Asked) -> tuple[landing.Arrival, ...]:
    seen = {f["path"]: f["stamp"] for f in _taken(asked)}
    return landing.fresh(landing.arrivals(_source(asked), asked.target.landing), seen)


def _limited(waiting: Sequence[landing.Arrival], most: int | None) -> Sequence[landing.Arrival]:
    """So many of those that were written first."""
    first = sorted(waiting, key=lambda a: (a.modified_us, a.path))
    return waiting if most is None or len(first) <= most else first[:most]


def _lost(asked: Asked, taken: Sequence[Any], found: Sequence[landing.Landed]) -> dict[str, int]:
    """The files and records that would not come again; a loss has to be allowed.

    A file of the same place and stamp is the one that was taken, though a person was erased from it.
    """
    held, there = {f.content for f in found}, {(f.path, f.stamp) for f in found}
    lost = (f for f in taken if f["content"] not in held and (f["path"], f["stamp"]) not in there)
    gone = [f for f in lost if not f["duplicate"]]
    if gone and not asked.allow_loss:
        raise DataError(
            f"{asked.stage}: a full refresh would lose the rows of {gone[0]['path']} ({counted(len(gone), 'file')} "
            f"gone); land it again, or let them go by `--allow-loss {asked.stage}`"
        )
    return {"files": len(gone), "rows": sum(f["rows"] for f in gone)} if gone else {}


def _refuse_changed(taken: Sequence[Any], found: Sequence[landing.Landed]) -> None:
    before = {f["path"]: f["content"] for f in taken}
    changed = [f.path for f in found if before.get(f.path, f.content) != f.content]
    if changed:
        why = (
            "was changed after it was read, and a table without keys cannot tell which rows are new; "
            "land it under a new name"
        )
        raise FilesError(dict.fromkeys(changed, why))
