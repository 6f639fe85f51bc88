"""Sources to frames: each record typed, each with where it came from, none lost.

Beside the declared columns a frame has `_row`, a struct that follows the
record through the table's select (columns.carry):
  file   STRING  where it stands: its file, or its topic, partition and offset
  hash   STRING  128 bits of its content, in hex: breaks ties between equal sequences
  text   STRING  the record as it came where it is refused as a whole, else null
  why    STRING  the reason of that, if it is another than that it could not be read
  record STRUCT  the source's columns, for the quarantine
  added  STRUCT  columns beyond the schema, all text, that the table gets under their own names; where there are any
A record that is refused as a whole has null in every declared column.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from urllib.parse import unquote

from pyspark.sql import Column, DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from pipelines import pii
from pipelines.columns import backquoted, ddl
from pipelines.drift import DRIFTED, MOST_LETTERS
from pipelines.spec import Files, Source

ROW = "_row"
CORRUPT = "_corrupt_record"
FILE, WHY = "_row_file", "_row_why"  # columns of a scan before they are parts of `_row`
AS_JSON = {  # a refused record is kept as JSON, whole to the microsecond
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "timestampNTZFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
}
BESIDE = {  # types of what a source says of a record
    "kafka_key": "STRING", "kafka_partition": "INT", "kafka_offset": "BIGINT", "kafka_timestamp": "TIMESTAMP",
    "change_type": "STRING", "commit_version": "BIGINT",
}  # fmt: skip
GLOB = re.compile(r"[\[\]{}*?\\]")  # a file's name is meant as it stands, not as a pattern
UNREAD = re.compile(r"\[(?:FAILED_READ_FILE|CANNOT_READ_FILE_FOOTER)[\w.]*\].*?([a-z0-9]+:/\S*)\.(?:\s|$)")
MOST_BITS = 62  # of one number
LACKS = f"{DRIFTED}: lacks "
MOST_KEYS = 3  # named in a reason, so that reasons stay few
NEVER = "\x1f\x1e\x1d\x1e\x1f"  # separates no columns


@dataclass(frozen=True)
class Shape:
    """How some files are read."""

    ddl: str = ""  # their own columns, where they are not just the schema's
    drift: str = ""  # why every row of them is refused


@dataclass(frozen=True)
class Keys:
    """What JSON records may have and lack."""

    added: Sequence[str] = ()  # beyond the schema, which become columns of text
    strict: bool = False  # a record with another one is refused; else such a key is ignored
    wanted: Sequence[str] = ()  # a record without one of these is refused; else it is null


@dataclass(frozen=True)
class Beyond:
    """What records have beyond their source's schema."""

    added: Sequence[str] = ()  # columns of the frame, all text
    why: Column | None = None  # why a record is refused, where it is not malformed; then its text is given as well


def read(
    spark: SparkSession,
    source: Files,
    files: Mapping[Shape, Sequence[str]],
    added: Sequence[str] = (),
    strict: bool = False,
) -> DataFrame:
    """All records of some files of a source, lazily; empty if there are none.

    Types : as declared; a value that is not of its type makes the whole line malformed.
    added : the columns beyond the schema that the table has; null in a file without them.
    strict: a JSON record with a key that is neither declared nor added is refused; else such a key is ignored.
    Cost  : one scan and two projections for each shape.
    """
    if not files:
        empty = spark.createDataFrame([], f"{source.ddl}, {CORRUPT} STRING")
        return _shaped(source, empty.withColumn(FILE, F.lit(None).cast("string")), added)
    frames = [_shaped(source, _scan(spark, source, shape, files[shape], added, strict), added) for shape in files]
    return reduce(DataFrame.union, frames)


def _shaped(source: Files, raw: DataFrame, added: Sequence[str]) -> DataFrame:
    texts = {name: _text(raw.schema[name]) if name in raw.columns else F.lit(None).cast("string") for name in added}
    whole = raw.withColumns(texts) if texts else raw
    beyond = Beyond(added, F.col(WHY) if WHY in raw.columns else None)
    return shaped(whole, source, F.col(FILE), F.col(CORRUPT), beyond)


def _text(field: T.StructField) -> Column:
    """A column of any type as text; what is nested as JSON, bytes in base64."""
    held = F.col(backquoted(field.name))
    if isinstance(field.dataType, T.ArrayType | T.MapType | T.StructType):
        return F.to_json(held, AS_JSON)
    return F.base64(held) if isinstance(field.dataType, T.BinaryType) else held.cast("string")


