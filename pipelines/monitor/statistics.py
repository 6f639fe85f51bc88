"""How far two histograms are apart, and whether that is chance. Pure: row counts over the same bins in, a figure out.

To add a statistic: a function here with its source, a name in spec/monitor.py, a line in comparing.py.
"""

from collections.abc import Sequence
from math import erfc, exp, lgamma, log, sqrt

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError

FEWEST = 5.0  # rows to be expected in a cell of a chi-squared test (Cochran 1954)
Rows = Sequence[float]  # per bin, in the same order on both sides
Floats = NDArray[np.float64]


def psi(before: Rows, now: Rows) -> float:
    """Population stability index, in nats, >= 0; 0 where both have the same shares.

    Errors: DataError if the bins differ in number or a side has no rows.
    Source: Jeffreys (1946), the divergence J; Siddiqi (2006) for its use. Half a row is added to each bin, so that
            an empty one stays finite.
    """
    p, q = _shares("psi", np.asarray(before) + 0.5, np.asarray(now) + 0.5, (before, now))
    return float((q - p) @ np.log(q / p))


def jensen_shannon(before: Rows, now: Rows) -> float:
    """Jensen-Shannon distance to base 2, in [0, 1]: 0 the same shares, 1 no bin in common.

    Errors: as psi. Source: Lin (1991); Endres and Schindelin (2003) for the root, which is a metric.
    """
    p, q = _shares("jensen_shannon", np.asarray(before, float), np.asarray(now, float), (before, now))
    middle = (p + q) / 2
    return sqrt(max((_bits(p, middle) + _bits(q, middle)) / 2, 0.0))


def wasserstein(before: tuple[Rows, Rows], now: tuple[Rows, Rows], spread: float | None = None) -> float:
    """Wasserstein-1 (earth mover's) distance of two samples, in standard deviations of `before`; >= 0.

    before, now: (positions, weights), each side with positions of its own.
    spread     : the standard deviation, where positions are means of bins and would tell too small a one.
    Returns    : of a `before` without spread, the share of `now` that lies elsewhere.
    Errors     : DataError where a side has no rows.
    Source     : Vallender (1974): on the line it is the area between the distribution functions.
    """
    for side, (_, weights) in (("before", before), ("now", now)):
        if not sum(weights):
            raise DataError(f"wasserstein: no rows {side} to compare")
    (a, p), (b, q) = ((np.asarray(x, float), np.asarray(w, float) / sum(w)) for x, w in (before, now))
    spread = sqrt(max(float(p @ (a - p @ a) ** 2), 0.0)) if spread is None else spread
    if spread <= 1e-12 * max(1.0, float(np.abs(a).max())):
        return float(q[~np.isclose(b, p @ a)].sum())
    points = np.unique(np.concatenate([a, b]))
    gap = np.abs(_below(a, p, points) - _below(b, q, points))[:-1]
    return float(gap @ np.diff(points)) / spread


def chi_squared(before: Rows, now: Rows) -> tuple[float, float]:
    """(statistic, p) of the chi-squared test that both samples have the same shares; (0, 1) where one bin is left.

    Bins in which the smaller sample should have fewer than 5 rows are judged together.
    Errors: as psi. Source: Pearson (1900); Cochran (1954) for the pooling.
    """
    _shares("chi_squared", np.asarray(before, float), np.asarray(now, float), (before, now))
    table = _pooled(np.array([before, now], float))
    if table.shape[1] < 2:
        return 0.0, 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return statistic, chi_squared_tail(statistic, table.shape[1] - 1)


def same_share(before: Rows, now: Rows) -> float:
    """p that two counts of two kinds have the same share: by chi-squared, with fewer than 5 expected rows by counting.

    Source: Fisher (1922), the exact test; so that what never was is seen in a small sample, too.
    """
    table = np.array([before, now], float)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return chi_squared(before, now)[1] if expected.min() >= FEWEST else _exact(*map(round, (*before, *now)))


def _exact(a: int, b: int, c: int, d: int) -> float:
    """The chance of all tables of these margins that are no likelier than this one."""
    first, second, whole = a + b, a + c, a + b + c + d
    held = [_log_choose(first, k) + _log_choose(whole - first, second - k)
            for k in range(max(0, first + second - whole), min(first, second) + 1)]  # fmt: skip
    this, every = _log_choose(first, a) + _log_choose(whole - first, c), _log_choose(whole, second)
    return min(sum(exp(each - every) for each in held if each <= this + 1e-7), 1.0)


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def chi_squared_tail(x: float, degrees: int) -> float:
    """The chance that a chi-squared variable is above x. Source: Abramowitz and Stegun (1964), 26.4.4 and 26.4.5."""
    if x <= 0:
        return 1.0
    half, odd = x / 2, degrees % 2
    terms = (exp(-half + (i + odd / 2) * log(half) - lgamma(i + 1 + odd / 2)) for i in range((degrees - odd) // 2))
    return min(sum(terms) + (erfc(sqrt(half)) if odd else 0.0), 1.0)


def benjamini_hochberg(chances: Sequence[float]) -> list[float]:
    """p values adjusted for being many: calling all those <= q significant makes a share of q of the calls false.

    Source: Benjamini and Hochberg (1995), the step-up procedure.
    """
    ranked = sorted(range(len(chances)), key=chances.__getitem__, reverse=True)
    adjusted, least = [1.0] * len(chances), 1.0
    for place, i in enumerate(ranked):
        least = min(least, chances[i] * len(chances) / (len(chances) - place))
        adjusted[i] = least
    return adjusted


def _shares(name: str, p: Floats, q: Floats, rows: tuple[Rows, Rows]) -> tuple[Floats, Floats]:
    before, now = rows
    if len(before) != len(now):
        raise DataError(f"{name}: {len(before)} bins before against {len(now)} now")
    if not sum(before) or not sum(now):
        raise DataError(f"{name}: no rows to compare (before {sum(before):g}, now {sum(now):g})")
    return p / p.sum(), q / q.sum()


def _bits(p: Floats, q: Floats) -> float:
    """Kullback-Leibler divergence to base 2."""
    held = p > 0
    return float(p[held] @ np.log2(p[held] / q[held]))


def _below(positions: Floats, weights: Floats, points: Floats) -> Floats:
    """The distribution function at points."""
    order = np.argsort(positions)
    reached = np.concatenate([[0.0], np.cumsum(weights[order])])
    return np.asarray(reached[np.searchsorted(positions[order], points, side="right")])


def _pooled(table: Floats) -> Floats:
    """Two rows of counts; sparse bins as one, which takes the emptiest other one with it where it is sparse too."""
    order = np.argsort(-table.sum(axis=0), kind="stable")
    table = table[:, order]
    least = table.sum(axis=0) * table.sum(axis=1).min() / table.sum()
    kept = int((least >= FEWEST).sum())
    rest = least[kept:].sum()
    if 0 < rest < FEWEST:
        kept -= 1
    kept = max(kept, 0)
    cells = np.concatenate([table[:, :kept], table[:, kept:].sum(axis=1, keepdims=True)], axis=1)
    return np.asarray(cells[:, cells.sum(axis=0) > 0])
