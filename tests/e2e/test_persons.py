"""Persons' data from the landing folder to a view: guarded in every table, quarantine, log and sentence; joins hold."""

import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest

from e2e.project import Project, Said, project, rows_of
from pipelines import pii
from pipelines.crash import VARIABLE
from pipelines.requestlog import RequestLog

pytestmark = pytest.mark.spark

KEY = "canary-key-5d9f2a48367b1e0c-canary"
ANN = ("--key", "email=ann@example.org", "--key", "visitor=ann@example.org")
CANARIES = ("example.org", "Lovelace", "555000112233", "canary")  # of an address, a name, a number; of the key
PEOPLE = {
    "kind": "files", "format": "json", "path": "people", "schema": "email STRING, name STRING, phone BIGINT, at INT",
    "pii": {"email": "tokenize", "name": "mask", "phone": "redact"},
}  # fmt: skip
VISITS = {
    "kind": "files", "format": "csv", "path": "visits", "schema": "visitor STRING, pages INT, at TIMESTAMP",
    "pii": {"visitor": "tokenize"},
}  # fmt: skip


ASKED = {
    "kind": "files", "format": "json", "path": "asked",
    "schema": "request STRING, place INT, email STRING, pages DOUBLE, score DOUBLE", "pii": {"email": "tokenize"},
}  # fmt: skip


def token(value: str) -> str:
    return hmac.new(KEY.encode(), value.encode(), hashlib.sha256).hexdigest()


def person(who: str, at: int = 1) -> str:
    return json.dumps({"email": f"{who}@example.org", "name": f"{who} Lovelace", "phone": 555000112233, "at": at})


def asked(made: Project, *who: str) -> None:
    """As the endpoint writes down what it was asked."""
    log = RequestLog(made.landing / "asked", 1.0)
    for name in who:
        row = {"email": f"{name}@example.org", "pages": 3.0}
        log.add([row], {"model": "returns", "version": 1, "answer": {"score": 0.5}})
    log.write()


def few(most: int) -> list[dict[str, object]]:
    between = {"column": "pages", "min_value": 0, "max_value": most}
    return [{"expect_column_values_to_be_between": between, "on_fail": "quarantine"}]


def parquet(made: Project) -> set[str]:
    """Data files of all tables, by the disk alone."""
    root = Path(made.warehouse.path("tables.people")).parent
    return {str(p) for p in root.rglob("*.parquet") if "_delta_log" not in p.parts}


def conf(made: Project) -> None:
    made.write(
        sources={"people_raw": PEOPLE, "visits_raw": VISITS, "asked_raw": ASKED},
        tables={
            "people": {"from": "people_raw", "keys": ["email"], "sequence_by": "at",
                       "select": "SELECT email, name, phone, at FROM people_raw"},
            "visits": {"from": "visits_raw", "event_time": "at", "expect": few(100),
                       "select": "SELECT visitor, pages, at FROM visits_raw"},
            "asked": {"from": "asked_raw", "keys": ["request", "place"],
                      "select": "SELECT request, place, email, pages, score FROM asked_raw"},
            "active": {"select": "SELECT p.name, sum(v.pages) AS pages FROM people p JOIN visits v "
                                 "ON p.email = v.visitor GROUP BY p.name"},
        },
    )  # fmt: skip


