"""Pictures as numbers: decoded where they are needed, by the rank that trains and by the task that scores.

PNG and JPEG. A picture is brought to the net's size and channels, each pixel to
[0, 1]. One that is missing is black.
"""

import io
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG")
MOST_PIXELS = 64_000_000  # of a file; more is a bomb rather than a picture
MODES = {1: "L", 3: "RGB"}
Shape = tuple[int, int, int]  # channels, height, width


def decoded(content: bytes | None, shape: Shape) -> NDArray[np.float32]:
    """The pixels of a picture one after the other, by channel, row and column.

    Errors: ValueError for what is no picture, or a far too large one.
    """
    channels, height, width = shape
    if content is None:
        return np.zeros(channels * height * width, np.float32)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own word on large pictures; ours follows
            picture: Any = Image.open(io.BytesIO(content), formats=FORMATS)
        if picture.width * picture.height > MOST_PIXELS:
            raise ValueError(f"{picture.width:,} x {picture.height:,} pixels are more than {MOST_PIXELS:,}")
        picture = picture.convert(MODES[channels])
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise ValueError(f"no PNG or JPEG that can be read: {(str(error).splitlines() or [''])[0][:100]}") from error
    pixels = np.asarray(picture, np.float32).reshape(height, width, channels)
    return pixels.transpose(2, 0, 1).reshape(-1) / np.float32(255)


def seen(contents: Iterable[bytes | None], shape: Shape) -> NDArray[np.float32]:
    """Of each picture its pixels; one that cannot be read is as black as one that is missing."""
    made = [_or_black(content, shape) for content in contents]
    return np.stack(made) if made else np.empty((0, int(np.prod(shape))), np.float32)


def _or_black(content: bytes | None, shape: Shape) -> NDArray[np.float32]:
    try:
        return decoded(content, shape)
    except ValueError:
        return decoded(None, shape)
