"""Airflow's operators of ours: spark-submit of some stages, and what their exit codes and words mean to Airflow.

A task looks at the target when it runs: what that says of the cluster, and
what the run was asked for, stands in the command it logs.
"""

import html
import json
import os
import uuid
from pathlib import Path
from typing import Any

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import BaseOperator, BaseOperatorLink, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, AirflowTaskTimeout

from pipelines.errors import DataError, LakeloomError, SpecError
from pipelines.outline import BEFORE, HANDED_ON, NOT_PROMOTED, NOW, RETRAIN, SAID, WAITING

FINAL = {e.exit_code for e in (SpecError, DataError, LakeloomError)}  # the same again would end the same
SENTENCE = "error: "  # before it, on a line of its own, stands nothing


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


class Records(Report):
    """The run records, in that report."""

    @property
    def name(self) -> str:
        """On the button."""
        return "Run records"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """'' where nothing serves reports."""
        report = super().get_link(operator, ti_key=ti_key)
        return f"{report}#runs" if report else ""


class Registered(BaseOperatorLink):
    """Where LAKELOOM_MLFLOW serves MLflow: the page of the model that the task trains."""

    @property
    def name(self) -> str:
        """On the button."""
        return "MLflow"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """'' where nothing serves MLflow, and of a task that trains no model; of several, the page of all."""
        place, outlets = os.environ.get("LAKELOOM_MLFLOW", "").rstrip("/"), [str(o.name) for o in operator.outlets]
        before = f"{operator.namespace}." if isinstance(operator, StageSubmit) and operator.namespace else ""
        models = [before + name.replace(".models.", ".") for name in outlets if ".models." in name]
        return f"{place}/#/models{f'/{models[0]}' if len(models) == 1 else ''}" if place and models else ""


class StageSubmit(SparkSubmitOperator):
    """spark-submit of some stages, whose failure is tried again only where a retry can mend it.

    Exit codes 2, 3 and 70 are final. What it raises says the stage's own sentence.
    """

    operator_extra_links = (Report(), Records(), Registered())

    def __init__(
        self,
        *,
        conf_file: str,
        stages: tuple[str, ...],
        target: str,
        intervals: bool = False,
        heard_by: tuple[str, ...] = (),
        namespace: str | None = None,
        **settings: Any,
    ):
        super().__init__(**settings)
        self.heard_by, self.namespace = tuple(heard_by), namespace
        self.conf_file, self.stages, self.target, self.intervals = conf_file, tuple(stages), target, intervals
        self.env_vars: dict[str, Any] | None

    def execute(self, context: Context) -> None:
        """Run the stages; a version that waits for a person is handed on, as late_arrival@3, under the key WAITING.

        Errors: AirflowFailException for a final failure, AirflowException for one worth a retry, AirflowSkipException
        where a new version was refused and there is nothing else.
        """
        self._prepare(context)
        try:
            super().execute(context)
            self._hand_on(context)
        except FileNotFoundError as found:
            raise AirflowFailException(f"no {found.filename} on PATH; set PATH or LAKELOOM_SPARK_SUBMIT") from found
        except AirflowTaskTimeout as late:  # Airflow ends what was submitted
            said = f"not done within {self.execution_timeout} (airflow: timeout of the conf), so it was ended"
            raise AirflowTaskTimeout(f"{self.task_id}: {said}") from late
        except AirflowException as found:
            code, said = self._code(), self._sentence() or self._elsewhere() or str(found)
            if code == DataError.exit_code and NOT_PROMOTED in said:  # the champion stays, and goes on scoring
                return self._refused(context, said)
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
        if target != self.target:
            self.outlets: list[Any] = []  # who follows this pipeline follows it on its own target
        job = Job(Path(self.conf_file), chosen, target, self._options(context, chosen))
        try:
            place, found = placed(job)
        except SpecError as refused:
            raise AirflowFailException(f"{self.task_id}: {refused}") from refused
        self.application, self.application_args = application(place), list(arguments(place, job))
        self.env_vars = {**(self.env_vars or {}), **_above(context)}
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

    def _refused(self, context: Context, said: str) -> None:
        """A version was refused, and nothing else is wrong: what other stages of the task did stands."""
        if all(stage.startswith("models.") for stage in self.stages):
            raise AirflowSkipException(said)
        self.log.warning(said)
        self._hand_on(context)

    def _hand_on(self, context: Context) -> None:
        """What other tasks want to know of what the driver said; nothing where its words did not reach this one.

        A try before this one may have ended when its stages had, and before it could: what they ask for counts too.
        """
        said, ti = [x.removeprefix(HANDED_ON) for x in self._lines() if x.startswith(HANDED_ON)], context["ti"]
        if not said:
            return
        found = json.loads(said[-1])
        parts = [found[NOW], *([found[BEFORE]] if ti.try_number > 1 else [])]
        if waits := [version for part in parts for version in part[WAITING]]:
            ti.xcom_push(key=WAITING, value=waits[-1])
        ti.xcom_push(key=RETRAIN, value=sorted({model for part in parts for model in part[RETRAIN]}))
        self._write(context, [said for part in parts for said in part[SAID]])

    def _write(self, context: Context, decided: list[str]) -> None:
        """A letter with what monitors decided; one that cannot be sent fails nothing: it stands in the run record."""
        if not (decided and self.heard_by):
            return
        from airflow.providers.smtp.notifications.smtp import SmtpNotifier

        lines = "".join(f"<p>{html.escape(each)}</p>" for each in decided).replace("{", "&#123;")  # no template
        said = f"{lines}<p>Run {{{{ run_id | e }}}}, <a href='{{{{ ti.log_url }}}}'>log</a></p>"
        subject = f"{{{{ dag.dag_id }}}}: {decided[0].partition(': ')[0]} wants to be looked at"
        try:
            SmtpNotifier(to=list(self.heard_by), subject=subject, html_content=said)(context)
        except Exception as found:  # of the mail server, the connection, its absence
            self.log.warning("no letter was sent: %s", found)

    def _sentence(self) -> str:
        """The last `error: ...` that spark-submit said; '' where it said none."""
        said = [line.partition(SENTENCE)[2] for line in self._lines() if line.startswith(SENTENCE)]
        return said[-1] if said else ""