@dataclass(frozen=True)
class Story:
    """What was said and what lay there, after each chapter."""

    project: Project
    keyless: Said
    other_key: Said
    repaired: Said
    refused: list[dict[str, object]]
    said: str
    people: set[tuple[object, ...]]
    visits: set[tuple[object, ...]]
    active: list[int]
    left: list[tuple[str, tuple[str, ...]]]
    found: dict[str, Any]
    killed: Said
    restored: list[str]
    gone: set[str]
    forgotten: Said
    evidence: dict[str, Any]
    again: Said
    too_late: Said


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = project(tmp_path_factory.mktemp("persons"), "persons")
    conf(made)
    made.land("people/1.json", f"{person('ann')}\n{person('bob')}\n")
    made.land("visits/1.csv", "visitor,pages,at\nann@example.org,3,2024-01-01 10:00:00\n"
              "bob@example.org,500,2024-01-01 11:00:00\nann@example.org,many,2024-01-01 12:00:00\n"
              "ann@example.org,5000,2024-01-01 13:00:00\n")  # fmt: skip
    asked(made, "ann", "bob")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(pii.VARIABLE, raising=False)
        keyless = made.lakeloom("run")
        patch.setenv(pii.VARIABLE, KEY)
        first = made.lakeloom("run")
        assert first.error == ""
        refused = made.rows("tables.visits", "quarantine")
        patch.setenv(pii.VARIABLE, KEY[::-1])
        made.land("people/2.json", person("ann", at=2) + "\n")
        other_key = made.lakeloom("run")
        patch.setenv(pii.VARIABLE, KEY)
        made.change(lambda c: c["tables"]["visits"].update(expect=few(1000)))
        file = made.root / "repaired.json"
        file.write_text(json.dumps({"_hash": str(refused[0]["_hash"]), "_record": "ann@example.org,1,"}))
        repaired = made.lakeloom("quarantine replay", "tables.visits", "--repaired", str(file))
        replayed = made.lakeloom("quarantine replay", "tables.visits")
        again = made.lakeloom("run")
        assert (replayed.error, again.error) == ("", "")
        looked = [made.lakeloom("report"), made.lakeloom("show", "tables.people"), made.lakeloom("quarantine list")]
        assert [s.error for s in looked] == [""] * 3
        said = "".join(s.out + s.err for s in (keyless, first, other_key, repaired, replayed, again, *looked))
        people = {(r["email"], r["name"], r["phone"], r["at"]) for r in made.published("tables.people")}
        visits = {(r["visitor"], r["pages"]) for r in made.published("tables.visits")}
        active = [r["pages"] for r in made.published("tables.active")]
        left = [(r["_record"], tuple(r["_reasons"])) for r in made.rows("tables.visits", "quarantine")]
        whole = Story(made, keyless, other_key, repaired, refused, said, people, visits, active, left, **_end(made))
    return whole


def _end(made: Project) -> dict[str, Any]:
    """Ann is forgotten: the erasure is cut off, a table restored, the erasure ended; then she comes again."""
    found = json.loads(made.lakeloom("forget", *ANN, "--format", "json").out)
    crash = {VARIABLE: "between the parts of an erasure @ tables.visits"}
    killed = made.lakeloom_apart("forget", *ANN, "--erase", **crash)
    run = made.records("tables.people")[0].run_id
    assert made.lakeloom("restore", "tables.people", "--to", run).error == ""
    restored = [r["email"] for r in made.published("tables.people")]
    there = parquet(made)
    forgotten = made.lakeloom("forget", *ANN, "--erase", "--format", "json")
    gone = there - parquet(made)
    evidence = json.loads(forgotten.out) if not forgotten.code else {}
    made.land("people/3.json", f"{person('ann', at=3)}\n{person('cay')}\n")
    made.land("visits/3.csv", "visitor,pages,at\nann@example.org,9000,2024-01-02 10:00:00\n")
    again = made.lakeloom("run", "--full-refresh", "tables.people", "--full-refresh", "tables.asked")
    too_late = made.lakeloom("restore", "tables.people", "--to", run)
    return {"found": found, "killed": killed, "restored": restored, "gone": gone, "forgotten": forgotten,
            "evidence": evidence, "again": again, "too_late": too_late}  # fmt: skip


def test_a_person_has_one_token_in_every_table_and_joins_hold(story):
    assert story.people == {
        (token("ann@example.org"), "xxx xxxxxxxx", None, 2),
        (token("bob@example.org"), "xxx xxxxxxxx", None, 1),
    }
    assert story.visits == {(token("ann@example.org"), 3), (token("bob@example.org"), 500)}
    assert story.active == [503]


def test_a_refused_row_is_kept_guarded_and_enters_when_judged_again(story):
    records = {(r["_record"], tuple(r["_reasons"])) for r in story.refused}

    bob = {"visitor": token("bob@example.org"), "pages": 500, "at": "2024-01-01T11:00:00.000000Z"}
    ann = {"visitor": token("ann@example.org"), "pages": 5000, "at": "2024-01-01T13:00:00.000000Z"}
    torn, many = (pii.REMOVED, ("malformed record",)), ("pages: be between (min_value 0.0, max_value {}.0)",)
    assert records == {torn, *((json.dumps(r, separators=(",", ":")), (many[0].format(100),)) for r in (bob, ann))}
    assert set(story.left) == {torn, (json.dumps(ann, separators=(",", ":")), (many[0].format(1000),))}


