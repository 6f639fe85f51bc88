"""Tests of a conf: what is wrong with one is said with its line before anything runs; rows are told apart by hand."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from math import nan
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from pipelines.cases.comparing import Difference, difference
from pipelines.cases.finding import found
from pipelines.errors import SpecError
from pipelines.spec import load_cases
from pipelines.spec.schema import cases_schema

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / "conf" / "tests").glob("*.yml"))
CONF = """
pipeline: shop
sources:
  orders_raw: {kind: files, format: csv, path: orders, schema: "id INT, customer STRING, at TIMESTAMP, amount DOUBLE"}
  clicks_raw: {kind: kafka, connection: events, topic: clicks, schema: "id INT"}
tables:
  orders:
    from: orders_raw
    keys: [id]
    event_time: at
    select: SELECT id, customer, at, amount FROM orders_raw
  customers: {select: "SELECT customer, count(*) AS orders FROM orders GROUP BY customer"}
  visits: {from: clicks_raw, select: "SELECT id, kafka_offset FROM clicks_raw"}
features:
  placed:
    spine: orders
    keys: [id]
    as_of_time: at
    columns: [amount]
    windows: [{table: orders, keys: [customer], over: [7 days], aggregates: {amount: [count]}}]
  visits: {spine: orders, keys: [id], as_of_time: at, columns: [amount]}
