"""Where a training stood after an epoch, to go on from there: one file, named by its hash.

A file that was not written whole, or was changed, does not have the hash in its
name and is passed over for the one before. It is safetensors, which can hold
arrays and nothing that runs.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pipelines.deep.job import Folder

BEGIN, END, KEPT = "epoch-", ".safetensors", 2
POSITION = "position"  # the array that holds what is no array, as JSON


def keep(folder: Folder, arrays: Mapping[str, Any], position: Mapping[str, Any]) -> None:
    """Write where a training stands; of those before, the last one stays. position: JSON, with 'epoch'."""
    told = np.frombuffer(json.dumps(position).encode(), np.uint8)
    content = save({**arrays, POSITION: told})
    folder.write(f"{BEGIN}{position['epoch']:05}-{hashlib.sha256(content).hexdigest()}{END}", content)
    for old in list(folder.names(BEGIN))[:-KEPT]:
        folder.remove(old)


def newest(folder: Folder) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The arrays and the position of the newest file that is whole; None where there is none."""
    for name in reversed(list(folder.names(BEGIN))):
        content = folder.read(name) or b""
        if hashlib.sha256(content).hexdigest() != name.removesuffix(END).rpartition("-")[2]:
            continue
        try:
            arrays = load(content)
        except SafetensorError:
            continue
        return arrays, json.loads(arrays.pop(POSITION).tobytes())
    return None
