"""What the counted scores of a window say, by the kind of answer: chances of yes, numbers, or classes. Pure.

A chance is counted by label in equal bins, so that each metric of a window, its interval and its estimate follow from
the counts. A number is counted in bins of equal ratio (a DDSketch), its errors by the sums of their powers: the mean
and the variance of |error|, or of its square, say the metric and, by the central limit theorem, its interval.
A class is counted by label, and by its probability.

Source: Masson, Rim, Lee (2019), "DDSketch".
"""

from collections.abc import Collection, Mapping, Sequence
from math import sqrt
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluate import Multiclass, binary
from pipelines.evaluate.base import Counts
from pipelines.evaluate.binary import BINS
from pipelines.monitor import estimating
from pipelines.monitor.deciding import BY_CHANCE
from pipelines.monitor.tallies import by_label, rows_of, scored
from pipelines.monitor.trained import Trained
from pipelines.spec.monitor import WATCHED

RESAMPLES, SEED, CONFIDENCE, DEVIATIONS = 200, 20130101, 0.95, 1.96
CELLS = 512  # bins that an interval is drawn in
BARS = 20  # of scores, to compare a window with another
CUTS = [i * BINS // BARS for i in range(BARS)]  # their first bins
Scores = Mapping[str, Any]  # as `counting` made them; {} where nothing was scored


class Answers(Protocol):
    """Every method takes the counts of a window's scores."""

    estimable: Collection[str]  # metrics that can be estimated before labels are known

    def rows(self, scores: Scores) -> int:
        """Scored or not."""

    def labelled(self, scores: Scores) -> int:
        """Rows whose label is known."""

    def untold(self, scores: Scores) -> str:
        """Why no metric can be told of the labels that are known; '' where it can."""

    def unlikely(self, scores: Scores, made: Trained | None) -> str:
        """Why that is no chance, by the calibrated scores of those rows; '' where it may be one."""

    def mean(self, scores: Scores) -> float | None:
        """Of the scores; None where there are none."""

    def bars(self, before: Scores, now: Scores) -> tuple[list[float], list[float]]:
        """Rows of two windows in the same bars."""

    def outlined(self, scores: Scores) -> Scores:
        """As many rows in few bins: enough to be one side of `bars`."""

    def value(self, scores: Scores, metric: str, made: Trained) -> float | None:
        """The metric by known labels; None where they cannot tell."""

    def true(self, scores: Scores, metric: str, made: Trained | None) -> list[float] | None:
        """The metric by known labels, and its interval at 95 %."""

    def estimated(
        self, scores: Scores, metric: str, made: Trained | None, known: bool = False
    ) -> tuple[float | None, float | None]:
        """The metric without labels, and the error of the calibration that it stands on.

        known: of the rows alone whose label is known, to be held against them.
        """


class Chances:
    """Of yes, in [0, 1]."""

    estimable: Collection[str] = WATCHED["binary"]

    def rows(self, scores: Scores) -> int:
        return rows_of(dict(scores))

    def labelled(self, scores: Scores) -> int:
        return int(by_label(dict(scores), BINS).sum())

    def untold(self, scores: Scores) -> str:
        no, yes = by_label(dict(scores), BINS).sum(axis=0)
        if no and yes:
            return ""
        return f"all {int(no + yes):,} rows that have a label {'have' if yes else 'lack'} what it asks for"

    def unlikely(self, scores: Scores, made: Trained | None) -> str:
        counts = by_label(dict(scores), BINS)
        if made is None or all(counts.sum(axis=0)) or not counts.any():
            return ""
        lacking = 1 if counts[:, 0].any() else 0
        rows = counts.sum(axis=1)
        likely = estimating.expected(rows, estimating.calibrate(made.calibration))
        chance = estimating.of_none(rows, likely[:, lacking])
        about = f"about {likely[:, lacking].sum():,.0f} of {rows.sum():,.0f} were to be expected otherwise"
        return f"{self.untold(scores)}, and {about}" if chance <= BY_CHANCE else ""

    def mean(self, scores: Scores) -> float | None:
        return _mean(scored(dict(scores), BINS))

    def bars(self, before: Scores, now: Scores) -> tuple[list[float], list[float]]:
        one, other = (np.add.reduceat(scored(dict(s), BINS), CUTS).tolist() for s in (before, now))
        return one, other

    def outlined(self, scores: Scores) -> Scores:
        bars = np.add.reduceat(scored(dict(scores), BINS), CUTS)
        return {"unknown": {str(place): int(rows) for place, rows in zip(CUTS, bars, strict=True) if rows}}

    def value(self, scores: Scores, metric: str, made: Trained) -> float | None:
        return _of_counts(by_label(dict(scores), BINS), metric, made.threshold)

    def true(self, scores: Scores, metric: str, made: Trained | None) -> list[float] | None:
        counts, threshold = by_label(dict(scores), BINS), made.threshold if made else 0.5
        value, few = _of_counts(counts, metric, threshold), estimating.gathered(counts, CELLS)
        middle = _of_counts(few, metric, threshold)
        if value is None or middle is None:
            return None
        drawn = [_of_counts(c, metric, threshold) for c in estimating.resampled(few, RESAMPLES, SEED)]
        return _interval(value, [round(min(max(v + value - middle, 0.0), 1.0), 6) for v in drawn if v is not None])

    def estimated(
        self, scores: Scores, metric: str, made: Trained | None, known: bool = False
    ) -> tuple[float | None, float | None]:
        if made is None:
            return None, None
        calibration = estimating.calibrate(made.calibration)
        rows = by_label(dict(scores), BINS).sum(axis=1) if known else scored(dict(scores), BINS)
        likely = estimating.expected(rows, calibration)
        return _of_counts(likely, metric, made.threshold), calibration.error


def _mean(rows: NDArray[np.float64]) -> float | None:
    """Of scores, by bin."""
    return round(float(rows @ binary.MIDDLE / rows.sum()), 6) if rows.sum() else None


def _interval(value: float, drawn: Sequence[float]) -> list[float] | None:
    found = sorted(drawn)
    if not found:
        return None
    cut = int(len(found) * (1 - CONFIDENCE) / 2)
    return [value, found[cut], found[-1 - cut]]


def _of_counts(counts: Counts, metric: str, threshold: float) -> float | None:
    """A metric of a histogram; None where a label has no rows."""
    if not all(counts.sum(axis=0) > 0):
        return None
    direct = {"roc_auc": binary.roc_auc, "average_precision": binary.average_precision}
    made = direct[metric](counts) if metric in direct else binary.metrics(counts, threshold)[metric]
    return round(made, 6)


class Numbers:
    """Any, with errors in the unit of the label."""

    estimable: Collection[str] = ()  # a number says nothing of its own error

    def rows(self, scores: Scores) -> int:
        return int(sum(scores.get("scores", {}).values()) + scores.get("unscored", 0))

    def labelled(self, scores: Scores) -> int:
        return int(scores.get("labelled", 0))

    def untold(self, scores: Scores) -> str:
        return ""

    def unlikely(self, scores: Scores, made: Trained | None) -> str:
        return ""

    def mean(self, scores: Scores) -> float | None:
        rows = sum(scores.get("scores", {}).values())
        return _figures(scores["sum"] / rows) if rows else None

    def bars(self, before: Scores, now: Scores) -> tuple[list[float], list[float]]:
        (one, rows), (other, rows_now) = (_by_place(s) for s in (before, now))
        if not len(one):
            return [], []
        bar = _bar(rows)
        at = np.minimum(np.searchsorted(one, other), len(one) - 1)  # the first bin of `before` that is no lower
        return np.bincount(bar, rows, BARS).tolist(), np.bincount(bar[at], rows_now, BARS).tolist()

    def outlined(self, scores: Scores) -> Scores:
        places, rows = _by_place(scores)
        bar = _bar(rows)
        highest = {int(b): int(place) for b, place in zip(bar, places, strict=True)}
        return {"scores": {str(place): int(rows[bar == b].sum()) for b, place in highest.items()}}

    def value(self, scores: Scores, metric: str, made: Trained) -> float | None:
        found = self.true(scores, metric, made)
        return found[0] if found else None

    def true(self, scores: Scores, metric: str, made: Trained | None) -> list[float] | None:
        rows = self.labelled(scores)
        if not rows:
            return None
        first, square, fourth = (scores[power] / rows for power in ("absolute", "square", "fourth"))
        mean, spread = (first, square) if metric == "mae" else (square, fourth)
        far = DEVIATIONS * sqrt(max(spread - mean**2, 0.0) / rows)
        interval: Sequence[float] = (mean, max(mean - far, 0.0), mean + far)
        return [_figures(v if metric == "mae" else sqrt(v)) for v in interval]

    def estimated(
        self, scores: Scores, metric: str, made: Trained | None, known: bool = False
    ) -> tuple[float | None, float | None]:
        return None, None


def _by_place(scores: Scores) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Bins that have rows, rising, and those."""
    found = sorted((int(place), rows) for place, rows in scores.get("scores", {}).items() if rows)
    return np.array([place for place, _ in found], np.int64), np.array([rows for _, rows in found], float)


def _bar(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of each bin, by rising bin: bars of about as many rows each."""
    return np.asarray(np.minimum((np.cumsum(rows) - rows / 2) / rows.sum() * BARS, BARS - 1), np.int64)


class Classes:
    """One of some, each given with its probability."""

    estimable: Collection[str] = ("accuracy",)  # what else there is hangs on the probabilities of the other classes too

    def rows(self, scores: Scores) -> int:
        return int(sum(scores.get("given", {}).values()) + scores.get("unscored", 0))

    def labelled(self, scores: Scores) -> int:
        return int(sum(sum(given.values()) for given in scores.get("pairs", {}).values()))

    def untold(self, scores: Scores) -> str:
        return ""

    def unlikely(self, scores: Scores, made: Trained | None) -> str:
        return ""

    def mean(self, scores: Scores) -> float | None:
        return _mean(_probable(scores))

    def bars(self, before: Scores, now: Scores) -> tuple[list[float], list[float]]:
        one, other = (s.get("given", {}) for s in (before, now))
        every = sorted({*one, *other})
        first, second = ([float(side.get(each, 0)) for each in every] for side in (one, other))
        return first, second

    def outlined(self, scores: Scores) -> Scores:
        return {"given": dict(scores.get("given", {}))}

    def value(self, scores: Scores, metric: str, made: Trained) -> float | None:
        return _of_pairs(_pairs(scores), metric)

    def true(self, scores: Scores, metric: str, made: Trained | None) -> list[float] | None:
        pairs, dice = _pairs(scores), np.random.default_rng(SEED)
        value = _of_pairs(pairs, metric)
        drawn = [_of_pairs(dice.poisson(pairs), metric) for _ in range(RESAMPLES)] if value is not None else []
        return _interval(value, [v for v in drawn if v is not None]) if value is not None else None

    def estimated(
        self, scores: Scores, metric: str, made: Trained | None, known: bool = False
    ) -> tuple[float | None, float | None]:
        rows = _probable(scores, known)
        if made is None or metric not in self.estimable or not rows.sum():
            return None, None
        sure = estimating.calibrate(made.calibration)
        return round(float(estimating.expected(rows, sure)[:, 1].sum() / rows.sum()), 6), sure.error


def _probable(scores: Scores, known: bool = False) -> NDArray[np.float64]:
    """Rows by bin of the probability of the class given; known: those whose label is."""
    found = np.zeros(BINS)
    for fate in ("right", "wrong", "unknown")[: 2 if known else 3]:
        for place, rows in scores.get(fate, {}).items():
            found[int(place)] += rows
    return found


def _pairs(scores: Scores) -> NDArray[np.float64]:
    """Rows by label and class given, of every class that is either."""
    pairs = scores.get("pairs", {})
    every = {each: i for i, each in enumerate(sorted({*pairs, *(g for given in pairs.values() for g in given)}))}
    found = np.zeros((len(every), len(every)))
    for label, given in pairs.items():
        for each, rows in given.items():
            found[every[label], every[each]] = rows
    return found


def _of_pairs(pairs: NDArray[Any], metric: str) -> float | None:
    """As multiclass.py has it; None of no row."""
    counts = np.stack([pairs.sum(axis=1), pairs.sum(axis=0), pairs.diagonal(), np.full(len(pairs), np.nan)], axis=1)
    task = Multiclass()
    return None if task.lacks(counts) else round(task.metrics(counts)[metric], 6)


def _figures(value: float) -> float:
    """Nine digits, whatever the unit of the label."""
    return float(f"{value:.9g}")


ANSWERS: Mapping[str, Answers] = {"binary": Chances(), "regression": Numbers(), "multiclass": Classes()}  # by task
