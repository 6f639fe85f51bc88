"""Metrics and evidence in, promote or refuse with reasons out. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from pipelines.spec import Gate, smaller_is_better


@dataclass(frozen=True)
class Evidence:
    """What is known of one metric on the test slice."""

    value: float
    low: float
    high: float
    baseline: float
    versus_champion: tuple[bool, float, float] | None = None
    # surely better, by how much, by how much at least; greater is better, whatever the metric


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
    smaller = smaller_is_better(gate.metric)
    way = "below" if smaller else "above"
    if gate.versus == "baseline":
        better = found.high < found.baseline if smaller else found.low > found.baseline
        return Decision(f"{gate.metric} {way} the baseline", better, f"{shown} against {found.baseline:.4f}")
    name = f"{gate.metric} {way} the champion, {gate.confidence:.0%} sure"
    if found.versus_champion is None:
        return Decision(name, True, "no champion yet: the first to pass becomes it")
    better, difference, least = found.versus_champion
    sign, bound = (-1, "most") if smaller else (1, "least")
    return Decision(name, better, f"difference {sign * difference:+.4f}, at {bound} {sign * least:+.4f}")
