"""TPC-H's lineitem as landed Parquet: made once by tpchgen-cli, then sliced, spoiled or corrected.

Rows are ordered by l_orderkey, so that a slice at the end holds the newest
orders. What is made is the same at every call.
"""

import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.machine import run_process

_MONEY, _DAY = pa.decimal128(15, 2), pa.date32()
SCHEMA = pa.schema(
    [
        *((name, pa.int64()) for name in ("l_orderkey", "l_partkey", "l_suppkey")),
        ("l_linenumber", pa.int32()),
        *((name, _MONEY) for name in ("l_quantity", "l_extendedprice", "l_discount", "l_tax")),
        *((name, pa.string()) for name in ("l_returnflag", "l_linestatus")),
        *((name, _DAY) for name in ("l_shipdate", "l_commitdate", "l_receiptdate")),
        *((name, pa.string()) for name in ("l_shipinstruct", "l_shipmode", "l_comment")),
    ]
)
_SPARK = {pa.int64(): "BIGINT", pa.int32(): "INT", _MONEY: "DECIMAL(15,2)", pa.string(): "STRING", _DAY: "DATE"}
COLUMNS: Sequence[str] = SCHEMA.names
DDL = ", ".join(f"{field.name} {_SPARK[field.type]}" for field in SCHEMA)
ROWS_PER_SCALE = 6_000_000  # about
MORE = 1.02  # what is asked for, so that it is enough
FILE_ROWS = 1_000_000  # of a landed file
LATE_DAYS = 10_000  # a corrected row is received so much later, beyond every other
ONE_IN = 300  # rows spoiled in each of three ways, together 1 %


def made(rows: int, folder: Path) -> Path:
    """One file of at least so many rows."""
    scale = rows / ROWS_PER_SCALE * MORE
    tpchgen = str(Path(sys.executable).with_name("tpchgen-cli"))
    argv = [tpchgen, "parquet", "-s", f"{scale:.5f}", "--tables=lineitem", f"--output-dir={folder}", "--quiet"]
    folder.mkdir(parents=True)
    run_process(argv, folder, folder / "tpchgen.log")
    return folder / "lineitem.parquet"


def part(file: Path, first: int, count: int) -> pa.Table:
    """Rows [first, first + count)."""
    whole, found, begins = pq.ParquetFile(file), [], 0
    for group in range(whole.num_row_groups):
        ends = begins + whole.metadata.row_group(group).num_rows
        low, high = max(first, begins), min(first + count, ends)
        if low < high:
            found.append(whole.read_row_group(group).slice(low - begins, high - low).cast(SCHEMA))
        begins = ends
    return pa.concat_tables(found)


def rows_of(folder: Path) -> int:
    """Rows of landed files, by their footers."""
    return sum(pq.read_metadata(file).num_rows for file in folder.glob("*.parquet"))


def spoiled(rows: pa.Table) -> pa.Table:
    """1 % bad: some quantities too great, some ship modes unknown, some both taxed too high and oddly instructed."""
    place = pa.array(range(rows.num_rows))
    of_three = pc.subtract(place, pc.multiply(pc.divide(place, ONE_IN), ONE_IN))
    bad = [pc.equal(of_three, way * ONE_IN // 3) for way in range(3)]
    rows = _where(rows, bad[0], "l_quantity", Decimal(51))
    rows = _where(rows, bad[1], "l_shipmode", "TRUK")
    rows = _where(rows, bad[2], "l_tax", Decimal(1))
    return _where(rows, bad[2], "l_shipinstruct", "hold it")


def corrected(rows: pa.Table) -> pa.Table:
    """The same orders, received later and with another comment."""
    days = pc.add(rows["l_receiptdate"].cast(pa.int32()), pa.scalar(LATE_DAYS, pa.int32())).cast(_DAY)
    rows = rows.set_column(COLUMNS.index("l_receiptdate"), "l_receiptdate", days)
    comments = pa.array(["corrected"] * rows.num_rows)
    return rows.set_column(COLUMNS.index("l_comment"), "l_comment", comments)


def land(file: Path, count: int, folder: Path) -> None:
    """The first rows, in files of at most a million."""
    for first in range(0, count, FILE_ROWS):
        put(part(file, first, min(FILE_ROWS, count - first)), folder / f"lineitem-{first // FILE_ROWS:03}.parquet")


def put(rows: pa.Table, file: Path) -> None:
    """One landed file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, file)


def _where(rows: pa.Table, chosen: pa.Array, column: str, value: object) -> pa.Table:
    field = SCHEMA.field(column)
    values = pc.if_else(chosen, pa.scalar(value, field.type), rows[column])
    return rows.set_column(COLUMNS.index(column), field, values)
