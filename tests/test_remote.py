"""Features by key from a real Redis on loopback: what an endpoint answers with them, and without them."""

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress

import pytest
from online import ADMIN, ROW, exported, serving

from pipelines import remote
from pipelines.errors import PlatformError
from pipelines.keyed import REMOTE, Held, key_of
from pipelines.replies import METADATA
from pipelines.run import exported as exported_features
from pipelines.spec import Target

PASSWORD = "a-password-of-a-test"
KEYS = ("sender", "day")
LIMIT_S = 20

pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="apt install redis-server")


def rows(*found: tuple[str, int, float | None, str]) -> list[tuple[dict[str, object], Held]]:
    return [({"sender": s, "day": d}, Held(f"{at}T12:00:00", {**ROW, "wind": wind})) for s, d, wind, at in found]


FIRST = rows(("a", 1, 12.5, "2026-01-31"), ("b", 2, None, "2026-01-01"), ("a", 1, 99.0, "2026-01-30"))


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server that wants a password; the environment names it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    said = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(["redis-server", *said], stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
        monkeypatch.setenv(remote.URL, f"redis://:{PASSWORD}@127.0.0.1:{port}/0")
        yield process
        process.kill()


def folder_of(place, version: int, features: int, held):
    """An exported model whose features lie in Redis."""
    folder = exported(place, version=version)
    told, count = remote.write(f"flights.late@{version}", features, KEYS, held)
    (folder / REMOTE).write_text(json.dumps(told))
    metadata = json.loads((folder / METADATA).read_text())
    (folder / METADATA).write_text(json.dumps({**metadata, "lookup": {"keys": list(KEYS), "version": features}}))
    return folder, count


def test_a_key_is_answered_with_the_newest_features_that_redis_holds_of_it(server, tmp_path):
    folder, count = folder_of(tmp_path / "v1", 1, 7, FIRST)

    with serving(["-m", "pipelines.serve", str(folder)]) as running:
        status, reply = running.score({"keys": [{"sender": "b", "day": 2}, {"sender": "a", "day": 1}]})
        unknown = running.score({"keys": [{"sender": "c", "day": 1}]})
        wrong = running.score({"keys": [{"sender": "a"}]})

    assert (status, count) == (200, 2)
    assert [a["as_of"] for a in reply["answers"]] == ["2026-01-01T12:00:00", "2026-01-31T12:00:00"]
    assert unknown == (404, {"error": 'row 0: no features are held of {"sender": "c", "day": 1}'})
    assert wrong == (422, {"error": 'row 0: a key is an object of sender, day, got {"sender": "a"}'})


def test_without_redis_keys_wait_and_rows_are_answered(server, tmp_path):
    folder, _ = folder_of(tmp_path / "v1", 1, 7, FIRST)

    with serving(["-m", "pipelines.serve", str(folder)]) as running:
        server.kill()
        server.wait()
        status, said = running.score({"keys": [{"sender": "a", "day": 1}]})
        alive = running.score(ROW)[0]

    assert (status, alive) == (503, 200)
    assert said["error"].startswith("the features cannot be looked up: ") and PASSWORD not in json.dumps(said)


def test_newer_features_are_another_snapshot_and_the_one_before_is_kept(server, tmp_path):
    (first, _), (second, _), (again, _) = (
        folder_of(tmp_path / str(at), 1, features, rows(("a", 1, wind, "2026-01-31")))
        for at, (features, wind) in enumerate([(7, 1.0), (8, 2.0), (8, 99.0)])
    )
    with serving(["-m", "pipelines.serve", str(first)]) as running:
        one = running.score({"keys": [{"sender": "a", "day": 1}]})[1]["answers"][0]["score"]
        for name in (REMOTE, METADATA):
            shutil.copy(second / name, first / name)
        running.ask("POST", "/reload", Authorization=f"Bearer {ADMIN}")
        folder_of(tmp_path / "third", 1, 9, FIRST)
        held = running.score({"keys": [{"sender": "a", "day": 1}]})
        folder_of(tmp_path / "fourth", 1, 10, FIRST)
        gone = running.score({"keys": [{"sender": "a", "day": 1}]})

    assert (first / REMOTE).read_text() == (again / REMOTE).read_text()  # what is there is not written again
    assert held[0] == 200 and one == pytest.approx(1 / (1 + 2.718281828459045**-0.1))
    assert gone[0] == 503 and gone[1]["error"].startswith("the features that this version reads are no longer held")


def test_a_person_who_is_forgotten_leaves_every_snapshot_of_the_pipeline(server, tmp_path):
    folder, _ = folder_of(tmp_path / "v1", 1, 7, FIRST)
    folder_of(tmp_path / "v2", 2, 7, FIRST)
    remote.write("other.late@1", 7, KEYS, FIRST)
    who = {KEYS: {key_of(KEYS, {"sender": s, "day": 1}) for s in ("a", "nobody")}}
    said = {"lakeloom:flights.late@1:7": 1, "lakeloom:flights.late@2:7": 1}

    with serving(["-m", "pipelines.serve", str(folder)]) as running:
        counted, before = remote.erase("flights", who, dry=True), running.score({"keys": [{"sender": "a", "day": 1}]})
        done, again = remote.erase("flights", who), remote.erase("flights", who)
        after, other = (running.score({"keys": [{"sender": s, "day": d}]})[0] for s, d in (("a", 1), ("b", 2)))

    assert (counted, done, again) == (said, said, {})
    assert (before[0], after, other) == (200, 404, 200)
    found = exported_features.erase("other", Target(exports=str(tmp_path)), who)
    assert found == {"features by key in Redis, lakeloom:other.late@1:7": 1}
    assert remote.erase("other", who, dry=True) == {}


def test_a_server_that_is_not_there_is_one_sentence(monkeypatch):
    monkeypatch.setenv(remote.URL, f"redis://:{PASSWORD}@127.0.0.1:1/0")
    with pytest.raises(PlatformError, match=r"^Redis does not hold the features: ") as refused:
        remote.write("flights.late@1", 1, KEYS, FIRST)
    assert PASSWORD not in str(refused.value)

    monkeypatch.delenv(remote.URL)
    with pytest.raises(PlatformError, match="is not set; it names the server"):
        remote.client()
    assert remote.URL not in os.environ
