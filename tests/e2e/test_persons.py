"""Persons' data from the landing folder to a view: guarded in every table, quarantine, log and sentence; joins hold."""

import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.project import Project, Said, project, rows_of
from pipelines import pii

pytestmark = pytest.mark.spark

KEY = "canary-key-5d9f2a48367b1e0c-canary"
CANARIES = ("example.org", "Lovelace", "555", "canary")  # of an address, a name, a number; of the key
PEOPLE = {
    "kind": "files", "format": "json", "path": "people", "schema": "email STRING, name STRING, phone BIGINT, at INT",
    "pii": {"email": "tokenize", "name": "mask", "phone": "redact"},
}  # fmt: skip
VISITS = {
    "kind": "files", "format": "csv", "path": "visits", "schema": "visitor STRING, pages INT, at TIMESTAMP",
    "pii": {"visitor": "tokenize"},
}  # fmt: skip


def token(value: str) -> str:
    return hmac.new(KEY.encode(), value.encode(), hashlib.sha256).hexdigest()


def person(who: str, at: int = 1) -> str:
    return json.dumps({"email": f"{who}@example.org", "name": f"{who} Lovelace", "phone": 5550001, "at": at})


def few(most: int) -> list[dict[str, object]]:
    between = {"column": "pages", "min_value": 0, "max_value": most}
    return [{"expect_column_values_to_be_between": between, "on_fail": "quarantine"}]


def conf(made: Project) -> None:
    made.write(
        sources={"people_raw": PEOPLE, "visits_raw": VISITS},
        tables={
            "people": {"from": "people_raw", "keys": ["email"], "sequence_by": "at",
                       "select": "SELECT email, name, phone, at FROM people_raw"},
            "visits": {"from": "visits_raw", "event_time": "at", "expect": few(100),
                       "select": "SELECT visitor, pages, at FROM visits_raw"},
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


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = project(tmp_path_factory.mktemp("persons"), "persons")
    conf(made)
    made.land("people/1.json", f"{person('ann')}\n{person('bob')}\n")
    made.land("visits/1.csv", "visitor,pages,at\nann@example.org,3,2024-01-01 10:00:00\n"
              "bob@example.org,500,2024-01-01 11:00:00\nann@example.org,many,2024-01-01 12:00:00\n")  # fmt: skip
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
    said = "".join(s.out + s.err for s in (keyless, first, other_key, repaired, replayed, again))
    return Story(made, keyless, other_key, repaired, refused, said)


def test_a_person_has_one_token_in_every_table_and_joins_hold(story):
    people = {(r["email"], r["name"], r["phone"], r["at"]) for r in story.project.published("tables.people")}
    visits = {(r["visitor"], r["pages"]) for r in story.project.published("tables.visits")}

    assert people == {
        (token("ann@example.org"), "xxx xxxxxxxx", None, 2),
        (token("bob@example.org"), "xxx xxxxxxxx", None, 1),
    }
    assert visits == {(token("ann@example.org"), 3), (token("bob@example.org"), 500)}
    assert [r["pages"] for r in story.project.published("tables.active")] == [503]


def test_a_refused_row_is_kept_guarded_and_enters_when_judged_again(story):
    records = {(r["_record"], tuple(r["_reasons"])) for r in story.refused}
    left = [(r["_record"], r["_reasons"]) for r in story.project.rows("tables.visits", "quarantine")]

    bob = json.dumps({"visitor": token("bob@example.org"), "pages": 500, "at": "2024-01-01T11:00:00.000000Z"})
    (reason,) = [r for _, reasons in records for r in reasons if r != "malformed record"]
    assert records == {(bob.replace(" ", ""), (reason,)), (pii.REMOVED, ("malformed record",))}
    assert left == [(pii.REMOVED, ["malformed record"])]


def test_nothing_of_a_person_or_the_key_is_in_any_file_or_sentence(story):
    root = Path(story.project.warehouse.root)
    tables = [p.parent for p in root.rglob("_delta_log")]
    held = story.said + "".join(str(rows_of(t)) for t in tables)
    raw = b"".join(p.read_bytes() for p in root.rglob("*") if p.is_file())

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