"""
CASES = """
pipeline: shop
tests:
  - test: an order is an order
    given:
      orders_raw:
        - {id: 1, at: 2026-03-02 08:00:00}
      clicks_raw:
        - {id: 7, kafka_offset: 3}
    later:
      - orders_raw: [{id: 2}]
    expect:
      orders:
        - {id: 1, at: 2026-03-02 08:00:00}
        - {id: 2, at: null}
      placed:
        - {id: 1, customer_amount_count_1w: 0}
    quarantine:
      orders:
        - {id: 9, reasons: [malformed record]}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A conf and a file of one test that names only what is there."""
    (tmp_path / "conf" / "tests").mkdir(parents=True)
    (tmp_path / "conf" / "shop.yml").write_text(CONF)
    (tmp_path / "conf" / "tests" / "orders.yml").write_text(CASES)
    return tmp_path / "conf" / "shop.yml"


def said(shop: Path, old: str, new: str) -> str:
    """What finding the tests says once a text of theirs is replaced."""
    assert old in CASES, old
    (shop.parent / "tests" / "orders.yml").write_text(CASES.replace(old, new, 1))
    with pytest.raises(SpecError) as caught:
        found(shop)
    return str(caught.value).replace(f"{shop.parent}/", "")


def test_a_test_knows_its_place_and_its_values_are_as_written(shop):
    (case,) = found(shop)

    assert (str(case), case.at(), case.at("expect", "placed")) == (
        "an order is an order",
        f"{shop.parent}/tests/orders.yml:4",
        f"{shop.parent}/tests/orders.yml:16",
    )
    assert case.case.given["orders_raw"] == ({"id": 1, "at": "2026-03-02 08:00:00"},)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("    given:", "    givn:", "5: tests.0.givn: no such key; did you mean 'given'?"),
        ("      orders_raw:\n", "      order_raw:\n", "6: tests.0.given.order_raw: no source 'order_raw'; "
         "did you mean 'orders_raw'?"),
        ("{id: 1, at: 2026-03-02 08:00:00}\n      c", "{ids: 1}\n      c", "7: tests.0.given.orders_raw.0.ids: "
         "orders_raw has no column 'ids'; did you mean 'id'?"),
        ("kafka_offset: 3", "kafka_ofset: 3", "9: tests.0.given.clicks_raw.0.kafka_ofset: clicks_raw has no column "
         "'kafka_ofset'; did you mean 'kafka_offset'?"),
        ("[{id: 2}]", "[{idd: 2}]", "11: tests.0.later.0.orders_raw.0.idd: orders_raw has no column 'idd'; "
         "did you mean 'id'?"),
        ("      placed:", "      place:", "16: tests.0.expect.place: no table 'place'; did you mean 'placed'?"),
        ("customer_amount_count_1w", "customer_amount_count_7d", "17: tests.0.expect.placed.0."
         "customer_amount_count_7d: placed has no column 'customer_amount_count_7d'; "
         "did you mean 'customer_amount_count_1w'?"),
        ("{id: 2, at: null}", "{id: 2}", "15: tests.0.expect.orders.1: does not name 'at', which the first row does; "
         "write null where it is null"),
        ("{id: 2, at: null}", "{id: 2, at: null, amount: 1}", "15: tests.0.expect.orders.1.amount: the first row does "
         "not name 'amount'; write null where it is null"),
        ("{id: 1, customer_amount_count_1w: 0}", "{}", "17: tests.0.expect.placed.0: names no column to compare"),
        ("      placed:\n        - {id: 1, customer_amount_count_1w: 0}", "      visits: []", "16: tests.0.expect."
         "visits: is the name of a table and of a feature table; one of them needs another"),
        (", reasons: [malformed record]", "", "20: tests.0.quarantine.orders.0: needs reasons, a list of texts as "
         "`lakeloom show` has them"),
        ("[malformed record]", "[]", "20: tests.0.quarantine.orders.0: needs reasons, a list of texts as "
         "`lakeloom show` has them"),
        ("[malformed record]", "[1]", "20: tests.0.quarantine.orders.0: needs reasons, a list of texts as "
         "`lakeloom show` has them"),
        ("reasons: [malformed record]", "reasons: malformed record", "20: tests.0.quarantine.orders.0: needs reasons, "
         "a list of texts as `lakeloom show` has them"),
        ("quarantine:\n      orders:", "quarantine:\n      customers:", "19: tests.0.quarantine.customers: no table "
         "with `from` 'customers'; there is orders, visits"),
        ("pipeline: shop", "pipeline: shopp", "2: pipeline: no conf has this name, 'shopp'; did you mean 'shop'?"),
        ("an order is an order", "&a an order", "4: cannot be read: anchors, aliases and tags are not used in a conf"),
    ],
)  # fmt: skip
def test_what_a_test_names_and_the_conf_has_not_is_one_sentence_with_its_line(shop, old, new, sentence):
    assert said(shop, old, new) == f"tests/orders.yml:{sentence}"


def test_a_sentence_stands_once(shop):
    again = CASES + CASES.partition("tests:\n")[2]

    assert said(shop, CASES, again) == "tests/orders.yml:21: tests.1.test: 'an order is an order' stands twice"


def test_a_file_without_a_test_is_refused(shop):
    assert said(shop, CASES, "pipeline: shop\ntests: []\n") == "tests/orders.yml:1: has no test"


def test_a_test_that_expects_nothing_is_refused(shop):
    nothing = "pipeline: shop\ntests:\n  - test: nothing\n"

    assert said(shop, CASES, nothing) == (
        "tests/orders.yml:3: tests.0: expects nothing; name a table under `expect` or `quarantine`"
    )


def test_no_test_at_all_is_no_pass(shop):
    with pytest.raises(
        SpecError, match=r"no test of pipeline 'shop' with 'midnight' .*; there is an order is an order"
    ):
        found(shop, "midnight")
    (shop.parent / "tests" / "orders.yml").unlink()
    with pytest.raises(SpecError, match="no test of pipeline 'shop' names it"):
        found(shop)
    (shop.parent / "tests").rmdir()
    with pytest.raises(SpecError, match="no test of pipeline 'shop' names it"):
        found(shop)


def test_tests_of_another_conf_are_left_to_it(shop):
    (shop.parent / "mill.yml").write_text(CONF.replace("shop", "mill"))
    (shop.parent / "tests" / "mill.yml").write_text(CASES.replace("shop", "mill").replace("an order is", "flour is"))

    assert [str(case) for case in found(shop)] == ["an order is an order"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_a_file_of_tests_names_its_schema_and_keeps_it(path):
    text = path.read_text()

    assert text.startswith("# yaml-language-server: $schema=../tests-schema.json\n")
    assert load_cases(path)[0].tests
    plain = json.loads(json.dumps(YAML(typ="safe", pure=True).load(text), default=str))
    assert list(Draft7Validator(cases_schema()).iter_errors(plain)) == []


def test_an_editor_underlines_a_key_that_no_test_has():
    Draft7Validator.check_schema(cases_schema())
    wrong = {"pipeline": "shop", "tests": [{"test": "one", "expects": {}}]}

    assert [e.json_path for e in Draft7Validator(cases_schema()).iter_errors(wrong)] == ["$.tests[0]"]


def differs(expected: list[object], actual: list[object], tolerance: float = 0.0) -> tuple[list[object], list[object]]:
    """(missing, unexpected) of rows of one column."""
    rows = [[{"x": value} for value in values] for values in (expected, actual)]
    made = difference("t", "f:1", ["x"], *rows, tolerance)
    return ([r["x"] for r in made.missing], [r["x"] for r in made.unexpected]) if made else ([], [])


@pytest.mark.parametrize(
    ("expected", "actual", "left"),
    [
        ([1, 2], [2, 1], ([], [])),
        ([1, 1, 2], [1, 2, 2], ([1], [2])),
        ([1], [], ([1], [])),
        ([], [1], ([], [1])),
        ([None, None], [None, None], ([], [])),
        ([None], [0], ([None], [0])),
        ([""], [None], ([""], [None])),
        ([nan], [nan], ([], [])),
        ([Decimal("1.10")], [Decimal("1.1")], ([], [])),
        ([Decimal("1.10")], [Decimal("1.11")], ([Decimal("1.10")], [Decimal("1.11")])),
        ([{"a": 1, "b": None}], [{"a": 1, "b": None}], ([], [])),
        ([{"a": 1, "b": None}], [{"a": 1, "b": 0}], ([{"a": 1, "b": None}], [{"a": 1, "b": 0}])),
        ([[1, 2]], [[2, 1]], ([[1, 2]], [[2, 1]])),
        ([[("k", 1), ("l", 2)]], [[("l", 2), ("k", 1)]], ([], [])),
        ([[("k", 1)]], [[("k", 2)]], ([[("k", 1)]], [[("k", 2)]])),
    ],
    ids=str,
)
def test_rows_are_a_multiset_in_which_null_is_null(expected, actual, left):
    assert differs(expected, actual) == left


def test_floats_are_equal_within_the_tolerance_and_the_nearest_is_taken_first():
    assert differs([6.333333], [19 / 3], 1e-6) == ([], [])
    assert differs([6.333333], [19 / 3], 1e-9) == ([6.333333], [19 / 3])
    assert differs([0.0], [1e-12], 1e-9) == ([], [])
    assert differs([[1.0, 2.0]], [[1.0, 2.0 + 1e-12]], 1e-9) == ([], [])
    # 0.3 is near both, 0.6 only to itself: were 0.3 given to 0.6, that would be missed
    assert differs([0.3, 0.6], [0.6, 0.0], 0.35) == ([], [])


def test_where_one_row_differs_its_columns_are_named():
    expected = {"flight": 2, "landed": datetime(2013, 1, 16, 6, 15, tzinfo=UTC), "delay": None, "seats": 180.0}
    actual = {"flight": 2, "landed": datetime(2013, 1, 15, 6, 15, tzinfo=UTC), "delay": 10, "seats": 180.0}

    made = difference("flights", "t.yml:9", list(expected), [expected], [actual], 1e-9)

    assert made is not None
    assert made.text() == (
        "t.yml:9: flights: one row differs, in landed, delay\n"
        "              flight  landed               delay  seats\n"
        "  missing     2       2013-01-16 06:15:00  null   180.0\n"
        "  unexpected  2       2013-01-15 06:15:00  10     180.0"
    )


def test_a_text_shows_ten_rows_of_each_kind_and_counts_the_others():
    missing, unexpected = [{"n": n} for n in range(12)], [{"n": n} for n in range(100, 111)]

    lines = Difference("orders", "t.yml:9", ("n",), tuple(missing), tuple(unexpected)).text().splitlines()

    assert lines[0] == "t.yml:9: orders: 12 missing rows, 11 unexpected rows"
    assert [line.split() for line in lines[1:4]] == [["n"], ["missing", "0"], ["missing", "1"]]
    assert lines[-3:] == ["  unexpected  109", "  and 2 more missing", "  and 1 more unexpected"]
    assert len(lines) == 1 + 1 + 10 + 10 + 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), ("null", '"null"'), (True, "true"), ("", '""'), (" a", '" a"'), ("a\nb", '"a\\nb"'),
        ("é", "é"), (b"ab", "YWI="), ({"a": [1, None]}, '{"a": [1, null]}'),
        (datetime(2013, 1, 2), "2013-01-02 00:00:00"),
        (datetime.fromisoformat("2013-01-02T00:00:00+01:00"), "2013-01-01 23:00:00"),
    ],
)  # fmt: skip
def test_values_that_look_alike_are_shown_apart(value, text):
    assert Difference("t", "f:1", ("x",), ({"x": value},), ()).text().endswith(f"missing  {text}")
