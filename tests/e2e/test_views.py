"""A view of groups is added to while its table only grows, and made whole when it did not; the rows are the same."""

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from e2e.project import Project, project

pytestmark = pytest.mark.spark

SCHEMA = "id INT, shop STRING, cents BIGINT, price DECIMAL(10,2), paid BOOLEAN"
SALES = """SELECT shop, count(*) AS sold, sum(cents) AS cents, sum(price) AS price, min(id) AS first, max(id) AS last,
                  bool_and(paid) AS all_paid FROM receipts WHERE id >= 0 GROUP BY shop"""
SEED = 7
Receipt = dict[str, Any]


def receipts(seed: int, count: int = 60) -> list[Receipt]:
    """Receipts of a few shops, one of them without a name."""
    dice = random.Random(seed)
    made = []
    for number in range(count):
        cents = dice.randrange(10_000)
        shop = dice.choice(["north", "south", None])
        made.append({"id": number, "shop": shop, "cents": cents, "price": cents / 100, "paid": dice.random() < 0.9})
    return made


def sales(rows: list[Receipt]) -> set[tuple[object, ...]]:
    """Worked out by hand, in whole cents."""
    by_shop = defaultdict(list)
    for row in rows:
        by_shop[row["shop"]].append(row)
    found = set()
    for shop, mine in by_shop.items():
        cents, ids = sum(r["cents"] for r in mine), [r["id"] for r in mine]
        found.add((shop, len(mine), cents, cents, min(ids), max(ids), all(r["paid"] for r in mine)))
    return found


def till(root: Path, **receipts: object) -> Project:
    made = project(root, "till")
    made.write(
        sources={"log": {"kind": "files", "format": "json", "path": "log", "schema": SCHEMA}},
        tables={
            "receipts": {"from": "log", "select": "SELECT * FROM log", **receipts},
            "sales": {"select": SALES},
            "turnover": {"select": "SELECT sum(cents) AS cents FROM receipts"},
            "middling": {"select": "SELECT shop, avg(cents) AS cents FROM receipts GROUP BY shop"},
        },
    )
    return made


def land(made: Project, name: str, rows: list[Receipt]) -> None:
    made.land(f"log/{name}.json", "".join(json.dumps(r) + "\n" for r in rows))


def shown(made: Project) -> set[tuple[object, ...]]:
    found = made.published("tables.sales")
    return {
        (r["shop"], r["sold"], r["cents"], int(r["price"] * 100), r["first"], r["last"], r["all_paid"]) for r in found
    }


def added(made: Project, stage: str) -> list[bool]:
    """Of each batch, whether it added to the version before."""
    return ["added" in i.inputs for i in made.intents(stage)]


def planned(made: Project, stage: str) -> str:
    plan = json.loads(made.lakeloom("plan", "--format", "json").out)
    return str(next(row["why"] for row in plan if row["stage"] == stage))


@pytest.fixture(scope="module")
def grown(spark, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Three deliveries."""
    made, rows = till(tmp_path_factory.mktemp("till")), receipts(SEED)
    for number, (low, high) in enumerate([(0, 10), (10, 11), (11, 60)]):
        land(made, str(number), rows[low:high])
        assert made.lakeloom("run").error == ""
    return made


def test_new_rows_are_added_to_the_groups_of_a_view(grown):
    rows = receipts(SEED)

    assert added(grown, "tables.sales") == [False, True, True]
    assert shown(grown) == sales(rows)
    assert [r["cents"] for r in grown.published("tables.turnover")] == [sum(r["cents"] for r in rows)]


def test_a_view_keeps_its_types_when_it_is_added_to(grown):
    schemas = [grown.warehouse.delta("tables.sales").schema().to_json()]
    grown.lakeloom("run", "--full-refresh", "tables.sales")

    assert grown.warehouse.delta("tables.sales").schema().to_json() == schemas[0]
    assert shown(grown) == sales(receipts(SEED))


def test_a_view_that_cannot_be_added_to_is_made_whole(grown):
    assert added(grown, "tables.middling") == [False, False, False]


def test_the_plan_says_which_way_and_why(spark, tmp_path):
    made, rows = till(tmp_path), receipts(SEED)
    land(made, "0", rows[:10])
    made.lakeloom("run")
    land(made, "1", rows[10:20])

    made.lakeloom("run", "--select", "tables.receipts")

    moved = "tables.receipts went from version 0 to 1"
    assert planned(made, "tables.sales") == f"{moved}; its groups are added to"
    assert planned(made, "tables.middling") == f"{moved}; made whole, for 'AVG(cents)' cannot be added to"


def test_a_view_of_rows_that_were_changed_is_made_whole(spark, tmp_path):
    made, rows = till(tmp_path, keys=["id"], sequence_by="cents"), receipts(SEED, 12)
    land(made, "0", rows[:6])
    made.lakeloom("run")
    land(made, "1", rows[6:])
    made.lakeloom("run")
    dearer = {**rows[0], "cents": 99_999, "price": 999.99}
    land(made, "2", [dearer])
    made.lakeloom("run", "--select", "tables.receipts")

    assert planned(made, "tables.sales").endswith("; made whole, for rows of receipts were changed")
    made.lakeloom("run")

    assert added(made, "tables.sales") == [False, True, False]
    assert shown(made) == sales([dearer, *rows[1:]])


def test_a_view_of_a_table_that_was_made_anew_is_made_whole(spark, tmp_path):
    made, rows = till(tmp_path), receipts(SEED, 12)
    land(made, "0", rows)
    made.lakeloom("run")

    made.lakeloom("run", "--full-refresh", "tables.receipts")

    assert added(made, "tables.sales") == [False, False]
    assert shown(made) == sales(rows)
