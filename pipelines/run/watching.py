"""What is said of the windows of a monitor: counts and run records in, judgements out. No engine runs here.

The record of a monitor holds the windows that its batch touched, each as `_window` makes it, and the decision.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np

from pipelines.evaluate import binary
from pipelines.evaluate.base import Counts
from pipelines.evaluate.binary import BINS
from pipelines.monitor import deciding, estimating
from pipelines.monitor.comparing import Compared, compare
from pipelines.monitor.deciding import Closed, Said, Seen
from pipelines.monitor.history import newest_windows
from pipelines.monitor.statistics import chi_squared, psi
from pipelines.monitor.tallies import SCORE, Key, Reference, Totals, by_label, rows_of, scored
from pipelines.spec import Monitor
from pipelines.spec.monitor import USUAL, Period
from pipelines.state import History

RESAMPLES, SEED, CONFIDENCE = 200, 20130101, 0.95
BARS = 20  # of scores, to compare a window with the one before
Hang = Mapping[Key, Mapping[str, Any]]  # window -> as attribution.compared has it
UNRECORDED = "no run that is recorded here trained version {}, or its training slice cannot be read"


@dataclass(frozen=True)
class Trained:
    """What the run record of a training says of a model version."""

    version: int
    features: int  # version of the feature table
    first: str  # days of its training slice
    last: str
    threshold: float
    test: Mapping[str, Sequence[float]]  # metric -> value, and its interval
    calibration: Sequence[Sequence[float]]


def trained(history: History, model: str, features: str, version: int) -> Trained | None:
    """By the newest record that made the version; None where there is none."""
    mine = (r for r in reversed(history.records) if r.stage == f"models.{model}")
    record = next((r for r in mine if r.detail.get("version") == version and features in r.inputs), None)
    if record is None:
        return None
    d, train = record.detail, record.detail["splits"]["train"]
    points = d.get("curves", {}).get("calibration", ())
    return Trained(
        version, record.inputs[features]["upto"], train["from"], train["to"], d.get("threshold", 0.5), d["test"], points
    )


@dataclass(frozen=True)
class Subject:
    """What a monitor watches, by the conf: its own stage, the model, the stage of the features."""

    stage: str
    monitor: Monitor
    model: str
    features: str
    usd: Decimal | None = None  # what a training is likely to cost
    until: datetime | None = None  # of the newest row of the spine, scored or not


def watched(
    history: History, subject: Subject, totals: Totals, touched: Collection[Key], hang: Hang | None = None
) -> dict[str, Any]:
    """The detail of a monitor's record: the windows that were touched, oldest first, and what follows from all.

    hang: what the answers of a window hang on, beside the training slice.
    """
    monitor, model = subject.monitor, subject.model
    made = {v: trained(history, model, subject.features, v) for _, v in totals.windows}
    mine = [r for r in history.records if r.stage == subject.stage and r.status == "ok"]
    held = {_key(w): w for w in newest_windows(mine)} if len(touched) < len(totals.windows) else {}
    missing = set(_missing(totals.windows, monitor.window, subject.until)) - set(held)
    found = {key: _Watch(monitor, totals, made, hang or {}).window(key) for key in sorted({*touched, *missing})}
    said = deciding.decide(_closed(subject, {**held, **found}), monitor.retrain, learned(history, model), subject.usd)
    decision = {"verdict": said.verdict, "reasons": list(said.reasons), "asks": monitor.retrain is not None}
    return {"model": model, "windows": [found[key] for key in sorted(found)], "decision": decision}


def _missing(windows: Collection[Key], period: Period, until: datetime | None) -> Iterator[Key]:
    """The windows without a row between those of the newest version; the one after them, if the spine went past it."""
    version = max((v for _, v in windows), default=0)
    starts = sorted(start for start, v in windows if v == version)
    for start, later in pairwise(starts):
        start = end(start, period)
        while start < later:
            yield start, version
            start = end(start, period)
    if starts and until and end(end(starts[-1], period), period) <= until:
        yield end(starts[-1], period), version


def learned(history: History, model: str) -> datetime | None:
    """The end of the newest day of which the last training saw rows, whatever came of it; None before the first."""
    mine = [r for r in history.records if r.stage == f"models.{model}" and "splits" in r.detail]
    newest = [part["to"] for r in mine[-1:] for part in r.detail["splits"].values()]
    return _midnight(max(newest)) + timedelta(days=1) if newest else None


def _midnight(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day[:10]), time(), UTC)


def _key(window: Mapping[str, Any]) -> Key:
    return datetime.fromisoformat(window["window"]), window["model_version"]


def _closed(subject: Subject, every: Mapping[Key, Mapping[str, Any]]) -> list[Closed]:
    """The windows of the newest version that are over: a row of a later one was scored, or came without a score."""
    if not every:
        return []
    monitor, version = subject.monitor, max(v for _, v in every)
    newest = max(start for start, _ in every)
    newest = max(newest, subject.until or newest)
    over = [
        (start, every[start, v]) for start, v in sorted(every) if v == version and end(start, monitor.window) <= newest
    ]
    return [
        Closed(name(start, monitor.window), end(start, monitor.window), Said(w["verdict"], tuple(w["reasons"])))
        for start, w in over
    ]


def end(start: datetime, period: Period) -> datetime:
    """When a window is over."""
    if period == "month":
        return (start.replace(day=1) + timedelta(days=32)).replace(day=1)
    return start + timedelta(days=7 if period == "week" else 1)


def name(start: datetime, period: Period) -> str:
    """'December 2013', 'week of 2013-12-02', '2013-12-02'."""
    if period == "month":
        return f"{start:%B %Y}"
    return f"week of {start:%Y-%m-%d}" if period == "week" else f"{start:%Y-%m-%d}"


@dataclass(frozen=True)
class _Watch:
    """All that a window is judged by."""

    monitor: Monitor
    totals: Totals
    made: Mapping[int, Trained | None]
    hang: Hang

    def window(self, key: Key) -> dict[str, Any]:
        """Everything that is said of a window and the model version that scored it."""
        start, version = key
        counts = self._counts(key)
        compared = self._compared(key)
        performance = self._performance(key)
        seen = self._seen(key, compared, performance)
        said = deciding.judge(self.monitor, seen)
        return {
            "window": start.isoformat(),
            "name": name(start, self.monitor.window),
            "model_version": version,
            "rows": seen.rows,
            "labelled": seen.labelled,
            "features": [c.as_json() for c in compared],
            "drifted": [c.feature for c in compared if c.drifted],
            "score_psi": self._score_moved(key)[0],
            "score_mean": _mean(scored(counts.get(SCORE, {}), BINS)),
            "performance": performance,
            "attribution": self.hang.get(key),
            "verdict": said.verdict,
            "reasons": list(said.reasons),
        }

    def _counts(self, key: Key) -> Mapping[str, Any]:
        return self.totals.windows.get(key, {})

    def _before(self, key: Key) -> Key | None:
        """The window of the same version before this one."""
        start, version = key
        return max(((s, v) for s, v in self.totals.windows if v == version and s < start), default=None)

    def _compared(self, key: Key) -> tuple[Compared, ...]:
        reference, counts = self.totals.references.get(key[1], Reference()), self._counts(key)
        if rows_of(counts.get(SCORE, {})) < self.monitor.rows:
            return ()
        held: Mapping[str, Any] = reference.counts
        if self.monitor.reference == "previous":
            before = self._before(key)
            held = self.totals.windows[before] if before else {}
        return compare(self.monitor.drift, reference.bins, held, counts)

    def _performance(self, key: Key) -> dict[str, Any]:
        """The metric by what happened, by estimate, and what both are held against; None for what is not known."""
        asked, made = self.monitor.performance, self.made.get(key[1])
        counts, test = self._counts(key).get(SCORE, {}), made.test.get(asked.metric) if made else None
        calibration = estimating.calibrate(made.calibration if made else ())
        likely = estimating.expected(scored(counts, BINS), calibration)
        threshold = made.threshold if made else 0.5
        return {
            "metric": asked.metric,
            "before": self._held_against(key, test),
            "true": _interval(by_label(counts, BINS), asked.metric, threshold),
            "estimated": _value(likely, asked.metric, threshold) if made else None,
            "calibration_error": calibration.error,
        }

    def _held_against(self, key: Key, test: Sequence[float] | None) -> float | None:
        before = self._before(key) if self.monitor.reference == "previous" else None
        counts = by_label(self.totals.windows[before].get(SCORE, {}), BINS) if before else None
        made = self.made.get(key[1])
        if counts is not None and made and counts.sum() >= self.monitor.rows:
            return _value(counts, self.monitor.performance.metric, made.threshold)
        return float(test[0]) if test else None

    def _seen(self, key: Key, compared: Sequence[Compared], performance: Mapping[str, Any]) -> Seen:
        counts, reference = self._counts(key), self.totals.references.get(key[1])
        score = counts.get(SCORE, {})
        labelled = by_label(score, BINS)
        return Seen(
            rows=rows_of(score),
            compared=len(compared),
            counted=min((rows_of(c) for n, c in counts.items() if n != SCORE), default=None),
            drifted=tuple((c.feature, c.statistic, c.distance) for c in compared if c.drifted),
            scores=self._score_drift(key),
            attribution=self.hang[key]["ndcg"] if key in self.hang else None,
            no_reference="" if reference else UNRECORDED.format(key[1]),
            first=self.monitor.reference == "previous" and self._before(key) is None,
            labelled=int(labelled.sum()),
            positives=int(labelled[:, 1].sum()),
            unscored=score.get("unscored", 0),
            before=performance["before"],
            true=tuple(performance["true"]) if performance["true"] else None,
            estimated=performance["estimated"],
        )

    def _score_drift(self, key: Key) -> float | None:
        distance, chance = self._score_moved(key)
        far = distance is not None and distance > USUAL["psi"] and chance <= self.monitor.drift.false_discovery
        return distance if far else None

    def _score_moved(self, key: Key) -> tuple[float | None, float]:
        """PSI of the scores against the window before, over 20 equal bins, and its chance; None: one has no rows."""
        before = self._before(key)
        sides = [_bars(scored(self._counts(k).get(SCORE, {}), BINS)).tolist() for k in (before, key) if k]
        if len(sides) < 2 or not all(map(sum, sides)):
            return None, 1.0
        return round(psi(*sides), 6), chi_squared(*sides)[1]


def _bars(rows: Counts) -> Counts:
    return np.asarray(np.add.reduceat(rows, [i * len(rows) // BARS for i in range(BARS)]))


def _mean(rows: Counts) -> float | None:
    middle = (np.arange(len(rows)) + 0.5) / len(rows)
    return round(float(rows @ middle / rows.sum()), 6) if rows.sum() else None


def _value(counts: Counts, metric: str, threshold: float) -> float | None:
    """A metric of a histogram; None where a label has no rows."""
    if not all(counts.sum(axis=0) > 0):
        return None
    direct = {"roc_auc": binary.roc_auc, "average_precision": binary.average_precision}
    made = direct[metric](counts) if metric in direct else binary.metrics(counts, threshold)[metric]
    return round(made, 6)


def _interval(counts: Counts, metric: str, threshold: float) -> list[float] | None:
    """[value, low, high] at 95 %, by resampling rows; None where a label has no rows."""
    value = _value(counts, metric, threshold)
    drawn = estimating.resampled(counts, RESAMPLES, SEED) if value is not None else []
    found = sorted(v for v in (_value(c, metric, threshold) for c in drawn) if v is not None)
    if value is None or not found:
        return None
    cut = int(len(found) * (1 - CONFIDENCE) / 2)
    return [value, found[cut], found[-1 - cut]]
