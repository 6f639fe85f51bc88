"""Two runs of one pipeline at the same time: the second is told so and ends, and nothing is doubled."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from e2e.project import COMMAND, LIMIT_S, Project
from e2e.shop import SEED, deliveries, log, shop

pytestmark = pytest.mark.spark


def until_locked(made: Project, stage: str) -> None:
    taken = Path(made.warehouse.lock(stage)) / "_delta_log" / f"{1:020}.json"
    limit = time.monotonic() + LIMIT_S
    while not taken.exists():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_of_two_runs_at_once_the_second_ends_with_4_and_nothing_is_doubled(tmp_path):
    made = shop(tmp_path)
    made.land("log/all.json", "".join(deliveries(log(SEED), SEED)))

    with subprocess.Popen([COMMAND, "run", made.conf], stderr=subprocess.DEVNULL, env=os.environ) as first:
        until_locked(made, "tables.customers")
        second = made.lakeloom_apart("run")
        assert first.wait(LIMIT_S) == 0

    assert second.code == 4
    assert second.error.startswith("tables.customers: run ")
    assert f"is at it (process {first.pid} on " in second.error
    assert "nothing to do" in made.lakeloom_apart("run").out
    assert [len(made.intents(f"tables.{name}")) for name in ("customers", "customers_then")] == [1, 1]
