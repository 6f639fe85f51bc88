"""Kill a driver, a scheduler, a task's process or a worker in the middle of a task; look at the tables after.

    PYTHONPATH=.:scripts:tests python -m cluster.trials [--trials 10] [--seed 1]

One Airflow and one standalone cluster serve all trials. Each trial lands a file, triggers the DAG, kills what its seed
says at a moment that its seed says, and waits: the run has to end well, and the table has to have each row once. Where
a person marks the task as failed instead, its Spark application has to end, and the next run has to do its work. A
trial `whole` kills the driver of one application that makes a table, features, a model and scores; they have to be as a
run gives them that nobody disturbed. It prints its seed and what came of it; a failing seed alone repeats it.
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
from postgres.server import CANARY, USER, Database, served
from seeded import Result, seeds, told

from cluster.conftest import Cluster, standalone
from cluster.projects import DAYS, SECRET, land, more, placed, whole
from cluster.scheduler import Running, running

VICTIMS = ("driver", "scheduler", "task", "worker", "by hand", "twice", "whole")
MOST_S = 12.0  # after the driver began: a stage of this conf takes about twice that
WHOLE_S = 50.0  # and all stages of the other
APART_S = 400.0  # for an undisturbed run on local cores
NINE_PLACES = 1e-9
ENDS_S = 60  # Airflow tells a task's process, which tells Spark


@contextmanager
def started(home: Path, database: Database) -> Iterator[Running]:
    """An Airflow that knows the DAGs of a project folder, on its target `cluster`; it keeps its state in PostgreSQL."""
    state = database.url.replace("://", f"+psycopg2://{USER}:{CANARY}@")
    with running(home, "cluster", AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=state, **SECRET) as airflow:
        for conf in home.glob("conf/*.yml"):
            airflow.wait(lambda name=conf.stem: airflow.ask(f"/api/v2/dags/{name}")["dag_id"] == name)
        yield airflow


def strike(airflow: Running, cluster: Cluster, run: str, victim: str, moment: float) -> str:
    """Do to one of them what is to be done, so many seconds after a driver began; says what."""
    conf = "parcels.yml" if victim == "whole" else "rides.yml"
    driver = airflow.wait(lambda: airflow.below("org.apache.spark.deploy.SparkSubmit", conf))[0]
    assert CANARY not in " ".join(driver.cmdline())
    task = _above(driver)
    time.sleep(moment)
    if victim == "scheduler":
        airflow.kill_scheduler()
    elif victim == "worker":
        cluster.lose()
    elif victim == "by hand":
        return _mark(airflow, cluster, run, driver)
    else:
        hit = task if victim == "task" else driver
        if hit is None or not hit.is_running():
            return f"{victim} (it had ended)"
        hit.kill()
    return f"{victim} killed"


def _mark(airflow: Running, cluster: Cluster, run: str, driver: psutil.Process) -> str:
    """A person says in Airflow that the task has failed; its driver and its application have to end."""
    own = [driver, *driver.children(recursive=True)]
    airflow.patch(f"/api/v2/dags/rides/dagRuns/{run}/taskInstances/tables.days", {"new_state": "failed"})
    _, left = psutil.wait_procs(own, timeout=ENDS_S)
    airflow.wait(lambda: not cluster.applications(), ENDS_S)
    return f"failed by hand, {len(left)} processes went on"


def _above(driver: psutil.Process) -> psutil.Process | None:
    """The process of Airflow's that runs the task's own code: the nearest that is no shell and no Java."""
    parents = [p for p in driver.parents() if "java" not in p.name() and "spark-submit" not in " ".join(p.cmdline())]
    return parents[0] if parents else None


def trial(airflow: Running, cluster: Cluster, seed: int) -> Result:
    """(what was done, what is wrong): one file, one run of the DAG and one kill, or two runs at once."""
    rides, dice = Project(airflow.home, "rides"), random.Random(seed)
    victim, moment = VICTIMS[seed % len(VICTIMS)], dice.uniform(0, MOST_S)
    if victim == "whole":
        return _whole(airflow, cluster, seed, dice.uniform(0, WHOLE_S))
    files = land(rides)
    run = airflow.trigger("rides")
    again = airflow.trigger("rides") if victim == "twice" else ""
    hit = "triggered twice," if again else strike(airflow, cluster, run, victim, moment)
    state = airflow.ended("rides", run)
    done = f"seed={seed} {hit} {moment:.1f} s after the driver began, {airflow.tries('rides', run)} tries"
    if victim == "by hand":
        again = airflow.ended("rides", airflow.trigger("rides"))
        ends = [state, again] == ["failed", "success"] and "0 processes" in hit
        return done, wrong(rides, files) if ends else f"the runs ended as {state} and {again}"
    other = airflow.ended("rides", again) if again else "success"
    ended = (state, other) == ("success", "success")
    return done, wrong(rides, files) if ended else f"the runs ended as {state} and {other}"


def _whole(airflow: Running, cluster: Cluster, seed: int, moment: float) -> Result:
    """One more batch of parcels in a DAG of one task, killed; and undisturbed in a project beside it."""
    made, other = Project(airflow.home, "parcels"), Project(airflow.home / "undisturbed", "parcels")
    more(made, other if other.conf.exists() else whole(other.root))
    run = airflow.trigger("parcels")
    hit = strike(airflow, cluster, run, "whole", moment)
    state, said = airflow.ended("parcels", run), other.lakeloom_apart("run", limit_s=APART_S)
    done = f"seed={seed} {hit} {moment:.1f} s after the driver began, {airflow.tries('parcels', run)} tries"
    if (state, said.code) != ("success", 0):
        return done, f"the run ended as {state}, the undisturbed one with {said.code}: {said.err[-300:]}"
    return done, unlike(made, other) or recorded_twice(made) or _loads(made)


def unlike(made: Project, other: Project) -> str:
    """What of two projects is not the same; '' for nothing. Scores may differ from the ninth place on."""
    here, there = ({n: c for n, c in p.content().items() if n.partition("/")[0] != "scores"} for p in (made, other))
    if here != there:
        return f"these differ: {sorted(n for n in here | there if here.get(n) != there.get(n))}"
    mine, theirs = ({r["parcel"]: r["score"] for r in p.rows("scores.daily")} for p in (made, other))
    far = max((abs(mine[k] - theirs[k]) for k in mine.keys() & theirs.keys()), default=1.0)
    if mine.keys() != theirs.keys() or far > NINE_PLACES:
        return f"{len(mine)} and {len(theirs)} scores, {far} apart"
    return "" if made.models() == other.models() else f"models {made.models()} and {other.models()}"


def _loads(made: Project) -> str:
    """Why its champion, or a version of a table, cannot be read; '' where all can."""
    said = made.lakeloom_apart("model verify", "late", limit_s=APART_S)
    return said.err[-300:] if said.code else " ".join(made.unread())


def wrong(project: Project, files: int) -> str:
    """What of the tables is not as it would be undisturbed; '' for nothing."""
    rows = sorted((r["day"], r["rides"]) for r in project.published("tables.days"))
    expected = [(day, day % 7) for day in range(files * DAYS)]
    if rows != expected:
        return f"{len(rows)} rows of {len(expected)}, {len(set(rows))} of them different"
    return recorded_twice(project)


def recorded_twice(project: Project) -> str:
    """Batches that two run records say were done; '' for none."""
    ended = [(r.stage, r.generation, r.batch) for r in project.records() if r.status == "ok"]
    return "" if len(ended) == len(set(ended)) else f"a batch was recorded twice: {ended}"


def trials(asked: Iterable[int]) -> Iterator[Result]:
    """One Airflow and one cluster, then a trial for each seed."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory()))
        cluster = stack.enter_context(standalone(home / "cluster"))
        airflow = stack.enter_context(started(placed(home, cluster.url), stack.enter_context(served())))
        for seed in asked:
            begun = time.monotonic()
            done, wrong = trial(airflow, cluster, seed)
            yield f"{done} ({time.monotonic() - begun:.0f} s)", wrong


def main() -> int:
    """Run the trials; 1 if any went wrong."""
    return told(trials(seeds("Kill Airflow's processes and Spark drivers.", trials=10)))


if __name__ == "__main__":
    sys.exit(main())
