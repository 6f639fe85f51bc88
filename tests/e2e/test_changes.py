"""A log of changes comes to the same table in any order, with any repetition, and however refreshes cut it.

What the table has to be is worked out here in a dictionary, from the log in
its true order.
"""

import pytest

from e2e.project import Project
from e2e.shop import AGAIN, EVENTS, SEED, Event, deliveries, log, shop

pytestmark = pytest.mark.spark

HISTORY = ("valid_from", "valid_to")
Row = tuple[object, ...]


def newest(events: list[Event]) -> set[Row]:
    last: dict[str, Event] = {}
    for event in sorted(events, key=lambda e: e["at"]):
        last[event["id"]] = event
    return {(e["id"], e["at"], e["name"]) for e in last.values() if e["op"] == "upsert"}


def history(events: list[Event]) -> set[Row]:
    found = set()
    for event in events:
        later = [e["at"] for e in events if e["id"] == event["id"] and e["at"] > event["at"]]
        if event["op"] == "upsert":
            found.add((event["id"], event["at"], event["name"], event["at"], min(later, default=None)))
    return found


@pytest.fixture(scope="module")
def fed(spark, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Both tables after three refreshes."""
    made = shop(tmp_path_factory.mktemp("changes"))
    for number, lines in enumerate(deliveries(log(SEED), SEED)):
        made.land(f"log/{number}.json", lines)
        assert made.lakeloom("run").error == ""
    return made


def shown(made: Project, name: str, *columns: str) -> set[Row]:
    rows = made.rows(f"tables.{name}")
    found = {tuple(r[c] for c in columns) for r in rows}
    assert len(rows) == len(found)  # nothing twice
    return found


def test_the_newest_rows_do_not_depend_on_order_repetition_or_cuts(fed):
    assert shown(fed, "customers", "id", "at", "name") == newest(log(SEED))


def test_the_history_does_not_depend_on_order_repetition_or_cuts(fed):
    assert shown(fed, "customers_then", "id", "at", "name", *HISTORY) == history(log(SEED))


def test_every_change_is_applied_superseded_or_a_deletion(fed):
    events = log(SEED)
    counts = [r.counts for r in fed.records("tables.customers_then")]

    assert sum(c["rows_in"] for c in counts) == EVENTS + AGAIN
    assert sum(c["applied"] for c in counts) == sum(e["op"] == "upsert" for e in events)
    assert sum(c["deleted"] for c in counts) == sum(e["op"] == "delete" for e in events)
    assert sum(c["superseded"] for c in counts) == AGAIN
    assert fed.rows("tables.customers_then", "quarantine") == []  # a deletion needs no name


def test_a_full_refresh_comes_to_the_same_tables(fed):
    assert (
        fed.lakeloom("run", "--full-refresh", "tables.customers", "--full-refresh", "tables.customers_then").error == ""
    )

    assert shown(fed, "customers", "id", "at", "name") == newest(log(SEED))
    assert shown(fed, "customers_then", "id", "at", "name", *HISTORY) == history(log(SEED))
