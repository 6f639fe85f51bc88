"""Files as they arrive, without a JVM: which count, which are new, what each holds, what is refused and how."""

import gzip
import os
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import landing, packed
from pipelines.errors import DataError, LakeloomError, SpecError
from pipelines.spec import Files


def source(form: str = "csv", ddl: str = "a INT, b STRING") -> Files:
    return Files.model_validate({"kind": "files", "format": form, "path": "in", "schema": ddl})


@pytest.fixture
def land(tmp_path):
    """`land(name, body)` puts a file into the landing folder and gives its path."""

    def put(name: str, body: bytes) -> str:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return str(path)

    return put


def counted(root, form: str = "csv") -> list[int]:
    return [f.rows for f in landing.census(source(form), landing.arrivals(source(form), str(root)))]


def said(root, form: str = "csv") -> str:
    with pytest.raises(LakeloomError) as caught:
        counted(root, form)
    assert isinstance(caught.value, DataError)
    return str(caught.value)


def test_files_that_are_still_written_are_not_seen(land, tmp_path):
    seen = [land("2013/01.csv", b"a,b\n"), land("b.csv", b"a,b\n")]
    for name in (".b.csv", "_b.csv", "b.csv.tmp", "_started/01.csv", "2013/.hidden/01.csv"):
        land(name, b"a,b\n")

    assert [a.path for a in landing.arrivals(source(), str(tmp_path))] == seen


def test_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(SpecError) as caught:
        landing.arrivals(source(), f"{tmp_path}/")

    assert str(caught.value) == (
        f"{tmp_path}/in: no such landing folder; make it, or mend the source's `path` or the target's `landing`"
    )


def test_a_file_written_again_is_fresh(land, tmp_path):
    path = land("a.csv", b"a,b\n1,x\n")
    land("b.csv", b"a,b\n")
    seen = {a.path: a.stamp for a in landing.arrivals(source(), str(tmp_path))}

    os.utime(path, (0, 0))

    assert [a.path for a in landing.fresh(landing.arrivals(source(), str(tmp_path)), seen)] == [path]
    assert landing.fresh(landing.arrivals(source(), str(tmp_path)), {}) == landing.arrivals(source(), str(tmp_path))


def test_the_same_content_has_the_same_hash_under_any_name(land, tmp_path):
    for name, body in (("a.csv", b"a,b\n1,x\n"), ("b.csv", b"a,b\n1,x\n"), ("c.csv", b"a,b\n1,x")):
        land(name, body)

    a, b, c = landing.census(source(), landing.arrivals(source(), str(tmp_path)))

    assert a.content == b.content != c.content
    assert [f.rows for f in (a, b, c)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        (b"a,b\n", 0),
        (b"a,b", 0),
        (b"a,b\n1,x\n2,y\n", 2),
        (b"a,b\n1,x\n2,y", 2),
        (b"a,b\r\n1,x\r\n2,y\r\n", 2),
        (b"a,b\r1,x\r2,y", 2),
        (b"\xef\xbb\xbfa,b\n1,x\n", 1),
        (b'"a", "b"\n1,x\n', 1),
        (b"\n \na,b\n\n1,x\n  \t\n2,y\n\n", 2),
        (b"a,b\n1,x\n\x1a", 1),  # the end of a file as DOS wrote it: Spark skips it too
        (b"a,b\n1\n1,2,3\nx,\n", 3),  # ragged lines are records
        ("a,b\n1,\u00e9\u2028\n".encode(), 1),  # a line separator of Unicode's ends no line
    ],
)
@pytest.mark.parametrize("chunk", [1, 2, 3, 1 << 20])
def test_csv_records_are_lines_after_the_header(land, tmp_path, monkeypatch, body, rows, chunk):
    monkeypatch.setattr(landing, "CHUNK", chunk)
    land("a.csv", body)

    assert counted(tmp_path) == [rows]


def test_json_records_are_lines(land, tmp_path):
    land("a.json", b'{"a": 1}\n\n{bad\n \n{"a": 2}')

    assert counted(tmp_path, "json") == [3]


def of_json(root, policy: str = "fail") -> list[tuple[str, str]]:
    """(name, why its rows are refused) of each file."""
    kind = source("json").model_copy(update={"on_schema_change": policy})
    found = landing.census(kind, landing.arrivals(kind, str(root)))
    return [(f.path.rpartition("/")[2], f.drift) for f in found]


