"""conf/weather.yml on a few days: kinds of weather that nobody named, found, published and shown."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.project import Project, Said, land_flights, project
from pipelines.state import Record

pytestmark = pytest.mark.spark

DAYS = range(1, 28, 3)  # of weather that differs
CONF = Path(__file__).parents[2] / "conf" / "weather.yml"


@dataclass(frozen=True)
class Story:
    """Three months, then April, then nothing new."""

    project: Project
    first: Said
    april: Said
    again: Said
    report: str


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = project(tmp_path_factory.mktemp("unlabelled"), "weather")
    made.conf.write_bytes(CONF.read_bytes())
    made.change(_small)
    land_flights(made, months=(1, 2, 3), days=DAYS)
    first = made.lakeloom("run")
    land_flights(made, months=(4,), days=DAYS)
    april = made.lakeloom("run")
    made.lakeloom("report")
    page = (made.root / ".lakeloom" / "weather.html").read_text()
    return Story(made, first, april, made.lakeloom("run"), page)


def _small(conf: Any) -> None:
    """One of the two models, with few trials; gates that a few days can pass."""
    del conf["models"]["unusual"], conf["scores"]["unusual_hourly"]
    conf["models"]["kinds"]["candidates"] = [{"kind": "kmeans", "k": [3, 5]}]
    conf["models"]["kinds"]["search"] = {"trials": 2}
    conf["models"]["kinds"]["gates"] = [{"metric": "silhouette", "versus": "baseline"}]
    conf["models"]["kinds"]["slices"] = ["origin"]


def record(story: Story) -> Record:
    return story.project.records("models.kinds")[0]


def test_one_command_finds_clusters_and_publishes_them(story):
    assert (story.first.error, story.april.error) == ("", "")
    assert story.project.models() == (1, {"champion": 1})
    assert "model kinds: kmeans is version 1 of weather.kinds, champion" in story.first.out
    assert "gate passed: silhouette above the baseline" in story.first.out
    assert "gate passed: loads and scores in a clean process" in story.first.out
    assert "clusters" in story.april.out.partition("scores kinds_hourly: ")[2]
    assert "nothing to do" in story.again.out


def test_the_best_candidate_has_the_highest_silhouette(story):
    found = [t["validate"]["silhouette"] for t in record(story).detail["candidates"]]

    assert found == sorted(found, reverse=True) and len(found) == 2


def test_every_test_row_is_in_one_cluster(story):
    detail = record(story).detail

    assert sum(c["rows"] for c in detail["curves"]["clusters"]) == detail["splits"]["test"]["rows"]
    assert set(detail["baseline"]) == set(detail["test"])
    assert {part["value"] for part in detail["slices"]["origin"]} == {"EWR", "JFK", "LGA"}


def test_a_score_row_holds_the_cluster_and_the_distance_from_its_centre(story):
    rows = story.project.rows("scores.kinds_hourly")
    k = record(story).detail["candidates"][0]["params"]["k"]

    assert {r["predicted"] for r in rows} <= set(range(k))
    assert all(r["score"] >= 0 for r in rows)
    assert len(rows) == len({r["observation_id"] for r in rows}) > 100


def test_the_report_says_what_tells_clusters_apart(story):
    assert "What tells it apart" in story.report
    assert "kinds v1 is champion: smallest cluster" in story.report
    assert "Predicted distances" in story.report
