"""The README is executed, and what it and the docs claim is held against the tree.

A comment before a block says what is done with it, and GitHub does not show it:
  <!-- run -->          the block is run by bash in a copy of the tree, in the order of the page
  <!-- run spark -->    the same, in the group of tests that need Spark
  <!-- run flights -->  run apart, where the flights were landed and run
  <!-- said -->         what the block before it said, stdout and stderr; `...` stands for anything, `17 s` for any time
  <!-- said: exit 2 --> and how it ended
  <!-- of PAGE -->      a block of that page, which is run there
  <!-- summary -->      text of a real run, whose counts have to agree with the data and with each other
A bash block without one is not run here: the demo, the tests, a cluster, Airflow.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import land
import pytest

from pipelines.crash import POINTS, VARIABLE
from pipelines.errors import ConflictError, DataError, LakeloomError, PlatformError, SpecError

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = sorted([README, ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
NOT_COPIED = (".git", ".venv", ".lakeloom", ".*_cache", "__pycache__", "spark-warehouse", "tests")
LIMIT_S = 300


@dataclass(frozen=True)
class Block:
    """One fenced block: what its comment says, its language, its text."""

    mark: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^(?:<!-- ([^\n]*) -->\n)?```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    return [Block(*parts) for parts in found]


def marked(name: str) -> list[Block]:
    return [b for b in blocks(README) if b.mark == name or b.mark.startswith(f"{name}:")]


def like(said: str) -> re.Pattern[str]:
    """What a block of text stands for: `...` is anything (a line of it: any lines), a time is any time."""
    return re.compile("".join("(?:.*\n)*?" if line == "..." else _line(line) for line in said.splitlines()))


def _line(said: str) -> str:
    return re.sub(r"\d[\d.]*\\ s\b", r"[\\d.]+\\ s", re.escape(said).replace(r"\.\.\.", ".*")) + "\n"


def bash(text: str, at: Path) -> tuple[int, str]:
    """Exit code, and stdout and stderr together, of a block as a reader's shell would run it."""
    environment = {**os.environ, "PYTHONPATH": str(at), "PYSPARK_PYTHON": sys.executable, "NO_COLOR": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", text],
        cwd=at,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
    )
    return done.returncode, done.stdout


def walk(page: list[Block], at: Path) -> int:
    """Run the marked blocks in order and compare what they say; how many ran."""
    ran, code, said = 0, 0, ""
    for block in page:
        if block.mark in ("run", "run spark"):
            assert code == 0, f"a block before this one ended with {code}:\n{said}"
            code, said = bash(block.text, at)
            ran += 1
        elif block.mark.startswith("said"):
            expected = int(block.mark.partition("exit ")[2] or 0)
            assert code == expected, said
            assert like(block.text).fullmatch(said), f"README:\n{block.text}\nsaid:\n{said}"
            code = 0
    assert code == 0, said
    return ran


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT, tmp_path / "lakeloom", ignore=shutil.ignore_patterns(*NOT_COPIED)))


def test_the_tour_is_as_written_up_to_where_spark_starts(copy):
    page = blocks(README)
    first = next(i for i, block in enumerate(page) if block.mark == "run spark")

    assert walk(page[:first], copy) == 4


@pytest.mark.spark
def test_the_tour_is_as_written(copy):
    page = blocks(README)

    assert walk(page, copy) == sum(block.mark in ("run", "run spark") for block in page) > 4
    assert not (copy / "tour").exists()


@pytest.mark.spark
def test_what_is_said_of_the_flights_can_be_typed(flown):
    looks, tries = marked("run flights")

    code, said = bash(f"set -e\n{looks.text}", flown.root)
    tried, more = bash(f"set -e\n{tries.text}", flown.root)

    assert (code, tried) == (0, 0), said + more
    assert "flights" in said and "passed" in more


def test_a_block_of_another_page_is_run_there():
    borrowed = [block for block in blocks(README) if block.mark.startswith("of ")]

    assert len(borrowed) == 4
    for block in borrowed:
        there = blocks(ROOT / block.mark.removeprefix("of "))
        assert [b.mark for b in there if b.text == block.text] in (["run"], ["said"])


