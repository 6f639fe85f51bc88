"""The files of a model and their SHA-256: what was written at training is what is loaded.

One hash over all decides; the list of files beside it says which one changed.
Checksums that Hadoop writes beside its files are not looked at: they may differ
without a change of content.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

MOST = 3  # files that a sentence names
Files = Mapping[str, str]  # path under the model's folder -> SHA-256


def listed(folder: Path) -> dict[str, str]:
    """Every file under a folder, by name. Cost: reads them all."""
    found = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".crc"))
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in found}


def whole(files: Files) -> str:
    """SHA-256 over the names and hashes of all files, in the order in which `listed` has them."""
    lines = "".join(f"{name} {digest}\n" for name, digest in files.items())
    return hashlib.sha256(lines.encode()).hexdigest()


def unlike(was: Files, now: Files) -> str:
    """What became of the files, in words: 'metadata/part-00000 was changed'; '' for nothing."""
    changed = [f"{name} was changed" for name in was if name in now and was[name] != now[name]]
    gone = [f"{name} is gone" for name in was if name not in now]
    new = [f"{name} is new" for name in now if name not in was]
    said = [*changed, *gone, *new]
    more = [f"and {len(said) - MOST} more"] if len(said) > MOST else []
    return ", ".join([*said[:MOST], *more])
