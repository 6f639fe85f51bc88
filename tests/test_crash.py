"""Named crash points: dead at once where asked, nothing anywhere else."""

import os
import signal
import subprocess
import sys

import pytest

from pipelines.crash import POINTS, VARIABLE, point

CODE = "import sys; from pipelines.crash import point; point(*sys.argv[1:]); sys.stdout.write('alive')"


def run(name: str, where: str, asked: str | None) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != VARIABLE} | ({VARIABLE: asked} if asked else {})
    command = [sys.executable, "-c", CODE, name, where]
    return subprocess.run(command, env=env, capture_output=True, text=True, start_new_session=True, timeout=60)


@pytest.mark.parametrize("asked", [POINTS[0], f"{POINTS[0]} @ tables.flights"])
def test_the_named_point_kills_the_whole_group(asked):
    done = run(POINTS[0], "tables.flights", asked)

    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")


@pytest.mark.parametrize("asked", [None, POINTS[1], f"{POINTS[0]} @ tables.weather", f"{POINTS[0]} @ tables"])
def test_no_other_point_does_anything(asked):
    done = run(POINTS[0], "tables.flights", asked)

    assert (done.returncode, done.stdout) == (0, "alive")


def test_a_point_that_is_not_listed_is_our_own_mistake():
    with pytest.raises(AssertionError, match="before lunch"):
        point("before lunch", "tables.flights")
