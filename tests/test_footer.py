"""Parquet types against declared ones: what is let through, Spark reads to the last value; the rest is drift."""

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import footer
from pipelines.columns import ddl_text

pytestmark = pytest.mark.spark

NOON = datetime(2013, 1, 1, 12, 0, 0, 123456)
VALUES: dict[pa.DataType, object] = {  # a value at the edge of each type
    pa.bool_(): True,
    pa.int8(): -128,
    pa.int16(): -(2**15),
    pa.int32(): -(2**31),
    pa.int64(): -(2**63),
    pa.uint8(): 255,
    pa.uint16(): 2**16 - 1,
    pa.uint32(): 2**32 - 1,
    pa.uint64(): 2**64 - 1,
    pa.float16(): 0.5,
    pa.float32(): 0.5,
    pa.float64(): 1e300,
    pa.string(): "é",
    pa.large_string(): "é",
    pa.binary(): b"\xff",
    pa.binary(2): b"\xff\x00",
    pa.date32(): date(1850, 1, 1),
    pa.time64("us"): NOON.time(),
    pa.timestamp("us"): NOON,
    pa.timestamp("ms", tz="UTC"): NOON.replace(microsecond=123000, tzinfo=UTC),
    pa.timestamp("ns"): NOON,
    pa.decimal128(5, 2): Decimal("-999.99"),
    pa.decimal128(25, 3): Decimal("9999999999999999999999.999"),
    pa.dictionary(pa.int32(), pa.string()): "é",
    pa.list_(pa.int32()): [1, None],
    pa.map_(pa.string(), pa.int64()): [("k", 2**40)],
    pa.struct([("a", pa.int32()), ("b c", pa.string())]): {"a": 1, "b c": "x"},
    pa.list_(pa.timestamp("us")): [NOON],
}
DECLARED = (
    "BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "STRING", "BINARY", "DATE", "TIMESTAMP",
    "TIMESTAMP_NTZ", "DECIMAL(5,2)", "DECIMAL(4,2)", "DECIMAL(5,3)", "DECIMAL(8,3)", "DECIMAL(25,3)", "DECIMAL(38,5)",
    "DECIMAL(20,0)", "ARRAY<INT>", "ARRAY<BIGINT>", "MAP<STRING, BIGINT>", "STRUCT<a: INT, `b c`: STRING>",
    "STRUCT<a: INT>", "ARRAY<TIMESTAMP>",
)  # fmt: skip
UNREAD = (pa.float16(), pa.time64("us"), pa.timestamp("ns"))


def written(folder: Path, kind: pa.DataType) -> str:
    path = folder / f"{abs(hash(kind))}.parquet"
    pq.write_table(pa.table({"v": pa.array([VALUES[kind], None], kind)}), path)
    return str(path)


def plain(value: object) -> object:
    """As Python values that compare, whichever reader they come from."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, dict):
        return tuple(sorted((k, plain(v)) for k, v in value.items()))
    if isinstance(value, list | tuple):
        return tuple(map(plain, value))
    return bytes(value) if isinstance(value, bytearray) else value


def test_what_is_let_through_spark_reads_to_the_last_value(spark, tmp_path):
    let = [(kind, name) for kind, name in product(VALUES, DECLARED) if footer.reads(kind, name)]

    for kind, name in let:
        frame = spark.read.schema(f"v {name}").parquet(written(tmp_path, kind))
        found = [row.asDict(recursive=True)["v"] for row in frame.collect()]
        assert [plain(v) for v in found] == [plain(VALUES[kind]), None], (kind, name)

    assert {kind for kind, _ in let} == set(VALUES) - set(UNREAD)
    assert (pa.int32(), "BIGINT") in let
    assert (pa.int64(), "INT") not in let
    assert (pa.uint32(), "INT") not in let
    assert (pa.timestamp("us"), "TIMESTAMP") in let
    assert (pa.timestamp("ms", tz="UTC"), "TIMESTAMP_NTZ") not in let


def test_every_column_of_a_footer_is_read_in_its_own_words(spark, tmp_path):
    kinds = [kind for kind in VALUES if kind not in UNREAD]
    names = [f"{i} `.é" for i in range(len(kinds))]
    path = str(tmp_path / "own.parquet")
    columns = [pa.array([VALUES[kind], None], kind) for kind in kinds]
    pq.write_table(pa.table(columns, names=names), path)

    own = footer.columns(pq.read_schema(path))
    (row, nothing) = spark.read.schema(ddl_text(own)).parquet(path).collect()

    assert [plain(v) for v in row.asDict(recursive=True).values()] == [plain(VALUES[kind]) for kind in kinds]
    assert set(nothing) == {None}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": pa.int32(), "B": pa.string()}, ""),  # Spark reads Parquet without regard to case
        ({"b": pa.string(), "a": pa.int32()}, ""),
        ({"a": pa.int64(), "b": pa.string()}, "has 'a' as BIGINT, which the schema has as INT"),
        ({"a": pa.int32(), "b": pa.null()}, "has 'b' as null, which the schema has as STRING"),
        ({"a": pa.int32()}, "lacks 'b'"),
        ({"a": pa.int32(), "b": pa.string(), "A": pa.int32()}, "has 'a', 'A' more than once"),
    ],
)
def test_another_footer_is_said_in_a_few_words(columns, words):
    found = footer.drift(pa.schema(list(columns.items())), {"a": "INT", "b": "STRING"})

    assert found.words == words
