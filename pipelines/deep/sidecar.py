"""A process beside a rank that ends it where it cannot end itself: one that is stopped runs no thread of its own.

`python -m pipelines.deep.sidecar PID FOLDER`. It waits until some rank says in
the folder that it waited too long, and then kills its own; it goes with it.
"""

import os
import signal
import subprocess
import sys
import time

from pipelines.deep.job import Folder

EVERY_S = 1.0
GRACE_S = 3.0  # for a rank to end itself


def beside(folder: Folder) -> None:
    """Start one for this process."""
    command = [sys.executable, "-m", "pipelines.deep.sidecar", str(os.getpid()), folder.path]
    path = os.pathsep.join(p for p in sys.path if p)
    quiet = subprocess.DEVNULL
    subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdin=quiet, stdout=quiet, stderr=quiet)


def main(rank: int, folder: Folder) -> None:
    """Until the rank is gone."""
    while os.getppid() == rank:
        if next(folder.names("stall-"), None):
            time.sleep(GRACE_S)
            if os.getppid() == rank:
                os.kill(rank, signal.SIGKILL)
            return
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main(int(sys.argv[1]), Folder(sys.argv[2]))
