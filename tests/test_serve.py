"""The endpoint as a real process on loopback: what it answers, what it refuses, and that it changes and ends well."""

import http.client
import json
import math
import os
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from online import ADMIN, LIMIT_S, ROW, SCORE, exported, serving

from pipelines.keyed import FILE, Held, write

# the model of online.py: logistic of -1 + wind / 10 + 1 for UA; the example has wind 12.5
EXPECTED = 1 / (1 + math.exp(-1.25))
HEAVY = ("pyspark", "py4j", "mlflow", "pandas", "pyarrow", "xgboost", "sklearn", "deltalake", "onnx", "sqlglot")
SPY = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGUSR1, lambda *_: Path(sys.argv[1]).write_text("\\n".join(sorted(sys.modules))))
from pipelines.serve import main
sys.exit(main(sys.argv[2:]))
"""

POLLING = """
import os, sys
from pathlib import Path
from pipelines.serve import TOKENS, Settings, run
async def fetch():
    return Path(sys.argv[1])
known = {role: os.environ[name] for role, name in TOKENS.items()}
run(fetch, Settings(port=0, tokens=known, poll_s=0.1), lambda text: print(text, file=sys.stderr, flush=True))
"""


SPLIT = """
import os, sys
from pathlib import Path
from pipelines.serve import TOKENS, Settings, run
def fetched(place):
    async def fetch():
        return Path(place)
    return fetch
