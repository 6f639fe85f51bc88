"""From a trained champion to an answer over HTTP: certificate, export, endpoint, serverless function."""

import json
import shutil
import subprocess
import sys

import pytest
from online import ADMIN, ROW, exported, serving
from test_readme import ROOT, blocks, walk

from e2e.project import project
from pipelines.keyed import FILE, Keyed
from pipelines.run.certifying import GATE

pytestmark = pytest.mark.spark

ALONE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from handler import handler
event = {"headers": {"Content-Type": "application/json"}, "body": sys.stdin.read()}
replies = [handler(event, None), handler({**event, "body": "{}"}, None)]
heavy = {"pyspark", "mlflow", "pandas", "pyarrow", "starlette", "pydantic", "onnx"} & set(sys.modules)
print(json.dumps({"replies": replies, "heavy": sorted(heavy)}))
"""


ASKED = """request STRING, place INT, at TIMESTAMP, model STRING, version INT, wind DOUBLE, carrier STRING,
score DOUBLE, predicted BOOLEAN"""


@pytest.fixture(scope="module")
def example(flown):
    """A row of features as a request brings it, and the answer that Spark gave it at training."""
    (file,) = (flown.root / ".lakeloom" / "artifacts").rglob("example.json")
    stored = json.loads(file.read_text())
    return json.loads(stored["rows"][0]), stored["answers"][0]


@pytest.fixture(scope="module")
def folder(flown, tmp_path_factory):
    to = tmp_path_factory.mktemp("exported") / "onnx"
    assert flown.lakeloom("export", "late_arrival", "--to", str(to)).error == ""
    return to


def test_the_certificate_is_a_gate_a_record_and_a_line_of_show(flown):
    (record,) = flown.records("models.late_arrival")
    found = record.detail["onnx"]

    assert found["rows"] == record.detail["splits"]["test"]["rows"] == 869  # all there are; at most 1,000
    assert found["largest"] <= 1e-6
    assert (found["unlike"], found["over_http"]) == (0, 200)
    assert [g["passed"] for g in record.detail["gates"] if g["gate"] == GATE] == [True]
    shown = flown.lakeloom("model show").out
    apart = f"200 of them over HTTP, {found['largest']:.0e} apart at most"
    assert f"{found['sha256'][:12]}  certified on 869 rows, {apart}" in shown


def test_an_export_says_what_it_is(folder, flown):
    (record,) = flown.records("models.late_arrival")
    metadata = json.loads((folder / "metadata.json").read_text())

    assert (metadata["model"], metadata["version"], metadata["task"]) == ("flights.late_arrival", 1, "binary")
    assert metadata["sha256"] == record.detail["onnx"]["sha256"]
    assert metadata["answers"] == {"score": "tensor(double)", "predicted": "tensor(bool)"}


def test_the_endpoint_answers_as_spark_did_at_training(flown, example):
    row, expected = example
    with serving(["-m", "pipelines.cli", "serve", str(flown.conf), "--poll-seconds", "0"]) as running:
        status, reply = running.score(row)
        looked = running.ask("POST", "/reload", Authorization=f"Bearer {ADMIN}")
        ended = running.end()

    assert status == 200
    assert reply["answer"] == {"score": pytest.approx(expected["score"], abs=1e-6), "predicted": expected["predicted"]}
    assert looked == (200, {"version": 1, "changed": False})
    assert ended == 0


def test_an_endpoint_that_looks_keys_up_has_one_file_of_them_however_often_it_fetches(flown, tmp_path):
    command = ["-m", "pipelines.cli", "serve", str(flown.conf), "--lookup", "--poll-seconds", "0"]
    with serving(command, TMPDIR=str(tmp_path)) as running:
        looked = running.ask("POST", "/reload", Authorization=f"Bearer {ADMIN}")[0]
        (file,) = tmp_path.rglob(FILE)
        opened = Keyed.opened(file)
        (text,) = opened.connection.execute("SELECT key FROM held LIMIT 1").fetchone()
        status, reply = running.score({"keys": [dict(zip(opened.keys, json.loads(text), strict=True))]})

    assert (looked, status) == (200, 200)
    assert file.parent.name == "version-2" and 0 <= reply["answers"][0]["score"] <= 1


def test_features_by_key_outside_the_place_of_exports_are_told_of(flown, tmp_path):
    said = flown.lakeloom("export", "late_arrival", "--lookup", "--to", str(tmp_path / "late"))

    assert said.error == ""
    assert "the target's `exports`, so `lakeloom forget` will not find it" in " ".join(said.err.split())


def test_the_serverless_function_answers_with_numpy_and_onnxruntime_alone(flown, example, tmp_path):
    row, expected = example
    assert flown.lakeloom("export", "@champion", "--format", "lambda", "--to", str(tmp_path / "f")).error == ""
    shutil.unpack_archive(tmp_path / "f" / "function.zip", tmp_path / "function")

    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(tmp_path / "function")],
        input=json.dumps(row), capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip

    found = json.loads(done.stdout)
    scored, refused = found["replies"]
    assert found["heavy"] == []
    assert (scored["statusCode"], refused["statusCode"]) == (200, 422)
    assert json.loads(scored["body"])["answer"]["score"] == pytest.approx(expected["score"], abs=1e-6)


def test_the_image_context_has_all_it_names_and_its_entry_serves(flown, example, tmp_path):
    row, expected = example
    context = tmp_path / "context"
    assert flown.lakeloom("export", "@1", "--format", "docker", "--to", str(context)).error == ""
    lines = [line.split() for line in (context / "Dockerfile").read_text().splitlines() if line]
    copied = [words[1] for words in lines if words[0] == "COPY"]
    entry = json.loads((context / "Dockerfile").read_text().split("ENTRYPOINT ", 1)[1])

    assert all((context / name).exists() for name in copied)
    here = [*(word if word != "0.0.0.0" else "127.0.0.1" for word in entry[1:-2])]
    with serving(here, cwd=context, PYTHONPATH=str(context)) as running:
        status, reply = running.score(row)

    assert status == 200
    assert reply["answer"]["score"] == pytest.approx(expected["score"], abs=1e-6)


def test_the_page_on_serving_does_as_it_says(flown):
    # the page speaks of conf/flights.yml, which is this project's too
    assert walk(blocks(ROOT / "docs" / "serving.md"), flown.root) == 1


def test_what_was_asked_comes_back_as_a_table(spark, tmp_path):
    lake, asked = project(tmp_path / "lake", "requests"), [{**ROW, "wind": wind} for wind in (1.0, None, 30.0)]
    log = "--log-to", str(lake.landing / "requests"), "--log-share", "1"
    lake.write(
        sources={"asked_raw": {"kind": "files", "format": "json", "path": "requests", "schema": ASKED}},
        tables={"asked": {"from": "asked_raw", "keys": ["request", "place"], "event_time": "at",
                          "select": "SELECT * FROM asked_raw"}},
    )  # fmt: skip

    with serving(["-m", "pipelines.serve", str(exported(tmp_path / "v3", version=3)), *log]) as running:
        replies = [running.score({"rows": asked})[1] for _ in range(2)]
        running.end()
    assert lake.lakeloom("run").error == ""

    (record,) = lake.records("tables.asked")
    rows = sorted(lake.rows("tables.asked"), key=lambda row: (row["request"], row["place"]))
    assert (record.counts["rows_in"], record.counts["applied"]) == (6, 6)
    assert len({row["request"] for row in rows}) == 2 and {row["version"] for row in rows} == {3}
    assert [(row["wind"], row["score"]) for row in rows] == 2 * [
        (row["wind"], answer["score"]) for row, answer in zip(asked, replies[0]["answers"], strict=True)
    ]


def test_a_folder_that_has_files_is_not_written_into(flown, folder):
    said = flown.lakeloom("export", "late_arrival", "--to", str(folder))

    assert (said.code, said.error) == (2, f"{folder}: is not empty; name a new folder")


def test_a_graph_that_was_changed_is_not_exported(flown, tmp_path):
    (file,) = (flown.root / ".lakeloom" / "artifacts").rglob("model.onnx")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        said = flown.lakeloom("export", "late_arrival", "--to", str(tmp_path / "changed"))
    finally:
        file.write_bytes(content)

    assert said.code == 3
    assert said.error.startswith("flights.late_arrival@1: its graph is not the certified one: SHA-256 ")
    assert not (tmp_path / "changed").exists()


def test_a_graph_without_weights_to_speak_of_is_not_quantised(flown, tmp_path):
    said = flown.lakeloom("export", "late_arrival", "--quantised", "0.01", "--to", str(tmp_path / "small"))

    lacks = "it has no matrix of 1,024 weights or more; there is nothing to quantise, export it as it is"
    assert (said.code, said.error) == (3, f"flights.late_arrival@1: {lacks}")


def test_an_alias_that_is_not_there_is_named_with_those_that_are(flown, tmp_path):
    said = [flown.lakeloom("export", f"late_arrival@{which}", "--to", str(tmp_path / which)) for which in ("nope", "9")]

    for which, found in zip(("nope", "9"), said, strict=True):
        sentence = f"flights.late_arrival: no version '{which}'; there is champion (1), 1"
        assert (found.code, found.error) == (2, sentence)
