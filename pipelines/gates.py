"""Metrics and evidence in, promote or refuse with reasons out. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.spec import Fairness, Gate, smaller_is_better


@dataclass(frozen=True)
class Part:
    """The test rows of one value of a slice."""

    value: str
    rows: int
    metrics: Mapping[str, float]  # empty where they cannot be had


@dataclass(frozen=True)
class Evidence:
    """What is known of a model on the test slice."""

    test: Mapping[str, Sequence[float]]  # metric -> value, low, high
    baseline: Mapping[str, float]
    slices: Mapping[str, Sequence[Part]] = field(default_factory=dict)  # column -> its values
    versus: Mapping[tuple[str, float], tuple[bool, float, float]] = field(default_factory=dict)
    # metric and confidence -> is the challenger surely better, by how much, by how much at least; greater is better
    fairness: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # column -> rate -> the two furthest apart
    champion: bool = False  # there is one; of another without `versus` nothing can be said


@dataclass(frozen=True)
class Decision:
    """One gate's outcome, in words."""

    gate: str
    passed: bool
    why: str

    def as_json(self) -> dict[str, object]:
        """For the run record."""
        return asdict(self)


def decide(gates: Sequence[Gate], found: Evidence) -> tuple[Decision, ...]:
    """Every gate, in the order of the conf; the model is promoted where all passed."""
    return tuple(_decide(gate, found) for gate in gates)


def parity(asked: Fairness, found: Evidence) -> tuple[Decision, ...]:
    """Every rate that has a limit, for every column, in the order of the conf."""
    pairs = [(column, rate, most) for column in asked.columns for rate, most in asked.parity.items()]
    return tuple(_parity(*pair, asked.rows, found) for pair in pairs)


def _parity(column: str, rate: str, most: float, rows: int, found: Evidence) -> Decision:
    """By the two groups furthest apart; of groups of which nothing can be said nothing is proven."""
    words = rate.replace("_", " ")
    name = f"parity: {words} at most {most:g} apart between values of {column}"
    ends = found.fairness.get(column, {}).get(rate)
    if not ends:
        return Decision(name, False, f"fewer than two values of {column} have {rows:,} test rows and the rate")
    (value, low, high), (top, upper), (bottom, lower) = ends["difference"], ends["high"], ends["low"]
    between = f"{upper:.4f} for {top}, {lower:.4f} for {bottom}"
    reach = "no interval" if low is None else f"{low:.4f} to {high:.4f}"
    return Decision(name, value <= most, f"{value:.4f} ({reach}) apart: {between}")


def _decide(gate: Gate, found: Evidence) -> Decision:
    if gate.slice:
        return _worst(gate, gate.slice, found)
    if gate.metric not in found.test or gate.metric not in found.baseline:
        return Decision(f"{gate.metric} is known", False, "it is not defined for the labels of the test slice")
    value, low, high = found.test[gate.metric]
    shown = f"{value:.4f} ({low:.4f} to {high:.4f})"
    if gate.versus is None:
        return Decision(_bound(gate), _holds(gate, value), shown)
    if gate.versus == "baseline":
        base, smaller = found.baseline[gate.metric], smaller_is_better(gate.metric)
        better = high < base if smaller else low > base
        return Decision(f"{gate.metric} {_way(gate)} the baseline", better, f"{shown} against {base:.4f}")
    return _champion(gate, found)


def _champion(gate: Gate, found: Evidence) -> Decision:
    name = f"{gate.metric} {_way(gate)} the champion, {gate.confidence:.0%} sure"
    versus = found.versus.get((gate.metric, gate.confidence))
    if versus is None and found.champion:
        return Decision(name, True, "not comparable: the champion's features are gone, or all rows are older than it")
    if versus is None:
        return Decision(name, True, "no champion yet: the first to pass becomes it")
    better, difference, least = versus
    sign = -1 if smaller_is_better(gate.metric) else 1
    return Decision(name, better, f"difference {sign * difference:+.4f}, at {_least(gate)} {sign * least:+.4f}")


def _worst(gate: Gate, column: str, found: Evidence) -> Decision:
    """By the worst value of a slice that has rows enough; none of which anything can be said is no proof."""
    name = f"{_bound(gate)} for each {column} of {gate.rows} rows or more"
    parts = [p for p in found.slices.get(column, ()) if p.rows >= gate.rows and gate.metric in p.metrics]
    if not parts:
        return Decision(name, False, f"no value of {column} has so many rows and the metric")
    worst = (max if gate.max is not None else min)(parts, key=lambda p: p.metrics[gate.metric])
    shown = f"{worst.metrics[gate.metric]:.4f} for {worst.value}, {worst.rows:,} rows, is the worst of {len(parts)}"
    return Decision(name, _holds(gate, worst.metrics[gate.metric]), shown)


def _holds(gate: Gate, value: float) -> bool:
    return value >= gate.min if gate.min is not None else gate.max is not None and value <= gate.max


def _bound(gate: Gate) -> str:
    return f"{gate.metric} at least {gate.min:g}" if gate.min is not None else f"{gate.metric} at most {gate.max:g}"


def _way(gate: Gate) -> str:
    return "below" if smaller_is_better(gate.metric) else "above"


def _least(gate: Gate) -> str:
    return "most" if smaller_is_better(gate.metric) else "least"
