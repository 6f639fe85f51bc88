"""Records as Spark reads them: none lost, each typed or kept as the text it was; as many as the census counted."""

import gzip
import json
from collections import Counter
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines import landing
from pipelines.columns import ddl_text
from pipelines.ingest import Shape, read
from pipelines.spec import Files

pytestmark = pytest.mark.spark

NASTY = [
    "1",
    "-7",
    "x",
    "",
    " ",
    "\t",
    "NA",
    ",",
    ",,",
    '"',
    '""',
    '"x,y"',
    "'",
    "\\",
    '\\"',
    "é",
    "\u2028",
    "\x00",
    "\x1a",
    "#",
]
LINE = st.lists(st.sampled_from(NASTY), max_size=5).map("".join).filter(lambda text: text.count('"') % 2 == 0)
LINES = st.lists(LINE, max_size=8)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
FILES = st.lists(st.tuples(st.sampled_from(["", "\ufeff"]), LINES, ENDS, st.booleans()), min_size=6, max_size=6)


def source(form: str = "csv", ddl: str = "a INT, b STRING, at TIMESTAMP", null: str = "NA") -> Files:
    return Files.model_validate({"kind": "files", "format": form, "path": "in", "schema": ddl, "null": null})


def landed(folder: Path, source: Files, bodies: dict[str, bytes]) -> tuple[landing.Landed, ...]:
    (folder / "in").mkdir(parents=True)
    for name, body in bodies.items():
        (folder / "in" / name).write_bytes(body)
    return landing.census(source, landing.arrivals(source, str(folder)))


def records(spark, folder: Path, source: Files, body: bytes, name: str = "f.txt"):
    """The rows that Spark reads; the census counted as many."""
    (file,) = landed(folder, source, {name: body})
    rows = read(spark, source, {Shape(): [file.path]}).collect()
    assert file.rows == len(rows)
    return rows


def test_a_csv_record_is_typed_or_kept_as_text(spark, tmp_path):
    body = (
        "\ufeffa,b,at\r\n"
        '1,"x, ""y""",2013-01-01 05:00:00\r\n'
        "\r\n"
        "NA,NA,NA\r\n"
        "2,é,2013-01-01T05:00:00Z\r\n"
        '3,"",\r\n'
        "4,x\r\n"
        "5,x,2013-01-01 05:00:00,more\r\n"
        "six,x,2013-01-01 05:00:00\r\n"
        "2147483648,x,2013-01-01 05:00:00\r\n"
        "7,x,yesterday"
    )

    rows = records(spark, tmp_path, source(), body.encode())

    assert [(r.a, r.b, r.at and r.at.isoformat(), r._row.text) for r in rows] == [
        (1, 'x, "y"', "2013-01-01T05:00:00", None),
        (None, None, None, None),
        (2, "é", "2013-01-01T05:00:00", None),
        (3, "", None, None),
        (None, None, None, "4,x"),
        (None, None, None, "5,x,2013-01-01 05:00:00,more"),
        (None, None, None, "six,x,2013-01-01 05:00:00"),
        (None, None, None, "2147483648,x,2013-01-01 05:00:00"),
        (None, None, None, "7,x,yesterday"),
    ]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_packed_file_is_read_as_it_would_be_unpacked(spark, tmp_path, form):
    body = {"csv": b"a,b,at\n1,x,\n2\n", "json": b'{"a": 1, "b": "x", "at": null}\n{"a": \n'}[form]
    streams = gzip.compress(body[:9]) + gzip.compress(body[9:])

    rows = records(spark, tmp_path, source(form), streams, f"f.{form}.gz")

    assert [(r.a, r.b, r._row.text) for r in rows] == [
        (1, "x", None),
        (None, None, body.decode().splitlines()[-1]),
    ]


def test_a_json_record_is_typed_or_kept_as_text(spark, tmp_path):
    body = b'{"a": 1, "b": "x", "c": 2}\n\n{"a": "1"}\n{"a": 1.5}\n{bad\nnull\n{}\n'
    body += b'{"b": null, "at": "2013-01-01T05:00:00Z"}'

    rows = records(spark, tmp_path, source("json"), body)

    assert [(r.a, r.b, r._row.text) for r in rows] == [
        (1, "x", None),
        (None, None, '{"a": "1"}'),
        (None, None, '{"a": 1.5}'),
        (None, None, "{bad"),
        (None, None, "null"),
        (None, None, None),
        (None, None, None),
    ]
    assert rows[-1].at.isoformat() == "2013-01-01T05:00:00"


def test_no_part_of_a_json_line_is_lost_unseen(spark, tmp_path):
    deep = '{"b": ' + "[" * 3000 + "]" * 3000 + "}"
    lines = ['{"a": 1} {"a": 2}', '{"a": 1}{"a": 2}', '{"a": 1} tail', '[{"a": 1}]', '"a"', deep, '{"a": 1, "a": 2}']
    body = "\ufeff" + '{"a": 3, "b": null, "at": null}\r\n' + "\n".join(lines)

    found = [(r.a, r._row.text) for r in records(spark, tmp_path, source("json"), body.encode())]

    assert found[0] == (3, None)
    assert found[1:7] == [(None, line) for line in lines[:6]]
    assert found[7] == (2, None)  # of a key that stands twice the last counts, as JSON readers have it


