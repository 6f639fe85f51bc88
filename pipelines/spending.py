"""What a conf's stages cost, from their run records and the target's prices: for `cost`, `plan` and the budget."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pipelines import log
from pipelines.cost import Usage, a_thousand, cost, halved, over_budget, parts, predicted, storage, total
from pipelines.deferring import warehouse_of
from pipelines.errors import DataError, SpecError
from pipelines.plan import Verdict, stages
from pipelines.spec import Pipeline, Prices, Target
from pipelines.state import History, Record, Warehouse
from pipelines.state import parts as beside

SHOWN = 10  # of a stage's runs, the newest: its trend


def spent(pipeline: Pipeline, target: Target) -> list[dict[str, Any]]:
    """Each stage: what its runs cost, one by one and together, how idle they were, what half the cores would have cost
    and how many times as long they would have taken, and its table a month.

    Errors: SpecError without prices. Cost: one small read, and the log of each table.
    """
    prices = priced(target)
    warehouse = warehouse_of(pipeline, target)
    records = warehouse.records()
    return [
        _stage(stage.id, records, prices, warehouse) for stage in stages(pipeline) if stage.id not in warehouse.lent
    ]


def priced(target: Target) -> Prices:
    """The target's prices. Errors: SpecError where it has none."""
    if target.prices is None:
        raise SpecError("the target has no prices; add prices: {usd_core_hour: ...}")
    return target.prices


def _stage(stage: str, records: Sequence[Record], prices: Prices, warehouse: Warehouse) -> dict[str, Any]:
    mine = [(r, u) for r in records if r.stage == stage and (u := Usage.of(r.detail.get("usage")))]
    whole = total(u for _, u in mine)
    usd, scored = cost(whole, prices), sum(r.counts.get("scored", 0) for r, _ in mine)
    stored = _stored(stage, warehouse)
    return {
        "stage": stage,
        "runs": len(mine),
        "usd": usd,
        "parts": parts(whole, prices),
        "last_usd": cost(mine[-1][1], prices) if mine else None,
        "next_usd": predicted([u for r, u in mine if r.status == "ok"], prices),
        "usd_a_thousand": a_thousand(usd, scored),
        "core_hours": round(whole.core_ms / 3_600_000, 6),
        "idle": whole.idle,
        "half_usd": cost(halved(whole), prices),
        "half_slower": None if whole.idle is None else 2 - whole.idle,
        "stored_bytes": stored,
        "usd_month": storage(stored, prices),
        "trend": [{"run": r.run_id, "at": r.started_at, "usd": cost(u, prices)} for r, u in mine[-SHOWN:]],
    }


def _stored(stage: str, warehouse: Warehouse) -> int:
    """Bytes of the newest version of a stage's table, and of those beside it: its quarantine, its shadow."""
    if stage.startswith(("models.", "monitors.")):
        return 0
    there = (part for part in beside(stage) if warehouse.delta(stage, part) is not None)
    return sum(size for part in there for size in log.file_sizes(warehouse.path(stage, part)))


def predictions(history: History, verdicts: Sequence[Verdict], prices: Prices) -> dict[str, Decimal | None]:
    """Of each stage that would run, what it is likely to cost."""
    return {v.stage.id: prediction(history, v.stage.id, prices) for v in verdicts if v.run}


def prediction(history: History, stage: str, prices: Prices) -> Decimal | None:
    """Of one stage; None where it never ran to its end."""
    return predicted(_usages(history, stage), prices)


def _usages(history: History, stage: str) -> list[Usage]:
    """Of attempts that ended well: what broke off early would make the next look cheap."""
    found = (Usage.of(r.detail.get("usage")) for r in history.records if r.stage == stage and r.status == "ok")
    return [usage for usage in found if usage]


def refuse_over_budget(history: History, verdicts: Sequence[Verdict], target: Target) -> None:
    """Errors: DataError where the stages that would run are likely to cost more than the target's budget_usd."""
    if target.prices is None or target.prices.budget_usd is None:
        return
    why = over_budget(predictions(history, verdicts, target.prices), target.prices)
    if why:
        raise DataError(f"the run does not begin: {why}; raise it in the target, or --select less")


def spent_text(lines: Sequence[Mapping[str, Any]]) -> str:
    """A table of stages, and their sum."""
    names = ("USD", "last", "next", "1,000 rows", "idle", "half", "USD/month")
    head = f"{'stage':<28}{'runs':>5}" + "".join(f"{n:>{7 if n == 'idle' else 11}}" for n in names)
    rows = [_row(line) for line in lines]
    usd, half, month = (sum((line[k] for line in lines), Decimal(0)) for k in ("usd", "half_usd", "usd_month"))
    return "\n".join(
        [head, *rows, f"{'all':<28}{sum(x['runs'] for x in lines):>5}{usd:>11.6f}{'':>40}{half:>11.6f}{month:>11.6f}"]
    )


def _row(line: Mapping[str, Any]) -> str:
    idle = "" if line["idle"] is None else f"{line['idle']:.0%}"
    money = "".join(
        f"{'' if line[k] is None else f'{line[k]:.6f}':>11}" for k in ("last_usd", "next_usd", "usd_a_thousand")
    )
    whole = f"{line['stage']:<28}{line['runs']:>5}{line['usd']:>11.6f}{money}{idle:>7}"
    return f"{whole}{line['half_usd']:>11.6f}{line['usd_month']:>11.6f}"
