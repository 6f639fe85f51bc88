"""A run that stands still so long that another takes its place, and then goes on: it doubles nothing, and says so."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGCONT, SIGKILL

import psutil
import pytest
from e2e.project import COMMAND, Project
from e2e.shop import shop

from crash.test_tables import arrive, landed, undisturbed
from crash.trials import unlike
from pipelines.crash import STOP
from pipelines.errors import ConflictError
from pipelines.locks import DEAD_S

pytestmark = [pytest.mark.spark, pytest.mark.crash]
__all__ = ["shop", "undisturbed"]  # a fixture of test_tables

POINTS = ("before the clean commit", "between clean and quarantine", "before the run record")
LIMIT_S = 300


@contextmanager
def paused(made: Project, point: str) -> Iterator["subprocess.Popen[str]"]:
    """A run that stopped at a point of one table."""
    env = os.environ | {STOP: f"{point} @ tables.customers_then"}
    with subprocess.Popen(
        [COMMAND, "run", made.conf], env=env, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            until = time.monotonic() + LIMIT_S
            while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED and time.monotonic() < until:
                time.sleep(0.2)
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, SIGKILL)


@pytest.mark.long
def test_who_was_paused_and_overtaken_doubles_nothing_and_says_so(undisturbed, tmp_path: Path):
    projects = {point: landed(tmp_path / str(i)) for i, point in enumerate(POINTS)}
    with ExitStack() as stack:
        slow = {}
        for point, made in projects.items():
            assert made.lakeloom("run").error == ""
            arrive(made)
            slow[point] = stack.enter_context(paused(made, point))
            assert made.lakeloom("run").code == ConflictError.exit_code  # it lives, as far as can be seen
        time.sleep(DEAD_S + 5)
        told = {point: overtaken(made, slow[point]) for point, made in projects.items()}

    for point, made in projects.items():
        assert (point, slow[point].returncode) == (point, ConflictError.exit_code), told[point]
        assert "another run took its lock while this one was paused" in told[point]
        assert unlike(made, undisturbed[1]) == "", point


def overtaken(made: Project, slow: "subprocess.Popen[str]") -> str:
    """What a paused run says, which goes on after another has done its work."""
    assert made.lakeloom("run").error == ""
    os.killpg(slow.pid, SIGCONT)
    return slow.communicate(timeout=LIMIT_S)[1]
