"""Ways in which a file arrives damaged, odd, or other than was agreed: each from rows and a seed to bytes.

To add one, write a function of a `Given` and name the formats that it suits
above it; there is no other place to touch.
"""

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]
SCHEMA = "id BIGINT, name STRING, amount DECIMAL(9,2), ratio DOUBLE, at TIMESTAMP, day DATE"
KINDS: dict[str, pa.DataType] = {
    "id": pa.int64(), "name": pa.string(), "amount": pa.decimal128(9, 2), "ratio": pa.float64(),
    "at": pa.timestamp("us", tz="UTC"), "day": pa.date32(),
}  # fmt: skip
NAMES = ("é", 'naïve, \\ "quoted"', "''", " padded ", "\u202eright to left", "emoji 🧵", "null", "NA", "#", "a\tb")
ODD = (
    "🧵", "\u05d0\u05d1", 'a"b', "a.b", "a`b", "a b", "x" * 300, "", " ", "_file", "_row", "ID", "a,b", "a;b", "a=b",
    "$x", "1st", "select", "a\\b", "é", "_corrupt_record", "_row_why",
)  # fmt: skip


@dataclass(frozen=True)
class Given:
    """What a way is given: the format, good rows, and a seeded source of chance."""

    form: str
    rows: list[Row]
    chance: random.Random

    def written(self, rows: list[Row] | None = None) -> bytes:
        """Rows as a good file of the format."""
        return WRITERS[self.form](self.rows if rows is None else rows)

    def changed(self, **new: Any) -> bytes:
        """The same file, one row of it with other values."""
        rows = [dict(row) for row in self.rows]
        self.chance.choice(rows).update(new)
        return self.written(rows)


Way = Callable[[Given], bytes]
WAYS: dict[str, dict[str, Way]] = {"csv": {}, "json": {}, "parquet": {}}


def way(*formats: str) -> Callable[[Way], Way]:
    """Name a function as a way to damage files of some formats."""

    def named(damage: Way) -> Way:
        for form in formats:
            WAYS[form][damage.__name__] = damage
        return damage

    return named


def rows(chance: random.Random, first: int, count: int) -> list[Row]:
    """Good rows with ids from `first` on."""
    return [
        {
            "id": first + i,
            "name": chance.choice(NAMES),
            "amount": Decimal(chance.randrange(-(10**8), 10**8)) / 100,
            "ratio": chance.random(),
            "at": datetime(2024, 1, 1, tzinfo=UTC).replace(microsecond=chance.randrange(10**6)),
            "day": date(2024, 1, chance.randrange(1, 29)),
        }
        for i in range(count)
    ]


def _csv(held: list[Row]) -> bytes:
    def cell(value: Any) -> str:
        text = "" if value is None else value.isoformat() if isinstance(value, date) else str(value)
        return '"' + text.replace('"', '""') + '"' if set(text) & set('",\\\t ') or value == "" else text

    lines = [",".join(map(cell, held[0])), *(",".join(cell(v) for v in row.values()) for row in held)]
    return ("\n".join(lines) + "\n").encode()


def _json(held: list[Row]) -> bytes:
    def plain(value: Any) -> Any:
        return float(value) if isinstance(value, Decimal) else value.isoformat() if isinstance(value, date) else value

    return "".join(json.dumps({k: plain(v) for k, v in row.items()}) + "\n" for row in held).encode()


def _parquet(held: list[Row], kinds: dict[str, pa.DataType] | None = None, **options: Any) -> bytes:
    fields = [(name, (kinds or KINDS).get(name, pa.string())) for name in held[0]]
    file = BytesIO()
    pq.write_table(pa.Table.from_pylist(held, schema=pa.schema(fields)), file, **options)
    return file.getvalue()


WRITERS: dict[str, Callable[[list[Row]], bytes]] = {"csv": _csv, "json": _json, "parquet": _parquet}


@way("csv", "json", "parquet")
def truncated(given: Given) -> bytes:
    whole = given.written()
    return whole[: given.chance.randrange(len(whole))]


