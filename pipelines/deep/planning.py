"""The row groups of one version of a Delta table, by its log and the footers of its files."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines import log, where
from pipelines.deep.shards import Group

AT_ONCE = 16  # footers
NONE: NDArray[np.int64] = np.empty(0, np.int64)


def groups(path: str, version: int) -> tuple[Group, ...]:
    """In the order of file names. Cost: reads the log, each footer and deletion vector; no row."""
    system, place = where.at(path)
    gone = log.deleted(path, version)

    def of(file: str) -> list[Group]:
        footer = pq.read_metadata(f"{place}/{file}", filesystem=system)
        rows = [footer.row_group(i).num_rows for i in range(footer.num_row_groups)]
        return _living(file, rows, gone.get(file, NONE))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return tuple(group for found in pool.map(of, sorted(log.files(path, version))) for group in found)


def _living(file: str, rows: Sequence[int], gone: NDArray[np.int64]) -> list[Group]:
    """The row groups of a file by the rows that each still has."""
    ends = [0, *accumulate(rows)]
    lost = np.diff(np.searchsorted(gone, ends))
    return [
        Group(file, i, n - int(k), first, int(k))
        for i, (n, k, first) in enumerate(zip(rows, lost, ends[:-1], strict=True))
    ]
