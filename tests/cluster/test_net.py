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


def test_batch_and_stream_publish_the_same_scores(scheduled):
    daily, live = (scheduled.rows(f"scores.late_arrival_net_{mode}") for mode in ("daily", "live"))

    assert len(live) > 500
    assert {r["flight_id"]: r["score"] for r in live}.items() <= {r["flight_id"]: r["score"] for r in daily}.items()
