"""A net that begins with weights that were learned elsewhere: arrays in a safetensors file, and nothing that runs.

A conf names them; which file that is, `WEIGHTS` of a module of the target's
`extensions` says. The driver reads it once and lays it into the job's folder,
so that every rank begins with the same bytes whatever becomes of the file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from pipelines.errors import DataError, SpecError
from pipelines.extensions import named

FILE = "pretrained"  # in the job's folder
OURS = ("filters.",)  # what of our own net may come from elsewhere: the layers above are each task's own


def opened(name: str, extensions: Sequence[str]) -> bytes:
    """The file that stands under a name. Errors: SpecError where there is none."""
    path = Path(str(named("WEIGHTS", ("pretrained", name), extensions)))
    try:
        return path.read_bytes()
    except OSError as error:
        raise SpecError(f"pretrained: the file of {name} in WEIGHTS cannot be read: {error.strerror}") from error


def fitting(name: str, content: bytes, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """The arrays of these names, each of its shape; what else is in the file is passed over.

    Errors: DataError for what is no such file, lacks an array, or has one of another shape.
    """
    try:
        arrays: dict[str, Any] = load(content)
    except (SafetensorError, KeyError) as error:
        raise DataError(f"pretrained: {name} is no safetensors file of float numbers: {error}") from error
    for array, shape in shapes.items():
        if array not in arrays:
            raise DataError(f"pretrained: {name} has no {array}; it has {_some(arrays)}")
        if arrays[array].shape != shape:
            was, wanted = (" x ".join(map(str, sides)) or "one number" for sides in (arrays[array].shape, shape))
            raise DataError(f"pretrained: {array} is {was} in {name}, and this net wants {wanted}")
        if not np.isfinite(arrays[array]).all():
            raise DataError(f"pretrained: {array} of {name} has a value that is no finite number")
    return {array: arrays[array].astype(np.float32) for array in shapes}


def _some(arrays: Mapping[str, Any]) -> str:
    names = sorted(arrays)
    return ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "") or "no array at all"
