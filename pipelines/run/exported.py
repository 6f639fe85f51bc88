"""What endpoints hold of a person: features by key, in folders that `export --lookup` wrote, and in Redis.

A file is written anew without the keys, and its metadata too, so that an endpoint that is asked to reload sees another;
from a snapshot in Redis they are taken out. Folders elsewhere, copies and images are out of reach.
"""

import json
import os
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from pipelines import keyed
from pipelines.replies import METADATA
from pipelines.spec import Target

WHERE = "features by key in "  # a file, or Redis
URL = "LAKELOOM_REDIS_URL"
Keys = Mapping[tuple[str, ...], Collection[str]]  # columns -> a person's keys, as keyed.key_of has them


def erase(pipeline: str, target: Target, keys: Keys, dry: bool = False) -> dict[str, int]:
    """Where -> how many of a person's keys lie there; they are taken out. dry: only counted.

    Errors: PlatformError for a file that cannot be read, or where the environment names a Redis that does not answer.
    """
    root = Path(target.exports)
    files = sorted(root.rglob(keyed.FILE)) if "://" not in target.exports else []
    found = {f"{WHERE}{f.relative_to(root)}": _erased(f, keys, dry) for f in files if _is_of(f, pipeline)}
    if os.environ.get(URL):
        from pipelines import remote

        found |= {f"{WHERE}Redis, {name}": n for name, n in remote.erase(pipeline, keys, dry).items()}
    return {where: count for where, count in found.items() if count}


def _is_of(file: Path, pipeline: str) -> bool:
    """By its metadata; where there are none it could be."""
    said = file.with_name(METADATA)
    return not said.exists() or _read(said)["model"].startswith(f"{pipeline}.")


def _erased(file: Path, keys: Keys, dry: bool) -> int:
    with closing(keyed.Keyed.opened(file)) as opened:
        held = opened.there(keys.get(opened.keys, ()))
    if held and not dry:
        keyed.erase(file, held)
    if not dry and file.with_name(METADATA).exists():
        _tell(file, file.with_name(METADATA))
    return len(held)


def _tell(file: Path, said: Path) -> None:
    """How many keys the file holds now, to whoever reads its metadata; also where a kill came between the two."""
    with closing(keyed.Keyed.opened(file)) as opened:
        told, held = _read(said), opened.count
    if told["lookup"]["held"] != held:
        part = said.with_name(f".{said.name}")
        text = json.dumps({**told, "lookup": {**told["lookup"], "held": held}}, indent=2)
        part.write_text(f"{text}\n", encoding="utf-8")
        part.replace(said)


def _read(said: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said.read_text(encoding="utf-8"))
    return found
