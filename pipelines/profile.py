"""What all rows of some files say of their columns: one pass in bounded memory, no engine.

A type is that of every row: blocks of rows are typed each by itself, and where
two blocks differ the wider type is taken, text at last. A column that may be a
key is held until a value stands in it twice.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.json
import pyarrow.parquet as parquet

from pipelines.errors import SpecError
from pipelines.packed import opened

BLOCK = 20_000  # rows typed together
MOST_BYTES = 8_000_000  # of a block of text
MOST_ROWS = 2_000_000  # looked at; the pass ends behind them
MOST_CATEGORIES = 12
NULLS = ("", "NA", "NULL", "null", "NaN", "nan")


@dataclass(frozen=True)
class Profile:
    """One column over all rows that were read."""

    name: str
    type: pa.DataType
    rows: int
    nulls: int
    unique: bool  # no null, no value twice
    least: Any = None  # of a number
    greatest: Any = None
    categories: tuple[str, ...] = ()  # all values of a text that has at most MOST_CATEGORIES


def profiled(blocks: Iterable[pa.Table]) -> list[Profile]:
    """The columns of some rows, in the order in which they came. Cost: one pass; holds columns without a double."""
    found: dict[str, _Seen] = {}
    rows = 0
    for block in blocks:
        for name in block.column_names:
            seen = found.setdefault(name, _Seen(nulls=rows))  # json: a key that no line had before
            seen.add(block.column(name))
        for name in found.keys() - set(block.column_names):
            found[name].nulls += block.num_rows
        rows += block.num_rows
    return [seen.profile(name, rows) for name, seen in found.items()]


class _Seen:
    """One column as the pass goes on."""

    def __init__(self, nulls: int) -> None:
        self.nulls = nulls
        self.type = pa.null()
        self.held: list[pa.ChunkedArray] | None = []  # None: no key, for it has a null or a value twice
        self.bounds: list[Any] = []
        self.values: set[str] | None = set()  # None: more than a few, or no text

    def add(self, values: pa.ChunkedArray) -> None:
        self.nulls += values.null_count
        self.type = wider(self.type, values.type)
        if self.held is not None:
            self.held = [*self.held, values] if _no_double(values) else None
        if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
            self.bounds += [v for v in pc.min_max(values).as_py().values() if v is not None]
        if self.values is not None and not pa.types.is_null(values.type):
            self.values = _few(self.values, values)

    def profile(self, name: str, rows: int) -> Profile:
        known = self.bounds if _number(self.type) else []
        least, greatest = min(known, default=None), max(known, default=None)
        text = pa.types.is_string(self.type) or pa.types.is_large_string(self.type)
        categories = tuple(sorted(self.values)) if self.values and text else ()
        return Profile(name, self.type, rows, self.nulls, self._unique(), least, greatest, categories)

    def _unique(self) -> bool:
        if not self.held or self.nulls:
            return False
        whole = pa.chunked_array(chain.from_iterable(v.cast(self.type).chunks for v in self.held), self.type)
        return len(self.held) == 1 or pc.count_distinct(whole).as_py() == len(whole)


def _no_double(values: pa.ChunkedArray) -> bool:
    if not len(values):
        return True
    flat = not pa.types.is_nested(values.type)
    return bool(flat and not values.null_count and pc.count_distinct(values).as_py() == len(values))


def _few(known: set[str], values: pa.ChunkedArray) -> set[str] | None:
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return None
    more = known | {v for v in pc.unique(values).to_pylist() if v is not None}
    return more if len(more) <= MOST_CATEGORIES else None


def _number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type that holds the values of both; text where no other does."""
    try:
        fields = [pa.schema([("c", kind)]) for kind in (one, other)]
        return pa.unify_schemas(fields, promote_options="permissive").field("c").type
    except pa.ArrowTypeError:
        dated = pa.types.is_temporal(one) and pa.types.is_temporal(other)
        return pa.timestamp("us") if dated else pa.string()


def blocks(files: Iterable[Path], kind: str) -> Iterator[pa.Table]:
    """The rows of files of one format, block by block, MOST_ROWS in all. Errors: SpecError for one that is damaged."""
    left = MOST_ROWS
    for file in files:
        for block in _blocks(file, kind):
            yield block.slice(0, left)
            left -= block.num_rows
            if left <= 0:
                return


def _blocks(file: Path, kind: str) -> Iterator[pa.Table]:
    try:
        if kind == "parquet":
            source = parquet.ParquetFile(file)
            _refuse_nanoseconds(file, source)
            yield source.schema_arrow.empty_table()
            yield from (pa.Table.from_batches([batch]) for batch in source.iter_batches(batch_size=BLOCK))
        else:
            yield from (_distinct(file, _typed(text, kind)) for text in _texts(file, kind))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{file}: cannot be read as {kind}: {str(error).splitlines()[0]}") from None


def _texts(file: Path, kind: str) -> Iterator[bytes]:
    """Whole lines, a header over each block of csv."""
    with opened(file) as held:
        head = held.readline() if kind == "csv" else b""
        yield head + _lines(held)
        while lines := _lines(held):
            yield head + lines


def _lines(held: Iterable[bytes]) -> bytes:
    found, size = [], 0
    for line in islice(held, BLOCK):
        found.append(line)
        size += len(line)
        if size > MOST_BYTES:
            break
    return b"".join(found)


def _typed(text: bytes, kind: str) -> pa.Table:
    if kind == "json":
        return pyarrow.json.read_json(pa.BufferReader(text), pyarrow.json.ReadOptions(use_threads=False))
    convert = csv.ConvertOptions(null_values=list(NULLS), strings_can_be_null=True)
    ragged = csv.ParseOptions(invalid_row_handler=lambda row: "skip")  # a run puts it into the quarantine
    alone = csv.ReadOptions(use_threads=False)  # its threads can outlive the interpreter, and abort it
    return csv.read_csv(pa.BufferReader(text), alone, convert_options=convert, parse_options=ragged)


def _distinct(file: Path, block: pa.Table) -> pa.Table:
    twice = next((n for n in block.column_names if block.column_names.count(n) > 1), None)
    if twice is not None:
        raise SpecError(f"{file}: columns '{twice}' and '{twice}' have one name in SQL")
    return block


def _refuse_nanoseconds(file: Path, source: parquet.ParquetFile) -> None:
    """Spark reads no such time, other than the INT96 of old."""
    plain = {c.path: c.physical_type for c in (source.schema.column(i) for i in range(len(source.schema.names)))}
    for field in source.schema_arrow:
        fine = pa.types.is_timestamp(field.type) and field.type.unit == "ns"
        if fine and plain.get(field.name) == "INT64":
            raise SpecError(
                f"{file}: column '{field.name}' counts nanoseconds, which Spark cannot read; write microseconds, as "
                f"pandas does with to_parquet(..., coerce_timestamps='us', allow_truncated_timestamps=True)"
            )
