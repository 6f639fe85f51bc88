"""`lakeloom check --tests`: the pipeline's own code on given rows; how a test passes, fails, or is wrong itself."""

import json
from pathlib import Path

import pytest

from e2e.project import CONF, Project, Said, project
from pipelines.cases.finding import found
from pipelines.cases.trying import tried
from pipelines.spec import load_target

pytestmark = pytest.mark.spark

DOCS = CONF.parents[1] / "docs"
SHOP = """
pipeline: shop
sources:
  orders_raw:
    kind: kafka
    connection: nobody_asks_it
    topic: orders
    schema: >
      id INT, shop STRING, amount DECIMAL(10,2), at TIMESTAMP, items ARRAY<STRUCT<name STRING, n INT>>, rush STRING
  prices_raw: {kind: delta, path: prices, read: changes, schema: "item STRING, price DOUBLE"}
  stock_raw: {kind: files, format: csv, path: stock, schema: "item STRING, n INT, day DATE"}
  shops_raw: {kind: files, format: csv, path: shops, schema: "shop STRING, city STRING"}
tables:
  shops: {from: shops_raw, select: "SELECT shop, city FROM shops_raw"}
  stock:
    from: stock_raw
    keys: [item]
    sequence_by: day
    snapshots: true
    select: SELECT item, n, day FROM stock_raw
  prices:
    from: prices_raw
    keys: [item]
    sequence_by: commit_version
    apply_as_deletes: change_type = 'delete'
    select: SELECT item, price, change_type, commit_version FROM prices_raw
  orders:
    from: orders_raw
    keys: [id]
    sequence_by: kafka_offset
    stored_as_scd_type: 2
    select: >
      SELECT id, o.shop, city, amount, at, items, CAST(rush AS BOOLEAN) AS rush, kafka_offset
      FROM orders_raw o LEFT JOIN shops s ON s.shop = o.shop
    expect:
      - expect_column_values_to_be_between: {column: amount, min_value: 0}
        on_fail: quarantine
      - expect_column_values_to_be_between: {column: amount, max_value: 1000}
        on_fail: drop
      - expect_table_row_count_to_be_between: {min_value: 1000}
        on_fail: fail
  sales:
    from: orders_raw
    event_time: at
    select: SELECT id, at FROM orders_raw
    freshness: {within: 1 hours, on_fail: fail}
    volume: {min: 1, on_fail: fail}
  takings:
    select: SELECT city, sum(amount) AS amount, avg(amount) AS mean FROM orders WHERE valid_to IS NULL GROUP BY city
"""
HOLDS = """
pipeline: shop
tests:
  - test: an order that is corrected keeps its history, and the takings count what stands
    given:
      shops_raw: [{shop: a, city: Bonn}]
      orders_raw:
        - {id: 1, shop: a, amount: 19.90, at: 2026-03-02 08:00:00, kafka_offset: 0, items: [{name: pen, n: 2}]}
        - {id: 2, shop: b, amount: 0.10, at: '2026-03-02T09:00:00+01:00', kafka_offset: 1, items: []}
        - {id: 4, shop: b, amount: 5000, at: 2026-03-02 08:00:00, kafka_offset: 2}
    later:
      - orders_raw:
          - {id: 1, shop: a, amount: 20.00, at: 2026-03-02 08:00:00, kafka_offset: 3, items: [{name: pen, n: 3}]}
          - {id: 3, shop: a, amount: 20.01, at: 2026-03-02 08:00:00, kafka_offset: 4}
    expect:
      orders:
        - {id: 3, at: 2026-03-02 08:00:00, amount: 20.01, items: null, valid_to: null}
        - {id: 1, at: 2026-03-02 08:00:00, amount: 20, items: [{name: pen, n: 3}], valid_to: null}
        - {id: 1, at: 2026-03-02 08:00:00, amount: '19.90', items: [{name: pen, n: 2}], valid_to: 3}
        - {id: 2, at: 2026-03-02 08:00:00, amount: 0.1, items: [], valid_to: null}
      takings:
        - {city: Bonn, amount: 40.01, mean: 20.005}
        - {city: null, amount: 0.10, mean: 0.1}

  - test: a price that its owner deletes is gone, and an older one does not bring it back
    given:
      prices_raw:
        - {item: pen, price: 1.5, change_type: insert, commit_version: 1}
        - {item: ink, price: 9.0, change_type: insert, commit_version: 1}
    later:
      - prices_raw:
          - {item: pen, change_type: delete, commit_version: 3}
          - {item: pen, price: 1.7, change_type: update_postimage, commit_version: 2}
    expect:
      prices: [{item: ink, price: 9}]

  - test: what a later snapshot lacks is gone
    given: {stock_raw: [{item: pen, n: 3, day: 2026-03-01}, {item: ink, n: 1, day: 2026-03-01}]}
    later: [{stock_raw: [{item: pen, n: 2, day: 2026-03-02}]}]
    expect: {stock: [{item: pen, n: 2}]}

  - test: equal rows of a table without keys stay, in one delivery and in two
    given: {orders_raw: [{id: 1, at: 2026-03-02 08:00:00}, {id: 1, at: 2026-03-02 08:00:00}]}
    later: [{orders_raw: [{id: 1, at: 2026-03-02 08:00:00}, {id: 1, at: 2026-03-02 08:00:00}]}, {}]
    expect: {sales: [{id: 1}, {id: 1}, {id: 1}, {id: 1}]}

  - test: what is not given is empty
    expect: {shops: [], sales: []}
"""
FAILS = """
pipeline: shop
tests:
  - test: a wrong amount
    given:
      orders_raw:
        - {id: 1, amount: 1.00, at: 2026-03-02 08:00:00, kafka_offset: 0}
        - {id: 2, amount: -1, at: 2026-03-02 08:00:00, kafka_offset: 1}
    expect:
      orders:
        - {id: 1, amount: 1.01, rush: null}
  - test: a refused row that is another
    given:
      orders_raw:
        - {id: 2, amount: -1, at: 2026-03-02 08:00:00}
    quarantine:
      orders:
        - {id: 3, reasons: ['kafka_offset: not be null', 'amount: be between (min_value 0.0)']}
      shops:
        - {shop: a, reasons: [malformed record]}
  - test: a shop that stands twice
    given:
      shops_raw: [{shop: a, city: Bonn}, {shop: a, city: Berlin}]
      orders_raw: [{id: 1, shop: a, amount: 1, at: 2026-03-02 08:00:00, kafka_offset: 0}]
    expect:
      orders: [{id: 1}]
  - test: a value that the select cannot take
    given:
      orders_raw: [{id: 1, amount: 1, at: 2026-03-02 08:00:00, kafka_offset: 0, rush: perhaps}]
    expect:
      orders: [{id: 1}]
"""


