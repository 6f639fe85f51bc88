"""Persons' data: what a conf may do with a guarded column, the key, and a token by its definition."""

from pathlib import Path

import pytest

from pipelines import pii
from pipelines.check import check
from pipelines.columns import ddl
from pipelines.errors import LakeloomError
from pipelines.intake import Asked, keyed
from pipelines.sample import sampled
from pipelines.spec import Pipeline, Target, load_lines

KEY = "0123456789abcdef0123456789abcdef"
CONF = """pipeline: p
sources:
  raw:
    kind: files
    format: json
    path: raw
    schema: "id INT, email STRING, name STRING, born DATE, at TIMESTAMP, tags ARRAY<STRING>"
    pii: {email: tokenize, name: mask, born: redact}
tables:
  people:
    from: raw
    keys: [who]
    sequence_by: at
    event_time: at
    select: SELECT email AS who, upper(name) AS label, born, id, at FROM raw
  again:
    event_time: at
    select: SELECT concat(label, '!') AS loud, who, id, at FROM people
features:
  seen:
    spine: people
    keys: [who]
    as_of_time: at
    columns: [id]
"""
SLICED = "{m: {features: seen, label: born IS NULL, task: binary, candidates: [{kind: naive_bayes}], slices: [label]}}"


def said(call) -> str:
    with pytest.raises(LakeloomError) as caught:
        call()
    return str(caught.value)


def flaws(folder: Path, *changes: tuple[str, str]) -> str:
    text = CONF
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "p.yml").write_text(text)
    return said(lambda: check(*load_lines(folder / "p.yml"))).replace(f"{folder}/p.yml:", "")


def test_guarded_columns_may_be_keys_as_tokens_and_stand_in_tables(tmp_path):
    (tmp_path / "p.yml").write_text(CONF)

    check(*load_lines(tmp_path / "p.yml"))


def test_what_a_file_may_lack_is_a_column_of_its_schema_and_of_json(tmp_path):
    assert flaws(tmp_path, ("    path: raw\n", "    path: raw\n    optional: [emial]\n")) == (
        "7: sources.raw.optional: no column 'emial'; did you mean 'email'?"
    )
    named = ("    path: raw\n", "    path: raw\n    optional: [email]\n")
    assert "optional is of json" in flaws(tmp_path, named, ("format: json", "format: csv"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([("{email:", "{mail:")], "8: sources.raw.pii.mail: no column 'mail'; did you mean 'email'?"),
        ([("born: redact", "tags: mask")],
         "8: sources.raw.pii.tags: ARRAY<STRING> cannot be guarded by mask; take redact"),
        ([("    path: raw\n", "    path: raw\n    on_schema_change: add_columns\n")],
         "7: sources.raw.on_schema_change: a column that is added could hold persons' data, and no `pii` guards it; "
         "take fail or quarantine"),
        ([("email: tokenize", "email: redact")],
         "12: tables.people.keys.0: who is made of raw.email, which is null in every row; take tokenize"),
        ([("email: tokenize", "email: mask")],
         "12: tables.people.keys.0: who is made of raw.email, which is the same for many persons; take tokenize"),
        ([("born: redact", "at: tokenize")],
         "13: tables.people.sequence_by: at is made of raw.at, which is pii and has no order any more\n"
         "14: tables.people.event_time: at is made of raw.at, which is pii and has no order any more\n"
         "17: tables.again.event_time: at is made of raw.at, which is pii and has no order any more"),
        ([("columns: [id]", "columns: [id, label]")],
         "24: features.seen.columns: label is made of raw.name, which is pii; leave it out, or state it: "
         "allow_pii: [label]"),
        ([("columns: [id]", "as_of: [{table: again, keys: [who], within: 1 day, columns: [loud]}]")],
         "24: features.seen.as_of.0.columns: loud is made of raw.name, which is pii; leave it out, or state it: "
         "allow_pii: [loud]"),
        ([("columns: [id]", "windows: [{table: people, keys: [who], over: [1 day], aggregates: {label: [count]}}]")],
         "24: features.seen.windows.0.aggregates: label is made of raw.name, which is pii; leave it out, or state it: "
         "allow_pii: [label]"),
        ([("features:\n", f"models: {SLICED}\nfeatures:\n")],
         "19: models.m.slices: label is made of raw.name, which is pii; leave it out, or state it: allow_pii: [label]"),
        ([("columns: [id]", "columns: [id]\n    allow_pii: [id]")],
         "25: features.seen.allow_pii: id is no feature that is made of pii"),
    ],
)  # fmt: skip
def test_check_says_where_a_guarded_column_must_not_stand(tmp_path, changes, sentence):
    assert flaws(tmp_path, *changes) == sentence


