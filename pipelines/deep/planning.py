"""The row groups of one version of a Delta table, by its log and the footers of its files."""

from concurrent.futures import ThreadPoolExecutor

import pyarrow.fs as pafs
import pyarrow.parquet as pq

from pipelines import log
from pipelines.deep.shards import Group

AT_ONCE = 16  # footers


def groups(path: str, version: int) -> tuple[Group, ...]:
    """In the order of file names. Cost: reads the log and each footer; no row.

    Errors: DataError for a version with deletion vectors, whose files hold rows that the table has not.
    """
    system, place = pafs.FileSystem.from_uri(path)

    def of(file: str) -> list[Group]:
        footer = pq.read_metadata(f"{place}/{file}", filesystem=system)
        return [Group(file, i, footer.row_group(i).num_rows) for i in range(footer.num_row_groups)]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return tuple(group for found in pool.map(of, sorted(log.files(path, version))) for group in found)
