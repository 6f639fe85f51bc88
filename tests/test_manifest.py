"""The files of a model: what they hash to, and which of them changed."""

import hashlib
import json

import pytest

from pipelines.manifest import listed, unlike, whole


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_manifest_is_over_names_and_contents(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "part").write_text("two")
    (tmp_path / "a").write_text("one")
    (tmp_path / ".a.crc").write_text("a checksum of Hadoop's")

    files = listed(tmp_path)

    assert files == {"a": sha("one"), "b/part": sha("two")}
    assert whole(files) == sha(f"a {sha('one')}\nb/part {sha('two')}\n")
    assert whole(json.loads(json.dumps(files))) == whole(files)  # kept as JSON it keeps its order


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"a": "1", "b": "2"}, ""),
        ({"a": "1", "b": "3"}, "b was changed"),
        ({"a": "1"}, "b is gone"),
        ({"a": "1", "b": "2", "c": "3"}, "c is new"),
        ({"a": "0", "c": "1", "d": "1", "e": "1"}, "a was changed, b is gone, c is new, and 2 more"),
    ],
)
def test_what_became_of_files_is_said_by_name(now, said):
    assert unlike({"a": "1", "b": "2"}, now) == said