known = {role: os.environ[name] for role, name in TOKENS.items()}
settings = Settings(port=0, tokens=known, rival_share=0.25)
run(fetched(sys.argv[1]), settings, lambda text: print(text, file=sys.stderr, flush=True), fetched(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("model") / "v1")


@pytest.fixture(scope="module")
def endpoint(folder):
    with serving(["-m", "pipelines.serve", str(folder)]) as running:
        yield running


def test_one_row_is_answered_with_the_version_that_answered(endpoint):
    status, reply = endpoint.score(ROW)

    assert status == 200
    assert reply["answer"] == {"score": pytest.approx(EXPECTED, abs=1e-15), "predicted": True}
    assert (reply["model"], reply["version"], reply["warnings"]) == ("flights.late", 1, [])


def test_a_batch_is_answered_in_its_order(endpoint):
    rows = [{**ROW, "wind": wind} for wind in (0, 100, None)]

    status, reply = endpoint.score({"rows": rows})

    # without wind: logistic of 0
    assert status == 200
    assert [a["score"] for a in reply["answers"]] == pytest.approx([0.5, 1 / (1 + math.exp(-10)), 0.5], abs=1e-15)


def test_a_category_that_was_never_seen_is_scored_and_said(endpoint):
    status, reply = endpoint.score({**ROW, "carrier": "ZZ"})

    assert status == 200
    assert reply["answer"]["score"] == pytest.approx(1 / (1 + math.exp(-0.25)), abs=1e-15)
    assert reply["warnings"] == ["row 0: carrier: 'ZZ' was not seen in training"]


def test_what_weighs_most_stands_in_an_answer_where_it_is_asked_for(tmp_path):
    told, silent = exported(tmp_path / "told", explained=True), exported(tmp_path / "silent")
    rows = [ROW, {**ROW, "wind": 4, "carrier": "AA"}]

    with serving(["-m", "pipelines.serve", str(told), "--explain", "1"]) as running:
        _, reply = running.score({"rows": rows})
        _, page = running.ask("GET", "/metadata")
    with serving(["-m", "pipelines.serve", str(silent), "--explain", "1"]) as running:
        _, nothing = running.score(ROW)

    assert [a["contributions"] for a in reply["answers"]] == [
        [{"feature": "wind", "part": pytest.approx(0.75)}],
        [{"feature": "carrier", "part": pytest.approx(1.0)}],
    ]
    assert reply["answers"][0]["score"] == pytest.approx(EXPECTED, abs=1e-15)
    assert nothing["answer"] == {"score": pytest.approx(EXPECTED, abs=1e-15), "predicted": True, "contributions": None}
    assert set(page["answers"]) == {"score", "predicted"}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    """The model with the features of two senders, one of them twice."""
    folder = exported(tmp_path_factory.mktemp("keyed") / "v1")
    rows = [("a", 1, 12.5, "2026-01-31"), ("b", 2, None, "2026-01-01"), ("a", 1, 99.0, "2026-01-30")]
    held = [({"sender": s, "day": d}, Held(f"{at}T12:00:00", {**ROW, "wind": wind})) for s, d, wind, at in rows]
    assert write(folder / FILE, ("sender", "day"), held) == 2
    with serving(["-m", "pipelines.serve", str(folder)]) as running:
        yield running


def test_a_key_is_answered_with_the_newest_features_that_are_held_of_it(keyed):
    status, reply = keyed.score({"keys": [{"sender": "b", "day": 2}, {"sender": "a", "day": 1}]})

    assert status == 200
    assert [a["score"] for a in reply["answers"]] == pytest.approx([0.5, EXPECTED], abs=1e-15)
    assert [a["as_of"] for a in reply["answers"]] == ["2026-01-01T12:00:00", "2026-01-31T12:00:00"]
    assert keyed.score(ROW)[0] == 200  # features may still be sent


@pytest.mark.parametrize(
    ("asked", "status", "sentence"),
    [
        ([{"sender": "c", "day": 1}], 404, 'row 0: no features are held of {"sender": "c", "day": 1}'),
        ([{"sender": "a"}], 422, 'row 0: a key is an object of sender, day, got {"sender": "a"}'),
        (["a"], 422, 'row 0: a key is an object of sender, day, got "a"'),
        ([], 422, "there is no row to score"),
        ([{"sender": "a", "day": 1}] * 10_001, 413, "10,001 rows in one request; the most is 10,000"),
    ],
)
def test_what_names_no_key_is_said(keyed, asked, status, sentence):
    assert keyed.score({"keys": asked}) == (status, {"error": sentence})


def test_a_sample_of_requests_lies_as_lines_that_a_source_reads(folder, tmp_path):
    log = tmp_path / "landing" / "requests"
    with serving(["-m", "pipelines.serve", str(folder), "--log-to", str(log), "--log-share", "1"]) as running:
        assert running.score(ROW)[0] == 200
        assert running.score({"rows": [{**ROW, "wind": 1.5, "id": 7}, {**ROW, "wind": None}]})[0] == 200
        assert running.score({"wind": 1})[0] == 422  # nothing was answered
        assert not list(log.glob("*"))
        assert running.end() == 0

    (file,) = log.iterdir()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(x["place"], x["wind"], x["id"], x["version"]) for x in lines] == [
        (0, 12.5, None, 1), (0, 1.5, 7, 1), (1, None, None, 1),
    ]  # fmt: skip
    assert lines[0]["score"] == pytest.approx(EXPECTED) and lines[0]["predicted"] is True
    assert len({x["request"] for x in lines}) == 2


def test_a_share_of_the_keys_is_answered_by_the_challenger_and_always_by_it(tmp_path):
    one, other = exported(tmp_path / "1", keys=("id",)), exported(tmp_path / "2", version=2, intercept=-2.0)
    with serving(["-c", SPLIT, str(one), str(other)]) as running:
        rows = [{**ROW, "id": i} for i in range(200)]
        first = {row["id"]: running.score(row)[1]["version"] for row in rows}
        again = {row["id"]: running.score({"rows": [{**row, "wind": 1.0}]})[1]["version"] for row in rows}
        metrics = running.ask("GET", "/metrics")[1]
        (tmp_path / "2" / "model.onnx").write_bytes(b"changed")
        assert running.ask("POST", "/reload", Authorization=f"Bearer {ADMIN}")[0] == 200
        alone = {running.score(row)[1]["version"] for row in rows}

    assert first == again
    assert 30 <= sum(version == 2 for version in first.values()) <= 70  # of 200, a quarter
    assert f'lakeloom_rows_total{{version="2"}} {float(2 * sum(v == 2 for v in first.values()))}' in metrics
    assert alone == {1}  # what cannot be had answers nothing


