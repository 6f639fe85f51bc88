"""Gauges: what the newest records say, in the format that Prometheus' own parser reads."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipelines.gauges import prometheus
from pipelines.spec import Monitor, Pipeline, Prices, Score, Table, Target
from pipelines.spending import spent
from pipelines.state import Record, Warehouse
from pipelines.told import Quality

AT = datetime(2026, 3, 1, 5, 0, 0, tzinfo=UTC)
PIPELINE = Pipeline(
    pipeline="p",
    sources={},
    tables={"t": Table(select="SELECT 1 AS a FROM u"), "quiet": Table(select="SELECT 1 AS a FROM u")},
    scores={"s": Score(model="m", of="f", mode="batch")},
    monitors={"w": Monitor(scores="s")},
)


def record(stage: str, status: str = "ok", batch: int = 0, **more: object) -> Record:
    given = {"started_at": AT, "seconds": 12.5, "published_version": 4 if status == "ok" else None}
    return Record("p", stage, 0, batch, "r", "d", status, **{**given, **more})  # type: ignore[arg-type]


def samples(records: list[Record], quality: tuple[Quality, ...] = (), *costs: Any) -> dict[str, float]:
    """'name{label=value,...}' -> value, without the pipeline."""
    found = {}
    for family in text_string_to_metric_families(prometheus(PIPELINE, records, quality, *costs)):
        for s in family.samples:
            assert s.labels.pop("pipeline") == "p"
            found[f"{s.name}{s.labels}"] = s.value
    return found


def test_a_stage_has_its_newest_attempt_and_its_newest_publication():
    first = record("tables.t", counts={"rows_in": 10})
    second = record("tables.t", "refused", 1, started_at=AT.replace(hour=6), counts={"rows_in": 7})

    found = samples([first, second])

    of = "{'stage': 'tables.t'"
    assert found == {
        f"lakeloom_stage_state{of}, 'state': 'ok'}}": 0.0,
        f"lakeloom_stage_state{of}, 'state': 'refused'}}": 1.0,
        f"lakeloom_stage_state{of}, 'state': 'failed'}}": 0.0,
        f"lakeloom_stage_started_timestamp_seconds{of}}}": 1772344800.0,  # date -d 2026-03-01T06:00Z +%s
        f"lakeloom_stage_published_timestamp_seconds{of}}}": 1772341200.0,
        f"lakeloom_stage_duration_seconds{of}}}": 12.5,
        f"lakeloom_stage_rows{of}, 'count': 'rows_in'}}": 7.0,
    }


def test_a_stage_has_its_costs_and_the_pipeline_its_budget(tmp_path):
    """By hand: an hour of a core at 0.05 and then two; half of the cores' time idle; nothing stored; no scores."""
    prices = Prices(usd_core_hour=Decimal("0.05"), budget_usd=Decimal("1.5"))
    target, hour = Target(warehouse=str(tmp_path), prices=prices), 3_600_000
    for batch in (0, 1):
        usage = {"core_ms": hour * (batch + 1), "task_ms": hour * (batch + 1) // 2}
        Warehouse(str(tmp_path), "p").write(record("tables.t", "ok", batch, detail={"usage": usage}))

    found = samples([], (), spent(PIPELINE, target), prices.budget_usd)

    assert found == {
        f"lakeloom_{gauge}{{'stage': 'tables.t'}}": pytest.approx(value)
        for gauge, value in {
            "stage_cost_usd": 0.1, "stage_cost_sum_usd": 0.15, "stage_cost_next_usd": 0.075, "stage_idle_ratio": 0.5,
            "stage_stored_bytes": 0, "stage_storage_usd_month": 0,
        }.items()
    } | {"lakeloom_budget_usd{}": 1.5}  # fmt: skip


def test_a_promise_is_kept_or_broken_and_its_name_may_hold_anything():
    who = ("p", "tables.t", "r", 0)
    odd = 'a "quoted\\" \n label'
    quality = tuple(
        Quality(*who, n, AT, "e", odd, "warn", None, "row", kept, 1, 0, 0.0, "") for n, kept in enumerate([True, False])
    )

    assert samples([], quality) == {f"lakeloom_promise_kept{ {'stage': 'tables.t', 'promise': odd} }": 0.0}


def test_a_monitor_has_its_verdict_its_drift_in_limits_and_the_newest_performance_there_is():
    def window(month: int, true: list[float] | None) -> dict[str, object]:
        at = AT.replace(month=month).isoformat()
        shown = [{"feature": "x", "distance": 0.3, "most": 0.2}]
        how = {"metric": "roc_auc", "true": true, "estimated": 0.7}
        return {"window": at, "model_version": 1, "features": shown, "performance": how}

    decision = {"verdict": "investigate", "reasons": ["March: drifted"], "asks": False}
    detail = {"windows": [window(2, [0.72, 0.7, 0.74]), window(3, None)], "decision": decision}

    found = {k: v for k, v in samples([record("monitors.w", detail=detail)]).items() if "monitor_" in k}

    assert found == {
        "lakeloom_monitor_verdict{'monitor': 'w', 'verdict': 'wait'}": 0.0,
        "lakeloom_monitor_verdict{'monitor': 'w', 'verdict': 'investigate'}": 1.0,
        "lakeloom_monitor_verdict{'monitor': 'w', 'verdict': 'unchecked'}": 0.0,
        "lakeloom_monitor_verdict{'monitor': 'w', 'verdict': 'retrain'}": 0.0,
        "lakeloom_monitor_drift{'monitor': 'w', 'feature': 'x'}": 1.5,
        "lakeloom_monitor_performance{'monitor': 'w', 'metric': 'roc_auc', 'by': 'true'}": 0.72,
        "lakeloom_monitor_performance{'monitor': 'w', 'metric': 'roc_auc', 'by': 'estimated'}": 0.7,
    }


def test_a_window_that_is_unchecked_has_no_figure_and_no_good_verdict():
    how = {"metric": "roc_auc", "true": None, "estimated": None}
    window = {"window": AT.isoformat(), "model_version": 1, "features": [], "performance": how}
    decision = {"verdict": "unchecked", "reasons": ["March: nothing is checked"], "asks": False}

    found = samples([record("monitors.w", detail={"windows": [window], "decision": decision})])

    assert {k: v for k, v in found.items() if "monitor_" in k} == {
        "lakeloom_monitor_verdict{'monitor': 'w', 'verdict': 'wait'}": 0.0,
        "lakeloom_monitor_verdict{'monitor': 'w', 'verdict': 'investigate'}": 0.0,
        "lakeloom_monitor_verdict{'monitor': 'w', 'verdict': 'unchecked'}": 1.0,
        "lakeloom_monitor_verdict{'monitor': 'w', 'verdict': 'retrain'}": 0.0,
    }


def test_what_never_ran_has_no_gauge():
    assert prometheus(PIPELINE, [], ()) == ""
