"""A loop of scores over files: bounded batches, each row once; another champion between two of them; an orderly end.

The story is told once. The loop runs in this process, as its command does; what happens around it, in a thread.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlflow
import pytest

from e2e.parcels import A_DAY, DAYS, LOGISTIC, arrive, parcels
from e2e.project import LIMIT_S, Project, Said

pytestmark = pytest.mark.spark

BATCH = DAYS * A_DAY
NAME = "parcels.late"


@dataclass(frozen=True)
class Story:
    """What was said: of two files that had arrived, of nothing new, and of a loop around which things happened."""

    project: Project
    caught_up: Said
    nothing: Said
    loop: Said
    events: list[str]


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = parcels(tmp_path_factory.mktemp("streaming"))
    made.change(_live)
    assert made.lakeloom("run").error == ""
    made.change(_otherwise)
    assert made.lakeloom("run", "--select", "models.late").code == 3  # a gate refuses it: version 2 is a challenger
    arrive(made, 1)
    arrive(made, 2)
    caught_up, nothing = scored(made), scored(made)
    events: list[str] = []
    java = spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid()
    around = threading.Thread(target=_around, args=(made, events, java))
    around.start()
    loop = scored(made, "--continuous")
    around.join(LIMIT_S)
    return Story(made, caught_up, nothing, loop, events)


def scored(made: Project, *options: str) -> Said:
    said = made.lakeloom("score", "live", "--format", "json", *options)
    assert said.code == 0, said.err
    return said


def _live(conf: Any) -> None:
    conf["scores"]["live"] = {"model": "late", "of": "sendings", "mode": "stream", "shadow": True}
    conf["sources"]["parcels_raw"]["most_files"] = 1


def _otherwise(conf: Any) -> None:
    conf["models"]["late"].update(
        candidates=[{**LOGISTIC, "iterations": 1}], gates=[{"metric": "roc_auc", "min": 0.999}]
    )


def _around(made: Project, events: list[str], java: int) -> None:
    """A third batch; a file that is refused, and taken away; another champion; a batch to which SIGTERM comes."""
    try:
        arrive(made, 3)
        _until(lambda: len(made.rows("scores.live")) == 3 * BATCH, events, "the third batch was scored")
        empty = made.land("parcels/empty.csv", "")
        time.sleep(2)
        empty.unlink()
        _point_at(made, 2)
        arrive(made, 4)
        _until(lambda: len(made.rows("scores.live")) == 4 * BATCH, events, "the fourth was scored")
        arrive(made, 5)
        _until(lambda: len(made.intents("tables.parcels")) == 6, events, "the fifth was begun")
    finally:
        os.kill(java, signal.SIGTERM)


def _until(there: Callable[[], bool], events: list[str], what: str) -> None:
    limit = time.monotonic() + LIMIT_S
    while not there():
        assert time.monotonic() < limit, f"not in time: {what}"
        time.sleep(0.1)
    events.append(what)


def _point_at(made: Project, version: int) -> None:
    """Move the alias, as any user of MLflow may."""
    client = mlflow.MlflowClient(registry_uri=f"sqlite:///{made.root}/.lakeloom/mlflow.db")
    client.set_registered_model_alias(NAME, "champion", str(version))


def test_what_has_arrived_is_scored_batch_by_batch_until_nothing_is_left(story):
    found = json.loads(story.caught_up.out)

    assert found == {"rounds": 2, "rows_in": 2 * BATCH, "scored": 2 * BATCH, "versions": [1]}
    intents = story.project.intents("tables.parcels")
    assert [i.inputs["parcels_raw"]["behind"] for i in intents[1:3]] == [1, 0]
    assert json.loads(story.nothing.out) == {"rounds": 0, "rows_in": 0, "scored": 0, "versions": []}
    assert len(story.project.intents("scores.daily")) == 1  # it was not asked for


def test_a_loop_goes_on_past_what_is_refused_until_it_is_told_to_stop(story):
    assert story.events == ["the third batch was scored", "the fourth was scored", "the fifth was begun"]
    assert "empty.csv: is empty; remove it, or land it again whole" in story.loop.err
    assert story.loop.err.splitlines()[-1] == "told to stop; the batch that it was at is done"


def test_another_champion_answers_from_the_next_batch_on(story):
    rows = story.project.rows("scores.live")
    by = {v: {int(r["parcel"][1:].split("-")[0]) // DAYS for r in rows if r["model_version"] == v} for v in (1, 2)}

    assert by == {1: {1, 2, 3}, 2: {4}} or by == {1: {1, 2, 3}, 2: {4, 5}}
    assert 2 in json.loads(story.loop.out)["versions"]


def test_a_challenger_answers_the_same_rows_in_the_champions_shadow(story):
    made = story.project
    champion = {r["parcel"]: r for r in made.rows("scores.live") if r["model_version"] == 1}
    shadow = {r["parcel"]: r for r in made.rows("scores.live", "shadow")}

    assert {r["model_version"] for r in shadow.values()} == {2}
    assert {(p, r["scored_at"]) for p, r in shadow.items()} == {(p, r["scored_at"]) for p, r in champion.items()}
    assert len(shadow) == 3 * BATCH
    apart = [abs(champion[p]["score"] - r["score"]) for p, r in shadow.items()]
    said = made.lakeloom("model compare", "@1", "@2").out
    assert f"in the shadow of live: 3,600 rows, scores {sum(apart) / len(apart):.4f} apart on average" in said


def test_the_batch_that_it_was_at_is_whole_and_the_rest_is_scored_by_the_next(story):
    made = story.project
    ended = [r for r in made.records("tables.parcels") if r.status != "failed"]  # one attempt found a damaged file
    assert len(ended) == len(made.intents("tables.parcels")) == 6

    scored(made)

    keys = sorted(r["parcel"] for r in made.rows("scores.live"))
    assert keys == sorted(f"p{day}-{n}" for day in range(DAYS, 6 * DAYS) for n in range(A_DAY))
    assert len(made.records("scores.live")) == len(made.intents("scores.live"))


def test_whose_parcel_is_forgotten_leaves_the_shadow_too(story, monkeypatch):
    made, parcel = story.project, f"p{DAYS}-3"
    monkeypatch.setenv("LAKELOOM_PII_KEY", "0123456789abcdef0123456789abcdef")

    said = made.lakeloom("forget", "--key", f"parcel={parcel}", "--erase", "--format", "json")

    done = {name: (x["erased"], x["rows_left"]) for name, x in json.loads(said.out)["tables"].items()}
    assert (done["scores.live"], done["scores.live_shadow"]) == ((1, 0), (1, 0))
    assert parcel not in {r["parcel"] for part in ("", "shadow") for r in made.rows("scores.live", part)}
