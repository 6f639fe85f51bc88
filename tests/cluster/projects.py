"""What Airflow and the cluster run in these tests: rides, one small table, and the flights conf on a few days."""

import sys
from pathlib import Path
from typing import Any

from e2e.parcels import arrive, parcels
from e2e.project import Project, flights, land_flights
from postgres.server import CANARY

from cluster.scheduler import ROOT

DAYS = 100  # rows a file

SECRET = {"LAKE_KEY": CANARY}  # what the target names
CANDIDATES = (
    {"kind": "logistic_regression", "iterations": 5},
    {"kind": "xgboost", "rounds": 3, "depth": 3},
)
RIDES = """
pipeline: rides
airflow: {retries: 6, retry_delay: 5 seconds, max_active_runs: 2}
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
  log_level: ERROR
  event_log: %s
  sizes:
    etl: {driver_memory: 1g, executor_memory: 800m, executor_cores: 1, executors: 2}
    train: {driver_memory: 1g, executor_memory: 800m, executor_cores: 1, executors: 2}
    deep: {driver_memory: 1g, executor_memory: 800m, executor_cores: 1}
spark:
  spark.driver.host: 127.0.0.1
  spark.executor.extraJavaOptions: "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
  spark.hadoop.fs.s3a.secret.key: ${env:LAKE_KEY}
"""


def placed(home: Path, url: str) -> Path:
    """A project folder with the conf of rides and a target on the cluster."""
    (home / "conf" / "targets").mkdir(parents=True, exist_ok=True)
    (home / "pipelines").symlink_to(ROOT / "pipelines")
    (home / "events").mkdir(exist_ok=True)
    (home / "conf" / "targets" / "cluster.yml").write_text(TARGET % (url, sys.executable, home / "events"))
    Project(home, "rides").conf.write_text(RIDES)
    whole(home)
    return home


def whole(home: Path) -> Project:
    """Parcels from table to scores, in one application."""
    made = parcels(home)
    made.change(lambda conf: conf.update(airflow={"fuse": "all", "retries": 6, "retry_delay": "5 seconds"}))
    return made


def more(*projects: Project) -> None:
    """The same further parcels for each of them."""
    number = len(list(projects[0].landing.glob("parcels/*")))
    for project in projects:
        arrive(project, number)


def land(project: Project) -> int:
    """One more file of days that no other has; how many files there are now."""
    number = len(list(project.landing.glob("days/*")))
    days = range(number * DAYS, (number + 1) * DAYS)
    project.land(f"days/{number}.csv", "day,rides\n" + "".join(f"{day},{day % 7}\n" for day in days))
    return number + 1


def few_flights(root: Path) -> Project:
    """The product's own conf and some days of two months; one application, when asked for; a table seen by GX first."""
    project = flights(root, CANDIDATES)
    project.change(lambda conf: fused(conf, "all"))
    project.change(lambda conf: conf["tables"]["airports"].update(validate=True))
    land_flights(project, months=(1, 2), days=(1, 2, 3))
    return project


def next_month(project: Project) -> None:
    """A day of it: scored as it is by batch and by stream."""
    land_flights(project, months=(3,), days=(1,))


def fused(conf: Any, fuse: Any = True) -> None:
    """Stages side by side in one application, and none before a run is asked for."""
    conf.pop("schedule")
    conf["airflow"] = {"fuse": fuse}
