"""Refused rows are seen, judged again after a rule changed, and let in as repaired; every row keeps one fate."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGKILL

import pytest

from e2e.project import Project, Said, project
from pipelines.crash import VARIABLE

pytestmark = pytest.mark.spark

Row = tuple[str, datetime, int]
FIRST = (
    "id,at,amount\n"
    "a,2024-01-01T10:00:00.123456Z,5\n"
    "b,2024-01-01T11:00:00.000001Z,500\n"  # too much, until the rule changes
    "c,2024-01-01T12:00:00Z,many\n"  # no number, until somebody repairs it
    "d,2024-01-01T13:00:00Z,9000\n"  # too much under either rule
)
LATER = "id,at,amount\nb,2024-01-02T00:00:00Z,7\n"  # newer than the refused row of the same key


def sales(root: Path, most: int = 100) -> Project:
    made = project(root, "sales")
    made.write(
        sources={
            "raw": {"kind": "files", "format": "csv", "path": "raw", "schema": "id STRING, at TIMESTAMP, amount INT"}
        },
        tables={
            "sales": table(most, keys=["id"], sequence_by="at"),
            "log": table(most),
            "gone": table(most, keys=["id"], sequence_by="at", apply_as_deletes="amount = 7"),
        },
    )
    return made


def table(most: int, **more: object) -> dict[str, object]:
    return {"from": "raw", "select": "SELECT id, at, amount FROM raw", **rule(most), **more}


def rule(most: int) -> dict[str, object]:
    between = {"column": "amount", "min_value": 0, "max_value": most}
    return {"expect": [{"expect_column_values_to_be_between": between, "on_fail": "quarantine"}]}


def loosen(made: Project) -> None:
    for name in ("sales", "log", "gone"):
        made.change(lambda conf, name=name: conf["tables"].update({name: {**conf["tables"][name], **rule(1000)}}))


@dataclass(frozen=True)
class Story:
    """What was said, and what lay in both tables, after each chapter."""

    project: Project
    changed: Said  # a run after the rule changed
    killed: int
    loosened: dict[str, list[Row]]
    repaired: dict[str, list[Row]]
    again: Said


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = sales(tmp_path_factory.mktemp("quarantine"))
    for name, lines in {"1": FIRST, "2": LATER}.items():
        made.land(f"raw/{name}.csv", lines)
        assert made.lakeloom("run").error == ""
    loosen(made)
    changed = made.lakeloom("run")
    for name in ("sales", "gone"):
        assert made.lakeloom("quarantine replay", f"tables.{name}").error == ""
    killed = made.lakeloom_apart("quarantine replay", "tables.log", **{VARIABLE: "between clean and quarantine"}).code
    assert made.lakeloom("run").error == ""  # goes on with what was cut off
    loosened = {name: shown(made, name) for name in ("sales", "log", "gone")}
    file = made.root / "repaired.json"
    for name in ("sales", "log"):
        file.write_text(json.dumps({"_hash": torn(made, name)["_hash"], "_record": "c,2024-01-01T12:00:00Z,12"}) + "\n")
        assert made.lakeloom("quarantine replay", f"tables.{name}", "--repaired", str(file)).error == ""
    repaired = {name: shown(made, name) for name in ("sales", "log")}
    again = made.lakeloom("quarantine replay", "tables.sales", "--repaired", str(file))
    return Story(made, changed, killed, loosened, repaired, again)


def shown(made: Project, name: str) -> list[Row]:
    return sorted((r["id"], r["at"], r["amount"]) for r in made.published(f"tables.{name}"))


def torn(made: Project, name: str) -> dict[str, object]:
    """The row that could not be read, as the command shows it."""
    rows = json.loads(made.lakeloom("quarantine show", f"tables.{name}", "--format", "json").out)
    return next(row for row in rows if row["_reasons"] == ["malformed record"])


def at(day: int, hour: int, micros: int = 0) -> datetime:
    return datetime(2024, 1, day, hour, 0, 0, micros, tzinfo=UTC)


A, OLD_B, C, B = ("a", at(1, 10, 123456), 5), ("b", at(1, 11, 1), 500), ("c", at(1, 12), 12), ("b", at(2, 0), 7)


def test_a_changed_rule_is_not_applied_unasked(story):
    assert story.changed.code == 2
    assert "`lakeloom quarantine replay CONF tables.sales` lets in what is no longer refused" in story.changed.error


def test_a_replayed_row_keeps_its_sequence(story):
    assert story.loosened["sales"] == [A, B]  # the refused b is older than the b that is there
    assert story.loosened["log"] == [A, OLD_B, B]  # a table without keys takes it, to the microsecond


def test_a_refused_row_that_is_let_in_after_its_key_was_deleted_does_not_bring_the_key_back(story):
    assert story.loosened["gone"] == [A]  # b was deleted a day after its refused row
    replayed = story.project.records("tables.gone")[-1].counts
    assert {k: replayed[k] for k in ("applied", "superseded", "quarantined")} == {
        "applied": 0,
        "superseded": 1,
        "quarantined": -1,
    }


def test_a_replay_that_was_killed_is_finished_by_the_next_run(story):
    assert story.killed == -SIGKILL
    replays = [i for i in story.project.intents("tables.log") if "quarantine" in i.inputs]
    assert [len(i.inputs["quarantine"]["repaired"]) for i in replays] == [0, 1]


def test_a_repaired_row_goes_in_and_the_rest_stays(story):
    assert story.repaired == {"sales": [A, B, C], "log": [A, OLD_B, B, C]}
    for name in ("sales", "log"):
        [left] = story.project.rows(f"tables.{name}", "quarantine")
        assert json.loads(left["_record"])["id"] == "d"
        assert left["_reasons"] == ["amount: be between (min_value 0.0, max_value 1000.0)"]


def test_a_repair_given_twice_adds_nothing(story):
    assert (story.again.code, "passed over, for they do not lie in the quarantine" in story.again.err) == (0, True)
    assert shown(story.project, "sales") == story.repaired["sales"]


def test_over_all_batches_every_row_has_one_fate(story):
    for name, fates in {
        "sales": {"applied": 3, "superseded": 1, "quarantined": 1},
        "log": {"applied": 4, "superseded": 0, "quarantined": 1},
    }.items():
        counts = [r.counts for r in story.project.records(f"tables.{name}")]
        assert sum(c["rows_in"] for c in counts) == 5
        assert {fate: sum(c[fate] for c in counts) for fate in fates} == fates


def test_what_was_refused_is_listed_with_reasons_place_and_run(story):
    listed = json.loads(story.project.lakeloom("quarantine list", "--format", "json").out)
    [row] = json.loads(story.project.lakeloom("quarantine show", "tables.log", "--format", "json").out)

    reason = "amount: be between (min_value 0.0, max_value 1000.0)"
    assert listed[:2] == [{"stage": f"tables.{n}", "rows": 1, "reasons": {reason: 1}} for n in ("sales", "log")]
    assert listed[2:] == [{"stage": "tables.gone", "rows": 2, "reasons": {reason: 1, "malformed record": 1}}]
    assert row["_file"].endswith("raw/1.csv")
    assert row["_run"] in {i.run_id for i in story.project.intents("tables.log")}
