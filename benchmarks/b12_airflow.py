"""b12: what Airflow and spark-submit add to the stages' own work.

    PYTHONPATH=.:scripts:tests python -m benchmarks.b12_airflow [--trials N]

A real scheduler (SQLite, LocalExecutor) runs the flights of two months on two local cores, with `fuse: all`, with
`fuse: true` and with a spark-submit for each stage. Of each run: its wall time in Airflow, the seconds that `_runs`
has of its stages, and what was added: what tasks took beyond their stages (starts of Python and Java, imports), and the
time in which no task ran (scheduling). Tasks run side by side, so that wall time less the work would tell too little.
Beside it, what reading 1, 10 and 50 confs adds to a parse of dags/lakeloom.py, with and without `conf/dags.json`.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated

import land
import typer
from cluster.scheduler import ROOT, Running, running
from e2e.project import Project

ASK = ROOT / "tests" / "airflow" / "in_airflow.py"
WAYS = {"all": "all", "fused": True, "apart": False}
QUICK = {"rounds: 200": "rounds: 20", "min: 0.65": "min: 0.5", 'schedule: "0 5 * * *"\n': ""}


@dataclass(frozen=True)
class Trial:
    """One run of one DAG."""

    way: str
    tasks: int
    wall_s: float
    work_s: float
    starts_s: float  # of all tasks, beyond their stages' work
    idle_s: float  # in which no task ran

    @property
    def added_s(self) -> float:
        """What is not the stages' own work."""
        return self.starts_s + self.idle_s


def confs(home: Path, trials: int) -> list[str]:
    """The flights conf under a name for each trial, and two months of files that all of them read."""
    (home / "conf" / "targets").mkdir(parents=True)
    (home / "pipelines").symlink_to(ROOT / "pipelines")
    (home / "conf" / "targets" / "submit.yml").write_text("{master: null, submit: {kind: local}}")
    text = (ROOT / "conf" / "flights.yml").read_text()
    for whole, quick in QUICK.items():
        text = text.replace(whole, quick)
    names = [f"{way}_{number}" for number in range(trials) for way in WAYS]
    for name in names:
        own = text.replace("pipeline: flights", f"pipeline: {name}", 1)
        fuse = str(WAYS[name.partition("_")[0]]).lower()
        (home / "conf" / f"{name}.yml").write_text(f"{own}\nairflow: {{fuse: {fuse}}}\n")
    land.main(["--through", "2013-02", "--to", str(home / ".lakeloom" / "landing")])
    return names


def tried(airflow: Running, name: str) -> Trial:
    """One run, from its trigger to its last task."""
    run = airflow.trigger(name)
    state = airflow.ended(name, run)
    assert state == "success", airflow.said(name, run)
    path = f"/api/v2/dags/{name}/dagRuns/{run}"
    begun, ended = span(airflow.ask(path))
    tasks = sorted(span(task) for task in airflow.ask(f"{path}/taskInstances")["task_instances"])
    work = sum(record.seconds for record in Project(airflow.home, name).warehouse.records())
    taken = sum(to - since for since, to in tasks)
    return Trial(name.partition("_")[0], len(tasks), ended - begun, work, taken - work, ended - begun - covered(tasks))


def span(told: dict[str, str]) -> tuple[float, float]:
    """When a run or a task began and ended, in seconds since 1970."""
    since, to = (datetime.fromisoformat(told[key]).timestamp() for key in ("start_date", "end_date"))
    return since, to


def covered(spans: list[tuple[float, float]]) -> float:
    """Seconds that lie in any of some spans, which are sorted."""
    whole, upto = 0.0, 0.0
    for since, to in spans:
        whole += max(0.0, to - max(since, upto))
        upto = max(upto, to)
    return whole


def trials(home: Path, count: int) -> Iterator[Trial]:
    """All of them under one Airflow, one after another."""
    names = confs(home, count)
    local = '{"conn_type": "spark", "host": "local[2]"}'
    with running(home, "submit", AIRFLOW_CONN_SPARK_DEFAULT=local) as airflow:
        for name in names:
            airflow.wait(lambda name=name: airflow.ask(f"/api/v2/dags/{name}")["dag_id"] == name)
        for name in names:
            yield tried(airflow, name)


def parsed(home: Path, number: int, compiled: bool) -> float:
    """Seconds that a parse of the DAG file takes over as many confs; the median of three."""
    folder = home / f"{number}-{compiled}"
    (folder / "conf").mkdir(parents=True)
    shutil.copytree(ROOT / "conf" / "targets", folder / "conf" / "targets")
    (folder / "pipelines").symlink_to(ROOT / "pipelines")
    text = (ROOT / "conf" / "flights.yml").read_text()
    for one in range(number):
        own = text.replace("pipeline: flights", f"pipeline: flights_{one}", 1)
        (folder / "conf" / f"flights_{one}.yml").write_text(own)
    if compiled:
        subprocess.run(["lakeloom", "dag", "compile", str(folder / "conf")], check=True, stderr=subprocess.DEVNULL)
    python = ROOT / "dags" / ".venv" / "bin" / "python"
    with_home = {"LAKELOOM_HOME": str(folder), "AIRFLOW_HOME": str(home / "airflow"), "PATH": "/usr/bin:/bin"}
    seconds = []
    for _ in range(3):
        done = subprocess.run([python, ASK, "parse"], env=with_home, check=True, capture_output=True, text=True)
        seconds.append(json.loads(done.stdout.splitlines()[-1])["seconds"])
    return median(seconds)


def main(trials_: Annotated[int, typer.Option("--trials", help="runs of each way")] = 2) -> None:
    """Two tables: what each way adds, and what confs add to a parse."""
    typer.echo("| DAG | tasks | wall | stages' work | added | a task | scheduling |\n" + "| --- " * 7 + "|")
    found = []
    with TemporaryDirectory(prefix="lakeloom-b12-") as folder:
        for each in trials(Path(folder), trials_):
            found.append(each)
            times = each.wall_s, each.work_s, each.added_s, each.starts_s / each.tasks, each.idle_s
            typer.echo(f"| {each.way} | {each.tasks} | {' | '.join(f'{s:.0f} s' for s in times)} |")
    added = {way: median(each.added_s for each in found if each.way == way) for way in WAYS}
    typer.echo(f"\napart / all, added: {added['apart'] / added['all']:.1f}\n")
    typer.echo("| confs | parse | compiled |\n| --- | --- | --- |")
    with TemporaryDirectory(prefix="lakeloom-b12-") as folder:
        for number in (1, 10, 50):
            plain, compiled = (parsed(Path(folder), number, way) for way in (False, True))
            typer.echo(f"| {number} | {plain:.2f} s | {compiled:.2f} s |")


if __name__ == "__main__":
    typer.run(main)