def test_a_feature_made_of_a_guarded_column_can_be_allowed(tmp_path):
    (tmp_path / "p.yml").write_text(CONF.replace("columns: [id]", "columns: [id, label]\n    allow_pii: [label]"))

    check(*load_lines(tmp_path / "p.yml"))


def test_a_token_is_an_hmac():
    # RFC 4231, test case 2
    assert pii.token("what do ya want for nothing?", b"Jefe") == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        ("", "a source has pii, and there is no environment variable LAKELOOM_PII_KEY; export LAKELOOM_PII_KEY=..., "
         "at least 32 letters (`openssl rand -hex 32` makes one)"),
        ("hunter2", "LAKELOOM_PII_KEY has 7 letters, so few that it can be guessed; export LAKELOOM_PII_KEY=..., "
         "at least 32 letters (`openssl rand -hex 32` makes one)"),
    ],
)  # fmt: skip
def test_without_a_key_nothing_is_read(monkeypatch, held, sentence):
    monkeypatch.setenv(pii.VARIABLE, held)

    assert said(pii.key) == sentence


def asked(taken: tuple[dict[str, str], ...], anew: bool = False, guard: bool = True) -> Asked:
    source = {
        "kind": "files",
        "format": "csv",
        "path": "raw",
        "schema": "id INT",
        "pii": {"id": "mask"} if guard else {},
    }
    pipeline = Pipeline.model_validate_json(
        '{"pipeline": "p", "tables": {"t": {"from": "raw", "select": "SELECT id FROM raw"}}}'
    )
    made = Pipeline.model_validate({**pipeline.model_dump(), "sources": {"raw": source}}, strict=False)
    return Asked("tables.t", made.tables["t"], "raw", made.sources["raw"], Target(), taken, anew)


def test_a_batch_is_marked_with_its_key_and_another_key_is_refused(monkeypatch):
    monkeypatch.setenv(pii.VARIABLE, KEY)
    first = keyed(asked(()), {"files": []})
    monkeypatch.setenv(pii.VARIABLE, KEY[::-1])

    refused = said(lambda: keyed(asked((first,)), {"files": []}))

    assert set(first) == {"files", "key"} and KEY not in str(first)
    assert refused == (
        "tables.t: LAKELOOM_PII_KEY is another key than the one that its tokens are made with; give that one, or make "
        "it anew with this one: `lakeloom run --full-refresh tables.t`"
    )
    assert keyed(asked((first,), anew=True), {"files": []})["key"] != first["key"]
    assert said(lambda: keyed(asked((), anew=True), first)) == refused  # a replay of what was begun with the other


def test_a_source_without_pii_asks_for_no_key(monkeypatch):
    monkeypatch.delenv(pii.VARIABLE, raising=False)

    assert keyed(asked((), guard=False), {"files": []}) == {"files": []}


def test_no_sample_is_copied_of_persons(tmp_path):
    (tmp_path / "p.yml").write_text(CONF)
    target = Target(warehouse=str(tmp_path / "w"), landing=str(tmp_path / "l"))

    assert said(lambda: sampled(load_lines(tmp_path / "p.yml")[0], target, 5)) == (
        "sources.raw: a sample would be a copy of its pii; try the conf with tests of its own"
    )


def test_a_source_as_it_is_kept_has_texts_and_nothing_to_guard(tmp_path):
    (tmp_path / "p.yml").write_text(CONF.replace("born: redact", "id: tokenize, born: redact"))

    kept = pii.kept(load_lines(tmp_path / "p.yml")[0].sources["raw"])

    assert kept.pii == {}
    assert ddl(kept.ddl) == {
        "id": "STRING", "email": "STRING", "name": "STRING", "born": "DATE", "at": "TIMESTAMP", "tags": "ARRAY<STRING>",
    }  # fmt: skip
