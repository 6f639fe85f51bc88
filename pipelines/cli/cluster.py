"""`lakeloom submit`: some stages of a conf as one Spark application, on the cluster that a target names."""

import os
import shutil
import subprocess
import sys
from typing import Annotated, Any

import typer

from pipelines.cli.terminal import Conf, checked, err, target_of
from pipelines.errors import PlatformError, SpecError

HAND_OVER = {"kubernetes": "kubectl create -f -", "databricks": "databricks jobs submit --json @/dev/stdin"}


def submit(
    conf: Conf,
    stages: Annotated[list[str], typer.Argument(help="a stage or a kind: tables.flights, features; or upkeep")],
    target: Annotated[str, typer.Option("--target", "-t", help="a file of conf/targets, with `submit`")] = "submit",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only print what would be handed to the cluster")] = False,
) -> None:
    """Hand stages to a cluster as one Spark application, sized by their kind of work.

    --dry-run prints the spark-submit line, the SparkApplication or the Databricks run: nothing of it is secret.
    """
    from pipelines.submit import Job, submission

    found = submission(checked(conf), Job(conf, tuple(stages), target), target_of(conf, target))
    if dry_run:
        sys.stdout.write(found.shown())
        return
    if not found.command:
        kind = target_of(conf, target).submit.kind
        raise SpecError(f"target '{target}': to {kind} it is handed by `--dry-run | {HAND_OVER[kind]}`")
    raise typer.Exit(_carried(found.command, apart=("--deploy-mode", "cluster") in found.parts))


def _carried(command: tuple[str, ...], apart: bool) -> int:
    """The exit code of the stages: that of spark-submit where the driver runs here.

    apart: the driver runs in the cluster.
    """
    name = os.environ.get("LAKELOOM_SPARK_SUBMIT", command[0])
    program = shutil.which(name)
    if program is None:
        raise PlatformError(f"no {name} on PATH; type: source .venv/lakeloom.env, or set LAKELOOM_SPARK_SUBMIT")
    env: dict[str, Any] = {"PYSPARK_PYTHON": sys.executable, **os.environ}
    handed = [program, *command[1:]]
    return _apart(handed, env) if apart else subprocess.run(handed, env=env, check=False).returncode


def _apart(command: list[str], env: dict[str, Any]) -> int:
    """What spark-submit says that the driver's code was, for its own is 1 whatever that is."""
    from pipelines.submit import told

    said: dict[str, str] = {}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stderr or ():
            sys.stderr.write(line)
            said |= told([line])
    if process.returncode and "application" in said:
        log = f"yarn logs -applicationId {said['application']}"
        err.print(f"[red]error:[/red] the stages ended in the cluster; what they said: {log}, or lakeloom show")
    return int(said["code"]) if process.returncode and "code" in said else process.returncode
