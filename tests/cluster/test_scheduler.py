"""Airflow as people run it, on a standalone cluster: drivers, schedulers and workers are killed, a task is given up."""

from pathlib import Path

import pytest
from postgres.server import CANARY

from cluster.trials import VICTIMS, trial

pytestmark = [pytest.mark.airflow, pytest.mark.cluster]


SEEDS = [1, 9, 3, 4, 5, 6]  # a victim each
BY_NIGHT = ("task", "worker", "twice", "whole")


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(s, id=v, marks=[pytest.mark.long] * (v in BY_NIGHT))
        for s, v in zip(SEEDS, VICTIMS[1:], strict=True)
    ],
)
def test_a_run_ends_well_whatever_is_killed(airflow, cluster, seed):
    done, wrong = trial(airflow, cluster, seed)
    victim = VICTIMS[seed % len(VICTIMS)]

    assert wrong == "", done
    assert victim in done
    assert "it had ended" not in done
    if victim == "whole":
        assert ": 1} tries" not in done  # the driver was killed in the middle of its task


def test_no_secret_lies_in_logs_tables_or_the_state_of_airflow(airflow, cluster, database):
    """The password of its database, and a key of the target that its tasks have in their environment."""
    files = [file for place in (airflow.home, cluster.logs) for file in place.rglob("*") if file.is_file()]
    assert len(files) > 50
    assert [file for file in files if _has(file)] == []

    with database.connect() as state:
        names = [name for (name,) in state.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        assert {"xcom", "task_instance", "rendered_task_instance_fields"} <= set(names)
        asked = "SELECT count(*) FROM {} t WHERE t::text LIKE %s"
        found = {n: state.execute(asked.format(n), [f"%{CANARY}%"]).fetchone()[0] for n in names}
    assert {name: count for name, count in found.items() if count} == {}


def _has(file: Path) -> bool:
    return CANARY.encode() in file.read_bytes()
