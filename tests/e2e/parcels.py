"""Parcels that arrive late the heavier they are: small enough to train in seconds, with a label that is known later."""

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from e2e.project import Project, project

HEAD = "parcel,depot,sent_at,weight,delivered_at,late\n"
SCHEMA = "parcel STRING, depot STRING, sent_at TIMESTAMP, weight DOUBLE, delivered_at TIMESTAMP, late BOOLEAN"
FIRST, DAYS, A_DAY, SEED = datetime(2026, 1, 1, 8), 40, 30, 1
LOGISTIC = {"kind": "logistic_regression", "iterations": 5}


def parcels(root: Path, **model: Any) -> Project:
    """A project of one table, one feature table, one model, one batch of scores; its first parcels have arrived."""
    made = project(root, "parcels")
    source = {"kind": "files", "format": "csv", "path": "parcels", "schema": SCHEMA}
    table: dict[str, Any] = {
        "from": "parcels_raw",
        "keys": ["parcel"],
        "event_time": "sent_at",
        "select": "SELECT * FROM parcels_raw",
    }
    table["known_at"] = dict.fromkeys(("delivered_at", "late"), "delivered_at")
    feature = {"spine": "parcels", "keys": ["parcel"], "as_of_time": "sent_at", "columns": ["depot", "weight"]}
    late = {"features": "sendings", "label": "late", "task": "binary", "candidates": [LOGISTIC], **model}
    made.write(
        sources={"parcels_raw": source},
        tables={"parcels": table},
        features={"sendings": feature},
        models={"late": late},
        scores={"daily": {"model": "late", "of": "sendings", "mode": "batch"}},
    )
    arrive(made, 0)
    return made


def arrive(made: Project, batch: int) -> None:
    """Land the parcels of some days."""
    dice = random.Random(SEED + batch)
    days = range(batch * DAYS, (batch + 1) * DAYS)
    made.land(f"parcels/{batch}.csv", HEAD + "".join(_line(dice, day, n) for day in days for n in range(A_DAY)))


def _line(dice: random.Random, day: int, number: int) -> str:
    sent, weight = FIRST + timedelta(days=day, minutes=number), round(10 * dice.random(), 3)
    late = dice.random() < weight / 12
    depot = dice.choice(["north", "south"])
    return f"p{day}-{number},{depot},{sent},{weight},{sent + timedelta(hours=20)},{str(late).lower()}\n"