def test_without_features_keys_are_not_answered(endpoint):
    assert endpoint.score({"keys": [{"id": 1}]}) == (
        422, {"error": "no features are held here; send them, or serve with --lookup"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"{]", 422, None),
        (b"\xff", 422, "the body is not JSON: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"[" * 100_000, 422, None),
        ([ROW], 422, 'the body is one row as an object, or {"rows": [...]}'),
        ({"rows": []}, 422, "there is no row to score"),
        ({"rows": [1]}, 422, "row 0: should be an object, got int"),
        ({"rows": [ROW] * 10_001}, 413, "10,001 rows in one request; the most is 10,000"),
        ({"wind": 1.0}, 422, "row 0: lacks carrier, sent; a missing value is null"),
        ({**ROW, "wnd": 1}, 422, "row 0: wnd: no such feature; did you mean 'wind'?"),
        ({**ROW, "wind": "strong"}, 422, "row 0: wind is a number (double), got 'strong'"),
        ({**ROW, "wind": True}, 422, "row 0: wind is a number (double), got 'True'"),
        (b'{"wind": NaN}', 422, "the body is not JSON: NaN is no finite number; a missing value is null"),
        (b'{"wind": 1e999}', 422, "row 0: wind is no finite number; a missing value is null"),
        (b'{"carrier": "UA", "sent": null, "wind": 1' + b"0" * 400 + b"}", 422,
         f"row 0: wind is a number (double), got '1{'0' * 59}'"),
        (b'{"\\ud800": 1}', 422, "row 0: \\ud800: no such feature; there is carrier, id, sent and 1 more"),
        ({**ROW, "carrier": 5}, 422, "row 0: carrier is a text (string), got '5'"),
        ({**ROW, "sent": "noon"}, 422,
         "row 0: sent is a timestamp as in ISO 8601, of UTC unless it says so, got 'noon'"),
        (b" " * (10 << 20) + b"{}", 413, "the body is over 10 MB; send fewer rows at a time"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_refused_in_one_sentence(endpoint, body, status, sentence):
    found, reply = endpoint.score(body)

    assert found == status
    assert sentence is None or reply == {"error": sentence}
    assert "\n" not in reply["error"]


def test_a_body_that_is_no_json_by_its_type_is_refused(endpoint):
    assert endpoint.ask("POST", "/score", ROW, Content_Type="text/csv") == (
        415, {"error": "the body is application/json, got text/csv"},
    )  # fmt: skip


def test_a_body_without_a_length_is_kept_no_longer_than_it_may_be(endpoint):
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=LIMIT_S)
    sent = {"Authorization": f"Bearer {SCORE}", "Content-Type": "application/json", "Transfer-Encoding": "chunked"}

    connection.request("POST", "/score", (b" " * (1 << 20) for _ in range(12)), sent, encode_chunked=True)

    assert connection.getresponse().status == 413


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("POST", "/score", "", 401), ("POST", "/score", "wrong", 401), ("POST", "/score", ADMIN, 200),
        ("POST", "/reload", SCORE, 401), ("GET", "/metadata", "", 401), ("GET", "/metrics", "", 401),
        ("GET", "/health", "", 200), ("GET", "/ready", "", 200),
    ],
)  # fmt: skip
def test_each_route_wants_its_role(endpoint, method, path, token, status):
    found, _ = endpoint.ask(method, path, ROW if method == "POST" else None, Authorization=f"Bearer {token}")

    assert found == status


def test_what_it_says_of_itself_is_the_models_own(endpoint):
    _, metadata = endpoint.ask("GET", "/metadata")
    _, described = endpoint.ask("GET", "/openapi.json")
    example = described["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]["example"]
    _, figures = endpoint.ask("GET", "/metrics")

    assert [f["name"] for f in metadata["features"]] == ["wind", "carrier", "sent"]
    assert endpoint.score(example)[0] == 200
    assert "lakeloom_model_version 1.0" in figures
    assert 'lakeloom_requests_total{status="200"}' in figures


def schema(document: dict[str, Any], path: str, verb: str, status: str = "") -> Draft202012Validator:
    """Of what a route is asked, or answers; an OpenAPI document is one of JSON schema too."""
    route = document["paths"][path][verb]
    content = (route["responses"][status] if status else route["requestBody"])["content"]["application/json"]
    return Draft202012Validator({**document, **content["schema"]})


def test_what_is_asked_and_answered_is_as_its_document_says(endpoint):
    _, document = endpoint.ask("GET", "/openapi.json")
    asked = schema(document, "/score", "post")

    for body in (ROW, {"rows": [ROW, {**ROW, "wind": None}]}):
        asked.validate(body)
        schema(document, "/score", "post", "200").validate(endpoint.score(body)[1])
    for bad in ({**ROW, "wind": "strong"}, {"wind": 1.0}, {"rows": []}):
        assert not asked.is_valid(bad)
        status, reply = endpoint.score(bad)
        schema(document, "/score", "post", str(status)).validate(reply)
    for path in set(document["paths"]) - {"/score", "/reload", "/metrics"}:
        status, reply = endpoint.ask("GET", path)
        schema(document, path, "get", str(status)).validate(reply)
    assert not schema(document, "/ready", "get", "200").is_valid({"ready": "yes", "version": 1})


def test_the_process_has_neither_java_nor_mlflow_nor_pandas(folder, tmp_path):
    with serving(["-c", SPY, str(tmp_path / "modules"), str(folder)]) as running:
        assert running.score(ROW)[0] == 200
        running.process.send_signal(10)  # SIGUSR1
        running.ask("GET", "/health")
        ends = time.monotonic() + LIMIT_S
        while not (tmp_path / "modules").exists() and time.monotonic() < ends:
            time.sleep(0.05)

    loaded = {name.split(".")[0] for name in (tmp_path / "modules").read_text().split()}
    assert "onnxruntime" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_another_version_answers_without_a_failed_request(tmp_path):
    model = tmp_path / "model"
    exported(model, 1)
    other = exported(tmp_path / "other", 2, intercept=-2.0)
    statuses, versions, over = [], [], threading.Event()

    def ask_on(running):
        while not over.is_set():
            status, reply = running.score(ROW)
            statuses.append(status)
            # each answer is that of the version which it names
            apart = {1: 1.25, 2: 0.25}[reply["version"]]
            versions.append((reply["version"], reply["answer"]["score"] == pytest.approx(1 / (1 + math.exp(-apart)))))

    with serving(["-m", "pipelines.serve", str(model)]) as running:
        clients = [threading.Thread(target=ask_on, args=(running,)) for _ in range(4)]
        for client in clients:
            client.start()
        time.sleep(0.3)
        for name in ("metadata.json", "model.onnx"):
            (other / name).replace(model / name)
        changed = running.ask("POST", "/reload", Authorization=f"Bearer {ADMIN}")
        time.sleep(0.3)
        over.set()
        for client in clients:
            client.join()

    assert changed == (200, {"version": 2, "changed": True})
    assert set(statuses) == {200}
    assert set(versions) == {(1, True), (2, True)}


def test_a_graph_that_was_changed_is_not_served(folder, tmp_path):
    changed = exported(tmp_path / "changed")
    content = bytearray((changed / "model.onnx").read_bytes())
    content[-1] ^= 1
    (changed / "model.onnx").write_bytes(content)

    done = subprocess.run(
        [sys.executable, "-m", "pipelines.serve", str(changed), "--port", "0"], capture_output=True, text=True
    )

    assert done.returncode == 3
    assert "error: the graph is not the one that was certified: SHA-256 " in done.stderr


def test_a_version_that_cannot_be_had_leaves_the_old_one_answering(tmp_path):
    model = exported(tmp_path / "model")
    with serving(["-m", "pipelines.serve", str(model)]) as running:
        (model / "model.onnx").write_bytes(b"no graph")

        status, reply = running.ask("POST", "/reload", Authorization=f"Bearer {ADMIN}")

        assert (status, reply["version"]) == (503, 1)
        assert reply["error"].startswith("the graph is not the one that was certified")
        assert running.score(ROW)[0] == 200


def test_what_was_begun_is_answered_before_it_ends(folder):
    body = json.dumps(ROW).encode()
    head = f"POST /score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SCORE}\r\nContent-Type: application/json\r\n"
    with (
        serving(["-m", "pipelines.serve", str(folder)]) as running,
        socket.create_connection(("127.0.0.1", running.port), timeout=LIMIT_S) as begun,
    ):
        begun.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
        time.sleep(0.3)

        running.process.terminate()
        time.sleep(0.3)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", running.port), timeout=1)
        begun.sendall(body[5:])

        assert begun.recv(65_536).startswith(b"HTTP/1.1 200 OK")
        assert running.process.wait(LIMIT_S) == 0


def test_tokens_that_nobody_gave_are_made_and_only_their_place_is_said(folder):
    with serving(["-m", "pipelines.serve", str(folder)], LAKELOOM_SCORE_TOKEN="", LAKELOOM_ADMIN_TOKEN="") as running:
        files = [Path(line.rsplit(" ", 1)[1]) for line in running.said.splitlines() if "was made, in" in line]
        made = [file.read_text() for file in files]
        modes = [stat.S_IMODE(file.stat().st_mode) for file in files]
        given, own = (running.ask("POST", "/score", ROW, Authorization=f"Bearer {t}")[0] for t in (SCORE, made[0]))

    assert [file.name for file in files] == ["score.token", "admin.token"]
    assert modes == [0o600, 0o600]
    assert (given, own) == (401, 200)
    assert not any(token in running.said for token in made)


def test_a_token_that_can_be_guessed_is_refused(folder):
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.serve", str(folder)], env={**os.environ, "LAKELOOM_SCORE_TOKEN": "secret"},
        capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 2
    assert done.stderr == "error: LAKELOOM_SCORE_TOKEN has 6 letters; a token has 16 or more\n"


def test_a_poll_finds_the_next_version(tmp_path):
    model, other = exported(tmp_path / "model", 1), exported(tmp_path / "other", 2, intercept=-2.0)
    with serving(["-c", POLLING, str(model)]) as running:
        before = running.score(ROW)[1]["version"]
        for name in ("metadata.json", "model.onnx"):
            (other / name).replace(model / name)
        ends = time.monotonic() + LIMIT_S
        while running.score(ROW)[1]["version"] == before and time.monotonic() < ends:
            time.sleep(0.05)

        assert (before, running.score(ROW)[1]["version"]) == (1, 2)


def test_a_port_that_is_taken_is_said(endpoint, folder):
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.serve", str(folder), "--port", str(endpoint.port)],
        capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 1
    said = f"error: 127.0.0.1:{endpoint.port} cannot be listened on; is the port taken?"
    assert done.stderr.splitlines()[-1] == said


def test_it_speaks_tls_with_the_files_that_are_given(folder, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True,
    )  # fmt: skip
    files = ["--tls-certificate", str(certificate), "--tls-key", str(key)]
    with serving(["-m", "pipelines.serve", str(folder), *files]) as running:
        trusting = ssl.create_default_context(cafile=str(certificate))
        with (
            socket.create_connection(("127.0.0.1", running.port), timeout=LIMIT_S) as plain,
            trusting.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")

            assert connection.recv(4_096).startswith(b"HTTP/1.1 200 OK")