def shaped(raw: DataFrame, source: Source, where: Column, text: Column, beyond: Beyond | None = None) -> DataFrame:
    """Records with their `_row`, from whatever source; here, and nowhere else, its `pii` is guarded.

    raw  : the declared columns, null in a record that is refused as a whole, and what the source says of a record.
    where: becomes `_row.file`: where the record stands.
    text : the record as it came where it is refused as a whole, else null; of a source with pii it is not kept.
    """
    more, names = beyond or Beyond(), tuple(ddl(source.ddl))
    well = text.isNull()
    tokens = pii.Tokens(raw.sparkSession) if source.pii else None
    rows = pii.guarded(raw, source, tokens) if tokens else raw
    held = [F.when(well, F.col(backquoted(n))).alias(n) for n in names]
    row = F.struct(
        where.alias("file"),
        F.when(well, _hashed(rows, names, more.added))
        .otherwise(F.md5(tokens.of(text) if tokens else text))
        .alias("hash"),
        (F.when(text.isNotNull(), pii.REMOVED) if tokens else text).alias("text"),
        (F.lit(None).cast("string") if more.why is None else more.why).alias("why"),
        F.struct(*[F.col(backquoted(n)) for n in (*names, *source.beside, *more.added)]).alias("record"),
        *([F.struct(*[F.when(well, F.col(n)).alias(n) for n in more.added]).alias("added")] if more.added else []),
    )
    return rows.select(*held, *source.beside, row.alias(ROW))


def _scan(
    spark: SparkSession, source: Files, shape: Shape, files: Sequence[str], added: Sequence[str], strict: bool
) -> DataFrame:
    """The declared columns and those added, FILE, the text of what cannot be read, and WHY if there is more to say."""
    paths = [GLOB.sub(r"\\\g<0>", f) for f in files]
    if shape.drift:
        return _refused(spark, source, shape, paths)
    if source.format == "json":
        return _objects(spark, source, paths, added, strict)
    columns, file = shape.ddl or source.ddl, F.col("_metadata.file_path").alias(FILE)
    if source.format == "csv":
        return _lines(spark, columns).csv(paths, nullValue=source.null).select("*", file)
    return spark.read.schema(columns).parquet(*paths).select("*", F.lit(None).cast("string").alias(CORRUPT), file)


def _lines(spark: SparkSession, columns: str) -> DataFrameReader:
    """Spark's reader of CSV lines; one that is not of these columns is kept as text."""
    reader = spark.read.schema(f"{columns}, {CORRUPT} STRING").option("columnNameOfCorruptRecord", CORRUPT)
    return reader.options(header=True, mode="PERMISSIVE", escape='"')


def _refused(spark: SparkSession, source: Files, shape: Shape, paths: Sequence[str]) -> DataFrame:
    """Every record of files that drifted as text: its line, or what Parquet holds as JSON."""
    file, why = F.col("_metadata.file_path").alias(FILE), F.lit(f"{DRIFTED}: {shape.drift}").alias(WHY)
    if source.format == "csv":  # no line has both of two columns that nothing separates, so each is kept whole
        raw = _lines(spark, "a DATE, b DATE").csv(list(paths), sep=NEVER).select("*", file)
        text = F.coalesce(CORRUPT, F.col("a").cast("string"))  # Spark reads no file for the first alone
    elif source.format == "json":
        raw, text, file = _texts(spark, paths), F.col("value"), F.col(FILE)
    else:
        raw = spark.read.schema(shape.ddl).parquet(*paths)
        text = F.to_json(F.struct(*[F.col(backquoted(c)) for c in raw.columns]), AS_JSON)
    nothing = [F.lit(None).cast(kind).alias(name) for name, kind in ddl(source.ddl).items()]
    return raw.select(*nothing, text.alias(CORRUPT), file, why)


def _texts(spark: SparkSession, paths: Sequence[str]) -> DataFrame:
    """Lines as they are, `value`, without those that are blank."""
    file, value = F.col("_metadata.file_path").alias(FILE), F.regexp_replace("value", "^\ufeff", "").alias("value")
    return spark.read.text(list(paths)).select(value, file).where(~F.col("value").rlike(r"^[ \t\r]*$"))


def _objects(spark: SparkSession, source: Files, paths: Sequence[str], added: Sequence[str], strict: bool) -> DataFrame:
    """Lines of JSON. Spark's own reader of them takes the first of two objects on a line and loses the other."""
    return objects(_texts(spark, paths).select("value", FILE), source.ddl, Keys(added, strict))


