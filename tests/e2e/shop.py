"""A shop's log of customers: upserts and deletions, delivered in any order, some twice; and the conf that reads it."""

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

from e2e.project import Project, project

SCHEMA = "id STRING, at INT, op STRING, name STRING"
KEYS, MOMENTS, EVENTS, AGAIN, SEED = 5, 9, 40, 8, 1
Event = dict[str, Any]


def log(seed: int) -> list[Event]:
    """Upserts and deletions of a few keys; moments repeat across keys, never within one, so that order is total."""
    dice = random.Random(seed)
    moments = dice.sample([(k, at) for k in range(KEYS) for at in range(MOMENTS)], EVENTS)
    return [
        {"id": f"k{k}", "at": at, "op": dice.choice(["upsert", "upsert", "delete"]), "name": dice.choice(["Ann", "Bo"])}
        for k, at in moments
    ]


def table(**more: object) -> dict[str, object]:
    """A table of the log; a name is refused where it is missing."""
    return {
        "from": "log",
        "keys": ["id"],
        "sequence_by": "at",
        "apply_as_deletes": "op = 'delete'",
        "select": "SELECT id, at, op, IF(op = 'delete', NULL, name) AS name FROM log",
        "expect": [{"expect_column_values_to_not_be_null": {"column": "name"}, "on_fail": "quarantine"}],
        **more,
    }


def shop(root: Path) -> Project:
    """Two tables of one log: the newest row of each customer, and all rows."""
    made = project(root, "shop")
    made.write(
        sources={"log": {"kind": "files", "format": "json", "path": "log", "schema": SCHEMA}},
        tables={"customers": table(), "customers_then": table(stored_as_scd_type=2)},
    )
    return made


def deliveries(events: list[Event], seed: int, parts: int = 3) -> list[str]:
    """The log as files: shuffled, some events twice, cut anywhere."""
    dice = random.Random(seed)
    delivered = events + dice.sample(events, AGAIN)
    dice.shuffle(delivered)
    cuts = [0, *sorted(dice.sample(range(1, len(delivered)), parts - 1)), len(delivered)]
    return ["".join(map(_line, delivered[low:high])) for low, high in pairwise(cuts)]


def _line(event: Event) -> str:
    return json.dumps({**event, "name": event["name"] * (event["op"] == "upsert")}) + "\n"
