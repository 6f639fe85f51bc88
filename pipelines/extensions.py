"""Code of a team's own: what the modules that a target lists hold under a register: NETS, ESTIMATORS, WEIGHTS.

A conf names an entry of a register and never a module, so that whoever writes
it can ask for nothing but what those who deploy have laid out.
"""

import hashlib
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from pipelines.errors import SpecError


def named(register: str, asked: tuple[str, str], modules: Sequence[str]) -> Callable[..., Any]:
    """What stands under a name in a register of these modules; of two the later one's.

    asked: the key of the conf and its value. Errors: SpecError where there is none, or where a module has gone.
    """
    key, name = asked
    there = {each: made for module in modules for each, made in getattr(_module(module), register, {}).items()}
    if name not in there:
        known = f"there are {', '.join(sorted(there)) or 'none'}" if modules else "the target names no extensions"
        raise SpecError(f"{key}: {name} is in {register} of no extension; {known}")
    made: Callable[..., Any] = there[name]
    return made


def _module(name: str) -> object:
    try:
        return import_module(name)
    except ImportError as error:
        raise SpecError(f"extensions: {name} cannot be imported here: {error}") from error


def code(modules: Sequence[str]) -> dict[str, str]:
    """The hash of each module's file, of a package of all its files, so that a training of other code is another."""
    found = {name: sources(name) for name in modules}
    return {name: hashlib.sha256(b"".join(map(_line, files))).hexdigest() for name, files in found.items() if files}


def sources(name: str) -> list[tuple[str, bytes]]:
    """Path and text of each file of a module or package, out of a folder or of a wheel on the path; sorted by path."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return []
    place = Path((spec.submodule_search_locations or [spec.origin])[0])
    if archive := getattr(spec.loader, "archive", None):  # zipimport's
        return _zipped(Path(archive), place)
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    return [(file.relative_to(place).as_posix(), file.read_bytes()) for file in files]


def _zipped(archive: Path, place: Path) -> list[tuple[str, bytes]]:
    inner = place.relative_to(archive)
    with ZipFile(archive) as whole:
        files = sorted(Path(name) for name in whole.namelist() if name.endswith(".py"))
        found = [file for file in files if file.is_relative_to(inner)]
        return [(file.relative_to(inner).as_posix(), whole.read(file.as_posix())) for file in found]


def _line(file: tuple[str, bytes]) -> bytes:
    return hashlib.sha256(file[1]).digest()
