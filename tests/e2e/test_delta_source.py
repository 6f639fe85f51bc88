"""A Delta table of others as a source: versions since the last batch, appended rows or the change feed, none twice."""

import json
from copy import deepcopy
from pathlib import Path
from signal import SIGKILL

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, write_deltalake

from e2e.project import Project, Said, project
from pipelines import pii
from pipelines.crash import VARIABLE

pytestmark = pytest.mark.spark

KEY = "0123456789abcdef0123456789abcdef"
FEED = {"delta.enableChangeDataFeed": "true"}


@pytest.fixture
def events(spark, tmp_path: Path) -> Project:
    """A table of two rows in a partition each, and one streaming table without keys."""
    made = project(tmp_path, "events")
    append(made, [(1, "a"), (2, "b c")], partition_by=["kind"])
    source = {"kind": "delta", "path": "theirs", "schema": "id INT, kind STRING"}
    made.write(sources={"raw": source}, tables={"events": {"from": "raw", "select": "SELECT id, kind FROM raw"}})
    return made


def theirs(made: Project) -> str:
    return str(made.landing / "theirs")


def append(made: Project, rows: list[tuple[int, str]], **options) -> None:
    ids, kinds = zip(*rows, strict=True)
    write_deltalake(theirs(made), pa.table({"id": pa.array(ids, pa.int32()), "kind": kinds}), mode="append", **options)


def found(made: Project) -> list[tuple[int, str]]:
    return sorted((r["id"], r["kind"]) for r in made.published("tables.events"))


def counts(made: Project) -> dict[str, int]:
    return {k: v for k, v in made.records("tables.events")[-1].counts.items() if v}


def ran(said: Said) -> None:
    assert (said.error, said.code) == ("", 0), said.err


def test_appended_rows_come_once_and_a_compaction_brings_none(events):
    ran(events.lakeloom("run"))
    assert found(events) == [(1, "a"), (2, "b c")]
    append(events, [(3, "a"), (4, "b c")])
    append(events, [(5, "d")])
    DeltaTable(theirs(events)).optimize.compact()
    DeltaTable(theirs(events)).create_checkpoint()

    ran(events.lakeloom("run"))

    assert found(events) == [(1, "a"), (2, "b c"), (3, "a"), (4, "b c"), (5, "d")]
    assert counts(events) == {"rows_in": 3, "applied": 3, "versions": 3}
    assert "nothing to do" in events.lakeloom("run").out
    assert {r["_file"] for r in events.rows("tables.events")} == {"theirs@0", "theirs@1 to 3"}


def test_versions_that_are_many_come_in_bounded_batches_and_none_is_lost(events):
    ran(events.lakeloom("run"))
    events.change(lambda conf: conf["sources"]["raw"].update(most_records=4))
    for number in range(3, 13, 2):
        append(events, [(number, "a"), (number + 1, "d")])

    for _ in range(3):
        ran(events.lakeloom("run"))

    batches = [record.inputs["raw"] for record in events.records("tables.events")]
    assert [(b["upto"], b["behind"]) for b in batches] == [(0, 0), (2, 3), (4, 1), (5, 0)]
    assert [number for number, _ in found(events)] == list(range(1, 13))
    assert "nothing to do" in events.lakeloom("run").out


def test_persons_in_a_table_are_guarded_as_they_are_read(events, monkeypatch):
    monkeypatch.setenv(pii.VARIABLE, KEY)
    events.change(lambda conf: conf["sources"]["raw"].update(pii={"id": "tokenize", "kind": "mask"}))

    ran(events.lakeloom("run"))

    assert sorted(found(events), key=lambda r: r[1]) == [
        (pii.token(str(i), KEY.encode()), m) for i, m in ((1, "x"), (2, "x x"))
    ]


def test_a_killed_batch_reads_the_same_versions_again(events):
    ran(events.lakeloom("run"))
    append(events, [(3, "a")])
    assert events.lakeloom_apart("run", **{VARIABLE: "before the clean commit"}).code == -SIGKILL
    append(events, [(4, "a")])

    ran(events.lakeloom("run"))
    assert [r[0] for r in found(events)] == [1, 2, 3]
    ran(events.lakeloom("run"))
    assert [r[0] for r in found(events)] == [1, 2, 3, 4]