def test_a_block_that_is_like_what_was_said_is_told_from_one_that_is_not():
    pattern = like("one\n...\nlast 2 in .../here, 17 s\n")

    assert pattern.fullmatch("one\nlast 2 in /tmp/here, 8.5 s\n")
    assert pattern.fullmatch("one\na\nb\nlast 2 in /tmp/here, 120 s\n")
    assert not pattern.fullmatch("one\nlast 3 in /tmp/here, 17 s\n")
    assert not pattern.fullmatch("zero\none\nlast 2 in /tmp/here, 17 s\n")


def test_in_the_summaries_every_row_has_one_fate():
    line = re.compile(r"^(\w+) +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+) +([\d,]+)$", re.M)
    tables = [line.findall(block.text) for block in marked("summary")]

    assert [[name for name, *_ in rows] for rows in tables] == [
        ["airports", "planes", "weather", "flights"],
        ["weather", "flights"],
    ]
    for name, *counts in (row for rows in tables for row in rows):
        rows_in, *fates = (int(count.replace(",", "")) for count in counts)
        assert rows_in == sum(fates), name


def test_the_summaries_count_the_rows_that_landed(tmp_path):
    list(land.land(land.feed(), tmp_path, "2013-12"))
    months = sorted((tmp_path / "flights").iterdir())
    rows = [len(month.read_bytes().splitlines()) - 1 for month in months]

    first, second = (block.text for block in marked("summary"))

    assert re.search(rf"^flights +{sum(rows[:11]):,} ", first, re.M)
    assert re.search(rf"^flights +{rows[11]:,} ", second, re.M)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_what_a_page_links_to_is_there(page):
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))

    assert [t for t in targets if "://" not in t and not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_what_a_page_says_to_type_is_there(page):
    text = page.read_text(encoding="utf-8")
    typed = set(re.findall(r"(?:^|`|\$ )lakeloom ([a-z]+)\b", text, re.M))
    scripts = set(re.findall(r"\b(?:scripts|jobs)/[a-z-]+(?:\.py)?\b", text))

    assert typed <= set(verbs())
    assert [s for s in scripts if not (ROOT / s).is_file()] == []


def verbs() -> list[str]:
    from pipelines.cli import app

    alone = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    return [*alone, *(str(group.name) for group in app.registered_groups)]


def test_the_readme_lists_every_command_once():
    listed = re.findall(r"^\| `lakeloom (\w+)", README.read_text(encoding="utf-8"), re.M)

    assert sorted(listed) == sorted(verbs())


@pytest.mark.parametrize(
    ("package", "row"),
    [
        ("pyspark", "pyspark"),
        ("delta-spark", "delta-spark"),
        ("deltalake", "deltalake"),
        ("great-expectations", "Great Expectations"),
        ("mlflow", "MLflow"),
        ("xgboost-cpu", "xgboost-cpu"),
        ("apache-airflow", "Apache Airflow"),
    ],
)
def test_the_versions_are_those_of_the_locks(package, row):
    locks = [tomllib.loads((ROOT / lock).read_text()) for lock in ("uv.lock", "dags/uv.lock")]
    locked = next(p["version"] for lock in locks for p in lock["package"] if p["name"] == package)
    told = next(
        line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("|") and row in line
    )

    assert told.split("|")[2].strip() == locked


def test_the_exit_codes_are_those_of_the_errors():
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"), re.M)
    kinds = (PlatformError, SpecError, DataError, ConflictError, LakeloomError)

    assert [int(code) for code in rows] == [0, *(kind.exit_code for kind in kinds), 130]


def test_the_crash_points_are_those_of_the_code():
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    [named] = re.findall(rf"`{VARIABLE}='([^'@]*)'`", page)
    assert named in POINTS


def test_the_picture_is_whole_and_has_words_for_those_who_do_not_see_it():
    picture = (ROOT / "docs" / "picture.svg").read_text(encoding="utf-8")

    assert picture.count("<title") == picture.count("<desc") == 1
    assert "prefers-color-scheme: dark" in picture