def objects(texts: DataFrame, schema: str, keys: Keys, torn: Column | None = None) -> DataFrame:
    """`value`, one JSON object each, as columns: those of the schema, those added (as text), CORRUPT and WHY.

    torn: the text of a record that is refused unread, else null.
    What else `texts` has stands beside them.
    """
    value, options = F.col("value"), {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT}
    names, beside = (*ddl(schema), *keys.added), [c for c in texts.columns if c != "value"]
    columns = ", ".join([schema, *(f"{backquoted(n)} STRING" for n in keys.added), f"{CORRUPT} STRING"])
    read = texts.select(
        F.from_json(value, columns, options).alias("parsed"),
        (_unreadable(value) if torn is None else F.coalesce(torn, _unreadable(value))).alias("unreadable"),
        _oddly(_odd(value, names, keys.strict), _lacks(value, keys.wanted)).alias("odd"),
        "value",
        *beside,
    )
    unread = F.coalesce("unreadable", F.col("parsed").getField(CORRUPT))
    text = F.coalesce(unread, F.when(F.col("odd").isNotNull(), value)).alias(CORRUPT)
    fields = [F.col("parsed").getField(n).alias(n) for n in names]
    return read.select(*fields, text, F.when(unread.isNull(), F.col("odd")).alias(WHY), *beside)


def _odd(value: Column, names: Sequence[str], strict: bool) -> Column:
    """The keys of a JSON object that are none of these names; null for none, and where that is not looked at."""
    if not strict:
        return F.lit(None).cast("array<string>")
    found = F.array_except(F.json_object_keys(value), F.array(*[F.lit(n) for n in names]))
    return F.when(F.size(found) > 0, found)


def lacking(value: Column, keys: Sequence[str]) -> Column:
    """Why a JSON object is refused that lacks some keys; null where it has all."""
    lacks = _lacks(value, keys)
    return F.when(lacks.isNotNull(), F.concat(F.lit(LACKS), _named(lacks)))


def _lacks(value: Column, keys: Sequence[str]) -> Column:
    """Those of some keys that a JSON object lacks; null for none, and where none is wanted."""
    if not keys:
        return F.lit(None).cast("array<string>")
    found = F.array_except(F.array(*[F.lit(n) for n in keys]), F.json_object_keys(value))
    return F.when(F.size(found) > 0, found)


def _oddly(odd: Column, lacks: Column) -> Column:
    """Why a record is refused for its keys; null for no keys."""
    has = F.concat(F.lit("has "), _named(odd), F.lit(", which the schema has not"))
    said = F.concat_ws(" and ", has, F.concat(F.lit("lacks "), _named(lacks)))
    return F.when(said != "", F.concat(F.lit(f"{DRIFTED}: "), said))


def _named(keys: Column) -> Column:
    quoted = F.transform(
        F.slice(keys, 1, MOST_KEYS), lambda k: F.concat(F.lit("'"), F.left(k, F.lit(MOST_LETTERS)), F.lit("'"))
    )
    more = F.when(F.size(keys) > MOST_KEYS, " and others").otherwise("")
    return F.concat(F.array_join(quoted, ", "), more)


def unread(error: Exception) -> str:
    """The file that Spark could not read, where that is why it failed; else ''."""
    found = UNREAD.search(str(error))
    return unquote(found[1]).removeprefix("file://") if found else ""


def _unreadable(value: Column) -> Column:
    """A text of which from_json would make a record of nulls, or would read the first part only; else null."""
    alone = F.coalesce(F.json_array_length(F.concat(F.lit("["), value, F.lit(",{}]"))) == 2, F.lit(False))
    return F.when(~(alone & value.rlike(r"^\s*\{")), value)


def _hashed(raw: DataFrame, names: Sequence[str], added: Sequence[str]) -> Column:
    """Two hashes of the typed values, and which of them are null: Spark's hash passes over a null. Text costs twice.

    What is added counts only where it is there, by name: a record is the same before and after others brought a column.
    """
    columns = [F.col(backquoted(n)) for n in names]
    kinds = [raw.schema[n].dataType.simpleString() for n in names]
    if any(kind in text for text in kinds for kind in ("map<", "variant")):  # which Spark does not hash
        columns = [F.concat_ws("\x1f", *[F.coalesce(c.cast("string"), F.lit("\x00")) for c in columns])]
    nulls = [_mask(columns[i : i + MOST_BITS]) for i in range(0, len(columns), MOST_BITS)]
    more = F.concat_ws("\x1f", *[F.concat(F.lit(f"{n}="), F.col(n)) for n in sorted(added)])
    both = [F.hex(F.xxhash64(F.lit(seed), *nulls, *columns)) for seed in (1, 2)]
    return F.concat_ws("-", *both, *([F.when(more != "", F.hex(F.xxhash64(more)))] if added else []))


def _mask(columns: Sequence[Column]) -> Column:
    """Which of some columns are null, a bit each."""
    bits = [F.when(c.isNull(), F.lit(1 << i)).otherwise(F.lit(0)).cast("bigint") for i, c in enumerate(columns)]
    return reduce(Column.bitwiseOR, bits)
