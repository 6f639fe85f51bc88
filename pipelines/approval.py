"""A person's word in the middle of a DAG run; apart from operators.py, for its import takes time that few DAGs need."""

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowSkipException

from pipelines.outline import WAITING


class Approve(ApprovalOperator):
    """Waits, without a worker, until a person agrees to the version that its task trained; skipped where none waits."""

    def __init__(self, *, trained_by: str, **settings: Any) -> None:
        version = f"{{{{ ti.xcom_pull(task_ids='{trained_by}', key='{WAITING}') }}}}"
        super().__init__(subject=f"Promote {version}?", execution_timeout=None, **settings)
        self.trained_by = trained_by

    def execute(self, context: Context) -> None:
        """Ask. Errors: AirflowSkipException."""
        if not context["ti"].xcom_pull(task_ids=self.trained_by, key=WAITING):
            raise AirflowSkipException("no version waits for a person")
        super().execute(context)