class Retraining(StageSubmit):
    """Trains a model where a monitor before it asked for that; else it is skipped, and no application is started."""

    def __init__(self, *, asked_by: tuple[str, ...], **settings: Any):
        super().__init__(**settings)
        self.asked_by = tuple(asked_by)

    def _prepare(self, context: Context) -> None:
        """Errors: AirflowSkipException. Where a monitor's words did not reach Airflow, the stage decides by itself."""
        said = [context["ti"].xcom_pull(task_ids=task, key=RETRAIN) for task in self.asked_by]
        if not any(asked is None or self.stages[0].partition(".")[2] in asked for asked in said):
            raise AirflowSkipException("no monitor asks for a training")
        super()._prepare(context)


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


class Refuse(BaseOperator):
    """Fails with its own doc_md: stands for a conf that `check` refuses."""

    def execute(self, context: Context) -> None:
        """Errors: AirflowFailException, always."""
        raise AirflowFailException(self.doc_md)


def _above(context: Context) -> dict[str, str]:
    """The try of the task and the run of its DAG, as OpenLineage names runs above another: namespace/job/run, a UUID.

    Where Airflow's own OpenLineage provider is installed, the runs are those that it tells of.
    """
    at = context["task_instance"]
    try:
        from airflow.providers.openlineage.plugins import macros
    except ImportError:
        name, run = f"{at.dag_id}.{at.task_id}", f"airflow/{at.dag_id}/{at.run_id}"
        ids = (f"airflow/{name}/{_uuid(f'{run}/{at.task_id}/{at.try_number}')}", f"airflow/{at.dag_id}/{_uuid(run)}")
    else:
        ids = (macros.lineage_parent_id(at), macros.lineage_root_parent_id(at))
    return dict(zip(("OPENLINEAGE_PARENT_ID", "OPENLINEAGE_ROOT_PARENT_ID"), ids, strict=True))


def _uuid(name: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, name)
