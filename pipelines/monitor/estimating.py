"""How good scores are before their labels are known: confidence-based performance estimation. Pure.

A calibrated score says how often such a row is positive. So a window's rows, each counted as so much positive and the
rest negative, have the metrics that are to be expected, as long as the model is right about its own chances: the
estimate sees a change of what is scored, not a change of what follows from it (concept drift).

Source: NannyML, "CBPE"; Kuppers et al. (2020) on why calibration is what it stands on.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.monitor.statistics import chi_squared_tail

Floats = NDArray[np.float64]
STEPS, LEAST = 50, 1e-4  # of Newton's method; the smallest chance that is told from none
DEVIATIONS = 1.96  # of a truth's interval, each way


@dataclass(frozen=True)
class Calibration:
    """chance = logistic(intercept + slope x logit(score)); error: mean gap to the shares that it was fitted on."""

    intercept: float = 0.0
    slope: float = 1.0
    error: float | None = None  # None: nothing to fit it on; scores are taken as they are

    def chances(self, scores: Floats) -> Floats:
        """Of scores in (0, 1)."""
        return _logistic(self.intercept + self.slope * _logit(scores))


def calibrate(points: Sequence[Sequence[float]]) -> Calibration:
    """Fit on [mean score, observed share, rows], as a test slice's calibration curve has them.

    Source: Platt (1999) on the logit of the score: two parameters, so that ten points do.
    """
    if len(points) < 2:
        return Calibration()
    score, share, rows = (np.array(column, float) for column in zip(*points, strict=True))
    fitted = _fitted(_logit(score), share, rows)
    if fitted is None:
        return Calibration()
    made = Calibration(*fitted)
    return Calibration(*fitted, error=float(np.abs(made.chances(score) - share) @ rows / rows.sum()))


def expected(rows: Floats, calibration: Calibration) -> Floats:
    """Rows by bin of the score, shape (bins,) -> rows to be expected by bin and label, shape (bins, 2)."""
    chance = calibration.chances((np.arange(len(rows)) + 0.5) / len(rows))
    return np.stack([rows * (1 - chance), rows * chance], axis=1)


def of_none(rows: Floats, likely: Floats) -> float:
    """The chance that none of these rows has what so many of each bin are likely to have."""
    share = np.divide(likely, rows, out=np.zeros_like(likely), where=rows > 0)
    return float(np.exp(rows @ np.log1p(-np.minimum(share, 1 - LEAST))))


@dataclass(frozen=True)
class Errors:
    """How far estimates were off where the truth became known."""

    mean: float  # of their sizes
    windows: int
    chance: float  # that estimates which are right are as far off

    def as_json(self) -> dict[str, float]:
        """For the run record."""
        return {k: round(v, 6) for k, v in asdict(self).items()}


def errors(found: Sequence[tuple[float, Sequence[float]]]) -> Errors | None:
    """found: of each window how far the estimate was off, and the truth with its interval; None of no window.

    Source: the sum of squares of so many standard normal errors has the chi-squared distribution (Pearson 1900).
    """
    if not found:
        return None
    spread = [max((high - low) / 2 / DEVIATIONS, 1e-9) for _, (_, low, high) in found]
    squares = sum((off / each) ** 2 for (off, _), each in zip(found, spread, strict=True))
    mean = sum(abs(off) for off, _ in found) / len(found)
    return Errors(mean, len(found), chi_squared_tail(squares, len(found)))


def gathered(counts: Floats, cells: int) -> Floats:
    """The same rows in at most so many bins, of about as many rows each; shape (bins, 2), zeros between.

    For draws: what a draw costs is its cells. A metric of it is off by the ties that it makes, in each draw alike.
    """
    there = np.flatnonzero(counts.any(axis=1))
    if len(there) <= cells:
        return counts
    rows = counts[there].sum(axis=1)
    run = ((np.cumsum(rows) - rows / 2) * cells / rows.sum()).astype(int)
    starts = np.flatnonzero(np.diff(run, prepend=-1))
    middle = (starts + np.append(starts[1:], len(there))) // 2
    found = np.zeros_like(counts)
    found[there[middle]] = np.add.reduceat(counts[there], starts)
    return found


def resampled(counts: Floats, times: int, seed: int) -> list[Floats]:
    """Counts as they could have been, each drawn from a Poisson distribution: Efron's (1979) bootstrap of the rows.

    counts: shape (bins, 2). Returns those that have rows of both columns; a column lies whole in memory, to be summed.
    """
    columns = counts.T
    there = columns > 0  # where there are none, none are drawn
    drawn = np.zeros((times, *columns.shape))
    drawn[:, there] = np.random.default_rng(seed).poisson(columns[there], (times, int(there.sum())))
    return [sample.T for sample in drawn if sample.any(axis=1).all()]


def _fitted(x: Floats, share: Floats, rows: Floats) -> tuple[float, float] | None:
    """Weighted logistic regression by Newton's method; None where it has no rising solution."""
    design = np.stack([np.ones_like(x), x], axis=1)
    found = np.array([0.0, 1.0])
    for _ in range(STEPS):
        chance = _logistic(design @ found)
        weight = rows * np.maximum(chance * (1 - chance), 1e-9)
        hessian = (design * weight[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(hessian, design.T @ (rows * (share - chance)))
        found = found + np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-10:
            return (float(found[0]), float(found[1])) if found[1] > 0 else None
    return None


def _logit(p: Floats) -> Floats:
    held = np.clip(p, LEAST, 1 - LEAST)
    return np.asarray(np.log(held / (1 - held)))


def _logistic(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -40, 40))))