def test_nothing_of_a_person_or_the_key_is_in_any_file_or_sentence(story):
    root = Path(story.project.warehouse.root).parent
    tables = [p.parent for p in root.rglob("_delta_log")]
    held = story.said + "".join(str(rows_of(t)) for t in tables)
    files = [p for p in root.rglob("*") if p.is_file() and story.project.landing not in p.parents]
    raw = b"".join(p.read_bytes() for p in files)
    assert "persons.html" in {p.name for p in files}

    assert len(tables) > 5
    assert [c for c in CANARIES if c in held or c.encode() in raw] == []


def test_without_the_key_or_with_another_nothing_is_written(story):
    assert (story.keyless.code, story.other_key.code, story.repaired.code) == (1, 3, 2)
    assert story.keyless.error == (
        "a source has pii, and there is no environment variable LAKELOOM_PII_KEY; export LAKELOOM_PII_KEY=..., at "
        "least 32 letters (`openssl rand -hex 32` makes one)"
    )
    assert story.other_key.error.startswith(
        "tables.people: LAKELOOM_PII_KEY is another key than the one that its tokens"
    )
    assert story.repaired.error.startswith("tables.visits: visits_raw has pii, and a repaired record would be kept")


def test_what_would_be_erased_is_said_before(story):
    rows = {line["table"]: line["rows"] for line in story.found["tables"]}

    assert rows == {
        "tables.people": 1, "tables.visits": 1, "tables.visits_quarantine": 1, "tables.asked": 1, "requests in asked": 1
    }  # fmt: skip
    assert (story.found["models"], story.found["unsearched"]) == ({}, [])


def test_an_erasure_that_was_cut_off_is_obeyed_by_a_restore_and_ended_by_the_same_command(story):
    assert story.killed.code == -SIGKILL
    assert story.restored == [token("bob@example.org")]
    assert story.forgotten.error == ""
    left = {(name, x["rows_left"], x["old_files"]) for name, x in story.evidence["tables"].items()}
    tables = {f"tables.{name}" for name in ("people", "visits", "visits_quarantine", "asked", "active")}
    assert left == {(name, 0, 0) for name in (*tables, "requests in asked")}


def test_files_of_old_versions_are_really_removed_and_files_that_are_left_are_really_read(story):
    said = {name: (x["files_removed"], x["files_read"]) for name, x in story.evidence["tables"].items()}

    assert all(said[f"tables.{name}"][1] > 0 for name in ("people", "visits", "asked"))  # they have the column
    assert 0 < len(story.gone) <= sum(removed for removed, _ in said.values())
    assert {path.split("/tables/")[1].split("/")[0] for path in story.gone} >= {"people", "visits", "asked"}


def test_what_the_endpoint_wrote_down_of_a_person_is_erased_and_no_file_of_it_is_read_again(story):
    (file,) = (story.project.landing / "asked").glob("requests-*.json")
    lines = file.read_text().splitlines()

    assert [json.loads(line)["email"] for line in lines if line.strip()] == ["bob@example.org"]
    assert "ann" not in file.read_text()
    assert [r["email"] for r in story.project.published("tables.asked")] == [token("bob@example.org")]
    assert len(story.project.records("tables.asked")) == 3  # read, erased, made anew: in between nothing was new


def test_nothing_brings_a_forgotten_person_back(story):
    people, visits = story.project.records("tables.people")[-1], story.project.records("tables.visits")[-1]

    assert story.again.error == ""
    assert {r["email"] for r in story.project.published("tables.people")} == {
        token(f"{w}@example.org") for w in ("bob", "cay")
    }
    assert {r["visitor"] for r in story.project.published("tables.visits")} == {token("bob@example.org")}
    assert token("ann@example.org") not in str(story.project.rows("tables.visits", "quarantine"))
    assert (people.counts["rows_in"], people.counts["dropped"], people.detail["reasons"]) == (5, 3, {"forgotten": 3})
    assert (visits.counts["rows_in"], visits.counts["dropped"]) == (1, 1)
    assert story.too_late.error.endswith("its files were removed as somebody was forgotten, or by hand")


def test_who_was_forgotten_is_known_by_token_alone(story):
    (row,) = story.project.warehouse.forgotten()

    assert row.tokens == dict.fromkeys(("email", "visitor"), token("ann@example.org"))
    assert row.erased["tables.visits"]["rows_left"] == 0
