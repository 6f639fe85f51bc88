"""Plan to Airflow DAG: one spark-submit for each stage, in the plan's order; the only import of airflow.

A scheduler parses this every few seconds, so only the conf half of the package
is imported, never an engine. What a stage does is jobs/batch.py's business;
here its exit code decides whether another try makes sense. To give every task
one more Airflow setting, add it to EVERY_TASK.
"""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG, BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTimetableInvalid

from pipelines.check import check
from pipelines.errors import DataError, LakeloomError, SpecError
from pipelines.plan import stages
from pipelines.spec import Pipeline, load_lines

CHECKOUT = Path(__file__).resolve().parents[1]  # or site-packages: the wheel, too, has jobs/ beside this package
TARGET = "submit"  # conf/targets/submit.yml: the master is the Airflow connection's
EVERY_TASK = {
    "retries": 2,
    "retry_delay": timedelta(minutes=1),
    "execution_timeout": timedelta(hours=6),
}
BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)  # fixed, as Airflow asks; without catch-up only the newest run is made
FINAL = {e.exit_code for e in (SpecError, DataError, LakeloomError)}  # the same again would end the same
WHAT = {
    "tables": "Reads what is new into table `{}`, judges it and publishes it.",
    "features": "Brings feature table `{}` up to date, each value as it was known at its row's time.",
    "models": "Trains and judges model `{}`; the champion changes only through the gates.",
    "scores": "Scores the new rows of `{}` with the champion and publishes them.",
    "monitors": "Counts what `{}` watches, window by window, and says whether to retrain.",
}
UPKEEP = "Makes small files large and removes what no version in use needs; waits for nobody, and nobody for it."


class StageSubmit(SparkSubmitOperator):
    """spark-submit whose failure is tried again only where a retry can mend it: exit codes 2, 3 and 70 are final."""

    def execute(self, context: Context) -> None:
        """Run the stage. Errors: AirflowFailException for a final failure, AirflowException for one worth a retry."""
        try:
            super().execute(context)
        except FileNotFoundError as found:
            raise AirflowFailException(f"no {found.filename} on PATH; set PATH or LAKELOOM_SPARK_SUBMIT") from found
        except AirflowException as found:
            submitted = self._hook and self._hook._submit_sp
            if submitted and submitted.returncode in FINAL:
                raise AirflowFailException(f"{self.task_id} cannot be mended by a retry: {found}") from found
            raise


class Refuse(BaseOperator):
    """Fails with its own doc_md: stands for a conf that `check` refuses."""

    def execute(self, context: Context) -> None:
        """Errors: AirflowFailException, always."""
        raise AirflowFailException(self.doc_md)


def build(conf: Path, target: str = TARGET) -> DAG:
    """The DAG of one conf file, named after the file.

    A conf that `check` refuses gives a DAG whose only task fails with the reason: it is seen, and the others live on.
    """
    name = _named(conf)
    try:
        pipeline, lines = load_lines(conf)
        check(pipeline, lines)
        return _dag(name, conf.resolve(), target, pipeline)
    except SpecError as found:
        return _broken(name, str(found))
    except AirflowTimetableInvalid as found:
        where = lines.at(["schedule"])
        return _broken(name, f"{where}: schedule: '{pipeline.schedule}' is no cron expression: {found}")


def build_upkeep(conf: Path, target: str = TARGET) -> DAG | None:
    """The DAG `<conf>_upkeep`, where a conf has an `upkeep_schedule`; what is wrong with a conf, `build` says."""
    pipeline = _sound(conf)
    if pipeline is None or pipeline.upkeep_schedule is None:
        return None
    name = f"{_named(conf)}_upkeep"
    try:
        dag = _empty(name, pipeline.upkeep_schedule, target, f"Upkeep of the tables of {pipeline.pipeline}.")
    except AirflowTimetableInvalid as found:
        return _broken(name, f"{conf}: upkeep_schedule: '{pipeline.upkeep_schedule}' is no cron expression: {found}")
    with dag:
        _task(conf.resolve(), target, "upkeep", UPKEEP)
    return dag


def _sound(conf: Path) -> Pipeline | None:
    try:
        pipeline, lines = load_lines(conf)
        check(pipeline, lines)
    except SpecError:
        return None
    return pipeline


def _named(conf: Path) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", conf.stem)  # the letters that Airflow allows


def _dag(name: str, conf: Path, target: str, pipeline: Pipeline) -> DAG:
    dag = _empty(name, pipeline.schedule, target, pipeline.description)
    with dag:
        tasks: dict[str, StageSubmit] = {}
        for stage in stages(pipeline):
            tasks[stage.id] = _task(conf, target, stage.id, WHAT[stage.kind].format(stage.name))
            tasks[stage.id].set_upstream([tasks[need] for need in stage.needs])
    return dag


def _empty(name: str, schedule: str | None, target: str, description: str) -> DAG:
    """Without tasks. Errors: AirflowTimetableInvalid, before `with` shows the DAG to Airflow."""
    dag = DAG(
        name,
        schedule=schedule,
        start_date=BEGINNING,
        catchup=False,
        max_active_runs=1,
        default_args=EVERY_TASK,
        tags=["lakeloom", target],
        doc_md=description or None,
    )
    dag.timetable.validate()
    return dag


def _task(conf: Path, target: str, stage: str, what: str) -> StageSubmit:
    return StageSubmit(
        task_id=stage,
        doc_md=what,
        name=f"lakeloom {conf.stem} {stage}",
        application=str(CHECKOUT / "jobs" / "batch.py"),
        application_args=[stage, str(conf), "--target", target],
        spark_binary=os.environ.get("LAKELOOM_SPARK_SUBMIT"),  # None: the connection's, found on PATH
        env_vars={"PYSPARK_PYTHON": os.environ.get("PYSPARK_PYTHON") or str(CHECKOUT / ".venv" / "bin" / "python")},
    )


def _broken(name: str, reason: str) -> DAG:
    with DAG(name, schedule="@daily", start_date=BEGINNING, catchup=False, tags=["lakeloom", "broken"]) as dag:
        Refuse(task_id="conf", doc_md=reason)
    return dag
