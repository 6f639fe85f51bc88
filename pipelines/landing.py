"""Files that arrive, seen without a JVM: which there are, which are new, what each holds.

A file is known by its content: the same bytes under another name are a
duplicate. The census reads each new file once and is independent of Spark, so
that its row count is a real check of the rows that Spark then reads.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO

import pyarrow.fs as pafs
import pyarrow.parquet as pq

from pipelines.columns import ddl
from pipelines.errors import DataError, SpecError
from pipelines.spec import Files

CHUNK = 4 << 20  # bytes a read
MOST_LINE = 16 << 20  # bytes
MOST_FIELDS = 20_000  # on a CSV line; Spark's reader ends at 20,480
BLANK = {"csv": bytes(range(33)), "json": b" \t\r\n"}  # Spark skips a line of nothing else
PACKED = (".gz", ".bz2", ".zst", ".lz4", ".snappy", ".deflate")  # Spark unpacks by name
AT_ONCE = 4  # files


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

    Errors: DataError for an empty file, one that is not UTF-8, a header that is not the schema's, or a name or
    line that Spark's readers cannot take.
    """
    look = _parquet if source.format == "parquet" else _text(source)

    def named(file: Arrival) -> Landed:
        if ":" in file.path.rpartition("/")[2]:
            raise DataError(f"{file.path}: Spark cannot open a name with ':'; land it under another name")
        return look(file)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return tuple(pool.map(named, new))


def _open(folder: str) -> tuple[pafs.FileSystem, str]:
    system, path = pafs.FileSystem.from_uri(folder)
    return system, path


def _unfinished(path: str) -> bool:
    return any(p.startswith((".", "_")) for p in path.split("/")) or path.endswith(".tmp")


def _text(source: Files) -> Callable[[Arrival], Landed]:
    def look(file: Arrival) -> Landed:
        if file.size == 0:
            raise DataError(f"{file.path}: is empty; remove it, or land it again whole")
        if file.path.endswith(PACKED):
            raise DataError(f"{file.path}: is packed, by its name; land it unpacked")
        hashed, lines, header = _read(file, source.format)
        if source.format == "csv":
            _same_header(file.path, header, list(ddl(source.ddl)))
        return Landed(file.path, file.stamp, hashed, lines - (source.format == "csv"))

    return look


def _read(file: Arrival, form: str) -> tuple[str, int, str]:
    """Content hash, lines that hold something (Spark skips the others), and the first of them."""
    hashed, rest, lines, header = hashlib.blake2b(digest_size=16), b"", 0, b""
    system, path = _open(file.path)
    with system.open_input_stream(path, compression=None) as stream:
        while block := stream.read(CHUNK):
            hashed.update(block)
            whole = (rest + block).splitlines(keepends=True)
            rest = b"" if whole[-1].endswith(b"\n") else whole.pop()
            if len(rest) > MOST_LINE:
                raise DataError(f"{file.path}: line {lines + 1} is longer than {MOST_LINE} bytes; land it as lines")
            held = _records(file.path, whole, form)
            header = header or next(iter(held), b"")
            lines += len(held)
    held = _records(file.path, [rest], form)
    header = header or next(iter(held), b"")
    return hashed.hexdigest(), lines + len(held), header.decode("utf-8-sig").strip()


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


def _same_header(path: str, header: str, expected: list[str]) -> None:
    found = [h.strip().strip('"') for h in header.split(",")]
    if found == expected:
        return
    extra = [h for h in found if h not in expected]
    gone = [e for e in expected if e not in found]
    how = " and ".join(
        text
        for text in (
            f"has {', '.join(map(repr, extra))}, which the schema has not" if extra else "",
            f"lacks {', '.join(map(repr, gone))}" if gone else "",
        )
        if text
    )
    raise DataError(
        f"{path}: the header {how or 'has another order than the schema'}; mend the file or the source's schema"
    )


def _parquet(file: Arrival) -> Landed:
    system, path = _open(file.path)
    with system.open_input_stream(path) as stream:
        body = stream.read()
    try:
        rows = pq.ParquetFile(BytesIO(body)).metadata.num_rows
    except Exception as found:
        raise DataError(f"{file.path}: is not Parquet ({str(found).splitlines()[0]})") from None
    return Landed(file.path, file.stamp, hashlib.blake2b(body, digest_size=16).hexdigest(), rows)
