"""A conf that `init` drafted, tried on a sample and then run as it is: of files and of a Delta table of others."""

import io
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pytest
from deltalake import write_deltalake

from e2e.project import Project, project
from pipelines.scaffold import scaffold

pytestmark = pytest.mark.spark

ORDERS = """order id,customer,placed at,amount,paid
1,ann,2024-01-01 10:00:00,3.5,true
2,bob,2024-01-02 11:00:00,4.25,false
3,ann,2024-01-03 12:00:00,7.25,true
"""


def as_files(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "1.csv").write_text(ORDERS)


def as_table(folder: Path) -> None:
    rows = csv.read_csv(io.BytesIO(ORDERS.encode()))
    names = [name.replace(" ", "_") for name in rows.column_names]
    rows = rows.set_column(2, "placed at", rows["placed at"].cast(pa.timestamp("us", "UTC")))
    write_deltalake(folder, rows.rename_columns(names))


@pytest.fixture(params=[as_files, as_table], ids=["files", "a Delta table"])
def drafted(request, spark, tmp_path: Path) -> Project:
    made = project(tmp_path, "orders")
    request.param(made.landing / "my_orders")
    made.conf.parent.mkdir(parents=True, exist_ok=True)
    made.conf.write_text(scaffold(made.landing / "my_orders", "orders"))
    return made


def test_a_draft_is_checked_tried_and_run_as_it_is(drafted):
    assert drafted.lakeloom("check").error == ""
    tried = drafted.lakeloom("run", "--sample", "2")
    there = drafted.records()
    ran = drafted.lakeloom("run")

    assert (tried.error, there) == ("", [])
    assert re.search(r"^orders +2 +2 ", tried.out, re.MULTILINE)
    assert ran.error == ""
    shown = sorted((r["order_id"], r["customer"], r["amount"]) for r in drafted.published("tables.orders"))
    assert shown == [(1, "ann", 3.5), (2, "bob", 4.25), (3, "ann", 7.25)]
