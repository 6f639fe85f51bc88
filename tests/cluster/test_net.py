"""A net whose two ranks are executors of a real cluster, trained and published under Airflow's scheduler."""

from collections.abc import Iterator
from typing import Any

import pytest
from deep.projects import flights_deep
from e2e.project import Project

from cluster.projects import fused, placed
from cluster.trials import started

pytestmark = [pytest.mark.airflow, pytest.mark.cluster, pytest.mark.deep]

FUSED = {"tables-features": 1, "models.late_arrival_net": 1, "scores": 1}  # a task: its tries


@pytest.fixture(scope="module")
def scheduled(cluster, database: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """After one run of its DAG."""
    home = placed(tmp_path_factory.mktemp("home"), cluster.url)
    project = flights_deep(home, launcher="horovod", processes=2)
    project.change(fused)
    with started(home, database) as airflow:
        run = airflow.trigger("flights_deep")
        state = airflow.ended("flights_deep", run)
        assert (state, airflow.tries("flights_deep", run)) == ("success", FUSED), airflow.said("flights_deep", run)
        yield project


def test_both_ranks_train_all_rows_and_the_net_is_admitted(scheduled):
    (record,) = scheduled.records("models.late_arrival_net")
    told = record.detail["training"]

    assert (told["ranks"], told["rows"]) == (2, record.detail["splits"]["train"]["rows"])
    assert all(len(e["rows"]) == 2 and sum(e["rows"]) >= told["rows"] - 256 for e in told["epochs"])
    assert scheduled.models() == (1, {"champion": 1})


def test_its_scores_are_published(scheduled):
    stage = "scores.late_arrival_net_daily"
    (record,) = scheduled.records(stage)
    rows = scheduled.published(stage)

    assert {row["model_version"] for row in rows} == {1}
    assert len(rows) == record.counts["scored"] > 500
    assert len({row["score"] for row in rows}) > 100 and all(0 < row["score"] < 1 for row in rows)