@way("csv", "json", "parquet")
def bits_flipped(given: Given) -> bytes:
    whole = bytearray(given.written())
    for _ in range(given.chance.choice((1, 1, 3, 20))):
        whole[given.chance.randrange(len(whole))] ^= 1 << given.chance.randrange(8)
    return bytes(whole)


@way("parquet")
def pages_flipped(given: Given) -> bytes:
    """Damage that no footer tells: in the data alone."""
    options = {
        "compression": given.chance.choice(("none", "snappy", "zstd")),
        "use_dictionary": given.chance.random() < 0.5,
    }
    whole = bytearray(_parquet(given.rows * 50, **options))
    for _ in range(given.chance.choice((1, 5, 50))):
        whole[given.chance.randrange(4, len(whole) // 2)] ^= 1 << given.chance.randrange(8)
    return bytes(whole)


@way("csv", "json", "parquet")
def another_format(given: Given) -> bytes:
    return WRITERS[given.chance.choice([f for f in WRITERS if f != given.form])](given.rows)


@way("csv", "json", "parquet")
def noise(given: Given) -> bytes:
    return given.chance.randbytes(given.chance.choice((1, 7, 500)))


@way("csv", "json", "parquet")
def nothing(given: Given) -> bytes:
    return given.chance.choice((b"", b"\n", b" \r\n\t\n", b"\x00"))


@way("parquet")
def no_rows(given: Given) -> bytes:
    file = BytesIO()
    pq.write_table(pa.schema(list(KINDS.items())).empty_table(), file)
    return file.getvalue()


@way("csv", "json")
def byte_order_mark(given: Given) -> bytes:
    return b"\xef\xbb\xbf" * given.chance.choice((1, 2)) + given.written()


@way("csv", "json")
def nul_bytes(given: Given) -> bytes:
    return _put_in(given, b"\x00" * given.chance.choice((1, 3)))


@way("csv", "json")
def line_ends(given: Given) -> bytes:
    ends = given.chance.choice(([b"\r\n"], [b"\r"], [b"\n", b"\r\n", b"\r"], [b"\n\n", b"\n \t\n", b"\n\x0b\n"]))
    return b"".join(line + given.chance.choice(ends) for line in given.written().splitlines())


@way("csv", "json")
def no_last_line_end(given: Given) -> bytes:
    return given.written().rstrip(b"\n")


@way("csv", "json")
def odd_letters(given: Given) -> bytes:
    letters = ("\u2028", "\x85", "\x1a", "\x0c", "\ufeff", "\uffff", "\U0010ffff", "\x1f\x1e\x1d\x1e\x1f", "\x7f")
    return _put_in(given, given.chance.choice(letters).encode())


@way("csv", "json")
def latin_1(given: Given) -> bytes:
    return given.changed(name="café").replace("é".encode(), b"\xe9").replace(b"\\u00e9", b"\xe9")


@way("csv", "json")
def utf_16(given: Given) -> bytes:
    return given.written().decode().encode(given.chance.choice(("utf-16", "utf-16-le", "utf-16-be")))


@way("csv", "json", "parquet")
def long_value(given: Given) -> bytes:
    return given.changed(name=given.chance.choice("xé") * (10 << 20))


@way("csv", "json", "parquet")
def another_order(given: Given) -> bytes:
    names = given.chance.sample(list(KINDS), len(KINDS))
    return given.written([{n: row[n] for n in names} for row in given.rows])


@way("csv", "json", "parquet")
def odd_names(given: Given) -> bytes:
    """A column more, or another name for one of those agreed."""
    odd, renamed = given.chance.choice(ODD), given.chance.choice((None, "name", "ratio"))
    held = [_named(row, odd, renamed) for row in given.rows]
    return _parquet(held, {**KINDS, odd: KINDS[renamed or "name"]}) if given.form == "parquet" else given.written(held)


def _named(row: Row, odd: str, renamed: str | None) -> Row:
    return {**{(odd if k == renamed else k): v for k, v in row.items()}, **({} if renamed else {odd: "more"})}


@way("csv", "json", "parquet")
def column_gone(given: Given) -> bytes:
    gone = given.chance.choice(list(KINDS))
    return given.written([{k: v for k, v in row.items() if k != gone} for row in given.rows])


@way("csv", "json", "parquet")
def nulls_and_blanks(given: Given) -> bytes:
    if given.form == "parquet" or given.chance.random() < 0.5:
        return given.changed(**{given.chance.choice(list(KINDS)): None, "name": ""})
    blank = given.chance.choice(("", " ", '""', "null", "NULL", "\\N"))
    return given.changed(**{given.chance.choice(list(KINDS)): blank})


@way("csv", "json", "parquet")
def no_number(given: Given) -> bytes:
    odd = (float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1.7976931348623157e308)
    return given.changed(ratio=given.chance.choice(odd))


@way("csv", "json")
def numbers_as_text(given: Given) -> bytes:
    odd = (
        "1e400",
        "1_000",
        "0x10",
        "١٢",
        "1,5",
        "+5",
        "1e2",
        "99999999999999999999",
        "1.5",
        "true",
        "5.",
        ".5",
        "1d",
        "1f",
    )
    return given.changed(**{given.chance.choice(("id", "ratio", "amount")): given.chance.choice(odd)})


@way("csv", "json", "parquet")
def far_years(given: Given) -> bytes:
    year = given.chance.choice((1, 1582, 1850, 1899, 9999))
    return given.changed(at=datetime(year, 1, 2, 3, 4, 5, 678901, tzinfo=UTC), day=date(year, 10, 10))


@way("csv", "json")
def dates_as_text(given: Given) -> bytes:
    odd = ("10000-01-01", "0000-00-00", "2024-02-30", "2024-13-01", "-2024-01-01", "12:00", "now",
           "2024-01-01T25:00:00", "epoch", "2024-W01", "1704067200", "2024-01-01 00:00:00 America/Nowhere")  # fmt: skip
    return given.changed(**{given.chance.choice(("at", "day")): given.chance.choice(odd)})


@way("csv", "json")
def decimal_overflow(given: Given) -> bytes:
    return given.changed(amount=Decimal(given.chance.choice(("99999999.99", "1e12", "0.001", "-12345678.9", "1e-30"))))


@way("parquet")
def another_type(given: Given) -> bytes:
    kinds: dict[str, list[Any]] = {
        "id": [pa.int32(), pa.uint32(), pa.float64(), pa.decimal128(20, 0)],
        "amount": [pa.decimal128(12, 4), pa.decimal128(7, 1), pa.decimal128(10, 2)],
        "ratio": [pa.float32(), pa.float16()],
        "at": [pa.timestamp("ns", tz="UTC"), pa.timestamp("us"), pa.date32()],
        "day": [pa.date64(), pa.timestamp("ms")],
        "name": [pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string()), pa.list_(pa.string())],
    }
    name = given.chance.choice(list(kinds))
    kind = given.chance.choice(kinds[name])
    held = pa.Table.from_pylist(given.rows, schema=pa.schema(list(KINDS.items())))
    file, place = BytesIO(), held.column_names.index(name)
    values = (
        pa.array([[v] for v in held[name].to_pylist()], kind) if pa.types.is_list(kind) else _cast(held[name], kind)
    )
    pq.write_table(
        held.set_column(place, name, values), file, use_deprecated_int96_timestamps=given.chance.random() < 0.2
    )
    return file.getvalue()


def _cast(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_dictionary(kind):
        return values.dictionary_encode()
    return (
        values.cast(pa.float32(), safe=False).cast(kind) if pa.types.is_float16(kind) else values.cast(kind, safe=False)
    )


@way("parquet")
def twice_the_name(given: Given) -> bytes:
    held = pa.Table.from_pylist(given.rows, schema=pa.schema(list(KINDS.items())))
    file = BytesIO()
    pq.write_table(held.append_column(given.chance.choice(("id", "ID", "name")), held["id"]), file)
    return file.getvalue()


@way("parquet")
def another_layout(given: Given) -> bytes:
    layouts: tuple[dict[str, Any], ...] = (
        {"row_group_size": 1}, {"compression": "gzip"}, {"compression": "brotli"}, {"data_page_version": "2.0"},
        {"version": "1.0"}, {"write_page_checksum": True}, {"compression": "lz4"},
        {"use_deprecated_int96_timestamps": True},
    )  # fmt: skip
    return _parquet(given.rows, **given.chance.choice(layouts))


@way("csv")
def ragged(given: Given) -> bytes:
    lines = given.written().splitlines(keepends=True)
    place = given.chance.randrange(1, len(lines))
    more = given.chance.choice((b"1,2\n", b"x\n", b",,,,,,,,,\n", b"," * 5 + b"\n", b"," * 20_500 + b"\n"))
    return b"".join([*lines[:place], more, *lines[place:]])


@way("csv")
def quotes(given: Given) -> bytes:
    return _put_in(given, given.chance.choice((b'"', b'""', b'"""', b'","', b'\\"', b"'")))


@way("csv")
def broken_value(given: Given) -> bytes:
    return given.changed(name="first line\nsecond line, and more")


@way("csv")
def header_odd(given: Given) -> bytes:
    head, rest = given.written().split(b"\n", 1)
    names = head.split(b",")
    return given.chance.choice((
        rest, head + b"\n", head + b"\n" + head + b"\n" + rest, head + b"," + names[0] + b"\n" + rest,
        head.upper() + b"\n" + rest, b", ".join(names) + b"\n" + rest, head + b",\n" + rest,
        b"," * 30_000 + b"\n" + rest,
        b'"' + head + b'"\n' + rest,
    ))  # fmt: skip


@way("json")
def deep(given: Given) -> bytes:
    depth = given.chance.choice((500, 1_001, 10_000))
    signs = given.chance.choice((("[", "]"), ('{"a":', "}")))
    place = given.chance.choice(('{{"id": 1, "more": {}}}\n', '{{"name": {}}}\n', "{}\n"))
    return given.written() + place.format(signs[0] * depth + "1" + signs[1] * depth).encode()


@way("json")
def keys_twice(given: Given) -> bytes:
    return given.written() + given.chance.choice(
        (b'{"id": 1, "id": 2}\n', b'{"id": 1, "x": 1, "x": 2}\n', b'{"a": 1, "A": 2}\n')
    )


@way("json")
def no_object(given: Given) -> bytes:
    odd = (
        "null", "1", '"x"', "[]", '[{"id": 1}]', "{}", '{"id": 1} {"id": 2}', '{"id": 1}, ', "{'id': 1}", "{id: 1}",
        '{"id": 1} // why', "{", "}", '{"id": 01}', '{"id": 1,}', '{"name": "\\ud800"}', '{"name": "\\x"}',
        '{"\\ud800": 1}', '{"ratio": NaN}', '{"ratio": Infinity}', '{"id": 1' + "0" * 2_000 + "}", '{"id": {"a": 1}}',
        '{"name": {"a": [1]}}', '{"id": [1]}', '{"at": 5}', '{"day": true}', '{"' + "k" * 60_000 + '": 1}',
        "{'more': 1}", '{"id": 1, "more": 1' + "0" * 5_000 + "}",
    )  # fmt: skip
    return given.written() + given.chance.choice(odd).encode() + b"\n"


def _put_in(given: Given, letters: bytes) -> bytes:
    whole = given.written()
    place = given.chance.randrange(len(whole))
    while whole[place] & 0xC0 == 0x80:  # not into the middle of a letter
        place -= 1
    return whole[:place] + letters + whole[place:]


def packed(given: Given, whole: bytes) -> bytes:
    """The same by gzip, which may be damaged in its turn."""
    small = gzip.compress(whole, mtime=0)
    how = given.chance.randrange(8)
    if how == 0:
        return small[: given.chance.randrange(1, len(small))]
    if how == 1:
        return small + given.chance.choice((b"\x00" * 8, b"tail", small[:15]))
    if how == 2:
        return gzip.compress(whole[: len(whole) // 2], mtime=0) + gzip.compress(whole[len(whole) // 2 :], mtime=0)
    return whole if how == 3 else small
