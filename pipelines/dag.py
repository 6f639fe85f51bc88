"""Outline to Airflow DAG: one spark-submit for each task, in the plan's order; the only import of airflow.

A scheduler parses this every few seconds, so an outline is read as compiled where
it can be (outline.py), and never an engine is imported. What a stage does is
jobs/batch.py's business; here its exit code decides whether another try makes
sense. A task looks at the target when it runs: what that says of the cluster,
and what the run was asked for, stands in the command it logs.
"""

import json
import logging
import os
import re
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import (
    DAG,
    Asset,
    AssetOrTimeSchedule,
    BaseOperator,
    BaseOperatorLink,
    Context,
    CronDataIntervalTimetable,
    Param,
    TaskGroup,
)
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTimetableInvalid,
)

from pipelines.errors import DataError, LakeloomError, SpecError
from pipelines.outline import KEPT, NOT_PROMOTED, UPKEEP, WAITING, Outline, Task, outlines

CHECKOUT = Path(__file__).resolve().parents[1]  # or site-packages: the wheel, too, has jobs/ beside this package
TARGET = "submit"  # conf/targets/submit.yml: the master is the Airflow connection's
BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)  # fixed, as Airflow asks; without catch-up only the newest run is made
FINAL = {e.exit_code for e in (SpecError, DataError, LakeloomError)}  # the same again would end the same
NO_CRON = ("@once", "@continuous")  # Airflow's own names for schedules without intervals
WAITS = re.compile(r'"waits": "([a-z0-9_]+@[0-9]+)"')  # as jobs/batch.py ends, where a version waits
SENTENCE = "error: "  # before it, on a line of its own, stands nothing
log = logging.getLogger(__name__)


