"""conf/flights_deep.yml on days of real flights: trained by Horovod on Spark, admitted, scored; killed, resumed."""

import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.project import Project, Said, land_flights

from deep.projects import flights_deep

pytestmark = pytest.mark.spark


@dataclass(frozen=True)
class Story:
    """Three months; the same again; then April."""

    project: Project
    first: Said
    again: Said
    april: Said
    report: str


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = flights_deep(tmp_path_factory.mktemp("deep"), launcher="horovod", processes=2)
    first, again = made.lakeloom("run"), made.lakeloom("run")
    land_flights(made, months=(4,), days=(1,))
    april = made.lakeloom("run")
    made.lakeloom("report")
    return Story(made, first, again, april, (made.root / ".lakeloom" / "flights_deep.html").read_text())


def test_one_command_trains_the_net_and_admits_it(story):
    assert (story.first.error, story.again.error, story.april.error) == ("", "", "")
    assert (
        "model late_arrival_net: tabular_net is version 1 of flights_deep.late_arrival_net, champion" in story.first.out
    )
    assert story.project.models() == (1, {"champion": 1})


def test_a_second_run_trains_nothing(story):
    assert len(story.project.records("models.late_arrival_net")) == 1


def test_the_record_says_how_it_was_trained(story):
    (record,) = story.project.records("models.late_arrival_net")
    told, rows = record.detail["training"], record.detail["splits"]["train"]["rows"]

    assert told["ranks"] == 2 and told["rows"] == rows and len(told["epochs"]) == 4
    assert told["epochs"][-1]["loss"] < told["epochs"][0]["loss"]
    assert all(abs(e["rows"][0] - e["rows"][1]) <= 50 for e in told["epochs"])


def test_it_passes_the_gates_of_any_model(story):
    (record,) = story.project.records("models.late_arrival_net")

    passed = {g["gate"]: g["passed"] for g in record.detail["gates"]}
    assert passed["loads and scores in a clean process"] and passed["loaded again it scores the same"]
    assert passed["ONNX answers as Spark does"] and record.detail["onnx"]["rows"] > 500


def test_batch_and_stream_say_the_same(story):
    daily, live = (story.project.rows(f"scores.late_arrival_net_{mode}") for mode in ("daily", "live"))
    batch = {r["flight_id"]: (r["score"], r["predicted"]) for r in daily}

    assert len(live) > 500
    assert all(batch[r["flight_id"]] == (r["score"], r["predicted"]) for r in live)


def test_what_ranks_were_given_is_gone(story):
    root = Path(story.project.warehouse.root) / "flights_deep" / "_scratch"

    assert not list(root.rglob("*.parquet")) and not list(root.rglob("*.safetensors"))


def test_a_run_that_is_killed_in_the_training_goes_on_from_its_last_epoch(spark, tmp_path):
    made = flights_deep(tmp_path, epochs=40)
    assert made.lakeloom("run", "--select", "tables", "--select", "features").error == ""
    folder = Path(made.warehouse.root) / "flights_deep" / "_scratch"

    killed = killed_after_an_epoch(made, folder)
    versions = made.models()
    resumed = made.lakeloom("run", "--select", "models")

    assert (killed, versions, resumed.error) == (-signal.SIGKILL, (0, {}), "")
    assert made.models() == (1, {"champion": 1})
    told = made.records("models.late_arrival_net")[-1].detail["training"]
    assert len(told["epochs"]) == 40
    assert made.intents("models.late_arrival_net")[-1].batch == 0


def killed_after_an_epoch(made: Project, folder: Path) -> int:
    """The run, ended by SIGKILL with all of its processes once a checkpoint is there."""
    import os
    import subprocess
    import time

    from e2e.project import COMMAND

    command = [str(COMMAND), "run", str(made.conf), "--select", "models"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 180
    while process.poll() is None and not list(folder.glob("*/*/*/epoch-*.safetensors")) and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait()
