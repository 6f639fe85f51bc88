"""Persons' data: the columns that a source tags, made unreadable before anything of a row is written.

tokenize  HMAC-SHA256 of the value's text under a key, in hex. The same value has the same token in every table, so
          keys and joins go on holding; whoever has the key can find a person's rows, and nobody else.
mask      its shape: each letter becomes x, each digit 9
redact    null

The key is what the environment variable LAKELOOM_PII_KEY holds; it stands nowhere else. Spark gets it as a row of data,
not as a literal, so that no plan shows it. A record that cannot be read as a whole is not kept as text, for nobody
knows where in it a person's data stand.
"""

import hmac
import os
from hashlib import sha256
from typing import TYPE_CHECKING

from pipelines.columns import backquoted, ddl, ddl_text
from pipelines.errors import PlatformError
from pipelines.spec import Source

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

VARIABLE = "LAKELOOM_PII_KEY"
LEAST_LETTERS = 32
REMOVED = "(removed: the record could not be read, and its source has pii)"  # in place of a record's text
_BLOCK = 64  # bytes, of SHA-256
_MARKED = "which key is it?"


def key() -> bytes:
    """The key. Errors: PlatformError where the environment has none, or one that could be guessed."""
    held = os.environ.get(VARIABLE, "")
    way_out = f"export {VARIABLE}=..., at least {LEAST_LETTERS} letters (`openssl rand -hex 32` makes one)"
    if not held:
        raise PlatformError(f"a source has pii, and there is no environment variable {VARIABLE}; {way_out}")
    if len(held) < LEAST_LETTERS:
        raise PlatformError(f"{VARIABLE} has {len(held)} letters, so few that it can be guessed; {way_out}")
    return held.encode()


def token(value: str, secret: bytes) -> str:
    """What `tokenize` makes of a value's text. Source: RFC 2104."""
    return hmac.new(secret, value.encode(), sha256).hexdigest()


def mark(secret: bytes) -> str:
    """By which a key is known again, and nothing of it."""
    return token(_MARKED, secret)[:16]


def kept(source: Source) -> Source:
    """A source as its records are kept: what is guarded is text, and nothing is left to guard."""
    columns = ddl(source.ddl)
    texts = {name: "STRING" for name, how in source.pii.items() if how != "redact" and name in columns}
    return source.model_copy(update={"pii": {}, "ddl": ddl_text({**columns, **texts})}) if source.pii else source


def guarded(raw: "DataFrame", source: Source, tokens: "Tokens") -> "DataFrame":
    """The same rows, each tagged column guarded: lazily, one projection."""
    from pyspark.sql import functions as F

    def guard(name: str, how: str) -> "Column":
        value = F.col(backquoted(name))
        if how == "redact":
            return F.lit(None).cast(raw.schema[name].dataType)
        return tokens.of(value.cast("string")) if how == "tokenize" else masked(value.cast("string"))

    return raw.withColumns({name: guard(name, how) for name, how in source.pii.items()})


def masked(text: "Column") -> "Column":
    """'Zoë, 42' -> 'xxx, 99': ASCII punctuation and spaces stay, whatever else is no digit becomes x."""
    from pyspark.sql import functions as F

    return F.regexp_replace(F.regexp_replace(text, r"\p{N}", "9"), r"[^9\p{Punct} ]", "x")


class Tokens:
    """Tokens as Spark makes them, the same as `token`'s. Errors: PlatformError without a key."""

    def __init__(self, spark: "SparkSession") -> None:
        from pyspark.sql import functions as F

        held = key()
        block = (sha256(held).digest() if len(held) > _BLOCK else held).ljust(_BLOCK, b"\0")
        pads = tuple(bytearray(byte ^ pad for byte in block) for pad in (0x36, 0x5C))
        row = spark.createDataFrame([pads], "inner BINARY, outer BINARY")
        self._inner, self._outer = (row.select(F.col(name)).scalar() for name in ("inner", "outer"))

    def of(self, text: "Column") -> "Column":
        """Null of null. HMAC by its definition, for Spark has SHA-2 alone."""
        from pyspark.sql import functions as F

        inside = F.unhex(F.sha2(F.concat(self._inner, text.cast("binary")), 256))
        return F.sha2(F.concat(self._outer, inside), 256)
