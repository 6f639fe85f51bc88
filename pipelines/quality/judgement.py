"""What was found of one expectation, and what follows from it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from pipelines.spec import Expectation
from pipelines.spec.expectations.base import moment

Observed = float | int | str | bool | None


@dataclass(frozen=True)
class Judgement:
    """One expectation, judged; in `observed` for people, below it for `_runs` and parity.

    element_count   : rows that row_condition left; None where no rows are counted, as the next two.
    unexpected_count: rows among them that break it.
    unexpected_percent: of the rows looked at (present values); None where there were none.
    value           : the statistic that was observed, as JSON takes it.
    """

    label: str
    on_fail: str
    success: bool
    observed: str
    name: str = ""
    tier: str = ""
    severity: str | None = None
    element_count: int | None = None
    unexpected_count: int | None = None
    unexpected_percent: float | None = None
    value: Observed = None

    def as_json(self) -> dict[str, object]:
        """For the run record."""
        return asdict(self)


def of_rows(expectation: Expectation, rows: int, looked_at: int, unexpected: int) -> Judgement:
    """Kept where the share that holds is at least `mostly`; of no rows everything is true, as in GX."""
    mostly = expectation.arguments.get("mostly", 1)
    assert isinstance(mostly, int | float)
    success = not looked_at or (looked_at - unexpected) / looked_at >= mostly
    return replace(
        _judged(expectation, success, f"{unexpected:,} of {rows:,} rows unexpected"),
        element_count=rows,
        unexpected_count=unexpected,
        unexpected_percent=unexpected / looked_at * 100 if looked_at else None,
    )


def of_value(expectation: Expectation, success: bool, value: Observed, observed: str = "") -> Judgement:
    """Kept or not by one observed value; `observed` says it in other words."""
    said = "nothing" if value is None else f"{value:,}" if type(value) is int else str(value)
    endless = isinstance(value, float) and not math.isfinite(value)  # JSON has neither infinity nor NaN
    return replace(_judged(expectation, success, observed or said), value=str(value) if endless else value)


def within(expectation: Expectation, value: Observed) -> bool:
    """Great Expectations' between: nothing observed is outside; a bound that is a date compares days."""
    said = expectation.said
    if value is None:
        return False
    low, high = said.get("min_value"), said.get("max_value")
    above = low is None or _compared(low, value, bool(said.get("strict_min")))
    return above and (high is None or _compared(value, high, bool(said.get("strict_max"))))


def _compared(low: object, high: object, strict: bool) -> bool:
    a, b = _alike(low, high)
    return bool(a < b if strict else a <= b)


def _alike(low: object, high: object) -> tuple[Any, Any]:
    if not isinstance(low, str) or not isinstance(high, str):
        return low, high
    a, b = moment(low), moment(high)
    if type(a) is type(b):
        return a, b
    return (x.date() if isinstance(x, datetime) else x for x in (a, b))  # type: ignore[return-value]


def failures(judgements: Sequence[Judgement]) -> str:
    """A sentence on those that must not be published; empty when there are none."""
    broken = [j for j in judgements if j.on_fail == "fail" and not j.success]
    return "; ".join(f"{j.label}: observed {j.observed}" for j in broken)


def _judged(expectation: Expectation, success: bool, observed: str) -> Judgement:
    e = expectation
    return Judgement(e.label, e.on_fail, success, observed, e.name, e.tier, e.promise.severity)
