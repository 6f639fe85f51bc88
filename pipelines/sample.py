"""A run on the first rows of each source, in a scratch place of its own: tried before it is trusted.

What is published, landed or registered is not touched. The scratch place lies
beside the warehouse and is made anew each time, so that it can be looked at.
"""

import json
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

from pipelines import landing
from pipelines.columns import ddl
from pipelines.errors import SpecError
from pipelines.packed import opened
from pipelines.spec import Delta, Files, Pipeline, Target
from pipelines.state import dataset


def sampled(pipeline: Pipeline, target: Target, rows: int) -> Target:
    """The target's twin: landing with at most so many rows of each source, all else empty. Cost: copies these rows.

    Errors: SpecError for a source that is a server, or places that are not on this machine.
    """
    if "://" in target.warehouse or "://" in target.landing:
        raise SpecError("a sample is taken on this machine; its warehouse and landing are folders")
    root = Path(target.warehouse).parent / "sample" / pipeline.pipeline
    shutil.rmtree(root, ignore_errors=True)
    for name, source in pipeline.sources.items():
        if not isinstance(source, Files | Delta):
            raise SpecError(
                f"sources.{name}: a sample is taken of what lies in folders, and this is {source.kind}; try the conf "
                f"with tests of its own (`lakeloom check --tests`)"
            )
        if source.pii:
            raise SpecError(f"sources.{name}: a sample would be a copy of its pii; try the conf with tests of its own")
        if isinstance(source, Files):
            _copy(source, target.landing, root / "landing", rows)
        else:
            _copy_table(source, target.landing, root / "landing", rows)
    return apart(target, root)


def apart(target: Target, root: Path) -> Target:
    """The target's twin, every place of which lies under root."""
    places = {place: str(root / place) for place in ("warehouse", "landing", "artifacts")}
    return target.model_copy(update={**places, "defer_to": None, "tracking": f"sqlite:///{root / 'mlflow.db'}"})


def _copy(source: Files, root: str, to: Path, rows: int) -> None:
    left = rows
    (to / source.path).mkdir(parents=True, exist_ok=True)
    for file in landing.arrivals(source, root):
        if left <= 0:
            return
        place = to / Path(file.path).relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        left -= (_parquet if source.format == "parquet" else _lines)(source, Path(file.path), place, left)


def _copy_table(source: Delta, root: str, to: Path, rows: int) -> None:
    held = dataset(DeltaTable(f"{root}/{source.path}")).head(rows)
    write_deltalake(to / source.path, held, configuration={"delta.enableChangeDataFeed": "true"})


def _lines(source: Files, file: Path, to: Path, most: int) -> int:
    """Whole lines, as they are; a CSV's header is not counted."""
    head = source.format == "csv"
    with opened(file) as read:
        held = list(islice(_held(read), most + head))
    with opened(to, "wb") as written:
        written.write(_named(source, b"".join(held)))
    return len(held) - head


def _named(source: Files, body: bytes) -> bytes:
    """JSON with the columns that its first lines happen to leave out as null in one: the whole file may well have them.

    If a key stands twice, the last counts.
    """
    quoted = [json.dumps(name).encode() for name in ddl(source.ddl)] if source.format == "json" else []
    missing = b"".join(name + b": null, " for name in quoted if name not in body)
    return body.replace(b'{"', b"{" + missing + b'"', 1)


def _held(lines: Iterator[bytes]) -> Iterator[bytes]:
    return (line for line in lines if line.strip())


def _parquet(source: Files, file: Path, to: Path, most: int) -> int:
    read = pq.ParquetFile(file)
    held = pa.Table.from_batches(islice(read.iter_batches(batch_size=most), 1), read.schema_arrow)
    pq.write_table(held, to)
    return int(held.num_rows)
