"""Kill the driver at each named point, and at a random moment; run again; nothing differs from an undisturbed run.

`kill -9` takes Python, JVM and workers at once. Compared are all rows of all
tables and quarantines, `_runs`, and the registry.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL

import pytest
from e2e.project import Project

from crash.trials import Evidence, arrive, evidence, killed, landed, unlike
from pipelines.crash import VARIABLE

pytestmark = [pytest.mark.spark, pytest.mark.crash]

MODELS = (  # in the order in which a run comes by
    "after the model is logged",
    "before the alias moves",
    "before the clean commit @ scores.late_arrival_daily",
)
TABLES = ("between tables @ tables.planes", "before the run record @ features.departures")
NEXT_MONTH = (
    "before the clean commit @ features.departures",
    "between scores and their progress",
)
SEED = 1


@dataclass(frozen=True)
class Undisturbed:
    """What the same files in the same order come to when nobody kills anything."""

    project: Project
    first: Evidence
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(spark, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    project, begun = landed(tmp_path_factory.mktemp("undisturbed")), time.monotonic()
    assert project.lakeloom("run").error == ""
    return Undisturbed(project, evidence(project), time.monotonic() - begun)


@pytest.fixture(scope="module")
def a_month_later(undisturbed) -> Evidence:
    arrive(undisturbed.project, (3,))
    assert undisturbed.project.lakeloom("run").error == ""
    return evidence(undisturbed.project)


def kills(project: Project, places: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """How a run ended that was to die at each place, one after another."""
    for place in places:
        said = project.lakeloom_apart("run", **{VARIABLE: place})
        yield said.code, "" if said.code == -SIGKILL else said.error


@pytest.mark.parametrize(
    "places", [pytest.param(MODELS, id="models"), pytest.param(TABLES, id="tables", marks=pytest.mark.long)]
)
def test_a_first_run_killed_at_every_point_in_turn_ends_as_if_undisturbed(undisturbed, tmp_path: Path, places):
    battered = landed(tmp_path)
    assert list(kills(battered, places)) == [(-SIGKILL, "")] * len(places)

    assert battered.lakeloom("run").error == ""

    assert unlike(battered, undisturbed.first) == ""


@pytest.mark.long
def test_the_next_month_killed_on_its_way_ends_as_if_undisturbed(a_month_later, tmp_path: Path):
    battered = landed(tmp_path)
    assert battered.lakeloom("run").error == ""
    arrive(battered, (3,))
    assert list(kills(battered, NEXT_MONTH)) == [(-SIGKILL, "")] * len(NEXT_MONTH)

    assert battered.lakeloom("run").error == ""

    assert unlike(battered, a_month_later) == ""
    assert "nothing to do" in battered.lakeloom("run").out


@pytest.mark.long
def test_a_run_killed_at_a_random_moment_ends_as_if_undisturbed(undisturbed, tmp_path: Path):
    project = landed(tmp_path)
    moments = list(killed(project, SEED, undisturbed.seconds))

    assert project.lakeloom("run").error == ""

    assert unlike(project, undisturbed.first) == "", f"seed={SEED}, killed after {moments} s"
