"""Sources to frames: each record typed, each with where it came from, none lost.

Beside the declared columns a frame has `_row`, a struct that follows the
record through the table's select (columns.carry):
  file   STRING  where it stands: its file, or its topic, partition and offset
  hash   STRING  128 bits of its content, in hex: breaks ties between equal sequences
  text   STRING  the line itself where it could not be read, else null
  record STRUCT  the source's columns, for the quarantine
A record that could not be read has null in every declared column.
"""

import re
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from pipelines.columns import ddl
from pipelines.spec import Files

ROW = "_row"
CORRUPT = "_corrupt_record"
AS_JSON = {  # a refused record is kept as JSON, whole to the microsecond
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "timestampNTZFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
}
BESIDE = {  # types of what a source says of a record
    "kafka_key": "STRING", "kafka_partition": "INT", "kafka_offset": "BIGINT", "kafka_timestamp": "TIMESTAMP",
    "change_type": "STRING", "commit_version": "BIGINT",
}  # fmt: skip
GLOB = re.compile(r"[\[\]{}*?\\]")  # a file's name is meant as it stands, not as a pattern


def read(spark: SparkSession, source: Files, files: Sequence[str]) -> DataFrame:
    """All records of some files of a source, lazily; empty if there are none.

    Types : as declared; a value that is not of its type makes the whole line malformed.
    Cost  : one scan; two projections.
    """
    raw = _scan(spark, source, files) if files else spark.createDataFrame([], f"{source.ddl}, {CORRUPT} STRING")
    file = F.col("_metadata.file_path") if files else F.lit(None).cast("string")
    return shaped(raw, tuple(ddl(source.ddl)), file, F.col(CORRUPT))


def shaped(raw: DataFrame, names: Sequence[str], where: Column, text: Column, beside: Sequence[str] = ()) -> DataFrame:
    """Records with their `_row`, from whatever source.

    names : the declared columns of raw, null in a record that could not be read.
    where : becomes `_row.file`: where the record stands.
    text  : the record as it came where it could not be read, else null.
    beside: columns of raw that are no part of the content: what the source says of a record.
    """
    well = text.isNull()
    held = [F.when(well, F.col(f"`{n}`")).alias(n) for n in names]
    row = F.struct(
        where.alias("file"),
        F.when(well, _hashed(raw.select(*[f"`{n}`" for n in names]).schema)).otherwise(F.md5(text)).alias("hash"),
        text.alias("text"),
        F.struct(*[F.col(f"`{n}`") for n in (*names, *beside)]).alias("record"),
    )
    return raw.select(*held, *beside, row.alias(ROW))


def _scan(spark: SparkSession, source: Files, files: Sequence[str]) -> DataFrame:
    reader = spark.read.schema(f"{source.ddl}, {CORRUPT} STRING").option("columnNameOfCorruptRecord", CORRUPT)
    paths = [GLOB.sub(r"\\\g<0>", f) for f in files]
    if source.format == "csv":
        return reader.csv(paths, header=True, mode="PERMISSIVE", nullValue=source.null, escape='"')
    if source.format == "json":
        return _objects(spark, source, paths)
    return spark.read.schema(source.ddl).parquet(*paths).withColumn(CORRUPT, F.lit(None).cast("string"))


def _objects(spark: SparkSession, source: Files, paths: Sequence[str]) -> DataFrame:
    """Lines of JSON. Spark's own reader of them takes the first of two objects on a line and loses the other."""
    lines = spark.read.text(list(paths)).select(F.regexp_replace("value", "^\ufeff", "").alias("value"), "_metadata")
    value, options = F.col("value"), {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
    parsed = F.from_json(value, f"{source.ddl}, {CORRUPT} STRING", options).alias("parsed")
    read = lines.where(~value.rlike(r"^[ \t\r]*$")).select(parsed, unreadable(value).alias("unreadable"), "_metadata")
    fields = [F.col("parsed").getField(n).alias(n) for n in ddl(source.ddl)]
    return read.select(*fields, F.coalesce("unreadable", F.col("parsed").getField(CORRUPT)).alias(CORRUPT), "_metadata")


def unreadable(value: Column) -> Column:
    """A text of which from_json would make a record of nulls, or would read the first part only; else null."""
    alone = F.coalesce(F.json_array_length(F.concat(F.lit("["), value, F.lit(",{}]"))) == 2, F.lit(False))
    return F.when(~(alone & value.rlike(r"^\s*\{")), value)


def _hashed(record: StructType) -> Column:
    """Two hashes of the typed values, and which of them are null: Spark's hash passes over a null. Text costs twice."""
    if any(kind in f.dataType.simpleString() for f in record for kind in ("map<", "variant")):
        return F.md5(_text([f.name for f in record]))  # which Spark does not hash
    columns = [F.col(f"`{f.name}`") for f in record]
    nulls = F.concat(*[F.when(c.isNull(), "1").otherwise("0") for c in columns])
    return F.concat_ws("-", *[F.hex(F.xxhash64(F.lit(seed), nulls, *columns)) for seed in (1, 2)])


def _text(names: Sequence[str]) -> Column:
    """The record as one text in which null and '' differ and columns cannot run together."""
    return F.concat_ws("\x1f", *[F.coalesce(F.col(f"`{n}`").cast("string"), F.lit("\x00")) for n in names])
