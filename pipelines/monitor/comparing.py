"""All features of a window against their reference: how far each is from it, and which have drifted. Pure.

A feature has drifted where its statistic, the change of its share of missing values or its share of new ones is beyond
the limit *and* the chi-squared test, adjusted for there being many features and references, says that this is no
chance: a small window is far from anything, a large one differs from everything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from pipelines.monitor.bins import Bins, Categories, Json, Numbers
from pipelines.monitor.statistics import benjamini_hochberg, chi_squared, jensen_shannon, psi, wasserstein
from pipelines.spec.monitor import Drift, Reference, Statistic

Counts = Mapping[str, Json]


@dataclass(frozen=True)
class Compared:
    """One feature of one window."""

    feature: str
    kind: str
    psi: float
    jensen_shannon: float
    wasserstein: float | None  # of a number that is there on both sides
    chance: float  # p of the chi-squared test, adjusted for the number of features
    missing: float  # shares of the window's rows ...
    missing_before: float  # ... and of the reference's
    new: float | None  # of categories: share of values that the reference has not; None: cannot be told
    statistic: str  # the one that decides; or missing, new, where one of them alone is beyond its limit
    distance: float  # by it
    most: float  # its limit
    ignored: bool  # by the conf: it is shown and never counts
    drifted: bool
    reference: Reference  # of those asked for, the one that it is furthest from

    def words(self, which: bool) -> str:
        """For a sentence; which: with the reference, also where it is the usual one."""
        since = " from the window before" if self.reference == "previous" else " from training" if which else ""
        return f"{self.feature} ({self.statistic} {self.distance:.2f}{since})"

    def as_json(self) -> dict[str, Json]:
        """For the run record."""
        return {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(self).items()}


def compare(
    drift: Drift,
    bins: Mapping[str, Bins],
    before: Mapping[Reference, Mapping[str, Counts]],
    now: Mapping[str, Counts],
) -> tuple[Compared, ...]:
    """Every feature that has rows on both sides, the furthest from its limit first; of many references by the worst."""
    sides = [
        _Sides(r, n, held[n], now[n]) for r, held in before.items() for n in bins if _rows(held, n) and _rows(now, n)
    ]
    told = [[s for s in sides if (s.feature in drift.ignore) is ignored] for ignored in (False, True)]
    found = [
        _compared(drift, bins[s.feature], s, p) for each in told for s, p in zip(each, _chances(each), strict=True)
    ]
    worst: dict[str, Compared] = {}
    for c in sorted(found, key=lambda c: (not c.drifted, -c.distance / c.most, c.feature)):
        worst.setdefault(c.feature, c)
    return tuple(worst.values())


def _chances(sides: "Sequence[_Sides]") -> list[float]:
    """Of those that count, and of those that are only shown, each by themselves."""
    return benjamini_hochberg([chi_squared(s.before["rows"], s.now["rows"])[1] for s in sides])


class _Sides(NamedTuple):
    """A feature's counts in a reference and in a window."""

    reference: Reference
    feature: str
    before: Counts
    now: Counts


def _rows(counts: Mapping[str, Counts], feature: str) -> int:
    return sum(counts.get(feature, {}).get("rows", ()))


def _compared(drift: Drift, bins: Bins, sides: _Sides, chance: float) -> Compared:
    reference, name, before, now = sides
    rows = before["rows"], now["rows"]
    distances: dict[str, float | None] = {
        "psi": psi(*rows),
        "jensen_shannon": jensen_shannon(*rows),
        "wasserstein": _moved(before, now, bins.spread if isinstance(bins, Numbers) else None),
    }
    by: Statistic = drift.statistic if distances[drift.statistic] is not None else "jensen_shannon"
    missing = [side[-1] / sum(side) for side in rows]
    new = rows[1][-2] / sum(rows[1]) if isinstance(bins, Categories) and bins.complete else None
    asked: list[tuple[str, float, float]] = [(by, distances[by] or 0.0, drift.limit(name, by))]
    asked += [("missing", abs(missing[1] - missing[0]), drift.missing), ("new", new or 0.0, drift.new)]
    beyond = (each for each in asked if each[1] > each[2])
    statistic, distance, most = next(beyond, asked[0])
    far = distance > most and chance <= drift.false_discovery and name not in drift.ignore
    return Compared(
        feature=name,
        kind=bins.kind,
        **distances,  # type: ignore[arg-type]
        chance=chance,
        missing=missing[1],
        missing_before=missing[0],
        new=new,
        statistic=statistic,
        distance=distance,
        most=most,
        ignored=name in drift.ignore,
        drifted=far,
        reference=reference,
    )


def _moved(before: Counts, now: Counts, spread: float | None) -> float | None:
    """Each slot's rows stand at their own mean, so that beyond the reference's ends there is distance too."""
    sides = [[(s / n, n) for s, n in zip(c["sums"], c["rows"][:-1], strict=False) if n] for c in (before, now)
             if "sums" in c]  # fmt: skip
    if len(sides) < 2 or not all(sides):
        return None
    (a, p), (b, q) = (tuple(zip(*side, strict=True)) for side in sides)
    return wasserstein((a, p), (b, q), spread)
