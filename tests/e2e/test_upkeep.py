"""`lakeloom upkeep` as a user types it: data on stdout, whatever the JVM prints; a dry run starts none."""

import json
from signal import SIGKILL

import pytest
from pyspark.sql import functions as F

from e2e.project import Project, project
from pipelines.crash import VARIABLE
from pipelines.upkeep import MOST_SMALL

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def notes(spark, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = project(tmp_path_factory.mktemp("notes"), "notes")
    made.write(
        sources={"raw": {"kind": "files", "format": "json", "path": "raw", "schema": "id INT"}},
        tables={"notes": {"from": "raw", "keys": ["id"], "select": "SELECT id FROM raw"}},
    )
    made.land("raw/1.json", '{"id": 1}\n')
    assert made.lakeloom("run").error == ""
    path = made.warehouse.path("tables.notes")
    row = spark.read.format("delta").load(path)
    many = row.select(F.explode(F.sequence(F.lit(2), F.lit(MOST_SMALL))).alias("id"), *row.columns[1:])
    many.repartition(MOST_SMALL).write.format("delta").mode("append").save(path)
    return made


def test_upkeep_that_is_killed_between_its_two_halves_changes_no_row_and_is_done_by_the_next(notes):
    before = sorted(r["id"] for r in notes.rows("tables.notes"))

    killed = notes.lakeloom_apart("upkeep", **{VARIABLE: "between compaction and vacuum"})

    assert killed.code == -SIGKILL
    assert sorted(r["id"] for r in notes.rows("tables.notes")) == before == list(range(1, MOST_SMALL + 1))


def test_what_delta_prints_is_no_data(notes):
    said = notes.lakeloom_apart("upkeep", "--format", "json")

    (line,) = json.loads(said.out)
    assert (line["table"], line["by"], line["files_after"]) == ("tables.notes", "id", 1)
    assert "Deleted 0 files" in said.err  # by VACUUM, from inside the JVM


def test_a_dry_run_starts_no_engine_and_changes_nothing(notes):
    before = notes.files()

    said = notes.lakeloom_apart("upkeep", "--dry-run", PATH="/nowhere", JAVA_HOME="/nowhere")

    assert said.code == 0, said.err
    assert said.out.splitlines()[0].split() == ["table", "files", "small", "after", "keeps", "hours"]
    assert notes.files() == before