def test_a_parquet_record_comes_as_it_is(spark, tmp_path):
    kind = source("parquet", "a INT, b STRING")
    landed(tmp_path, kind, {})
    pq.write_table(pa.table({"a": pa.array([1, None], pa.int32()), "b": ["x", "y"]}), tmp_path / "in" / "f.parquet")

    rows = read(spark, kind, {Shape(): [str(tmp_path / "in" / "f.parquet")]}).collect()

    assert [(r.a, r.b, r._row.text, r._row.record.b) for r in rows] == [(1, "x", None, "x"), (None, "y", None, "y")]


@pytest.mark.parametrize("strict_first", [True, False])
def test_nulls_are_read_beside_a_parquet_file_that_allows_none(spark, tmp_path, strict_first):
    kind, values = source("parquet", "a INT, b STRING"), {True: [1, 2], False: [3, None]}
    landed(tmp_path, kind, {})
    for number, strict in enumerate((strict_first, not strict_first)):
        columns = [pa.field("a", pa.int32(), nullable=not strict), pa.field("b", pa.string(), nullable=not strict)]
        held = pa.table([values[strict], [str(v) if v else None for v in values[strict]]], pa.schema(columns))
        pq.write_table(held, tmp_path / "in" / f"{number}.parquet")
    files = landing.census(kind, landing.arrivals(kind, str(tmp_path)))

    rows = read(spark, kind, {Shape(): [f.path for f in files]}).collect()

    assert [(f.ddl, f.drift, f.rows) for f in files] == [("", "", 2)] * 2
    assert sorted(((r.a, r.b) for r in rows), key=repr) == [(1, "1"), (2, "2"), (3, "3"), (None, None)]
    assert all(r._row.text is None for r in rows)


def test_a_row_is_known_by_its_content(spark, tmp_path):
    kind = source(ddl="a STRING, b STRING")
    bodies = {"1.csv": b'a,b\n1,x\n1,NA\n1,""\n,1x\n', "2.csv": b'a,b\r\n"1",x\r\n'}

    files = landed(tmp_path, kind, bodies)
    rows = read(spark, kind, {Shape(): [f.path for f in files]}).collect()

    hashes = {(r.a, r.b): r._row.hash for r in rows if r._row.file.endswith("1.csv")}
    assert len(set(hashes.values())) == 4  # null, '' and text that runs over a column's end all differ
    assert [r._row.hash for r in rows if r._row.file.endswith("2.csv")] == [hashes["1", "x"]]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_declared_name_is_meant_letter_by_letter(spark, tmp_path, form):
    names = ["a.b", "a b", "a`b", "🧵", "\u05d0\u05d1", 'a"b', "a,b", "select", "x" * 300]
    kind = source(form, ddl_text(dict.fromkeys(names, "STRING")))
    values = [str(i) for i in range(len(names))]
    row = dict(zip(reversed(names), reversed(values), strict=True))
    file = BytesIO()
    pq.write_table(pa.Table.from_pylist([row]), file)
    head = ",".join('"' + name.replace('"', '""') + '"' for name in row)
    bodies = {"csv": f"{head}\n{','.join(row.values())}\n".encode(), "json": json.dumps(row).encode()}

    (landed_one,) = landed(tmp_path, kind, {"f": bodies.get(form, file.getvalue())})
    (found,) = read(spark, kind, {Shape(landed_one.ddl): [landed_one.path]}).collect()

    assert list(found[:-1]) == values
    assert found._row.text is None


def test_a_record_is_known_by_what_it_has_whatever_others_added(spark, tmp_path):
    kind = source(ddl="a INT")
    bodies = {"1.csv": b"a\n1\n", "2.csv": b"a,x,y\n1,,\n1,,u\n1,u,\n", "3.csv": b"a,y,x\n1,u,\n"}
    kind = kind.model_copy(update={"on_schema_change": "add_columns"})
    plain, two, three = landed(tmp_path, kind, bodies)

    before = read(spark, kind, {Shape(): [plain.path]}).collect()
    shapes = {Shape(): [plain.path], Shape(two.ddl): [two.path], Shape(three.ddl): [three.path]}
    after = read(spark, kind, shapes, ["x", "y"]).collect()

    hashes = [r._row.hash for r in after]
    assert hashes[0] == hashes[1] == before[0]._row.hash  # null added is nothing added
    assert len(set(hashes)) == 3
    assert hashes[2] == hashes[4] != hashes[3]  # by name, not by place


@pytest.mark.parametrize("name", ["f[1].csv", "f{1,2}.csv", "f*.csv", "f%20 é#?.csv"])
def test_a_name_is_no_pattern(spark, tmp_path, name):
    (row,) = records(spark, tmp_path, source(ddl="a INT"), b"a\n1\n", name)

    assert row.a == 1


def test_no_files_are_no_rows_of_the_same_shape(spark, tmp_path):
    (file,) = landed(tmp_path, source(), {"f.csv": b"a,b,at\n"})

    none, empty = read(spark, source(), {}), read(spark, source(), {Shape(): [file.path]})

    assert none.collect() == empty.collect() == []
    assert none.dtypes == empty.dtypes


@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=FILES)
def test_spark_reads_as_many_records_as_the_census_counts(spark, tmp_path_factory, files):
    bodies = {
        f"{i}.csv": (mark + end.join(["a,b", *lines]) + end * last).encode()
        for i, (mark, lines, end, last) in enumerate(files)
    }
    kind = source(ddl="a INT, b STRING")

    counted = landed(tmp_path_factory.mktemp("census"), kind, bodies)
    frame = read(spark, kind, {Shape(): [f.path for f in counted]})
    rows = frame.select("_row.file", "_row.text", "_row.record").collect()

    found = Counter(Path(r.file).name for r in rows)
    assert {Path(f.path).name: f.rows for f in counted} == {name: found[name] for name in bodies}