@pytest.mark.parametrize("chunk", [16, 1 << 20])
@pytest.mark.parametrize(
    ("body", "drift"),
    [
        (b'{"a": 1}\n{"a": 2}\n', "lacks 'b'"),
        (b'{"a": 1}\n{"a": 2, "b": null}\n', ""),  # one record has it, if only as null
        (b'{"a": 1, "x": {"b": 1}, "c": "\\"b\\""}\n', "lacks 'b'"),  # what is inside another value is no column
        (b'{"a": 1}\n{"a": 2, "\\u0062": "y"}\n', ""),
        (b"{\"a\": 1}\n{\"a\": 2, 'b': 'y'}\n", ""),  # Spark reads it, Python does not
        (b'{"a": 1, "B": "x"}\n', "lacks 'b' (did you mean 'b' by 'B'?)"),
        (b"{}\n", "lacks 'a', 'b'"),
        (b"{\n[1]\n", ""),  # no record: its lines are malformed one by one
        (b"\n", ""),
        (b'\xef\xbb\xbf{"b": "x", "a": 1}\n', ""),
    ],
)
def test_a_column_that_no_record_of_json_has_is_one_that_the_file_lacks(
    land, tmp_path, monkeypatch, body, drift, chunk
):
    monkeypatch.setattr(landing, "CHUNK", chunk)
    path = land("a.json", body)

    assert of_json(tmp_path, "quarantine") == [("a.json", drift)]
    for policy in ("fail", "add_columns") if drift else ():
        with pytest.raises(DataError) as caught:
            of_json(tmp_path, policy)
        assert str(caught.value).startswith(f"{path}: every record lacks ")
        assert str(caught.value).endswith("the source's schema, or name under its `optional` what a file may lack")


def test_a_column_that_a_file_of_json_may_lack_is_missing_in_none(land, tmp_path):
    land("a.json", b'{"a": 1}\n')
    kind = source("json").model_copy(update={"optional": ("b",)})

    (found,) = landing.census(kind, landing.arrivals(kind, str(tmp_path)))

    assert (found.rows, found.drift) == (1, "")


def test_keys_without_end_are_refused_before_they_fill_the_memory(land, tmp_path, monkeypatch):
    monkeypatch.setattr(landing, "CHUNK", 1_000)
    path = land("a.json", b"".join(b'{"a": 1, "b": "", "k%d": 1}\n' % i for i in range(5_000)))
    kind = source("json").model_copy(update={"on_schema_change": "add_columns"})

    with pytest.raises(DataError) as caught:
        landing.census(kind, landing.arrivals(kind, str(tmp_path)))

    named = "'k0', 'k1', 'k2', 'k3', 'k4'"
    assert str(caught.value).startswith(f"{path}: has {named} and ")
    assert str(caught.value).endswith(" more beyond the schema; a file may add 100 columns")
    assert int(str(caught.value).split(" and ")[1].split()[0]) < 300


def test_parquet_tells_its_rows(land, tmp_path):
    path = land("a.parquet", b"")
    pq.write_table(pa.table({"a": pa.array([1, 2, 3], pa.int32()), "b": ["x", "y", "z"]}), path)

    assert counted(tmp_path, "parquet") == [3]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "is empty; remove it, or land it again whole"),
        (
            b"a,B\n",
            "the header has 'B', which the schema has not and lacks 'b' (did you mean 'b' by 'B'?); "
            "mend the file or the source's schema",
        ),
        (b"a,b,c,d\n", "the header has 'c', 'd', which the schema has not; mend the file or the source's schema"),
        (b"a\n", "the header lacks 'b'; mend the file or the source's schema"),
        (b"\n \x00\n", "has no header, and no line at all; remove it, or land it again whole"),
        (b"a,b,a\n", "the header has 'a' more than once; mend the file or the source's schema"),
        (
            b'a,"b,c"\n',
            "the header has 'b,c', which the schema has not and lacks 'b'; mend the file or the source's schema",
        ),
        (b"a,b\n1,caf\xe9\n", "is not UTF-8 (invalid continuation byte) in b'1,caf\\xe9\\n'; land it again as UTF-8"),
        (b"a,b\n1,caf\xc3", "is not UTF-8 (unexpected end of data) in b'1,caf\\xc3'; land it again as UTF-8"),
        (b"a,b\n" + b"," * 20_000, "a line has more than 20000 fields; land it as lines"),
    ],
)
def test_a_csv_file_that_cannot_be_taken_is_one_sentence(land, tmp_path, body, sentence):
    path = land("a.csv", body)

    assert said(tmp_path) == f"{path}: {sentence}"


