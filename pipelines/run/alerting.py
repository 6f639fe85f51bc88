"""After an attempt of a stage: what its newest record calls for is alerted, once."""

from collections.abc import Callable
from datetime import UTC, datetime

from pipelines import alerts
from pipelines.deferring import warehouse_of
from pipelines.plan import Stage
from pipelines.spec import Alerts, Pipeline, Target
from pipelines.state import Warehouse
from pipelines.told import Alert


def alerted(pipeline: Pipeline, target: Target, stage: Stage, tell: Callable[[str], None]) -> None:
    """Send what was not sent yet, and write it down; what cannot be sent is told, and sent by the next run.

    A run that is killed between the two sends it again, under the same id.
    Cost: where the target asks for alerts, a small read of the warehouse; else nothing.
    """
    if target.alerts is None:
        return
    try:
        problem = _alerted(warehouse_of(pipeline, target), target.alerts, stage)
    except Exception as found:  # an alert is worth less than the run that it tells of
        problem = f"an alert was not sent: {type(found).__name__}: {found}"
    if problem:
        tell(problem)


def _alerted(warehouse: Warehouse, asked: Alerts, stage: Stage) -> str:
    """Why it could not be sent; '' where it was, or was before, or nothing is to be said."""
    record = next((r for r in reversed(warehouse.records()) if r.stage == stage.id), None)
    alert = alerts.said(record, asked) if record else None
    if record is None or alert is None or alert.id in {a.id for a in warehouse.alerts()}:
        return ""
    problem = alerts.send(asked, alert)
    if not problem:
        at = (record.pipeline, record.stage, record.run_id, record.generation, record.batch)
        warehouse.write(Alert(*at, datetime.now(UTC), alert.id, alert.text))
    return problem
