"""Files that arrive, seen without a JVM: which there are, which are new, what each holds.

A file is known by its content: the same bytes under another name are a
duplicate. The census reads each new file once and is independent of Spark, so
that its row count is a real check of the rows that Spark then reads. What it
finds of other columns than the schema's goes by the source's policy
(`on_schema_change`), and into the intent.
"""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator, KeysView, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from pipelines import footer, where
from pipelines.columns import ddl, ddl_text
from pipelines.drift import ADDABLE, MOST_ADDED, Drift, between, listed, quoted
from pipelines.errors import DataError, FilesError, SpecError
from pipelines.packed import GZIP, unpacked
from pipelines.spec import Files, Kafka

CHUNK = 4 << 20  # bytes a read
MOST_LINE = 16 << 20  # bytes
MOST_FIELDS = 20_000  # on a CSV line; Spark's reader ends at 20,480
BLANK = {"csv": bytes(range(33)), "json": b" \t\r\n"}  # Spark skips a line of nothing else
PACKED = (".bz2", ".zst", ".lz4", ".snappy", ".deflate")  # Spark unpacks by name what nothing here bounds
AT_ONCE = 4  # files
MOST_LOOKED_AT = 1_000  # lines of a JSON file, by `plan`


@dataclass(frozen=True)
class Arrival:
    """One file as the folder lists it."""

    path: str
    size: int
    modified_us: int

    @property
    def stamp(self) -> str:
        """Changes when the file is written again."""
        return f"{self.size}-{self.modified_us}"


@dataclass(frozen=True)
class Landed:
    """One file after its census: content hash and records, the header not counted."""

    path: str
    stamp: str
    content: str
    rows: int
    ddl: str = ""  # the columns as they are to be read, where that is not just the schema
    drift: str = ""  # why every row of it is refused
    added: tuple[str, ...] = ()  # columns beyond the schema that it brings


