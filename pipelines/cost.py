"""What a run used times what that costs. Pure, and exact: whole milliseconds and bytes in, a Decimal out.

C = sum over what is used of usage x unit price: core, memory and GPU hours that executors held, GiB read, written and
shuffled. Idle is the share of held core time in which no task ran. A prediction is the median of what a stage cost
in its last runs: one that trained on ten times the rows does not make the next look dear.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from statistics import median
from typing import Any

from pipelines.spec import Prices

HOUR_MS, GIB, MIB = 3_600_000, 1024**3, 1024**2
CENT = Decimal("0.000001")  # to the millionth of a dollar; a small stage costs less than a cent
LAST = 5  # runs of a stage that a prediction looks at


@dataclass(frozen=True)
class Usage:
    """What one attempt of a stage used."""

    core_ms: int = 0  # held by executors: cores x the time they were there
    task_ms: int = 0  # of it, with a task on them
    memory_mib_ms: int = 0  # held by executors
    gpu_ms: int = 0  # held by executors: GPUs that the cluster gave them x the time they were there
    read_bytes: int = 0  # from storage
    shuffled_bytes: int = 0  # read from other tasks
    written_bytes: int = 0  # added to the stage's table

    @classmethod
    def of(cls, found: Mapping[str, Any] | None) -> "Usage | None":
        """As a run record has it; None where it has none."""
        known = {f.name for f in fields(cls)}
        return cls(**{k: int(v) for k, v in found.items() if k in known}) if found else None

    def __add__(self, other: "Usage") -> "Usage":
        mine, theirs = asdict(self), asdict(other)
        return Usage(**{k: mine[k] + theirs[k] for k in mine})

    @property
    def idle(self) -> float | None:
        """Share of the held core time without a task, 0 to 1; None where no core was held."""
        return max(0.0, 1 - self.task_ms / self.core_ms) if self.core_ms else None


def parts(usage: Usage, prices: Prices) -> dict[str, Decimal]:
    """US dollars of each thing that was used, to the millionth; their sum is `cost` but for that rounding."""
    return {name: _rounded(exact) for name, exact in _exact(usage, prices).items()}


def cost(usage: Usage, prices: Prices) -> Decimal:
    """US dollars of one attempt, to the millionth, rounded once, half to even."""
    return _rounded(sum(_exact(usage, prices).values(), Fraction(0)))


def _exact(usage: Usage, prices: Prices) -> dict[str, Fraction]:
    return {
        "cores": Fraction(usage.core_ms, HOUR_MS) * Fraction(prices.usd_core_hour),
        "memory": Fraction(usage.memory_mib_ms, 1024 * HOUR_MS) * Fraction(prices.usd_gib_hour),
        "gpus": Fraction(usage.gpu_ms, HOUR_MS) * Fraction(prices.usd_gpu_hour),
        "read": Fraction(usage.read_bytes, GIB) * Fraction(prices.usd_gib_read),
        "written": Fraction(usage.written_bytes, GIB) * Fraction(prices.usd_gib_written),
        "shuffled": Fraction(usage.shuffled_bytes, GIB) * Fraction(prices.usd_gib_shuffled),
    }


def halved(usage: Usage) -> Usage:
    """What the same work would use on half the cores and memory: tasks wait in line, what no task did takes as long.

    It would take 1 + busy share times as long, and hold its GPUs so long. Rounded down to whole milliseconds.
    """
    core_ms = (usage.core_ms + min(usage.task_ms, usage.core_ms)) // 2
    memory = usage.memory_mib_ms * core_ms // usage.core_ms if usage.core_ms else usage.memory_mib_ms
    gpu_ms = usage.gpu_ms * 2 * core_ms // usage.core_ms if usage.core_ms else usage.gpu_ms
    return replace(usage, core_ms=core_ms, memory_mib_ms=memory, gpu_ms=gpu_ms)


def storage(stored_bytes: int, prices: Prices) -> Decimal:
    """US dollars a month for what lies there."""
    return _rounded(Fraction(stored_bytes, GIB) * Fraction(prices.usd_gib_month))


def a_thousand(whole: Decimal, rows: int) -> Decimal | None:
    """US dollars for each 1,000 of some rows; None for none."""
    return _rounded(Fraction(whole) * 1000 / rows) if rows else None


def predicted(before: Sequence[Usage], prices: Prices) -> Decimal | None:
    """What the next run of a stage is likely to cost: the median of its last; None where none is known."""
    known = [cost(usage, prices) for usage in before[-LAST:]]
    return _rounded(Fraction(median(known))) if known else None


def over_budget(predictions: Mapping[str, Decimal | None], prices: Prices) -> str:
    """Why a run of these stages may not begin, in words; '' where it may. Stages that never ran count as nothing."""
    known = {stage: usd for stage, usd in predictions.items() if usd is not None}
    whole = sum(known.values(), Decimal(0))
    if prices.budget_usd is None or whole <= prices.budget_usd:
        return ""
    dear = sorted(known.items(), key=lambda item: (-item[1], item[0]))[:3]
    said = ", ".join(f"{stage} {usd:.4f}" for stage, usd in dear)
    found = f"it would cost about {whole:.4f} USD, by what its stages cost before ({said})"
    return f"{found}; budget_usd is {prices.budget_usd}"


def total(found: Iterable[Usage]) -> Usage:
    """All of them together."""
    return sum(found, Usage())


def _rounded(exact: Fraction) -> Decimal:
    """A Fraction to the millionth, half to even, with no binary number in between."""
    millionths, rest = divmod(exact * 10**6, 1)
    up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and millionths % 2 == 1)
    return (Decimal(int(millionths) + up) / 10**6).quantize(CENT, ROUND_HALF_EVEN)
