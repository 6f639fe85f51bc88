"""Whole states of a source, day by day, come to the rows of the newest, to all rows over time, and to what was deleted.

What the tables have to be is worked out here, state by state, in a dictionary.
"""

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from e2e.project import Project, project

pytestmark = pytest.mark.spark

SCHEMA = "id STRING, day INT, name STRING"
SEED = 3
State = dict[str, str]  # name by id; '' is refused


def states(seed: int, days: int = 8) -> dict[int, State]:
    """Day by day, of a few customers: who is there, under which name."""
    dice = random.Random(seed)
    return {
        day: {f"c{i}": dice.choice(["Ann", "Bo", "Bo", ""]) for i in range(6) if dice.random() < 0.7}
        for day in range(1, days + 1)
    }


def worked_out(days: dict[int, State]) -> tuple[set[Any], set[Any], set[Any]]:
    """(present rows, rows over time, deletions): a refused row says that its key is there, and changes nothing."""
    standing: dict[str, tuple[int, str]] = {}
    past, gone = [], set()
    for day, state in days.items():
        for key in [k for k in standing if k not in state]:
            past.append((key, *standing.pop(key), day))
            gone.add((key, day))
        for key, name in state.items():
            if name and (key not in standing or standing[key][1] != name):
                past += [(key, *standing[key], day)] if key in standing else []
                standing[key] = (day, name)
    present = {(key, since, name) for key, (since, name) in standing.items()}
    return present, {*past, *((key, since, name, None) for key, since, name in present)}, gone


def table(**more: object) -> dict[str, object]:
    named = {"expect_column_value_lengths_to_be_between": {"column": "name", "min_value": 1}, "on_fail": "quarantine"}
    select = "SELECT id, day, name FROM states"
    return {"from": "states", "keys": ["id"], "sequence_by": "day", "snapshots": True, "select": select,
            "expect": [named], **more}  # fmt: skip


def members(root: Path) -> Project:
    made = project(root, "members")
    made.write(
        sources={"states": {"kind": "files", "format": "json", "path": "states", "schema": SCHEMA}},
        tables={"members": table(), "members_then": table(stored_as_scd_type=2)},
    )
    return made


def land(made: Project, day: int, state: State, torn: str = "") -> None:
    lines = [json.dumps({"id": key, "day": day, "name": name}) for key, name in state.items()]
    made.land(f"states/{day:03}.json", "\n".join([*lines, torn]) + "\n")


def shown(made: Project) -> tuple[set[Any], set[Any], set[Any]]:
    present = [(r["id"], r["day"], r["name"]) for r in made.published("tables.members")]
    past = [(r["id"], r["valid_from"], r["name"], r["valid_to"]) for r in made.published("tables.members_then")]
    gone = [(r["id"], r["day"]) for r in made.rows("tables.members_then", "deleted")]
    for rows in (present, past, gone):
        assert len(rows) == len(set(rows))  # nothing twice
    return set(present), set(past), set(gone)


def counts(made: Project, stage: str) -> list[dict[str, int]]:
    return [r.counts for r in made.records(stage)]


@pytest.mark.parametrize("cuts", [(3, 4, 8), (8,)], ids=["some", "all"])
def test_the_tables_do_not_depend_on_how_many_states_a_refresh_finds(spark, tmp_path, cuts):
    made, days = members(tmp_path), states(SEED)

    for low, high in pairwise((0, *cuts)):
        for day in range(low + 1, high + 1):
            land(made, day, days[day])
        assert made.lakeloom("run").error == ""

    assert shown(made) == worked_out(days)
    assert sum(c["rows_in"] for c in counts(made, "tables.members")) == sum(map(len, days.values()))


def test_a_state_that_comes_late_changes_nothing(spark, tmp_path):
    made, days = members(tmp_path), states(SEED, 3)
    for day in (1, 3):
        land(made, day, days[day])
        made.lakeloom("run")

    land(made, 2, days[2])
    assert made.lakeloom("run").error == ""

    assert shown(made) == worked_out({1: days[1], 3: days[3]})
    late, refused = counts(made, "tables.members")[-1], sum(not name for name in days[2].values())
    assert (late["superseded"], late["quarantined"]) == (len(days[2]) - refused, refused)


def test_a_second_part_of_a_state_adds_to_it_and_deletes_nothing(spark, tmp_path):
    made = members(tmp_path)
    land(made, 1, {"a": "Ann"})
    made.lakeloom("run")

    made.land("states/001-b.json", json.dumps({"id": "b", "day": 1, "name": "Bo"}))
    assert made.lakeloom("run").error == ""

    assert shown(made) == worked_out({1: {"a": "Ann", "b": "Bo"}})


def test_a_state_with_a_row_that_cannot_be_read_deletes_nothing_until_the_next(spark, tmp_path):
    made, days = members(tmp_path), {1: {"a": "Ann", "b": "Bo"}, 2: {"a": "Ann"}, 3: {"a": "Ann"}}
    land(made, 1, days[1])
    made.lakeloom("run")

    land(made, 2, days[2], torn='{"id": "b", "da')
    said = made.lakeloom("run")

    assert "deletes nothing: a row without its key could not be read" in said.err
    assert shown(made) == worked_out({1: days[1]})

    land(made, 3, days[3])
    made.lakeloom("run")

    assert shown(made) == worked_out({1: days[1], 3: days[3]})
    assert counts(made, "tables.members")[-1]["removed"] == 1


def test_a_full_refresh_and_a_restore_come_to_the_same_tables(spark, tmp_path):
    made, days = members(tmp_path), states(SEED, 4)
    for day in (1, 2):
        land(made, day, days[day])
    made.lakeloom("run")
    then, run = shown(made), made.records("tables.members")[0].run_id
    for day in (3, 4):
        land(made, day, days[day])
    made.lakeloom("run")

    for table in ("tables.members", "tables.members_then"):
        assert made.lakeloom("restore", table, "--to", run).error == ""
    assert shown(made) == then == worked_out({d: days[d] for d in (1, 2)})

    made.lakeloom("run")
    assert shown(made) == worked_out(days)

    for table in ("tables.members", "tables.members_then"):
        assert made.lakeloom("run", "--full-refresh", table).error == ""
    assert shown(made) == worked_out(days)


def test_a_killed_batch_of_states_ends_as_if_undisturbed(spark, tmp_path):
    made, days = members(tmp_path), states(SEED, 4)
    for day in (1, 2):
        land(made, day, days[day])
    made.lakeloom("run")
    for day in (3, 4):
        land(made, day, days[day])

    for point in ("between clean and deleted", "between clean and quarantine", "before the run record"):
        died = made.lakeloom_apart("run", LAKELOOM_CRASH_AT=f"{point} @ tables.members_then")
        assert died.code == -9
    assert made.lakeloom("run").error == ""

    assert shown(made) == worked_out(days)
