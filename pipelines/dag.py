"""Outline to Airflow DAG: one spark-submit for each task, in the plan's order.

A scheduler parses this every few seconds, so an outline is read as compiled where
it can be (outline.py), and never an engine is imported. What a task does is
operators.py's business, and what a stage does that of jobs/batch.py.
"""

import logging
import os
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from airflow.sdk import (
    DAG,
    Asset,
    AssetOrTimeSchedule,
    Context,
    CronDataIntervalTimetable,
    Param,
    TaskGroup,
)
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowTimetableInvalid

from pipelines.operators import Promotion, Refuse, Retraining, StageSubmit
from pipelines.outline import KEPT, UPKEEP, Outline, Task, outlines

CHECKOUT = Path(__file__).resolve().parents[1]  # or site-packages: the wheel, too, has jobs/ beside this package
TARGET = "submit"  # conf/targets/submit.yml: the master is the Airflow connection's
BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)  # fixed, as Airflow asks; without catch-up only the newest run is made
NO_CRON = ("@once", "@continuous")  # Airflow's own names for schedules without intervals
Submit = TypeVar("Submit", bound=StageSubmit)
log = logging.getLogger(__name__)


def told(context: Context) -> None:
    """When a task has failed for good: one line for whoever reads the scheduler's log, with what the stage said."""
    at = context["task_instance"]
    log.error("%s %s failed in run %s: %s", at.dag_id, at.task_id, at.run_id, context.get("exception"))


def dags(folder: Path, target: str = TARGET) -> dict[str, DAG]:
    """Every DAG of a folder of confs, by name: one for each, and one for its upkeep where it has an `upkeep_schedule`.

    A conf that `check` refuses gives a DAG whose only task fails with the reason: it is seen, and the others live on.
    """
    found = outlines(folder, target)
    made = [build(o, target) for o in found] + [build_upkeep(o, target) for o in found if o.upkeep_schedule]
    return {dag.dag_id: dag for dag in made}


def build(outline: Outline, target: str = TARGET) -> DAG:
    """The DAG of one conf, named after its file."""
    if outline.error:
        return _broken(outline.name, outline.error)
    try:
        dag = _empty(outline, outline.name, outline.schedule, target)
    except AirflowTimetableInvalid as found:
        return _broken(outline.name, _no_cron(outline, "schedule", found))
    with dag:
        groups: dict[str, TaskGroup] = {}
        ends: dict[str, StageSubmit] = {}  # of each task what others wait for
        for task in outline.tasks:
            made = _task(outline, task, target, groups)
            made.set_upstream([ends[need] for need in task.needs])
            ends[task.id] = _approved(outline, made) if task.asks else made
    dag.params.update(_params(outline, target))  # last: each task copies what it finds, four times
    return dag


def build_upkeep(outline: Outline, target: str = TARGET) -> DAG:
    """The DAG `<conf>_upkeep`; what is wrong with a conf, `build` says."""
    name = f"{outline.name}_{UPKEEP}"
    try:
        dag = _empty(outline, name, outline.upkeep_schedule, target)
    except AirflowTimetableInvalid as found:
        return _broken(name, _no_cron(outline, "upkeep_schedule", found))
    with dag:
        _task(outline, Task(UPKEEP, (UPKEEP,), (), KEPT), target, {})
    return dag


def _empty(outline: Outline, name: str, schedule: str | None, target: str) -> DAG:
    """Without tasks. Errors: AirflowTimetableInvalid, before `with` shows the DAG to Airflow."""
    own = name == outline.name
    dag = DAG(
        name,
        schedule=_schedule(schedule, outline.after if own else ()),
        start_date=_day(outline.start) if own and outline.start else BEGINNING,
        catchup=bool(own and outline.start),
        max_active_runs=outline.max_active_runs,
        default_args=_every_task(outline),
        tags=["lakeloom", target],
        deadline=_deadline(outline) if own and outline.deadline_s else None,
        doc_md=(outline.description if own else f"Upkeep of the tables of {outline.name}.") or None,
    )
    dag.timetable.validate()
    return dag


def _deadline(outline: Outline) -> DeadlineAlert:
    """A letter, by Airflow's triggerer, about a run that is not done in time."""
    late = f"{outline.name}: a run is not done {timedelta(seconds=outline.deadline_s or 0)} after it was queued"
    letter = {"to": list(outline.email), "subject": late, "html_content": "<p>Run {{ dag_run.dag_run_id | e }}</p>"}
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=outline.deadline_s or 0),
        callback=AsyncCallback("airflow.providers.smtp.notifications.smtp.SmtpNotifier", letter),
    )


def _schedule(text: str | None, after: tuple[str, ...]) -> Any:
    """Cron with data intervals, so that a backfill knows which it makes; assets of other DAGs; both, or neither."""
    timed = text if text is None or text in NO_CRON else CronDataIntervalTimetable(text, timezone="UTC")
    assets = [_asset(name) for name in after]
    if isinstance(timed, CronDataIntervalTimetable) and assets:
        timed.validate()
        return AssetOrTimeSchedule(timetable=timed, assets=assets)
    return timed or assets or None


