"""Rows into bins, in the Python worker of a Spark task: whole columns at a time, so that no row is looked at alone.

A feature is a column of its own name: doubles of a number, text of a category. WINDOW is where a row belongs.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.monitor.bins import LARGEST, Bins, Categories, Numbers

WINDOW = "__window"
COUNTED = "w bigint, c int, n array<bigint>, x array<double>"  # window, place of the feature, and per slot: rows, sum

Held = NDArray[Any]  # shape (2, slots): rows and sums


def binned(bins: Mapping[str, Bins], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The counts of one task's rows, as COUNTED. Memory: one batch, and counts."""
    held: dict[int | None, list[Held]] = defaultdict(lambda: [np.zeros((2, b.slots)) for b in bins.values()])
    for batch in batches:
        windows, which = _windows(batch.column(WINDOW))
        for at, (name, of) in enumerate(bins.items()):
            counted = _slots(of, batch.column(name), which, len(windows))
            for window, found in zip(windows, counted, strict=True):
                held[window][at] += found
    rows = [(w, c, *found) for w, all_found in held.items() for c, found in enumerate(all_found)]
    columns = zip(*[(w, c, n.astype(np.int64).tolist(), x.tolist()) for w, c, n, x in rows], strict=True)
    if rows:
        types = (pa.int64(), pa.int32(), pa.list_(pa.int64()), pa.list_(pa.float64()))
        yield pa.RecordBatch.from_arrays(
            [pa.array(v, t) for v, t in zip(columns, types, strict=True)], names=list("wcnx")
        )


def _windows(column: pa.Array) -> tuple[list[int | None], NDArray[np.int64]]:
    """Those of the batch, and the place of each row's among them."""
    coded = pc.dictionary_encode(column, null_encoding="encode")
    return coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False).astype(np.int64)


def _slots(bins: Bins, column: pa.Array, which: NDArray[np.int64], windows: int) -> NDArray[np.float64]:
    """Rows and sums of values, shape (windows, 2, slots)."""
    values = np.zeros(len(column))
    if isinstance(bins, Numbers):
        values = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    place = bins.place(values) if isinstance(bins, Numbers) else placed(bins, column)
    flat, size = which * bins.slots + place if windows > 1 else place, windows * bins.slots
    both = [np.bincount(flat, minlength=size), np.bincount(flat, weights=_summed(values), minlength=size)]
    return np.stack([part.reshape(windows, bins.slots) for part in both], axis=1)


def _summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What of each value goes into a sum: nothing of a missing one, of an endless one the largest there is."""
    if len(values) and values.max() <= LARGEST and values.min() >= -LARGEST:  # False where one is NaN
        return values
    return np.clip(np.nan_to_num(values, nan=0.0, posinf=LARGEST, neginf=-LARGEST), -LARGEST, LARGEST)


def placed(bins: Categories, column: pa.Array) -> NDArray[np.int64]:
    """The slot of each text: its own, of the others, of new ones, of missing ones."""
    known = len(bins.values)
    beyond = known + 1 if bins.complete else known
    own = pc.index_in(column, value_set=pa.array(bins.values, column.type))
    others = pa.array(bins.others, column.type)
    rest = pc.if_else(pc.is_in(column, value_set=others), known, beyond) if bins.others else pa.scalar(beyond)
    found = pc.if_else(pc.is_null(column), bins.slots - 1, pc.coalesce(own, rest))
    return np.asarray(found.to_numpy(zero_copy_only=False), np.int64)