def test_a_version_that_removed_rows_is_refused_and_the_way_out_works(events):
    ran(events.lakeloom("run"))
    append(events, [(3, "a")])
    DeltaTable(theirs(events)).delete("id = 1")

    said = events.lakeloom("run")

    why = "changed or removed rows, and read: rows takes appends alone; say read: changes"
    assert (said.code, said.error) == (3, f"tables.events: version 2 of {theirs(events)} (DELETE) {why}")
    assert found(events) == [(1, "a"), (2, "b c")]
    refused = events.lakeloom("run", "--full-refresh", "tables.events")
    lost = "tables.events: a full refresh would lose 1 row that raw no longer holds"
    assert (refused.code, refused.error) == (3, f"{lost}; let them go by `--allow-loss tables.events`")
    assert found(events) == [(1, "a"), (2, "b c")]
    allowed = events.lakeloom("run", "--full-refresh", "tables.events", "--allow-loss", "tables.events")
    ran(allowed)
    assert "1 lost as allowed" in allowed.out
    assert found(events) == [(2, "b c"), (3, "a")]


def test_a_row_that_stands_twice_and_is_held_once_would_be_lost(events):
    append(events, [(1, "a")])
    ran(events.lakeloom("run"))
    DeltaTable(theirs(events)).delete("id = 1")
    append(events, [(1, "a")])

    assert "would lose 1 row" in events.lakeloom("run", "--full-refresh", "tables.events").error


def test_under_another_schema_rows_are_counted(events):
    ran(events.lakeloom("run"))
    events.change(lambda conf: conf["sources"]["raw"].update(schema="id BIGINT, kind STRING"))
    anew = ("run", "--full-refresh", "tables.events")

    ran(events.lakeloom(*anew))
    DeltaTable(theirs(events)).delete("id = 1")
    events.change(lambda conf: conf["sources"]["raw"].update(schema="id INT, kind STRING"))

    assert "would lose 1 row" in events.lakeloom(*anew).error


@pytest.mark.long
def test_a_history_of_changes_is_not_made_anew_from_what_stands_unasked(events):
    DeltaTable(theirs(events)).alter.set_table_properties(FEED)
    select = "SELECT id, kind, commit_version FROM raw"
    events.change(lambda conf: conf["sources"]["raw"].update(read="changes"))
    keyed = {"from": "raw", "keys": ["id"], "sequence_by": "commit_version", "select": select}
    events.change(lambda conf: conf["tables"].update(events=keyed, then={**deepcopy(keyed), "stored_as_scd_type": 2}))
    ran(events.lakeloom("run"))
    DeltaTable(theirs(events)).update(predicate="id = 1", updates={"kind": "'z'"})
    ran(events.lakeloom("run"))

    assert (
        "tables.then: a full refresh would lose 1 row" in events.lakeloom("run", "--full-refresh", "tables.then").error
    )
    ran(events.lakeloom("run", "--full-refresh", "tables.events"))  # of which each key still has its row


def test_a_change_feed_gives_every_change_with_its_kind_and_version(spark, events):
    DeltaTable(theirs(events)).alter.set_table_properties(FEED)
    told = "SELECT id, kind, change_type, commit_version FROM raw"
    events.change(lambda conf: conf["sources"]["raw"].update(read="changes"))
    events.change(lambda conf: conf["tables"]["events"].update(select=told))
    ran(events.lakeloom("run"))
    append(events, [(3, "a"), (4, "a")])
    DeltaTable(theirs(events)).update(predicate="id = 3", updates={"kind": "'z'"})
    DeltaTable(theirs(events)).delete("kind = 'b c'")

    ran(events.lakeloom("run"))

    changes = [(r["id"], r["kind"], r["change_type"], r["commit_version"]) for r in events.rows("tables.events")]
    assert sorted(changes, key=lambda c: (c[3], c[0], c[2])) == [
        (1, "a", "insert", 1), (2, "b c", "insert", 1),
        (3, "a", "insert", 2), (4, "a", "insert", 2),
        (3, "z", "update_postimage", 3), (3, "a", "update_preimage", 3),
        (2, "b c", "delete", 4),
    ]  # fmt: skip
    assert counts(events) == {"rows_in": 5, "applied": 5, "versions": 3}