def _asset(name: str) -> Asset:
    return Asset(name=name, uri=f"lakeloom://{name.replace('.', '/')}")


def _every_task(outline: Outline) -> dict[str, Any]:
    return {
        "retries": outline.retries,
        "retry_delay": timedelta(seconds=outline.retry_delay_s),
        "execution_timeout": timedelta(seconds=outline.timeout_s),
        "on_failure_callback": [told, *([partial(written, outline.email)] if outline.email else [])],
        "trigger_rule": "none_failed",  # a stage that a run was not asked for is skipped, and what follows it is not
    }


def written(email: tuple[str, ...], context: Context) -> None:
    """When a task has failed for good: a letter with what the stage said."""
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    subject = "{{ dag.dag_id }}: {{ ti.task_id }} failed"
    said = "<p>{{ exception | e }}</p><p>Run {{ run_id | e }}, <a href='{{ ti.log_url }}'>log</a></p>"
    SmtpNotifier(to=list(email), subject=subject, html_content=said)(context)  # a new one: what it renders, it keeps


def _params(outline: Outline, target: str) -> dict[str, Param]:
    """What a person may ask of one run; Airflow makes a form of it and refuses what does not fit."""
    stages = [stage for task in outline.tasks for stage in task.stages]
    kinds = list(dict.fromkeys(stage.split(".")[0] for stage in stages))
    some: dict[str, Any] = {"type": "array", "items": {"type": "string", "enum": [*kinds, *stages]}}
    anew: dict[str, Any] = {"type": "array", "items": {"type": "string", "enum": stages}}
    return {
        "stages": Param([], description="only these stages or kinds; none: all", **some),
        "full_refresh": Param([], description="stages to make anew from all that landed", **anew),
        "target": Param(target, type="string", pattern="^[A-Za-z0-9_-]+$", description="a file of conf/targets"),
    }


def _task(outline: Outline, task: Task, target: str, groups: dict[str, TaskGroup]) -> StageSubmit:
    kind, _, name = task.id.partition(".")
    if name and kind not in groups:
        groups[kind] = TaskGroup(kind)
    settings: dict[str, Any] = {"asked_by": task.asked_by} if task.asked_by else {}
    return _submit(
        Retraining if task.asked_by else StageSubmit,
        outline,
        target,
        **settings,
        task_id=name or task.id,  # Airflow puts the group before it: tables.flights
        task_group=groups.get(kind) if name else None,
        doc_md=f"{task.doc}\n\nLook: `lakeloom show conf/{Path(outline.conf).name} {' '.join(task.stages[:1])}`",
        stages=task.stages,
        intervals=task.intervals,
        outlets=[_asset(a) for a in task.publishes],
    )


def _submit(kind: type[Submit], outline: Outline, target: str, *, stages: tuple[str, ...], **settings: Any) -> Submit:
    """A task that submits stages of a conf; settings: what it has of its own."""
    if pool := outline.pool or os.environ.get("LAKELOOM_POOL"):
        settings["pool"] = pool
    return kind(
        heard_by=outline.email,
        namespace=outline.namespace,
        name=f"lakeloom {outline.name} {' '.join(stages)}",
        conf_file=outline.conf,
        stages=stages,
        target=target,
        spark_binary=os.environ.get("LAKELOOM_SPARK_SUBMIT"),  # None: the connection's, found on PATH
        env_vars={"PYSPARK_PYTHON": os.environ.get("PYSPARK_PYTHON") or str(CHECKOUT / ".venv" / "bin" / "python")},
        **settings,
    )


def _approved(outline: Outline, trained: StageSubmit) -> Promotion:
    """After a training whose version waits: a person's word, and the promotion, which is skipped without it."""
    from pipelines.approval import Approve

    name = trained.task_id.rpartition(".")[2]
    show = f"`lakeloom model show conf/{Path(outline.conf).name} {name}@challenger`"
    asked = Approve(
        task_id=f"{name}_approval",
        task_group=trained.task_group,
        trained_by=trained.task_id,
        body=f"It passed its gates. Its evidence: {show}, and the report.",
    )
    promoted = _submit(
        Promotion,
        outline,
        trained.target,
        task_id=f"{name}_promotion",
        task_group=trained.task_group,
        stages=trained.stages,
        trained_by=trained.task_id,
        approved_by=asked.task_id,
        trigger_rule="all_success",
    )
    trained >> asked >> promoted
    return promoted


def _no_cron(outline: Outline, key: str, found: Exception) -> str:
    return f"{outline.at(key)}: {key}: '{getattr(outline, key)}' is no cron expression: {found}"


def _broken(name: str, reason: str) -> DAG:
    with DAG(name, schedule="@daily", start_date=BEGINNING, catchup=False, tags=["lakeloom", "broken"]) as dag:
        Refuse(task_id="conf", doc_md=reason)
    return dag


def _day(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
