"""A broken conf through the real command: its exit code, one sentence a flaw with file and line, nothing written."""

from pathlib import Path

import pytest
from e2e.project import Project, project

GOOD = {
    "sources": {"raw": {"kind": "files", "format": "csv", "path": "orders", "schema": "id INT, amount INT"}},
    "tables": {"orders": {"from": "raw", "keys": ["id"], "select": "SELECT id, amount FROM raw"}},
}


@pytest.fixture
def orders(tmp_path: Path) -> Project:
    made = project(tmp_path, "orders")
    made.write(**GOOD)
    return made


def _unknown_key(conf) -> None:
    conf["tables"]["orders"]["kyes"] = conf["tables"]["orders"].pop("keys")


def _wrong_type(conf) -> None:
    conf["tables"]["orders"]["select"] = 7


def _missing_column(conf) -> None:
    conf["tables"]["orders"]["select"] = "SELECT id, amont FROM raw"


def _unknown_table(conf) -> None:
    conf["tables"]["orders"]["select"] = "SELECT id, amount FROM row"


def _cycle(conf) -> None:
    conf["tables"] = {"a": {"select": "SELECT id FROM b"}, "b": {"select": "SELECT id FROM a"}}


@pytest.mark.parametrize(
    ("breakage", "line", "culprit"),
    [
        (_unknown_key, 13, "tables.orders.kyes: no such key; did you mean 'keys'?"),
        (_wrong_type, 12, "tables.orders.select: input should be a valid string, got 7"),
        (_missing_column, 12, "amont"),
        (_unknown_table, 12, "row"),
        (_cycle, 9, "tables read each other in a circle: a -> b -> a"),
    ],
    ids=lambda value: getattr(value, "__name__", "").strip("_"),
)
def test_a_broken_conf_is_one_sentence_with_its_line(orders, breakage, line, culprit):
    orders.change(breakage)
    before = orders.files()

    said = orders.lakeloom_apart("run")

    assert said.code == 2
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith(f"error: {orders.conf}:{line}: ") and culprit in said.err
    assert orders.files() == before


def test_a_missing_landing_folder_is_one_sentence_that_names_it(orders):
    said = orders.lakeloom_apart("run")

    folder = orders.landing / "orders"
    remedy = "make it, or mend the source's `path` or the target's `landing`"
    assert (said.code, said.err) == (2, f"error: {folder}: no such landing folder; {remedy}\n")
    assert not Path(orders.warehouse.root).exists()
