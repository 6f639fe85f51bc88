"""Kill Airflow's scheduler, a task's process or a Spark driver in the middle of a task, and look at the tables after.

    PYTHONPATH=.:scripts:tests python -m cluster.trials [--trials 10] [--seed 1]

One Airflow and one standalone cluster serve all trials. Each trial lands a file, triggers the DAG, kills what its seed
says at a moment that its seed says, and waits: the run has to end well, and the table has to have each row once. It
prints its seed and what came of it; a failing seed alone repeats it.
"""

import random
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from e2e.project import Project
from seeded import Result, seeds, told

from cluster.conftest import standalone
from cluster.scheduler import ROOT, Running, running

VICTIMS = ("driver", "scheduler", "task")
MOST_S = 12.0  # after the driver began: a stage of this conf takes about twice that
RIDES = """
pipeline: rides
airflow: {fuse: true, retries: 6, retry_delay: 5 seconds}
sources:
  days_raw: {kind: files, format: csv, path: days, schema: "day INT, rides INT"}
tables:
  days: {from: days_raw, keys: [day], select: "SELECT day, rides FROM days_raw"}
"""
TARGET = """
master: null
submit:
  kind: standalone
  master: %s
  python: %s
  sizes: {etl: {driver_memory: 1g, executor_memory: 700m, executor_cores: 1, executors: 2}}
spark: {spark.driver.host: 127.0.0.1, spark.executor.extraJavaOptions: "-XX:TieredStopAtLevel=1"}
"""
DAYS = 100  # rows a file


@contextmanager
def started(home: Path, master: str = "") -> Iterator[tuple[Running, Project]]:
    """A project on a cluster, and an Airflow that knows its DAG."""
    project = Project(home, "rides")
    (home / "conf" / "targets").mkdir(parents=True)
    (home / "pipelines").symlink_to(ROOT / "pipelines")
    project.conf.write_text(RIDES)
    with ExitStack() as stack:
        url = master or stack.enter_context(standalone(home / "cluster"))
        (home / "conf" / "targets" / "cluster.yml").write_text(TARGET % (url, sys.executable))
        airflow = stack.enter_context(running(home, "cluster"))
        airflow.wait(lambda: airflow.ask("/api/v2/dags/rides")["dag_id"] == "rides")
        yield airflow, project


def land(project: Project, number: int) -> None:
    """One more file of days that nothing else has."""
    days = range(number * DAYS, (number + 1) * DAYS)
    project.land(f"days/{number}.csv", "day,rides\n" + "".join(f"{day},{day % 7}\n" for day in days))


def strike(airflow: Running, victim: str, moment: float) -> str:
    """Kill one of them, so many seconds after a driver began; says what."""
    driver = airflow.wait(lambda: airflow.below("org.apache.spark.deploy.SparkSubmit", "jobs/batch.py"))[0]
    time.sleep(moment)
    if victim == "scheduler":
        airflow.kill_scheduler()
        return victim
    hit = driver if victim == "driver" else _above(driver)
    if hit is None or not hit.is_running():
        return f"{victim} (it had ended)"
    hit.kill()
    return victim


def _above(driver: psutil.Process) -> psutil.Process | None:
    """The process of Airflow's that runs the task's own code: the nearest that is no shell and no Java."""
    parents = [p for p in driver.parents() if "java" not in p.name() and "spark-submit" not in " ".join(p.cmdline())]
    return parents[0] if parents else None


def trial(airflow: Running, project: Project, number: int, seed: int) -> Result:
    """(what was done, what is wrong): one file, one run of the DAG, one kill."""
    dice = random.Random(seed)
    victim, moment = VICTIMS[seed % len(VICTIMS)], dice.uniform(0, MOST_S)
    land(project, number)
    run = airflow.trigger("rides")
    hit = strike(airflow, victim, moment)
    state = airflow.ended("rides", run)
    done = f"seed={seed} {hit} killed {moment:.1f} s after the driver began, {airflow.tries('rides', run)} tries"
    return done, wrong(project, number + 1) if state == "success" else f"the run ended as {state}"


def wrong(project: Project, files: int) -> str:
    """What of the tables is not as it would be undisturbed; '' for nothing."""
    rows = sorted(r["day"] for r in project.published("tables.days"))
    expected = list(range(files * DAYS))
    if rows != expected:
        return f"{len(rows)} rows of {len(expected)}, {len(set(rows))} of them different"
    ended = [(r.stage, r.generation, r.batch) for r in project.records() if r.status == "ok"]
    return "" if len(ended) == len(set(ended)) else f"a batch was recorded twice: {ended}"


def trials(asked: Iterable[int]) -> Iterator[Result]:
    """One Airflow and one cluster, then a trial for each seed."""
    with TemporaryDirectory() as folder, started(Path(folder)) as (airflow, project):
        for number, seed in enumerate(asked):
            begun = time.monotonic()
            done, wrong = trial(airflow, project, number, seed)
            yield f"{done} ({time.monotonic() - begun:.0f} s)", wrong


def main() -> int:
    """Run the trials; 1 if any went wrong."""
    return told(trials(seeds("Kill Airflow's processes and Spark drivers.", trials=10)))


if __name__ == "__main__":
    sys.exit(main())
