"""Records of a source with pii as Spark makes them: guarded before anything sees them, by a key that no plan shows."""

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from pyspark.sql import Row

from pipelines import landing, pii
from pipelines.columns import ddl_text
from pipelines.ingest import Shape, read
from pipelines.spec import Files

pytestmark = pytest.mark.spark

KEY = "canary-key-7b1e0c5d9f2a4836-canary"
SOURCE = {
    "kind": "files", "format": "json", "path": "in", "schema": "email STRING, id BIGINT, name STRING, born DATE, n INT",
    "pii": {"email": "tokenize", "id": "tokenize", "name": "mask", "born": "redact"},
}  # fmt: skip


def token(value: str) -> str:
    return hmac.new(KEY.encode(), value.encode(), hashlib.sha256).hexdigest()


@pytest.fixture
def records(spark, tmp_path: Path, monkeypatch):
    """`records(lines)`: the frame of a file of JSON lines."""
    monkeypatch.setenv(pii.VARIABLE, KEY)
    source = Files.model_validate(SOURCE)

    def made(*lines: object):
        (tmp_path / "in").mkdir(exist_ok=True)
        text = "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)
        (tmp_path / "in" / "1.json").write_text(text)
        (file,) = landing.census(source, landing.arrivals(source, str(tmp_path)))
        return read(spark, source, {Shape(): [file.path]})

    return made


def test_tagged_columns_are_guarded_and_a_torn_record_is_not_kept(records):
    ann = {"email": "ann@example.org", "id": 42, "name": "Zoë, 42!", "born": "1990-05-17", "n": 1}
    nobody = {"email": None, "id": None, "name": None, "born": None, "n": 2}

    one, two, torn = records(ann, nobody, '{"email": "bob@example.org", "n": "many"}').collect()

    assert one.asDict() | {"_row": None} == {
        "email": token("ann@example.org"), "id": token("42"), "name": "xxx, 99!", "born": None, "n": 1, "_row": None,
    }  # fmt: skip
    assert one._row.record == Row(email=one.email, id=one.id, name=one.name, born=None, n=1)
    assert (two.email, two.id, two.name, two.born, two.n) == (None, None, None, None, 2)
    assert (torn._row.text, torn.email, torn.n) == (pii.REMOVED, None, None)
    assert len({one._row.hash, two._row.hash, torn._row.hash}) == 3
    assert "example" not in str([one, two, torn])


def test_no_plan_shows_the_key_or_what_it_could_be_made_of(records):
    frame = records({"email": "ann@example.org", "id": None, "name": None, "born": None, "n": 1})

    plans = frame._jdf.queryExecution().toString() + frame._jdf.queryExecution().executedPlan().treeString()

    held = KEY.encode()
    pads = [bytes(b ^ pad for b in held.ljust(64, b"\0")) for pad in (0x36, 0x5C)]
    assert "sha2" in plans
    assert not any(text in plans.lower() for text in (KEY, held.hex(), *(p.hex()[:32] for p in pads), "canary"))


def test_a_long_key_is_hashed_first_as_the_definition_says(spark, monkeypatch):
    # RFC 4231, test case 6: a key of 131 bytes 0xaa; here of letters, for an environment holds no such bytes
    monkeypatch.setenv(pii.VARIABLE, "a" * 131)
    frame = spark.createDataFrame([("Test Using Larger Than Block-Size Key - Hash Key First",)], "v STRING")

    (found,) = frame.select(pii.Tokens(spark).of(frame.v).alias("t")).collect()

    expected = hmac.new(b"a" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First", hashlib.sha256)
    assert found.t == expected.hexdigest()


def test_a_source_without_pii_needs_no_key_and_keeps_a_torn_record(spark, tmp_path, monkeypatch):
    monkeypatch.delenv(pii.VARIABLE, raising=False)
    source = Files.model_validate({**SOURCE, "schema": ddl_text({"n": "INT"}), "pii": {}})
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.json").write_text('{"n": "many"}\n')
    (file,) = landing.census(source, landing.arrivals(source, str(tmp_path)))

    (row,) = read(spark, source, {Shape(): [file.path]}).collect()

    assert row._row.text == '{"n": "many"}'
