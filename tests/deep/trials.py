"""Kill -9 an executor in the middle of an epoch of an elastic training: the other goes on, the training ends well.

    PYTHONPATH=.:scripts:tests python -m deep.trials [--trials 5] [--seed 1] [--epochs 24]

Each trial has a driver of its own with two executors of one core, as processes of Spark's own cluster, and kills one
that its seed says, after an epoch that its seed says. It prints how many ranks each epoch had; a failing seed alone
repeats it.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from deep.crews import features, job, label
from pipelines.deep.job import Folder, Job, finished

EPOCHS, ROWS, LIMIT_S = 24, 20_000, 400
DRIVER = """
import sys
from pipelines.deep.job import Job
from pipelines.deep.launch import launch
from pipelines.spark import session
from pipelines.spec import Target

options = {"spark.task.maxFailures": "8", "spark.executor.memory": "600m"}
with session(Target(master="local-cluster[2,1,700]", driver_memory="1g", spark=options), "elastic"):
    launch(Job.of(open(sys.argv[1]).read()))
"""


def asked(root: Path, epochs: int) -> Job:
    """A training long enough to be hit."""
    x = features(ROWS)
    rows = np.column_stack([x, label("binary", x)]).astype(np.float32)
    return job(root, rows=rows, launcher="horovod_elastic", processes=2, epochs=epochs, stall_s=300.0)


def struck(driver: subprocess.Popen[bytes], folder: Folder, dice: random.Random) -> str:
    """Kill an executor a moment after an epoch; says which and when."""
    epoch, number, until = dice.randrange(2, 8), dice.randrange(2), time.monotonic() + LIMIT_S
    while driver.poll() is None and time.monotonic() < until and reached(folder) < epoch:
        time.sleep(0.01)
    time.sleep(dice.uniform(0, 0.2))
    executors = [p for p in psutil.Process(driver.pid).children(recursive=True) if _executes(p)]
    executors[number].kill()
    return f"executor {number} of {len(executors)} killed after epoch {reached(folder)}"


def _executes(process: psutil.Process) -> bool:
    try:
        return "java" in process.name() and "CoarseGrainedExecutorBackend" in " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return False


def reached(folder: Folder) -> int:
    """Epochs of the newest checkpoint."""
    return max((int(name.split("-")[1]) for name in folder.names("epoch-")), default=0)


def trial(seed: int, root: Path, epochs: int = EPOCHS) -> tuple[str, str]:
    """(what was done, what is wrong)."""
    of = asked(root, epochs)
    (root / "job.json").write_text(of.text())
    folder, dice, log = Folder(of.folder), random.Random(seed), root / "log"
    with log.open("wb") as said:
        command = [sys.executable, "-c", DRIVER, str(root / "job.json")]
        driver = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.getcwd()}, stdout=said, stderr=said)
        try:
            done = f"seed={seed} {struck(driver, folder, dice)}"
            code = driver.wait(LIMIT_S)
        finally:
            for process in (
                [*psutil.Process(driver.pid).children(recursive=True), driver] if driver.poll() is None else []
            ):
                process.kill()
    found = finished(folder)
    if code or found is None:
        return done, f"the driver ended with {code}: {log.read_text()[-600:]}"
    account = found[0]["epochs"]
    ranks = [len(e["rows"]) for e in account]
    done += ", ranks " + ", ".join(f"{len(list(same))} x {n}" for n, same in groupby(ranks))
    return done, wrong(ranks, [e["loss"] for e in account], epochs)


def wrong(ranks: list[int], losses: list[float], epochs: int) -> str:
    """What of a training is not as it has to be; '' for nothing."""
    if len(ranks) != epochs or ranks[:2] != [2, 2] or 1 not in ranks:
        return f"ranks by epoch: {ranks}"
    return "" if losses[-1] < losses[0] else f"the loss rose from {losses[0]:.4f} to {losses[-1]:.4f}"


def main() -> int:
    """Run the trials; 1 if any went wrong."""
    parser = argparse.ArgumentParser(description="Kill executors of elastic trainings.")
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1, help="of the first trial; the next has the next")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="the more, the sooner the killed one is seen back")
    options, failures = parser.parse_args(), 0
    for seed in range(options.seed, options.seed + options.trials):
        begun = time.monotonic()
        with TemporaryDirectory(prefix="lakeloom-elastic-") as root:
            done, why = trial(seed, Path(root), options.epochs)
        failures += bool(why)
        sys.stdout.write(f"{done}: {why or 'it went on and ended'} ({time.monotonic() - begun:.0f} s)\n")
        sys.stdout.flush()
    sys.stdout.write(f"{options.trials} trials, {failures} failures\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