def test_a_quote_that_is_not_closed_is_refused_for_it_would_tear_a_record(land, tmp_path):
    path = land("a.csv", b'a,b\n1,"x\ny"\n')

    assert said(tmp_path) == f"{path}: b'1,\"x' opens a quote and does not close it; a record is one line"


def test_what_is_no_parquet_is_one_sentence(land, tmp_path):
    path = land("a.parquet", b"a,b\n1,x\n")

    assert said(tmp_path, "parquet").startswith(f"{path}: is not Parquet (")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("05:00.csv", "Spark cannot open a name with ':'; land it under another name"),
        ("a.csv.bz2", "is packed, by its name; land it unpacked, or by gzip"),
    ],
)
def test_a_name_that_spark_would_take_otherwise_is_refused(land, tmp_path, name, sentence):
    path = land(name, b"a,b\n")

    assert said(tmp_path) == f"{path}: {sentence}"


def test_a_line_without_end_is_refused_before_it_fills_the_memory(land, tmp_path, monkeypatch):
    monkeypatch.setattr(landing, "CHUNK", 4)
    monkeypatch.setattr(landing, "MOST_LINE", 8)
    path = land("a.csv", b"a,b\n1,xxxxxxxxxx")

    assert said(tmp_path) == f"{path}: line 2 is longer than 8 bytes; land it as lines"


def test_a_packed_file_is_the_same_as_the_unpacked_one(land, tmp_path):
    body = b"a,b\n1,x\n2,y\n"
    land("a.csv", body)
    land("b.csv.gz", gzip.compress(body))
    land("c.csv.gz", gzip.compress(body[:5]) + gzip.compress(body[5:]))  # as `cat` joins two

    found = landing.census(source(), landing.arrivals(source(), str(tmp_path)))

    assert {f.content for f in found} == {found[0].content}
    assert [f.rows for f in found] == [2, 2, 2]


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda whole: whole[:-9], "is packed, and ends too early; land it again whole"),
        (lambda whole: whole + b"\x00", "is packed, and ends too early; land it again whole"),
        (lambda whole: whole + b"tail", "cannot be unpacked (incorrect header check); land it again whole"),
        (lambda whole: b"a,b\n1,x\n", "cannot be unpacked (incorrect header check); land it again whole"),
        (
            lambda whole: whole[:-8] + bytes(4) + whole[-4:],
            "cannot be unpacked (incorrect data check); land it again whole",
        ),
    ],
    ids=["cut off", "one byte more", "a tail", "not packed", "another checksum"],
)
def test_a_damaged_packed_file_is_one_sentence(land, tmp_path, monkeypatch, damage, sentence, chunk):
    monkeypatch.setattr(landing, "CHUNK", chunk)
    path = land("a.csv.gz", damage(gzip.compress(b"a,b\n" + b"1,x\n" * 50)))

    assert said(tmp_path) == f"{path}: {sentence}"


LINES = (b"x" * (1 << 20) + b"\n") * 64  # 64 MiB


def test_a_bomb_is_refused_while_it_is_unpacked(land, tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "FREE", 8 << 20)
    path = land("a.csv.gz", gzip.compress(b"a,b\n" + LINES))
    tracemalloc.start()

    sentence = said(tmp_path)

    assert sentence == f"{path}: unpacks to more than 200 times its size; land it unpacked if it is meant so"
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


def test_small_files_may_pack_as_well_as_they_can(land, tmp_path):
    land("a.csv.gz", gzip.compress(b"a,b\n" + LINES[: 32 << 20]))

    assert counted(tmp_path) == [32]


def test_what_unpacks_to_too_much_is_refused_whatever_its_size(land, tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "MOST_UNPACKED", 16 << 20)
    path = land("a.csv.gz", gzip.compress(b"a,b\n" + LINES))

    assert said(tmp_path) == f"{path}: unpacks to more than 16 MiB; land it in parts, or unpacked"
