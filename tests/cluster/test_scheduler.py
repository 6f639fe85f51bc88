"""Airflow as it runs for people: a scheduler that submits to a standalone cluster; it is killed, and so are drivers."""

import pytest

from cluster.trials import started, trial

pytestmark = [pytest.mark.airflow, pytest.mark.cluster]
DRIVER, SCHEDULER = 3, 1  # seeds: whom they kill is their remainder by three


def test_a_run_survives_its_driver_and_its_scheduler(master, tmp_path):
    with started(tmp_path, master) as (airflow, project):
        ended = [trial(airflow, project, number, seed) for number, seed in enumerate((DRIVER, SCHEDULER))]

        assert [why for _, why in ended] == ["", ""], ended
        assert ended[0][0].startswith("seed=3 driver killed") and ended[1][0].startswith("seed=1 scheduler killed")
        assert "{'tables': 1} tries" not in ended[0][0]  # the driver was killed in the middle of its task
