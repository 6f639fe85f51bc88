"""A first conf from data: what it sees it says, what it cannot tell it leaves as a comment, and `check` passes it."""

import gzip
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from pipelines.check import check
from pipelines.columns import ddl
from pipelines.errors import SpecError
from pipelines.scaffold import scaffold
from pipelines.spec import Pipeline, load_lines

ORDERS = """order id,customer,placed at,amount,paid,note
1,ann,2024-01-01 10:00:00,3.5,true,NA
2,bob,2024-01-02 11:00:00,NA,false,NA
3,ann,2024-01-03 12:00:00,7.25,true,late
"""


@pytest.fixture
def conf(tmp_path):
    """The scaffold of a path, written, loaded and checked."""

    def made(path: Path, name: str = "orders") -> Pipeline:
        text = tmp_path / "scaffolded.yml"
        text.write_text(scaffold(path, name), encoding="utf-8")
        pipeline, lines = load_lines(text)
        check(pipeline, lines)
        return pipeline

    return made


def refused(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        scaffold(path, "orders")
    return str(caught.value)


def test_a_csv_becomes_a_source_a_table_and_its_promises(conf, tmp_path):
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "a.csv").write_text(ORDERS)

    pipeline = conf(tmp_path / "orders")

    source, table = pipeline.sources["orders_raw"], pipeline.tables["orders"]
    assert (source.format, source.path, source.null) == ("csv", "orders", "NA")
    assert ddl(source.ddl) == {
        "order id": "INT", "customer": "STRING", "placed at": "TIMESTAMP", "amount": "DOUBLE", "paid": "BOOLEAN",
        "note": "STRING",
    }  # fmt: skip
    assert table.keys == ("order_id",)
    assert table.event_time == "placed_at"
    assert [e.columns for e in table.expect] == [("order_id",), ("customer",), ("placed_at",), ("paid",), ()]


def test_what_the_rows_do_not_show_is_left_as_a_comment(conf, tmp_path):
    (tmp_path / "counts.csv").write_text("kind,total\na,1\na,1\n")

    table = conf(tmp_path / "counts.csv", "counts").tables["counts"]

    assert (table.keys, table.event_time) == ((), None)
    assert "# keys: [id]" in scaffold(tmp_path / "counts.csv", "counts")


def test_numbers_too_big_for_an_int_are_bigint(conf, tmp_path):
    (tmp_path / "n.csv").write_text("small,big\n2147483647,2147483648\n-2147483648,1\n")

    assert ddl(conf(tmp_path / "n.csv").sources["orders_raw"].ddl) == {"small": "INT", "big": "BIGINT"}


def test_a_packed_file_is_looked_into(conf, tmp_path):
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "a.csv.gz").write_bytes(gzip.compress(b"id,total\na,1\nb,2\n"))

    source = conf(tmp_path / "orders").sources["orders_raw"]

    assert (source.format, ddl(source.ddl)) == ("csv", {"id": "STRING", "total": "INT"})


def test_json_lines_keep_their_nesting(conf, tmp_path):
    (tmp_path / "e.jsonl").write_text('{"id": "a", "tags": ["x"], "at": {"lat": 1.5}}\n{"id": "b", "tags": []}\n')

    source = conf(tmp_path / "e.jsonl").sources["orders_raw"]

    assert source.format == "json"
    assert ddl(source.ddl) == {"id": "STRING", "tags": "ARRAY<STRING>", "at": "STRUCT<lat: DOUBLE>"}
    assert source.optional == ("at",)


def test_parquet_gives_its_own_types(conf, tmp_path):
    moment = datetime(2024, 1, 1, tzinfo=UTC)
    at = pa.array([moment, moment], pa.timestamp("us", "UTC"))
    rows = pa.table({"id": [1, 2], "price": [Decimal("1.50"), Decimal("2.25")], "at": at, "day": [moment.date()] * 2})
    parquet.write_table(rows, tmp_path / "p.parquet")

    source = conf(tmp_path / "p.parquet").sources["orders_raw"]

    assert ddl(source.ddl) == {"id": "BIGINT", "price": "DECIMAL(3,2)", "at": "TIMESTAMP", "day": "DATE"}


@pytest.mark.parametrize("name", ["Orders 2024", "2024", "../../x", "", "Größe; DROP", "a" * 90])
def test_any_name_becomes_one_that_a_conf_may_have(conf, tmp_path, name):
    (tmp_path / "orders.csv").write_text(ORDERS)

    conf(tmp_path / "orders.csv", name)


@pytest.mark.parametrize(
    "header", ["select,from,where", "a b,c-d,1e", "é,ü,ß", "order,`x`,y'z", '"a, b",c,d', "x:y,#z,{w}"]
)
def test_any_header_becomes_a_conf_that_loads(conf, tmp_path, header):
    (tmp_path / "odd.csv").write_text(f"{header}\n1,2,3\n4,5,6\n")

    assert len(conf(tmp_path / "odd.csv").tables["orders"].expect) == 4


def test_a_file_without_rows_has_nothing_to_look_at(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id,at\n")

    assert refused(path) == f"{path}: has no rows to look at"


def test_a_missing_path_is_named(tmp_path):
    assert refused(tmp_path / "gone") == f"{tmp_path / 'gone'}: no such file or folder"


def test_a_folder_without_data_says_what_is_there(tmp_path):
    (tmp_path / "readme.txt").write_text("hello")

    sentence = (
        f"{tmp_path}: no file that can be read; there is readme.txt, and .csv, .json, .jsonl, .ndjson, .parquet can be"
    )
    assert refused(tmp_path) == sentence


def test_files_of_two_formats_are_two_sources(tmp_path):
    (tmp_path / "a.csv").write_text("id\n1\n")
    (tmp_path / "b.jsonl").write_text('{"id": 1}\n')

    assert refused(tmp_path) == f"{tmp_path}: holds csv and json; a source has one format"


def test_files_with_other_headers_are_named_with_the_column(tmp_path):
    (tmp_path / "a.csv").write_text("id,at\n1,2\n")
    (tmp_path / "b.csv").write_text("id,when\n1,2\n")

    assert refused(tmp_path) == f"{tmp_path / 'b.csv'}: its columns differ from those of a.csv, first in 'when'"


def test_names_that_sql_cannot_tell_apart_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("order id,order-id\n1,2\n")

    assert (
        refused(tmp_path / "a.csv") == f"{tmp_path / 'a.csv'}: columns 'order id' and 'order-id' have one name in SQL"
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b""),
        ("a.csv", b"id,at\n1,2,3\n"),
        ("a.json", b"{not json"),
        ("a.parquet", b"PAR0"),
        ("a.csv", b"\xff\xfe\x00"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)

    assert refused(path).startswith(f"{path}: ")
    assert "\n" not in refused(path)
