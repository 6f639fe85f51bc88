"""The columns of a Parquet file as its footer has them, in the words of DDL, and which declared type reads which.

A type is read as another only where no value can be lost on the way: a wider
integer, a wider decimal. Spark would read others as null, or not at all.
"""

import re
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.types as pt

from pipelines.drift import Drift, between

_PLAIN = (
    (pt.is_boolean, "BOOLEAN"), (pt.is_int8, "TINYINT"), (pt.is_int16, "SMALLINT"), (pt.is_int32, "INT"),
    (pt.is_int64, "BIGINT"), (pt.is_uint8, "SMALLINT"), (pt.is_uint16, "INT"), (pt.is_uint32, "BIGINT"),
    (pt.is_uint64, "DECIMAL(20,0)"), (pt.is_float32, "FLOAT"), (pt.is_float64, "DOUBLE"), (pt.is_date, "DATE"),
    (pt.is_string, "STRING"), (pt.is_large_string, "STRING"), (pt.is_binary, "BINARY"), (pt.is_large_binary, "BINARY"),
    (pt.is_fixed_size_binary, "BINARY"), (pt.is_duration, "BIGINT"),
)  # fmt: skip
_WIDER = {
    "TINYINT": ("SMALLINT", "INT", "BIGINT"),
    "SMALLINT": ("INT", "BIGINT"),
    "INT": ("BIGINT",),
    "FLOAT": ("DOUBLE",),
}
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
MOST_DIGITS = 38


def drift(found: pa.Schema, declared: Mapping[str, str]) -> Drift:
    """Names without regard to case, as Spark reads Parquet; types as far as they do not fit."""
    meant = {name.lower(): name for name in declared}
    names = [meant.get(name.lower(), name) for name in found.names]
    held = dict(zip(names, found.types, strict=True))
    pairs = ((name, held[name], kind) for name, kind in declared.items() if name in held)
    odd = tuple((name, in_words(kind), wanted) for name, kind, wanted in pairs if not reads(kind, wanted))
    seen = between(names, declared)
    return Drift(seen.more, _alike(found.names), seen.less, odd)


def _alike(names: list[str]) -> tuple[str, ...]:
    """Names that stand more than once, or differ in case alone."""
    lower = [name.lower() for name in names]
    return tuple(dict.fromkeys(name for name in names if lower.count(name.lower()) > 1))


def columns(found: pa.Schema) -> dict[str, str]:
    """Name -> DDL of every column; '' for a type that Spark does not read."""
    return {name: ddl_of(kind) for name, kind in zip(found.names, found.types, strict=True)}


def ddl_of(kind: pa.DataType) -> str:
    """What Spark calls an Arrow type; '' where it has no name for it."""
    if pt.is_dictionary(kind) or isinstance(kind, pa.ExtensionType):
        return ddl_of(kind.value_type if pt.is_dictionary(kind) else kind.storage_type)
    if pt.is_timestamp(kind):
        return "" if kind.unit == "ns" else "TIMESTAMP" if kind.tz else "TIMESTAMP_NTZ"
    if pt.is_decimal(kind):
        fits = kind.precision <= MOST_DIGITS and 0 <= kind.scale <= kind.precision
        return f"DECIMAL({kind.precision},{kind.scale})" if fits else ""
    if pt.is_nested(kind):
        return _nested(kind)
    return next((name for holds, name in _PLAIN if holds(kind)), "")


def _nested(kind: pa.DataType) -> str:
    if pt.is_struct(kind):
        parts = {kind.field(i).name: ddl_of(kind.field(i).type) for i in range(kind.num_fields)}
        return f"STRUCT<{', '.join(f'{_name(n)}: {t}' for n, t in parts.items())}>" if all(parts.values()) else ""
    if pt.is_map(kind):
        key, value = ddl_of(kind.key_type), ddl_of(kind.item_type)
        return f"MAP<{key}, {value}>" if key and value else ""
    item = ddl_of(kind.value_type)
    return f"ARRAY<{item}>" if item else ""


def _name(field: str) -> str:
    """As columns.ddl writes the name of a field."""
    return field if re.fullmatch(r"\w+", field) else "`" + field.replace("`", "``") + "`"


def reads(kind: pa.DataType, declared: str) -> bool:
    """True where Spark reads the one as the other and no value is lost. Nested types have to be the same."""
    found = ddl_of(kind)
    in_utc = found.replace("TIMESTAMP_NTZ", "TIMESTAMP")  # a moment without a zone is one in UTC
    if declared in (found, in_utc, *_WIDER.get(found, ())):
        return bool(found)
    have, want = _DECIMAL.fullmatch(found), _DECIMAL.fullmatch(declared)
    if not have or not want or pt.is_uint64(kind):
        return False
    (p, s), (wide, scale) = map(int, have.groups()), map(int, want.groups())
    return scale >= s and wide - scale >= p - s


def in_words(kind: pa.DataType) -> str:
    """For a sentence: Spark's name, or Arrow's where Spark has none."""
    return ddl_of(kind) or str(kind)
