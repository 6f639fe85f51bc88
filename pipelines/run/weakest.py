"""The slice in which a window's scores are worst, beside the same slice of the test slice; and whether that is chance.

Many slices are many tests: the interval is as wide as it has to be for all of them at once (Dunn 1961, whose bound is
Bonferroni's), and holds what the test slice may be off by too: its error is the window's, by the number of its rows.
"""

from collections.abc import Iterator, Mapping
from math import sqrt
from statistics import NormalDist
from typing import Any, NamedTuple

from pipelines.monitor.deciding import suffice
from pipelines.monitor.estimating import DEVIATIONS
from pipelines.monitor.trained import Trained
from pipelines.run.answers import Answers
from pipelines.spec import Monitor
from pipelines.spec.monitor import ERRORS, Performance

CONFIDENCE = 0.95  # of all intervals together
Counted = Mapping[str, Mapping[str, Mapping[str, Any]]]  # column -> value -> counts of its scores


class Held(NamedTuple):
    """A slice that has labels enough, and what it is held against."""

    slice: str
    counts: Mapping[str, Any]
    labelled: int
    tested: int  # rows of the test slice
    before: float
    lost: float


def weakest(monitor: Monitor, answers: Answers, counted: Counted, made: Trained | None) -> dict[str, Any] | None:
    """The slice that has surely lost most; else the one that seems to; None where none can be judged."""
    held = list(_held(monitor, answers, counted, made)) if made else []
    drop = monitor.performance.drop or 0
    beyond = [h for h in held if h.lost > drop] or sorted(held, key=lambda h: h.lost)[-1:]
    found = [each for h in beyond if made and (each := _said(monitor, answers, made, h, len(held)))]
    return max(found, key=lambda s: (s["sure"], s["lost"]), default=None)


def sentence(asked: Performance, found: Mapping[str, Any]) -> str:
    """Of a slice that has surely lost too much; of another one nothing."""
    if not found["sure"]:
        return ""
    (value, low, high), before = found["true"], found["before"]
    return f"{asked.shown(value, low, high, found['slice'])}, {asked.by(value, before)} {asked.figure(before)}"


def _held(monitor: Monitor, answers: Answers, counted: Counted, made: Trained) -> Iterator[Held]:
    asked = monitor.performance
    assert asked.metric
    for column, values in counted.items():
        for value, counts in values.items():
            tested = made.slices.get((column, value), {})
            before, labelled = tested.get("metrics", {}).get(asked.metric), answers.labelled(counts)
            if before is None or tested["rows"] < monitor.rows or not suffice(monitor, labelled, answers.rows(counts)):
                continue
            now = answers.value(counts, asked.metric, made)
            if now is not None:
                lost = asked.lost(now, before)
                yield Held(f"{column} = {value}", counts, labelled, tested["rows"], before, lost)


def _said(monitor: Monitor, answers: Answers, made: Trained, h: Held, tests: int) -> dict[str, Any] | None:
    """A slice with the interval of its metric, so wide that it holds for as many tests."""
    metric = monitor.performance.metric
    assert metric
    true = answers.true(h.counts, metric, made)
    if true is None:
        return None
    value, low, high = true
    wide = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / (2 * tests)) / DEVIATIONS * sqrt(1 + h.labelled / h.tested)
    low, high = max(value - wide * (value - low), 0.0), value + wide * (high - value)
    if metric not in ERRORS:
        high = min(high, 1.0)
    sure = h.lost > (monitor.performance.drop or 0) and (low > h.before if metric in ERRORS else high < h.before)
    return {
        "slice": h.slice,
        "rows": answers.rows(h.counts),
        "labelled": h.labelled,
        "true": [float(f"{v:.9g}") for v in (value, low, high)],
        "before": h.before,
        "lost": round(h.lost, 6),
        "sure": sure,
        "looked_at": tests,
    }