def arrivals(source: Files, root: str) -> tuple[Arrival, ...]:
    """The files of a source, by name; hidden, '_' and '.tmp' names are still being written.

    Errors: SpecError if there is no such folder.
    """
    folder = f"{root.rstrip('/')}/{source.path}"
    system, path = _open(folder)
    if system.get_file_info(path).type != pafs.FileType.Directory:
        raise SpecError(
            f"{folder}: no such landing folder; make it, or mend the source's `path` or the target's `landing`"
        )
    found = system.get_file_info(pafs.FileSelector(path, recursive=True))
    files = [f for f in found if f.type == pafs.FileType.File and not _unfinished(f.path[len(path) :])]
    return tuple(Arrival(f.path, f.size, f.mtime_ns // 1000) for f in sorted(files, key=lambda f: f.path))


def fresh(listed: Iterable[Arrival], seen: Mapping[str, str]) -> tuple[Arrival, ...]:
    """Those not seen before: `seen` is path -> stamp."""
    return tuple(a for a in listed if seen.get(a.path) != a.stamp)


def census(source: Files, new: Iterable[Arrival]) -> tuple[Landed, ...]:
    """Hash, count and check each file, several at once; one read of every byte.

    Errors: FilesError with all that are empty, not UTF-8, have columns that the source's policy refuses, or a name
    or line that Spark's readers cannot take.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = tuple(pool.map(lambda file: _looked_at(source, file), new))
    refused = {path: why for path, why in (f for f in found if isinstance(f, tuple))}
    if refused:
        raise FilesError(refused)
    return tuple(f for f in found if isinstance(f, Landed))


def _looked_at(source: Files, file: Arrival) -> Landed | tuple[str, str]:
    """The file, or its path and why it cannot be taken."""
    try:
        if ":" in file.path.rpartition("/")[2]:
            raise DataError(f"{file.path}: Spark cannot open a name with ':'; land it under another name")
        return (_parquet if source.format == "parquet" else _text)(source, file)
    except DataError as found:
        return file.path, str(found).removeprefix(f"{file.path}: ")


def coming(source: Files, new: Iterable[Arrival]) -> tuple[str, ...]:
    """The columns that files would add, for `plan`; of JSON what the first block tells. Reads headers and footers."""
    if source.on_schema_change != "add_columns":
        return ()
    found: dict[str, None] = {}
    for file in new:
        with suppress(DataError, OSError, pa.ArrowException):  # the census will say what is wrong
            found |= dict.fromkeys(_first_columns(source, file))
    return tuple(found)


def _first_columns(source: Files, file: Arrival) -> Sequence[str]:
    if source.format == "parquet":
        system, path = _open(file.path)
        found = pq.read_schema(path, filesystem=system)
        return footer.drift(found, ddl(source.ddl)).more
    read, lines = _Read(file.path, source), next(_blocks(file), b"").splitlines(keepends=True)
    read.take(lines[: min(MOST_LOOKED_AT, len(lines) - 1)] or lines)
    return between(_names(file.path, read.header), ddl(source.ddl)).more if source.format == "csv" else tuple(read.keys)


def _open(folder: str) -> tuple[pafs.FileSystem, str]:
    system, path = where.at(folder)
    return system, path


def _unfinished(path: str) -> bool:
    return any(p.startswith((".", "_")) for p in path.split("/")) or path.endswith(".tmp")


def _text(source: Files, file: Arrival) -> Landed:
    if file.size == 0:
        raise DataError(f"{file.path}: is empty; remove it, or land it again whole")
    if file.path.endswith(PACKED):
        raise DataError(f"{file.path}: is packed, by its name; land it unpacked, or by gzip")
    read = _read(source, file)
    if source.format == "csv" and not read.lines:
        raise DataError(f"{file.path}: has no header, and no line at all; remove it, or land it again whole")
    found = Landed(file.path, file.stamp, read.hashed.hexdigest(), read.lines)
    if source.format == "json":
        return _of_objects(source, found, read)
    declared, names = ddl(source.ddl), _names(file.path, read.header)
    own = ddl_text({name: declared.get(name, "STRING") for name in names})
    found = replace(found, rows=read.lines - 1, ddl="" if names == list(declared) else own)
    return _by_policy(source, found, between(names, declared), "the header")


def _of_objects(source: Files, found: Landed, read: "_Read") -> Landed:
    """A file of JSON: a record may leave keys out, but a column that none of them has is one that the file lacks."""
    keys, less = tuple(read.keys), tuple(read.unseen) if read.objects else ()
    if less:
        return _by_policy(source, found, Drift(less=less, near=keys), "every record")
    return replace(found, added=_addable(found.path, keys, ddl(source.ddl))) if read.grows else found


@dataclass
class _Read:
    """What one pass over the lines of a text file found so far."""

    path: str
    source: Files
    hashed: "hashlib.blake2b" = field(default_factory=lambda: hashlib.blake2b(digest_size=16))
    lines: int = 0  # that hold something; Spark skips the others
    header: str = ""  # the first of them
    keys: dict[str, None] = field(default_factory=dict)  # beyond the schema, of JSON: all where they become columns
    objects: int = 0  # records of JSON that were looked into
    unseen: dict[str, bytes] = field(default_factory=dict)  # columns that no record of JSON had so far, as it has them

    def __post_init__(self) -> None:
        if self.source.format == "json":
            self.unseen = {name: name.encode() for name in wanted(self.source)}

    @property
    def grows(self) -> bool:
        """True where keys beyond the schema become columns."""
        return self.source.on_schema_change == "add_columns"

    def take(self, whole: list[bytes]) -> None:
        """Some whole lines. Errors: DataError for text or a line that Spark cannot take."""
        held = _records(self.path, whole, self.source.format)
        if held and not self.lines:
            self.header = held[0].decode("utf-8-sig").strip()
        self.lines += len(held)
        if self.source.format == "json":
            self._look_into(held)

    def _look_into(self, held: list[bytes]) -> None:
        """Each line where keys become columns, until they are too many; else those that may have a missing column."""
        known = {*ddl(self.source.ddl), *self.keys}
        for line in held:
            if self.grows and len(self.keys) <= MOST_ADDED:  # more are refused, so they need not be held
                keys = self._seen(line)
                if not keys <= known:
                    self.keys |= dict.fromkeys(key for key in keys if key not in known)
                    known |= keys
            elif not self.objects:
                self.keys = dict.fromkeys(key for key in self._seen(line) if key not in known)
            elif not self.unseen:
                return
            elif b"\\" in line or any(name in line for name in self.unseen.values()):
                self._seen(line)

    def _seen(self, line: bytes) -> KeysView[str]:
        """The keys of a record; a line that Python cannot read and Spark may counts for all that it names."""
        found = as_object(line)
        self.objects += found is not None
        if self.unseen:
            held = [name for name, text in self.unseen.items() if (text in line if found is None else name in found)]
            for name in held:
                del self.unseen[name]
        return (found or {}).keys()


def _read(source: Files, file: Arrival) -> _Read:
    read, rest = _Read(file.path, source), b""
    for block in _blocks(file):
        read.hashed.update(block)
        whole = (rest + block).splitlines(keepends=True)
        rest = b"" if whole[-1].endswith(b"\n") else whole.pop()
        if len(rest) > MOST_LINE:
            raise DataError(f"{file.path}: line {read.lines + 1} is longer than {MOST_LINE} bytes; land it as lines")
        read.take(whole)
    read.take([rest])
    return read


def _blocks(file: Arrival) -> Iterator[bytes]:
    """The content, unpacked: so a file has the same hash, packed or not."""
    system, path = _open(file.path)
    with system.open_input_stream(path, compression=None) as stream:
        blocks = iter(lambda: stream.read(CHUNK), b"")
        yield from unpacked(file.path, file.size, blocks, CHUNK) if file.path.endswith(GZIP) else blocks


def _records(path: str, lines: list[bytes], form: str) -> list[bytes]:
    """The lines of which Spark makes one record each. Errors: DataError for text or a line that it cannot take."""
    _utf8(path, lines)
    blank = BLANK[form]
    held = [line for line in lines if line.strip(blank)]
    if form == "csv" and any(h.count(b",") >= MOST_FIELDS for h in held if len(h) >= MOST_FIELDS):
        raise DataError(f"{path}: a line has more than {MOST_FIELDS} fields; land it as lines")
    if form == "csv" and (torn := next((h for h in held if h.count(b'"') % 2), None)):
        raise DataError(f"{path}: {torn[:40].strip()!r} opens a quote and does not close it; a record is one line")
    return held


def _utf8(path: str, lines: list[bytes]) -> None:
    try:
        b"".join(lines).decode()
    except UnicodeDecodeError as found:
        culprit = next(line for line in lines if _broken(line))
        raise DataError(f"{path}: is not UTF-8 ({found.reason}) in {culprit[:80]!r}; land it again as UTF-8") from None


def _broken(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return True
    return False


def _names(path: str, header: str) -> list[str]:
    """The names on a CSV's first line."""
    try:
        return [name.strip() for name in next(csv.reader([header], skipinitialspace=True))]
    except csv.Error as found:
        raise DataError(f"{path}: its header cannot be read ({found}); land it again with one") from None


def wanted(source: Files | Kafka) -> list[str]:
    """The columns that records of JSON may not all lack."""
    return [name for name in ddl(source.ddl) if name not in source.optional]


def as_object(line: bytes) -> dict[str, object] | None:
    """An object of JSON; None of a text that is none, which will be a malformed record."""
    try:
        found = json.loads(line.decode("utf-8-sig"), strict=False, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _parquet(source: Files, file: Arrival) -> Landed:
    system, path = _open(file.path)
    with system.open_input_stream(path) as stream:
        body = stream.read()
    try:
        held = pq.ParquetFile(BytesIO(body), coerce_int96_timestamp_unit="us")
        rows, schema = held.metadata.num_rows, held.schema_arrow
    except Exception as found:
        raise DataError(f"{file.path}: is not Parquet ({str(found).splitlines()[0]})") from None
    landed = Landed(file.path, file.stamp, hashlib.blake2b(body, digest_size=16).hexdigest(), rows)
    declared, own = ddl(source.ddl), footer.columns(schema)
    drift = footer.drift(schema, declared)
    if not drift:
        return landed
    kinds = {**declared, **{name: own[name] for name in drift.more}} if drift.grows else own
    unread = tuple(name for name, kind in kinds.items() if not kind or not name)
    if (unread or drift.twice) and source.on_schema_change != "fail":
        raise DataError(f"{file.path}: {_unread(schema, drift, unread)}; mend the file")
    return _by_policy(source, replace(landed, ddl=ddl_text(kinds)), drift, "the footer")


def _unread(schema: pa.Schema, drift: Drift, names: Sequence[str]) -> str:
    """Why Spark cannot read a file even to refuse its rows."""
    if drift.twice:
        return f"the footer {drift.words}"
    return f"the footer has {quoted(names[0])} as {schema.field(names[0]).type}, which Spark does not read"


def _by_policy(source: Files, file: Landed, drift: Drift, where: str) -> Landed:
    """The file as its source takes one that drifted. Errors: DataError where it does not."""
    if not drift:
        return file
    if source.on_schema_change == "quarantine":
        return replace(file, drift=drift.words)
    if source.on_schema_change == "add_columns" and drift.grows:
        return replace(file, added=_addable(file.path, drift.more, ddl(source.ddl)))
    may = ", or name under its `optional` what a file may lack" if source.format == "json" and drift.less else ""
    raise DataError(f"{file.path}: {where} {drift.words}; mend the file or the source's schema{may}")


def _addable(path: str, names: tuple[str, ...], declared: Iterable[str]) -> tuple[str, ...]:
    """Names under which columns can be added to a table. Errors: DataError."""
    if len(names) > MOST_ADDED:
        raise DataError(f"{path}: has {listed(names)} beyond the schema; a file may add {MOST_ADDED} columns")
    known = {name.lower(): name for name in declared}
    for name in names:
        if not ADDABLE.fullmatch(name):
            raise DataError(f"{path}: {quoted(name)} cannot be added; a column has a letter, then letters, digits or _")
        if name.lower() in known:
            raise DataError(
                f"{path}: {quoted(name)} cannot be added beside {quoted(known[name.lower()])}; mend the file"
            )
        known[name.lower()] = name
    return names