class Report(BaseOperatorLink):
    """Where LAKELOOM_REPORTS serves what `lakeloom report` writes: a button on the task's page."""

    @property
    def name(self) -> str:
        """On the button."""
        return "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """'' where nothing serves reports."""
        place = os.environ.get("LAKELOOM_REPORTS", "").rstrip("/")
        return f"{place}/{Path(getattr(operator, 'conf_file', 'x')).stem}.html" if place else ""


class StageSubmit(SparkSubmitOperator):
    """spark-submit of some stages, whose failure is tried again only where a retry can mend it.

    Exit codes 2, 3 and 70 are final. What it raises says the stage's own sentence.
    """

    operator_extra_links = (Report(),)

    def __init__(
        self, *, conf_file: str, stages: tuple[str, ...], target: str, intervals: bool = False, **settings: Any
    ):
        super().__init__(**settings)
        self.conf_file, self.stages, self.target, self.intervals = conf_file, tuple(stages), target, intervals
        self.env_vars: dict[str, Any] | None

    def execute(self, context: Context) -> None:
        """Run the stages; a version that waits for a person is handed on, as late_arrival@3, under the key WAITING.

        Errors: AirflowFailException for a final failure, AirflowException for one worth a retry, AirflowSkipException
        where a new version was refused.
        """
        self._prepare(context)
        try:
            super().execute(context)
            if version := self._waits():
                context["ti"].xcom_push(key=WAITING, value=version)
        except FileNotFoundError as found:
            raise AirflowFailException(f"no {found.filename} on PATH; set PATH or LAKELOOM_SPARK_SUBMIT") from found
        except AirflowException as found:
            code, said = self._code(), self._sentence() or self._elsewhere() or str(found)
            if code == DataError.exit_code and NOT_PROMOTED in said:
                raise AirflowSkipException(said) from found  # the champion stays, and goes on scoring
            if code in FINAL:
                raise AirflowFailException(f"{self.task_id} cannot be mended by a retry: {said}") from found
            raise AirflowException(f"{self.task_id}: {said}") from found

    def _prepare(self, context: Context) -> None:
        """What the run was asked for, and what its target says. Errors: AirflowSkipException, AirflowFailException."""
        from pipelines.submit import Job, application, arguments, placed

        asked = dict(context["params"])
        chosen = tuple(s for s in self.stages if not asked.get("stages") or {s, s.split(".")[0]} & set(asked["stages"]))
        if not chosen:
            raise AirflowSkipException(f"not among the stages that were asked for: {', '.join(asked['stages'])}")
        target = str(asked.get("target") or self.target)
        job = Job(Path(self.conf_file), chosen, target, self._options(context, chosen))
        try:
            place, found = placed(job)
        except SpecError as refused:
            raise AirflowFailException(f"{self.task_id}: {refused}") from refused
        self.application, self.application_args = application(place), list(arguments(place, job))
        self.env_vars = {**(self.env_vars or {}), "OPENLINEAGE_PARENT_ID": _parent(context)}
        if found:
            self._connect(found)

    def _options(self, context: Context, chosen: tuple[str, ...]) -> tuple[str, ...]:
        """More for jobs/batch.py: what to make anew, and the interval of a backfill."""
        anew = [s for s in dict(context["params"]).get("full_refresh") or () if s in chosen]
        found = [word for stage in anew for word in ("--full-refresh", stage)]
        run = context.get("dag_run")
        if self.intervals and run is not None and str(getattr(run.run_type, "value", run.run_type)) == "backfill":
            ends = (run.data_interval_start, run.data_interval_end)
            found += ["--between", *(end.isoformat() for end in ends if end is not None)]
        return tuple(found)

    def _connect(self, found: Any) -> None:
        """The target's cluster in place of the connection's: as one of Airflow's own, which the hook looks up."""
        extra = {"deploy-mode": found.deploy_mode, "queue": found.queue}
        connection = {"conn_type": "spark", "host": found.master, "extra": {k: v for k, v in extra.items() if v}}
        os.environ["AIRFLOW_CONN_LAKELOOM_TARGET"] = json.dumps(connection)
        self._conn_id, self.conf = "lakeloom_target", dict(found.properties)
        if "spark.pyspark.python" in found.properties and self.env_vars:
            self.env_vars = {k: v for k, v in self.env_vars.items() if k != "PYSPARK_PYTHON"}
        if found.deploy_mode == "cluster":
            self.durable = False  # a stage that is done finds nothing to do; there is no application to find again

    def _lines(self) -> tuple[str, ...]:
        """What spark-submit said last."""
        return tuple(getattr(self._hook, "_last_submit_log_lines", ())) if self._hook else ()

    def _code(self) -> int | None:
        """That of the stages; spark-submit's own is 1, whatever it was, where the driver ran in the cluster."""
        from pipelines.submit import told

        submitted = self._hook and self._hook._submit_sp
        if not submitted:
            return None
        return int(told(self._lines()).get("code", submitted.returncode))

    def _elsewhere(self) -> str:
        """Where the stages' own words are; '' where they are here."""
        from pipelines.submit import told

        application = told(self._lines()).get("application")
        return f"the stages ended in the cluster: yarn logs -applicationId {application}" if application else ""

    def _waits(self) -> str | None:
        """What spark-submit said last of a version that waits."""
        found = [match[1] for line in self._lines() if (match := WAITS.search(line))]
        return found[-1] if found else None

    def _sentence(self) -> str:
        """The last `error: ...` that spark-submit said; '' where it said none."""
        said = [line.partition(SENTENCE)[2] for line in self._lines() if line.startswith(SENTENCE)]
        return said[-1] if said else ""


class Promotion(StageSubmit):
    """Makes a version champion, by the word of the person who approved it."""

    def __init__(self, *, trained_by: str, approved_by: str, **settings: Any):
        super().__init__(**settings)
        self.trained_by, self.approved_by = trained_by, approved_by

    def _options(self, context: Context, chosen: tuple[str, ...]) -> tuple[str, ...]:
        """The version, and who agreed to it."""
        version = context["ti"].xcom_pull(task_ids=self.trained_by, key=WAITING)
        who = context["ti"].xcom_pull(task_ids=self.approved_by)["responded_by_user"] or {}
        return "--promote", str(version), str(who.get("name") or who.get("id") or "unknown")


Submit = TypeVar("Submit", bound=StageSubmit)


class Refuse(BaseOperator):
    """Fails with its own doc_md: stands for a conf that `check` refuses."""

    def execute(self, context: Context) -> None:
        """Errors: AirflowFailException, always."""
        raise AirflowFailException(self.doc_md)


def _parent(context: Context) -> str:
    """The try of the task as OpenLineage names the run above another: namespace/job/run, the last a UUID."""
    at = context["task_instance"]
    name = f"{at.dag_id}.{at.task_id}"
    return f"airflow/{name}/{uuid.uuid5(uuid.NAMESPACE_URL, f'airflow/{name}/{at.run_id}/{at.try_number}')}"


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
        params=_params(outline, target) if own else None,
        tags=["lakeloom", target],
        doc_md=(outline.description if own else f"Upkeep of the tables of {outline.name}.") or None,
    )
    dag.timetable.validate()
    return dag


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
    return _submit(
        StageSubmit,
        outline,
        target,
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
