"""How late a monitor sees a drift whose date is known, and how often it sees one that is not there. No engine.

    python scripts/alarms.py [--seeds 200]

Forty windows of five features, one of which changes at window 20. An alarm is a window in which a feature counts as
drifted, by the rule of pipelines/monitor/comparing.py with the defaults of a conf. The table is in docs/monitoring.md.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.monitor.bins import Numbers
from pipelines.monitor.comparing import compare
from pipelines.spec.monitor import Drift

FEATURES, WINDOWS, CHANGE, REFERENCE = 5, 40, 20, 20_000
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """rows: of a window; shift: of one feature's mean in standard deviations; a_window: it grows by so much instead."""

    rows: int
    shift: float = 0.0
    a_window: float = 0.0

    def mean(self, window: int) -> float:
        """Of the feature that changes."""
        return self.shift + self.a_window * (window - CHANGE + 1) if window >= CHANGE else 0.0


@dataclass(frozen=True)
class Trial:
    """One seed: how many of the windows before the change gave an alarm; windows from the change to the first one."""

    false_alarms: int
    delay: int | None  # 0: in the first changed window; None: never


def trial(case: Case, drift: Drift, seed: int) -> Trial:
    """One course of windows."""
    rng = np.random.default_rng(seed)
    before = rng.normal(0, 1, (FEATURES, REFERENCE))
    bins = {
        f"x{i}": Numbers.of(np.quantile(v, np.linspace(0, 1, 11)).tolist(), float(v.std()))
        for i, v in enumerate(before)
    }
    held = {name: _counted(b, v) for (name, b), v in zip(bins.items(), before, strict=True)}
    alarms = [_alarm(rng, case, window, drift, (bins, held)) for window in range(WINDOWS)]
    return Trial(sum(alarms[:CHANGE]), next((i for i, alarm in enumerate(alarms[CHANGE:]) if alarm), None))


def _alarm(rng: np.random.Generator, case: Case, window: int, drift: Drift, reference: tuple[Any, Any]) -> bool:
    bins, held = reference
    values = rng.normal(0, 1, (FEATURES, case.rows))
    values[0] += case.mean(window)
    now = {name: _counted(b, v) for (name, b), v in zip(bins.items(), values, strict=True)}
    return any(c.drifted for c in compare(drift, bins, {"training": held}, now))


def _counted(bins: Numbers, values: Values) -> dict[str, list[float]]:
    place = bins.place(values)
    parts = {"rows": np.bincount(place, minlength=bins.slots), "sums": np.bincount(place, values, bins.slots)}
    return {key: part.tolist() for key, part in parts.items()}


CASES = (Case(100, shift=1.0), Case(500, shift=0.25), Case(500, shift=0.5), Case(500, a_window=0.05))
RULES = {
    "psi": Drift(),
    "psi alone": Drift(false_discovery=0.999999),  # as if no test of chance were asked
    "jensen_shannon": Drift(statistic="jensen_shannon"),
    "wasserstein": Drift(statistic="wasserstein"),
}


def table(seeds: int) -> Iterator[str]:
    """Markdown: a line for each case and rule."""
    yield "| rows a window | change | rule | false alarms, of windows | seen, of seeds | delay: median, worst |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for case in CASES:
        for name, drift in RULES.items():
            found = [trial(case, drift, seed) for seed in range(seeds)]
            delays = [t.delay for t in found if t.delay is not None]
            false = sum(t.false_alarms for t in found) / (seeds * CHANGE)
            change = f"{case.shift:g} sd" if case.shift else f"{case.a_window:g} sd a window"
            late = f"{np.median(delays):g}, {max(delays)}" if delays else "never"
            yield f"| {case.rows:,} | {change} | {name} | {false:.2%} | {len(delays) / seeds:.0%} | {late} |"


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    for line in table(parser.parse_args(arguments).seeds):
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
