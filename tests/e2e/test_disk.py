"""A disk that is full in the middle of a batch: one sentence, nothing half-published, and the next run goes on."""

import json
import subprocess
from collections.abc import Iterator
from hashlib import sha512
from pathlib import Path

import pytest

from e2e.project import Project, project

pytestmark = pytest.mark.spark

ROWS, SMALL, LARGE = 60_000, "3m", "200m"
SCHEMA = "id BIGINT, text STRING"


def mounted(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Project]:
    """A project whose warehouse is a disk of a few megabytes; more has landed than it can hold."""
    made = project(tmp_path, "notes")
    disk = Path(made.warehouse.root)
    disk.mkdir(parents=True)
    if not mounted("mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(disk)):
        pytest.skip("mounting a small disk is not permitted here")
    made.write(
        sources={"raw": {"kind": "files", "format": "json", "path": "raw", "schema": SCHEMA}},
        tables={"notes": {"from": "raw", "keys": ["id"], "select": "SELECT id, text FROM raw"}},
    )
    made.land("raw/small.json", json.dumps({"id": -1, "text": "first"}) + "\n")
    yield made
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_one_sentence_and_the_next_run_goes_on(spark, full):
    assert full.lakeloom("run").error == ""
    lines = (json.dumps({"id": n, "text": sha512(str(n).encode()).hexdigest() * 2}) for n in range(ROWS))  # packs badly
    full.land("raw/large.json", "\n".join(lines) + "\n")

    said = full.lakeloom_apart("run")

    assert said.code == 1
    assert "No space left on device" in said.error
    assert "Traceback" not in said.err
    assert [r["id"] for r in full.published("tables.notes")] == [-1]

    assert mounted("mount", "-o", f"remount,size={LARGE}", full.warehouse.root)
    assert full.lakeloom("run").error == ""
    assert sorted(r["id"] for r in full.published("tables.notes")) == [-1, *range(ROWS)]
    assert full.lakeloom("run").out.strip() == "notes: nothing to do; every stage has read all there is"
