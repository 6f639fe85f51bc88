"""A broken conf through the real command: its exit code, one sentence with file and line, nothing written."""

from pathlib import Path

import pytest

from e2e.project import Project, project

CONF = """\
pipeline: orders
sources:
  raw: {kind: files, format: csv, path: orders, schema: "id INT, amount INT"}
tables:
  orders:
    from: raw
    keys: [id]
    select: SELECT id, amount FROM raw
  big:
    select: SELECT id FROM orders WHERE amount > 10
"""


@pytest.fixture
def orders(tmp_path: Path) -> Project:
    made = project(tmp_path, "orders")
    made.conf.write_text(CONF)
    return made


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("keys:", "kyes:", "7: tables.orders.kyes: no such key; did you mean 'keys'?"),
        ("keys: [id]", "keys: id", "7: tables.orders.keys: should be a list, got 'id'"),
        ("id, amount FROM", "id, amont FROM", "8: tables.orders.select: no column 'amont'; did you mean 'amount'?"),
        (
            "FROM orders",
            "FROM odrers",
            "10: tables.big.select: reads 'odrers', which is no source or table; did you mean 'orders'?",
        ),
        (
            "amount FROM raw",
            "amount FROM raw LEFT JOIN big USING (id)",
            "8: tables.orders: tables read each other in a circle: orders -> big -> orders",
        ),
    ],
    ids=["unknown key", "wrong type", "missing column", "unknown table", "cycle"],
)
def test_a_broken_conf_is_one_sentence_with_its_line(orders, old, new, sentence):
    orders.conf.write_text(CONF.replace(old, new))
    before = orders.files()

    said = orders.lakeloom_apart("run")

    assert (said.code, said.out, said.err) == (2, "", f"error: {orders.conf}:{sentence}\n")
    assert orders.files() == before


def test_a_missing_landing_folder_is_one_sentence_that_names_it(orders):
    said = orders.lakeloom_apart("run")

    folder = orders.landing / "orders"
    remedy = "make it, or mend the source's `path` or the target's `landing`"
    assert (said.code, said.err) == (2, f"error: {folder}: no such landing folder; {remedy}\n")
    assert not Path(orders.warehouse.root).exists()
