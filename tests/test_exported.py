"""A person who is forgotten leaves what endpoints look up: real files of features by key, and all their bytes."""

import json
from pathlib import Path

from online import ADMIN, ROW, exported, serving

from pipelines import keyed
from pipelines.keyed import Held, Keyed
from pipelines.replies import METADATA
from pipelines.run.exported import erase
from pipelines.spec import Target

ANN, KEYS = "ann@example.org", ("email", "day")
MANY = 3_000  # keys, so that the file has many pages


def looked_up(root: Path, name: str, keys: tuple[str, ...] = KEYS) -> Path:
    """A model exported with the features of many, Ann's of two days among them."""
    folder = exported(root / name)
    rows = [({"email": f"{i}@example.org", "day": 1}, Held("2026-01-01T00:00:00", {**ROW, "wind": 1.0 * i}))
            for i in range(MANY)]  # fmt: skip
    rows += [({"email": ANN, "day": day}, Held("2026-01-01T00:00:00", ROW)) for day in (1, 2)]
    held = keyed.write(folder / keyed.FILE, keys, rows)
    told = json.loads((folder / METADATA).read_text())
    (folder / METADATA).write_text(json.dumps({**told, "lookup": {"keys": list(keys), "version": 3, "held": held}}))
    return folder


def keys(*days: int) -> dict[tuple[str, ...], set[str]]:
    return {KEYS: {keyed.key_of(KEYS, {"email": ANN, "day": day}) for day in days}}


def test_a_person_leaves_every_exported_file_and_no_byte_of_the_key_stays(tmp_path):
    folders = [looked_up(tmp_path, name) for name in ("late", "deep/late")]
    said = {"features by key in deep/late/features.sqlite": 2, "features by key in late/features.sqlite": 2}
    target = Target(exports=str(tmp_path))
    assert ANN.encode() in (folders[0] / keyed.FILE).read_bytes()

    counted, stood = erase("flights", target, keys(1, 2, 3), dry=True), (folders[0] / keyed.FILE).read_bytes()
    done, again = erase("flights", target, keys(1, 2, 3)), erase("flights", target, keys(1, 2, 3))

    assert ANN.encode() in stood
    assert (counted, done, again) == (said, said, {})
    for folder in folders:
        assert [p.name for p in folder.rglob("*") if ANN.encode() in p.read_bytes()] == []
        assert sorted(p.name for p in folder.iterdir()) == [keyed.FILE, METADATA, "model.onnx"]
        opened = Keyed.opened(folder / keyed.FILE)
        assert (opened.keys, opened.count) == (KEYS, MANY)
        assert opened.rows([{"email": "7@example.org", "day": 1}])[0].row["wind"] == 7.0
        assert json.loads((folder / METADATA).read_text())["lookup"]["held"] == MANY


def test_keys_of_other_columns_and_files_of_another_pipeline_are_left_as_they_are(tmp_path):
    looked_up(tmp_path, "late"), looked_up(tmp_path, "by_day", ("day", "email"))
    held = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    assert erase("shop", Target(exports=str(tmp_path)), keys(1)) == {}
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == held
    assert list(erase("flights", Target(exports=str(tmp_path)), keys(1))) == ["features by key in late/features.sqlite"]


def test_a_kill_between_file_and_metadata_is_mended_by_the_same_command(tmp_path):
    folder = looked_up(tmp_path, "late")
    keyed.erase(folder / keyed.FILE, list(keys(1, 2)[KEYS]))

    erase("flights", Target(exports=str(tmp_path)), keys(1, 2))

    assert json.loads((folder / METADATA).read_text())["lookup"]["held"] == MANY


def test_an_endpoint_that_had_the_file_open_answers_on_and_forgets_as_it_reloads(tmp_path):
    folder = looked_up(tmp_path, "late")
    asked = {"keys": [{"email": ANN, "day": 1}]}
    with serving(["-m", "pipelines.serve", str(folder)]) as running:
        before = running.score(asked)[0]
        erase("flights", Target(exports=str(tmp_path)), keys(1))
        there = running.score({"keys": [{"email": "9@example.org", "day": 1}]})[0]
        running.ask("POST", "/reload", Authorization=f"Bearer {ADMIN}")
        after, other = running.score(asked)[0], running.score({"keys": [{"email": ANN, "day": 2}]})[0]

    assert (before, there, after, other) == (200, 200, 404, 200)
