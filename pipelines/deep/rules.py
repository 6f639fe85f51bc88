"""The training debugger: rules that look at each epoch's account and say what ails a net.

A rule is a function of the epochs so far, from their account (loop.py writes
it) to a sentence, empty where nothing ails. To add one: a function here, its
name in Ailment of spec/candidate.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Epoch = dict[str, Any]
Rule = Callable[[Sequence[Epoch]], str]

LEAST_GAIN, PATIENCE = 1e-3, 3  # share of the loss, over so many epochs
EXPLODED, VANISHED = 1e3, 1e-4  # times the usual norm; first layer against the last
MOST_DEAD, RAREST = 0.5, 0.01  # shares of units, of rows
WORSE = 1.02  # times the best loss of rows that did not train
SKEWED, STARVED = 1.5, 0.3  # slowest rank against the others; share of the time that waits for rows
LEAST_S = 1.0  # of an epoch, to judge its times


@dataclass(frozen=True)
class Finding:
    """What a rule says of a training, after an epoch."""

    rule: str
    epoch: int
    why: str


def not_finite(epochs: Sequence[Epoch]) -> str:
    """A gradient was NaN or infinite; its step was left out."""
    left_out = epochs[-1]["left_out"]
    return f"{left_out} steps had a gradient that is NaN or infinite, and were left out" if left_out else ""


def not_learning(epochs: Sequence[Epoch]) -> str:
    """The loss of training rows does not fall."""
    if len(epochs) < PATIENCE:
        return ""
    before, now = epochs[-PATIENCE]["loss"], epochs[-1]["loss"]
    stuck = not now < before * (1 - LEAST_GAIN)
    return (
        f"the loss is {now:.4g} after epoch {len(epochs)}, and was {before:.4g} after epoch {len(epochs) - 2}"
        if stuck
        else ""
    )


def exploding_gradients(epochs: Sequence[Epoch]) -> str:
    """A step's gradient is a thousand times the usual one."""
    usual, most = median(e["gradient"]["median"] for e in epochs), epochs[-1]["gradient"]["most"]
    return f"a gradient of norm {most:.3g}, where {usual:.3g} is usual" if most > EXPLODED * max(usual, 1e-12) else ""


def vanishing_gradients(epochs: Sequence[Epoch]) -> str:
    """Next to nothing of the gradient comes down to the first layer."""
    first, last = epochs[-1]["gradient"]["first"], epochs[-1]["gradient"]["last"]
    gone = last > 0 and first < VANISHED * last
    return f"the first layer's gradient has norm {first:.3g}, the last layer's {last:.3g}" if gone else ""


def dead_units(epochs: Sequence[Epoch]) -> str:
    """Units that no row moves: they learn no more."""
    dead, units = epochs[-1]["dead"], epochs[-1]["units"]
    return (
        f"{dead} of {units} hidden units answer 0 to every row looked at" if units and dead > MOST_DEAD * units else ""
    )


def overfitting(epochs: Sequence[Epoch]) -> str:
    """Rows that trained fit better and better, the others worse and worse."""
    held = [e["held_loss"] for e in epochs]
    if len(epochs) < PATIENCE or any(loss is None for loss in held):
        return ""
    rising, falling = held[-3] < held[-2] < held[-1], epochs[-1]["loss"] < epochs[-3]["loss"]
    worse = rising and falling and held[-1] > WORSE * min(held)
    best = held.index(min(held)) + 1
    return (
        f"rows that do not train have a loss of {held[-1]:.4g}; it was {min(held):.4g} after epoch {best}"
        if worse
        else ""
    )


def class_imbalance(epochs: Sequence[Epoch]) -> str:
    """A class that hardly any row has."""
    counts = epochs[-1]["classes"]
    few, rows = min(counts, default=0), sum(counts)
    return f"the rarest class has {few:,} of {rows:,} rows" if counts and few < RAREST * rows else ""


def rank_skew(epochs: Sequence[Epoch]) -> str:
    """One rank works longer than the others, which wait."""
    work = epochs[-1]["work_s"]
    slowest = work.index(max(work))
    others = (sum(work) - max(work)) / max(len(work) - 1, 1)
    skewed = len(work) > 1 and epochs[-1]["seconds"] >= LEAST_S and max(work) > SKEWED * others
    return f"rank {slowest} works {max(work):.1f} s an epoch, the others on average {others:.1f} s" if skewed else ""


def input_starvation(epochs: Sequence[Epoch]) -> str:
    """Ranks wait for rows."""
    share = epochs[-1]["profile"]["load"] / max(epochs[-1]["seconds"], 1e-9)
    starved = epochs[-1]["seconds"] >= LEAST_S and share > STARVED
    return f"ranks wait for rows {share:.0%} of the time" if starved else ""


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        not_finite, not_learning, exploding_gradients, vanishing_gradients, dead_units, overfitting, class_imbalance,
        rank_skew, input_starvation,
    )
}  # fmt: skip


def examined(epochs: Sequence[Epoch]) -> list[Finding]:
    """What the rules say after the last of these epochs."""
    found = ((name, rule(epochs)) for name, rule in RULES.items()) if epochs else ()
    return [Finding(name, len(epochs), why) for name, why in found if why]


def ailments(epochs: Sequence[Epoch]) -> list[dict[str, Any]]:
    """Each rule that spoke, when first, and what it said last: of a whole training."""
    said: dict[str, dict[str, Any]] = {}
    for upto in range(1, len(epochs) + 1):
        for found in examined(epochs[:upto]):
            first = said.get(found.rule, {}).get("since", found.epoch)
            said[found.rule] = {"rule": found.rule, "since": first, "last": found.epoch, "why": found.why}
    return list(said.values())