@pytest.fixture
def shop(spark, tmp_path: Path) -> Project:
    made = project(tmp_path, "shop")
    made.conf.write_text(SHOP)
    (made.conf.parent / "tests").mkdir()
    return made


def checked(shop: Project, tests: str, *options: str) -> Said:
    (shop.conf.parent / "tests" / "shop.yml").write_text(tests)
    return shop.lakeloom("check", "--tests", *options)


@pytest.mark.parametrize("case", found(CONF), ids=str)
def test_the_conf_of_the_flights_holds(case, spark, tmp_path):
    target = load_target(CONF).model_copy(update={"warehouse": str(tmp_path / "warehouse")})

    (result,) = tried([case], target)

    assert result.passed, result.text()


def test_the_tests_in_the_docs_hold(spark, tmp_path):
    made = project(tmp_path, "returns")
    conf, tests = (
        (DOCS / page).read_text().split("```yaml\n")[1].split("```")[0] for page in ("conf.md", "testing.md")
    )
    made.conf.write_text(conf)
    (made.conf.parent / "tests").mkdir()

    said = checked(made, tests)

    assert (said.error, said.code) == ("", 0), said.out


def test_corrections_deletions_repetitions_and_nothing_at_all_end_as_the_conf_says(shop):
    before = shop.files()

    said = checked(shop, HOLDS)

    assert (said.error, said.code) == ("", 0), said.out
    assert said.out.startswith("shop: 5 of 5 tests passed in ")
    assert [line.split()[0] for line in said.err.splitlines()[1:]] == ["passed"] * 5
    assert set(shop.files()) - set(before) == {str(shop.conf.parent / "tests" / "shop.yml")}