def test_a_table_with_keys_follows_updates_deletions_changed_keys_and_an_overwrite(spark, events):
    """Also as a history: of each key the rows that it had, whichever way its hash falls."""
    DeltaTable(theirs(events)).alter.set_table_properties(FEED)
    select = "SELECT id, kind, change_type, commit_version FROM raw"
    keyed = {"from": "raw", "keys": ["id"], "sequence_by": "commit_version", "select": select,
             "apply_as_deletes": "change_type = 'delete'"}  # fmt: skip
    events.change(lambda conf: conf["sources"]["raw"].update(read="changes"))
    events.change(lambda conf: conf["tables"].update(events=keyed, then={**deepcopy(keyed), "stored_as_scd_type": 2}))
    append(events, [(number, "a") for number in range(10, 20)])
    ran(events.lakeloom("run"))
    table = DeltaTable(theirs(events))
    table.update(
        predicate="id < 16", updates={"kind": "'z'"}
    )  # of eleven keys: by chance all come right in one of 2,048
    table.delete("id = 19")
    table.update(predicate="id = 18", updates={"id": "CAST(28 AS INT)"})
    append(events, [(19, "again")])

    ran(events.lakeloom("run"))

    assert found(events) == _now(events)
    assert {(r["id"], r["kind"]) for r in events.published("tables.then") if r["valid_to"] is None} == set(_now(events))
    past = [(r["id"], r["kind"]) for r in events.published("tables.then") if r["valid_to"] is not None]
    assert sorted(past) == [(1, "a"), (2, "b c"), *((n, "a") for n in (*range(10, 16), 18, 19))]
    rows = pa.table({"id": pa.array([1, 12, 40], pa.int32()), "kind": ["z", "new", "new"]})
    write_deltalake(theirs(events), rows, mode="overwrite")

    ran(events.lakeloom("run"))

    assert found(events) == _now(events) == [(1, "z"), (12, "new"), (40, "new")]


def _now(made: Project) -> list[tuple[int, str]]:
    return sorted((r["id"], r["kind"]) for r in DeltaTable(theirs(made)).to_pyarrow_table().to_pylist())


def test_rows_are_counted_where_the_log_has_no_statistics(events):
    ran(events.lakeloom("run"))
    append(events, [(3, "a"), (4, "a")])
    log = Path(theirs(events)) / "_delta_log" / f"{1:020}.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for action in actions:
        action.get("add", {}).pop("stats", None)
    log.write_text("\n".join(map(json.dumps, actions)))

    ran(events.lakeloom("run"))

    assert counts(events) == {"rows_in": 2, "applied": 2, "versions": 1}


@pytest.mark.parametrize(
    ("wrong", "code", "sentence"),
    [
        (
            {"path": "nowhere"},
            2,
            "{landing}/nowhere: no Delta table there; mend the source's `path` or the target's `landing`",
        ),
        (
            {"schema": "id INT, kinds STRING"},
            2,
            "sources.raw: {landing}/theirs has no column 'kinds'; did you mean 'kind'?",
        ),
        (
            {"read": "changes"},
            2,
            "sources.raw: {landing}/theirs keeps no change feed; set delta.enableChangeDataFeed, or say read: rows",
        ),
    ],
    ids=["no table", "no column", "no feed"],
)
def test_what_cannot_be_read_is_one_sentence(events, wrong, code, sentence):
    events.change(lambda conf: conf["sources"]["raw"].update(wrong))
    if "schema" in wrong:
        events.change(lambda conf: conf["tables"]["events"].update(select="SELECT id FROM raw"))

    said = events.lakeloom("run")

    assert (said.code, said.error) == (code, sentence.format(landing=events.landing))


def test_another_table_at_the_same_place_is_refused(events):
    ran(events.lakeloom("run"))
    for file in sorted(Path(theirs(events)).rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    for number in (7, 8):
        append(events, [(number, "a")], commit_properties=CommitProperties(custom_metadata={"anew": "yes"}))

    said = events.lakeloom("run")

    assert (said.code, said.error.partition(";")[0]) == (
        3,
        "tables.events: theirs is another table than the one read before (version 0)",
    )
