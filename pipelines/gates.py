"""Metrics and evidence in, promote or refuse with reasons out. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from pipelines.spec import Gate


@dataclass(frozen=True)
class Evidence:
    """What is known of one metric on the test slice."""

    value: float
    low: float
    high: float
    baseline: float
    versus_champion: tuple[bool, float, float] | None = None  # surely better, difference, its lower bound


@dataclass(frozen=True)
class Decision:
    """One gate's outcome, in words."""

    gate: str
    passed: bool
    why: str

    def as_json(self) -> dict[str, object]:
        """For the run record."""
        return asdict(self)


def decide(gates: Sequence[Gate], evidence: Mapping[str, Evidence]) -> tuple[Decision, ...]:
    """Every gate, in the order of the conf; the model is promoted where all passed."""
    return tuple(_decide(gate, evidence[gate.metric]) for gate in gates)


def _decide(gate: Gate, found: Evidence) -> Decision:
    shown = f"{found.value:.4f} ({found.low:.4f} to {found.high:.4f})"
    if gate.min is not None:
        return Decision(f"{gate.metric} at least {gate.min:g}", found.value >= gate.min, shown)
    if gate.versus == "baseline":
        return Decision(
            f"{gate.metric} above the baseline", found.low > found.baseline, f"{shown} against {found.baseline:.4f}"
        )
    name = f"{gate.metric} above the champion, {gate.confidence:.0%} sure"
    if found.versus_champion is None:
        return Decision(name, True, "no champion yet: the first to pass becomes it")
    better, difference, low = found.versus_champion
    return Decision(name, better, f"difference {difference:+.4f}, at least {low:+.4f}")