def test_a_test_that_fails_says_what_is_missing_and_what_is_there_instead(shop):
    said = checked(shop, FAILS)

    file = shop.conf.parent / "tests" / "shop.yml"
    names = ("a wrong amount", "a refused row that is another", "a shop that stands twice")
    every = "; ".join((*names, "a value that the select cannot take"))
    assert (said.code, said.error) == (3, f"{shop.conf}: 4 of 4 tests failed: {every}")
    first, second, third, fourth, closing = said.out.split("\n\n")
    assert first.splitlines() == [
        "a wrong amount",
        f"{file}:10: orders: one row differs, in amount",
        "              id  amount  rush",
        "  missing     1   1.01    null",
        "  unexpected  1   1.00    null",
        f"{file}:4: quarantine of orders: 1 unexpected row",
        *first.splitlines()[-2:],
    ]
    assert first.splitlines()[-2].split() == ["reasons", "record"]
    assert '["amount: be between (min_value 0.0)"]  {"id":2,"amount":-1.00,' in first.splitlines()[-1]
    assert second.splitlines() == [
        "a refused row that is another",
        f"{file}:19: quarantine of shops: 1 missing row",
        "           shop  reasons",
        '  missing  a     ["malformed record"]',
        f"{file}:17: quarantine of orders: one row differs, in id",
        "              id  reasons",
        '  missing     3   ["amount: be between (min_value 0.0)", "kafka_offset: not be null"]',
        '  unexpected  2   ["amount: be between (min_value 0.0)", "kafka_offset: not be null"]',
    ]
    many = "its select made 2 rows of 1; a LEFT JOIN that finds several rows multiplies them"
    assert third.splitlines() == ["a shop that stands twice", f"{file}:21: tables.orders: {many}"]
    assert fourth.splitlines()[1].startswith(f"{file}:27: tables.orders: ")
    assert "perhaps" in fourth
    assert closing.startswith("shop: 0 of 4 tests passed in ")


def test_the_results_are_data(shop):
    said = checked(shop, FAILS, "--only", "wrong", "--format", "json")

    (result,) = json.loads(said.out)
    assert said.code == 3
    assert (result["test"], result["passed"], result["error"]) == ("a wrong amount", False, "")
    assert result["at"] == f"{shop.conf.parent}/tests/shop.yml:4"
    amount, refused = result["differences"]
    assert (amount["what"], amount["differing"]) == ("orders", ["amount"])
    assert (amount["missing"], amount["unexpected"]) == (
        [{"id": 1, "amount": "1.01", "rush": None}],
        [{"id": 1, "amount": "1.00", "rush": None}],
    )
    assert refused["what"] == "quarantine of orders"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("amount: 1.01", "amount: 1.005", "11: tests.0.expect.orders.0.amount: is DECIMAL(10,2) in the table, "
         "got 1.005"),
        ("id: 1, amount: 1.01", "id: one, amount: 1.01", "11: tests.0.expect.orders.0.id: is INT in the table, "
         'got "one"'),
    ],
    ids=["rounded", "a text"],
)  # fmt: skip
def test_an_expected_value_that_its_column_cannot_hold_is_a_wrong_test(shop, old, new, sentence):
    said = checked(shop, FAILS.replace(old, new), "--only", "wrong")

    assert (said.code, said.error) == (2, f"{shop.conf.parent}/tests/shop.yml:{sentence}")


def test_no_test_is_an_error_before_an_engine_starts(shop):
    said = shop.lakeloom_apart("check", "--tests", JAVA_HOME="/nowhere")

    assert (said.code, said.error) == (2, f"{shop.conf.parent}/tests: no test of pipeline 'shop' names it")
