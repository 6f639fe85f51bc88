"""A table is taken back to what a run published; what was made from it follows; what was undone can come again."""

from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL

import pytest

from e2e.project import Project, Said, project
from pipelines.crash import VARIABLE

pytestmark = pytest.mark.spark

GOOD, BAD = "id,amount\na,1\nb,2\nx,9999\n", "id,amount\na,100\nc,3\ny,8888\n"
CLEAN = "id,amount\na,50\n"
AMOUNT = {"expect_column_values_to_be_between": {"column": "amount", "max_value": 1000}, "on_fail": "quarantine"}


def sales(root: Path) -> Project:
    made = project(root, "sales")
    keyed = {"from": "raw", "keys": ["id"], "sequence_by": "amount"}
    made.write(
        sources={"raw": {"kind": "files", "format": "csv", "path": "raw", "schema": "id STRING, amount INT"}},
        tables={
            "sales": {**keyed, "select": "SELECT id, amount FROM raw", "expect": [AMOUNT]},
            "total": {"select": "SELECT sum(amount) AS amount FROM sales"},
        },
    )
    return made


@dataclass(frozen=True)
class Story:
    """What lay there, and what was said, after each chapter."""

    project: Project
    undone: dict[str, list[dict[str, object]]]
    killed: int
    again: Said
    mended: dict[str, list[dict[str, object]]]


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = sales(tmp_path_factory.mktemp("restore"))
    made.land("raw/1.csv", GOOD)
    assert made.lakeloom("run").error == ""
    bad = made.land("raw/2.csv", BAD)
    assert made.lakeloom("run").error == ""
    first = made.records("tables.sales")[0].run_id
    point = {VARIABLE: "between the parts of a restore"}
    killed = made.lakeloom_apart("restore", "tables.sales", "--to", first, **point).code
    bad.unlink()
    assert made.lakeloom("run").error == ""  # goes on with the restore, and with what follows it
    undone = seen(made)
    again = made.lakeloom("run")
    made.land("raw/2.csv", BAD.replace("a,100", "a,7"))
    assert made.lakeloom("run").error == ""
    return Story(made, undone, killed, again, seen(made))


def seen(made: Project) -> dict[str, list[dict[str, object]]]:
    def rows(found: list[dict[str, object]]) -> list[dict[str, object]]:
        kept = [{k: v for k, v in row.items() if not k.startswith("_")} for row in found]
        return sorted(kept, key=lambda row: str(row.get("id")))

    return {
        "sales": rows(made.published("tables.sales")),
        "total": rows(made.published("tables.total")),
        "quarantine": rows(made.rows("tables.sales", "quarantine")),
    }


def test_a_restored_table_is_what_the_run_published_and_its_quarantine_too(story):
    assert story.undone == {
        "sales": [{"id": "a", "amount": 1}, {"id": "b", "amount": 2}],
        "total": [{"amount": 3}],
        "quarantine": [{"id": "x", "amount": 9999}],
    }


def test_a_restore_that_was_killed_is_finished_by_the_next_run(story):
    assert story.killed == -SIGKILL
    assert next(r.detail for r in story.project.records("tables.sales") if r.generation == 1).get("restored")
    assert "nothing to do" in story.again.out


def test_what_the_source_delivers_after_that_is_taken(story):
    assert story.mended == {
        "sales": [{"id": "a", "amount": 7}, {"id": "b", "amount": 2}, {"id": "c", "amount": 3}],
        "total": [{"amount": 12}],
        "quarantine": [{"id": "x", "amount": 9999}, {"id": "y", "amount": 8888}],
    }


def test_sums_over_the_generation_are_those_of_its_rows(story):
    counts = [r.counts for r in story.project.records("tables.sales") if r.generation == 1]

    assert {k: sum(c[k] for c in counts) for k in ("rows_in", "applied", "superseded", "quarantined")} == {
        "rows_in": 6,
        "applied": 4,
        "superseded": 0,
        "quarantined": 2,
    }


def test_a_run_that_published_nothing_is_named(story):
    said = story.project.lakeloom("restore", "tables.sales", "--to", "yesterday")

    assert said.code == 2
    assert said.error.startswith("tables.sales: run 'yesterday' published nothing of it; those that did: ")


def test_what_did_not_change_since_the_run_is_no_obstacle(story):
    made, before = story.project, seen(story.project)
    last = made.records("tables.sales")[-1].run_id
    made.land("raw/3.csv", CLEAN)  # refuses no row: the quarantine stays at its version
    assert made.lakeloom("run").error == ""

    assert made.lakeloom("restore", "tables.sales", "--to", last).error == ""

    assert seen(made) == before


def test_only_a_table_is_restored(story):
    assert story.project.lakeloom("restore", "models.x", "--to", "r").code == 2
