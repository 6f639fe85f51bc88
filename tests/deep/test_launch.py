"""A net as a stage of Spark ML: by each launcher, saved and loaded, in batches of any size; and the ends of ranks."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from pyspark.ml import PipelineModel
from pyspark.sql import functions as F
from safetensors.numpy import save

from deep import own, trials
from deep.crews import alone, features, job, label, together
from pipelines import evaluate
from pipelines.deep import checkpoint
from pipelines.deep import launch as launching
from pipelines.deep.design import Design
from pipelines.deep.estimator import NetModel
from pipelines.deep.job import Folder, finished
from pipelines.deep.launch import launch
from pipelines.doctor import nets
from pipelines.errors import DataError, PlatformError, SpecError
from pipelines.models.base import Asked, Inputs, predict
from pipelines.models.graphs import drawn
from pipelines.models.learners import fit
from pipelines.onnx import Graph
from pipelines.run.certifying import compared
from pipelines.spec import Target
from pipelines.spec.candidate import TabularNet
from pipelines.spec.task import LABEL, TARGET

pytestmark = pytest.mark.spark
torch.set_num_threads(1)  # as ranks have it

DDL = "id int, a double, kind string, b double, shop string, y double"
INPUTS = Inputs(("kind", "shop"), ("a", "b"))
SMALL = {"hidden": (16, 8), "epochs": 3, "batch": 100, "learning_rate": 0.01}


def rows(goal: str, number: int = 600) -> list[tuple[object, ...]]:
    """Every tenth a is missing; a kind that comes once, and one that comes never again."""
    x = features(number)
    made = zip(range(number), x.tolist(), label(goal, x).tolist(), strict=True)
    return [(i, None if i % 10 == 0 else a, f"k{k:.0f}", b, f"s{s:.0f}", y) for i, (a, k, b, s), y in made]


@pytest.fixture(scope="module")
def frames(frame):
    return {
        goal: frame(rows(goal), DDL).repartition(2, "id").cache() for goal in ("binary", "multiclass", "regression")
    }


def learned(df, goal: str, place: Path, **options):
    """A fitted pipeline by the product's own way."""
    named = F.concat(F.lit("c"), F.col("y").cast("int")) if goal == "multiclass" else F.col("y")
    train = df.withColumn(LABEL, named)
    task = evaluate.TASKS[goal].learned(train)
    asked = Asked(goal, task.width, ("id",), tuple(task.closing()), scratch=str(place), extensions=("deep.own",))
    spec = TabularNet(kind="tabular_net", **{**SMALL, **options})
    fitted = fit(spec, train.withColumn(TARGET, task.target()), INPUTS, asked)
    return fitted, task


@pytest.mark.parametrize("goal", ["multiclass", "regression"])
def test_a_net_is_fitted_saved_loaded_and_scores_the_same(frames, tmp_path, goal):
    df = frames[goal]
    fitted, task = learned(df, goal, tmp_path / "place", epochs=30)
    unseen = df.withColumn("kind", F.lit("never seen")).limit(3)

    fitted.pipeline.write().save(str(tmp_path / "model"))
    loaded = PipelineModel.load(str(tmp_path / "model"))

    first, again = (
        predict(m, df, task.answers(labelled=False)).orderBy("id").collect() for m in (fitted.pipeline, loaded)
    )
    assert first == again and len(first) == 600
    assert len(predict(loaded, unseen, task.answers(labelled=False)).collect()) == 3
    counts = evaluate.counts(
        task,
        predict(
            loaded,
            df.withColumn(LABEL, F.col("y") if goal != "multiclass" else F.concat(F.lit("c"), F.col("y").cast("int"))),
            task.answers(labelled=True),
        ),
    )
    found = task.metrics(counts)
    assert found["r2"] > 0.6 if goal == "regression" else found["accuracy"] > 0.75
    assert not list((tmp_path / "place").glob("*/rows"))


def test_a_teams_own_net_is_saved_as_a_graph_that_spark_and_the_models_whole_graph_answer_by(frames, tmp_path):
    df, goal = frames["binary"], "binary"
    fitted, task = learned(df, goal, tmp_path / "place", module="residual")
    fitted.pipeline.write().save(f"file://{tmp_path}/model")

    loaded, answers = PipelineModel.load(str(tmp_path / "model")), task.answers(labelled=False)
    known = evaluate.completed(task, loaded, df)
    made = drawn(
        tmp_path / "model", {evaluate.TASK: goal, "lakeloom.threshold": "0.5", **known.tags()}, dict(df.dtypes), ("id",)
    )

    assert [file.name for file in (tmp_path / "model").rglob("net.onnx")] == ["net.onnx"]
    rows = predict(loaded, df, answers).toArrow().to_pylist()
    score = [row["score"] for row in rows]
    assert len(set(score)) > 500 and score == [row["score"] for row in predict(fitted.pipeline, df, answers).collect()]
    found = compared(made, Graph.opened(made.content), rows, ["score"])
    assert found.largest < 1e-12 and found.rows == 600


