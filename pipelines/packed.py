"""Files packed by gzip, which Spark unpacks by name: here as a stream, bounded in memory, time and what comes out.

A few kilobytes can unpack to terabytes. So what comes out is counted as it
comes, and a file that goes beyond what data pack to is refused.
"""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from pipelines.errors import DataError

GZIP = ".gz"
MOST_UNPACKED = 8 << 30  # bytes; one task reads the whole file, for gzip cannot be entered in the middle
MOST_RATIO = 200  # times its size; text packs to a twentieth at best, equal lines to a thousandth
FREE = 64 << 20  # bytes that a file may unpack to whatever its size
_WITH_HEADER = 31  # zlib's word for gzip


def unpacked(path: str, size: int, blocks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """The content of a gzip file in parts of at most `most` bytes; of several streams one after the other.

    path, size: of the file, packed. Errors: DataError for what is damaged, cut off, or unpacks to too much.
    """
    came, stream = 0, None
    for block in blocks:
        left = block
        while left:
            stream = stream or zlib.decompressobj(_WITH_HEADER)
            part = _part(path, stream, left, most)
            came += len(part)
            _refuse_bomb(path, came, size)
            if part:
                yield part
            left = stream.unused_data if stream.eof else stream.unconsumed_tail
            stream = None if stream.eof else stream
    if stream is not None:
        raise DataError(f"{path}: is packed, and ends too early; land it again whole")


def _part(path: str, stream: "zlib._Decompress", left: bytes, most: int) -> bytes:
    try:
        return stream.decompress(left, most)
    except zlib.error as found:
        said = str(found).partition("decompressing data: ")[2] or str(found)
        raise DataError(f"{path}: cannot be unpacked ({said}); land it again whole") from None


def _refuse_bomb(path: str, came: int, size: int) -> None:
    if came > MOST_UNPACKED:
        raise DataError(f"{path}: unpacks to more than {MOST_UNPACKED >> 20:,} MiB; land it in parts, or unpacked")
    if came > FREE and came > size * MOST_RATIO:
        raise DataError(f"{path}: unpacks to more than {MOST_RATIO} times its size; land it unpacked if it is meant so")


def opened(file: Path, mode: str = "rb") -> IO[bytes]:
    """A file on this machine, unpacked or packed where its name says so."""
    return gzip.open(file, mode) if file.name.endswith(GZIP) else file.open(mode)  # type: ignore[return-value]
