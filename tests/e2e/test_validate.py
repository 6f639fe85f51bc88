"""Great Expectations itself on what was published: a line a table, Data Docs, and exit code 3 for a broken promise."""

import json

import pytest

from e2e.project import Project, Said, project

pytestmark = pytest.mark.spark

NULL, SET = "expect_column_values_to_not_be_null", "expect_column_values_to_be_in_set"
COUNT, LIKE = "expect_table_row_count_to_be_between", "expect_column_values_to_match_like_pattern"
EXPECT = [
    {NULL: {"column": "id"}, "on_fail": "quarantine"},
    {SET: {"column": "n", "value_set": [1, 2], "row_condition": "id <> 'a'"}, "on_fail": "warn"},
    {COUNT: {"min_value": 1}, "on_fail": "fail"},
    {LIKE: {"column": "id", "like_pattern": "_"}, "on_fail": "warn"},
]
SOURCE = {"kind": "files", "format": "csv", "path": "orders", "schema": "id STRING, n INT"}
TABLES = {
    "orders": {"from": "orders_raw", "select": "SELECT id, n FROM orders_raw", "expect": EXPECT},
    "counts": {"select": "SELECT n, count(*) AS c FROM orders GROUP BY n", "expect": [{COUNT: {"min_value": 1}}]},
    "bare": {"select": "SELECT n FROM orders"},
}


@pytest.fixture(scope="module")
def shop(spark, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = project(tmp_path_factory.mktemp("shop"), "shop")
    made.write(sources={"orders_raw": SOURCE}, tables=TABLES)
    made.land("orders/1.csv", "id,n\na,9\nb,1\nc,777333\n,1\n")
    made.lakeloom("run")
    return made


@pytest.fixture(scope="module")
def said(shop: Project) -> Said:
    return shop.lakeloom("validate")


def test_each_table_that_promises_something_has_a_line(said):
    assert (said.code, said.out.splitlines()) == (0, [
        "tables.orders                version 0: 2 of 3 hold; warn: n: be in set (value_set (1, 2)) where id <> 'a': "
        "1 of 2 rows unexpected; not on Spark: id: match like pattern (like_pattern _)",
        "tables.counts                version 0: 1 of 1 hold",
    ])  # fmt: skip


def test_the_data_docs_lie_beside_the_warehouse_and_hold_no_row(shop, said):
    docs = shop.root / ".lakeloom" / "data_docs" / "shop"
    pages = {p.relative_to(docs).parts[0] for p in docs.rglob("*.html")}

    assert f"Data Docs: {docs}/index.html" in said.err
    assert pages == {"index.html", "expectations", "validations"}
    (orders,) = docs.glob("validations/orders/**/*.html")
    assert "version 0" in orders.as_posix()
    assert "50%" in orders.read_text()
    assert [p for p in docs.rglob("*.html") if "777333" in p.read_text()] == []  # what breaks a promise


def test_a_broken_promise_that_fails_is_exit_code_3(shop, said, tmp_path):
    shop.change(lambda conf: conf["tables"]["orders"]["expect"].append({COUNT: {"min_value": 9}, "on_fail": "fail"}))
    try:
        strict = shop.lakeloom("validate", "tables.orders", "--to", str(tmp_path / "docs"), "--format", "json")
    finally:
        shop.change(lambda conf: conf["tables"]["orders"]["expect"].pop())

    broken = "rows: table row count to be between (min_value 9)"
    assert (strict.code, strict.error) == (3, f"tables.orders: {broken}: observed 3")
    (table,) = json.loads(strict.out)
    assert (table["checks"], len(table["broken"])) == (4, 2)
    assert (tmp_path / "docs" / "index.html").exists()


def test_a_table_that_asks_for_it_is_published_only_if_great_expectations_agrees(shop, said):
    def strict(conf) -> None:
        conf["tables"]["orders"].update({"validate": True})
        conf["tables"]["orders"]["expect"].append({COUNT: {"min_value": 9}, "on_fail": "fail"})

    before = shop.records("tables.orders")[-1].published_version
    shop.change(strict)
    refused = shop.lakeloom("run", "--select", "tables.orders")
    shop.change(lambda conf: conf["tables"]["orders"]["expect"].pop())
    agreed = shop.lakeloom("run", "--select", "tables.orders")

    assert refused.code == 3
    assert "min_value 9), by Great Expectations: " in refused.error
    assert shop.records("tables.orders")[-2].published_version is None
    assert "Great Expectations judges 3 promises" in agreed.err
    assert (agreed.error, shop.records("tables.orders")[-1].published_version) == ("", before)
    assert (shop.root / ".lakeloom" / "data_docs" / "shop.orders" / "index.html").exists()


@pytest.mark.parametrize(
    ("stage", "code", "sentence"),
    [
        ("tables.bare", 3, "tables.bare: no check to carry out; a table's are in its expect"),
        ("orders", 2, "no table 'orders'; there is tables.orders, tables.counts, tables.bare"),
    ],
)
def test_no_check_is_no_success(shop, stage, code, sentence):
    told = shop.lakeloom("validate", stage)

    assert (told.code, told.error) == (code, sentence)


def test_a_check_that_cannot_be_carried_out_is_no_success(shop, said):
    schema = {"expect_column_values_to_match_json_schema": {"column": "id", "json_schema": {"type": "text"}}}
    shop.change(lambda conf: conf["tables"]["orders"]["expect"].append({**schema, "on_fail": "warn"}))
    try:
        told = shop.lakeloom("validate", "tables.orders")
    finally:
        shop.change(lambda conf: conf["tables"]["orders"]["expect"].pop())

    assert told.code == 3
    assert told.error.startswith("id: match json schema (json_schema {'type': 'text'}): Great Expectations could not ")


def test_the_suite_is_exported_and_comes_back(shop, said, tmp_path):
    suite = tmp_path / "orders.json"
    suite.write_text(shop.lakeloom("suite export", "tables.orders").out)

    assert [e["type"] for e in json.loads(suite.read_text())["expectations"]] == [NULL, SET, COUNT, LIKE]


def test_what_was_never_published_cannot_be_validated(spark, tmp_path):
    made = project(tmp_path, "shop")
    made.write(sources={"orders_raw": SOURCE}, tables=TABLES)

    told = made.lakeloom("validate")

    assert (told.code, told.error) == (
        3, "tables.orders, tables.counts: nothing was published yet; `lakeloom run` makes it"
    )  # fmt: skip