def test_a_net_begins_with_the_file_that_an_extension_places_and_tells_its_hash(frames, tmp_path, monkeypatch):
    held = {"turn.weight": np.full((16, 16), 0.1, np.float32), "turn.bias": np.zeros(16, np.float32)}
    file = tmp_path / "begun.safetensors"
    file.write_bytes(save(held))
    monkeypatch.setitem(own.WEIGHTS, "begun", str(file))
    of_table = {"module": "grown", "pretrained": "begun", "epochs": 1}

    fitted, _ = learned(frames["binary"], "binary", tmp_path / "place", **of_table)
    file.write_bytes(save({name: value + 1 for name, value in held.items()}))
    other, _ = learned(frames["binary"], "binary", tmp_path / "place", **of_table)

    hashes = [f.told["pretrained"]["sha256"] for f in (fitted, other)]
    assert hashes[0] == hashlib.sha256(save(held)).hexdigest() != hashes[1]
    assert fitted.told["epochs"][0]["loss"] != other.told["epochs"][0]["loss"]
    assert not list((tmp_path / "place").glob("*/pretrained"))


def test_weights_that_were_changed_are_not_loaded(spark, tmp_path):
    of = Design("binary", (0,), (), (2,), 1)
    arrays = {name: np.ones(shape, np.float32) for name, shape in of.weights.items()}
    NetModel(of, save(arrays)).write().save(str(tmp_path / "model"))
    (file,) = (tmp_path / "model").rglob("weights.safetensors")
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    for check in file.parent.glob(".*.crc"):
        check.unlink()

    with pytest.raises(DataError, match="the weights of the net are not those that were trained; it is not loaded"):
        NetModel.load(str(tmp_path / "model"))


def test_horovod_torch_distributor_and_threads_give_the_same_bits(frames, tmp_path):
    crews = ("horovod", "torch_distributor")

    found = {launcher: launch(job(tmp_path / launcher, launcher=launcher, processes=2))[1] for launcher in crews}

    assert found["horovod"] == found["torch_distributor"] == together(job(tmp_path / "threads"), 2)[0].trained()


def test_more_processes_than_cores_are_refused_before_anything_starts(frames, tmp_path):
    with pytest.raises(SpecError) as caught:
        learned(frames["binary"], "binary", tmp_path, launcher="horovod", processes=5)

    assert str(caught.value) == "tabular_net: 5 processes want as many cores of Spark, and it has 2"


@pytest.mark.parametrize(
    ("absent", "launcher", "sentence"),
    [
        ("torch", "single", "tabular_net wants torch, and this environment has none; type 'scripts/bootstrap deep"),
        ("horovod", "horovod", "launcher: horovod wants Horovod, and it was not built here; install g++ and make"),
    ],
)
def test_what_is_not_installed_is_said_with_what_to_type(tmp_path, monkeypatch, absent, launcher, sentence):
    of = job(tmp_path, launcher=launcher)
    there = launching.find_spec
    monkeypatch.setattr(launching, "find_spec", lambda name: None if name == absent else there(name))

    with pytest.raises(PlatformError) as caught:
        launch(of)

    assert str(caught.value).startswith(sentence)


def test_the_doctor_names_the_horovod_that_is_here():
    found = nets(Target())

    assert found.ok and found.found == f"torch {version('torch')}, Horovod {version('horovod')} with Gloo, without NCCL"


def test_what_a_rank_refuses_is_the_drivers_sentence(tmp_path):
    of = job(tmp_path, "multiclass", rows=np.column_stack([features(), np.full(2_000, 7.0)]).astype(np.float32))

    with pytest.raises(DataError) as caught:
        launch(of)

    assert str(caught.value) == "single: a label is 7, and the net has the classes 0 to 2 (rank 0)"
    assert finished(Folder(of.folder)) is None


def test_a_rank_that_hangs_is_ended_and_named_and_the_next_run_goes_on(spark, tmp_path):
    of = job(tmp_path, launcher="horovod", processes=2, stall_s=6.0)
    Folder(of.folder).say("kill.json", {"rank": 1, "epoch": 1, "step": 3, "signal": "SIGSTOP"})
    begun = time.monotonic()

    with pytest.raises(PlatformError) as caught:
        launch(of)

    assert str(caught.value).startswith("horovod: rank 1 says nothing any more; rank 0 waited ")
    assert str(caught.value).endswith("at epoch 2, step 4; the next run goes on from the last epoch")
    assert time.monotonic() - begun < 120
    _let_go(Folder(of.folder))
    assert launch(of)[1] == together(job(tmp_path / "other"), 2)[0].trained()


def test_an_executor_that_is_killed_is_done_without_and_the_training_ends(tmp_path):
    _, wrong = trials.trial(1, tmp_path)

    assert wrong == ""


def _let_go(folder: Folder) -> None:
    """End the process that stopped itself, should it still be there."""
    try:
        os.kill(int(folder.read("killed") or b"0"), signal.SIGKILL)
    except ProcessLookupError:
        pass


def test_a_driver_that_is_killed_takes_its_rank_along_and_the_next_goes_on_to_the_same_bits(spark, tmp_path):
    of = job(tmp_path, epochs=30)
    (tmp_path / "job.json").write_text(of.text())
    driver = "import sys; from pipelines.deep.launch import LAUNCHERS; from pipelines.deep.job import Job; "
    command = [
        sys.executable,
        "-c",
        f"{driver} LAUNCHERS['single'](Job.of(open(sys.argv[1]).read()))",
        tmp_path / "job.json",
    ]
    process = subprocess.Popen(command)
    folder = Folder(of.folder)
    until = time.monotonic() + 60
    while not list(folder.names("epoch-")) and time.monotonic() < until:
        time.sleep(0.01)
    process.kill()
    process.wait()

    _, position = checkpoint.newest(folder)
    held = position["history"]
    done, found = launch(of)

    assert held and len(done["epochs"]) == 30
    assert done["epochs"][: len(held)] == held  # to the millisecond: they were not trained again
    assert found == alone(job(tmp_path / "other", epochs=30)).trained()
