"""What is said of the windows of a monitor: counts and run records in, judgements out. No engine runs here.

The record of a monitor holds the windows that its batch touched, each as `_window` makes it, and the decision.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

from pipelines import aliases
from pipelines.monitor import deciding
from pipelines.monitor.comparing import Compared, compare
from pipelines.monitor.deciding import Closed, Said, Seen
from pipelines.monitor.estimating import Errors, errors
from pipelines.monitor.history import newest_windows
from pipelines.monitor.statistics import chi_squared, psi
from pipelines.monitor.tallies import SCORE, Key, Reference, Totals, by_slice, features_of, rows_of
from pipelines.monitor.trained import Trained, trained
from pipelines.run.answers import ANSWERS, Answers
from pipelines.run.weakest import sentence, weakest
from pipelines.spec import Monitor
from pipelines.spec.monitor import USUAL, Period
from pipelines.spec.monitor import Reference as Since
from pipelines.state import History

Hang = Mapping[Key, Mapping[str, Any]]  # window -> as attribution.compared has it
UNRECORDED = "no run that is recorded here trained version {}, or its training slice cannot be read"


@dataclass(frozen=True)
class Subject:
    """What a monitor watches, by the conf: its own stage, the model, the stage of the features."""

    stage: str
    monitor: Monitor
    model: str
    features: str
    task: str = "binary"
    usd: Decimal | None = None  # what a training is likely to cost
    until: datetime | None = None  # of the newest row of the spine, scored or not


def watched(
    history: History, subject: Subject, totals: Totals, touched: Collection[Key], hang: Hang | None = None
) -> dict[str, Any]:
    """The detail of a monitor's record: the windows that were touched, oldest first, and what follows from all.

    hang: what the answers of a window hang on, beside the training slice.
    """
    monitor, model = subject.monitor.of(subject.task), subject.model
    made = {v: trained(history, model, subject.features, v) for _, v in totals.windows}
    mine = [r for r in history.records if r.stage == subject.stage and r.status == "ok"]
    held = {_key(w): w for w in newest_windows(mine)} if len(touched) < len(totals.windows) else {}
    version = present(history, model, totals.windows)
    missing = set(_missing(totals.windows, version, monitor.window, subject.until)) - set(held)
    hung = {key: w["attribution"] for key, w in held.items() if w.get("attribution")}
    watch = _Watch(monitor, ANSWERS[subject.task], totals, made, {**hung, **(hang or {})})
    found = dict(_judged(watch, held, {*touched, *missing}))
    closed, seen = _closed(subject, {**held, **found}, version), learned(history, model)
    said = deciding.decide(closed, monitor.retrain, seen, subject.usd)
    said = _unless_unscored(_unless_without_reference(said, totals, version), totals, subject, seen)
    asks = monitor.retrain is not None
    decision = {"verdict": said.verdict, "reasons": list(said.reasons), "window": said.window, "asks": asks}
    return {"model": model, "windows": [found[key] for key in sorted(found)], "decision": decision}


def present(history: History, model: str, windows: Collection[Key]) -> int | None:
    """The version that is decided on: the champion, if it scored any window; else the newest that scored last."""
    moves = aliases.moves([r for r in history.records if r.stage == f"models.{model}"])
    champion = moves[-1].version if moves else None
    newest = max(windows, default=(None, None))[1]
    return champion if champion in {v for _, v in windows} else newest


def _unless_unscored(said: Said, totals: Totals, subject: Subject, learned: datetime | None) -> Said:
    """No calm is said where rows came for a whole window since the training, and none was ever scored."""
    if totals.windows or learned is None or subject.until is None:
        return said
    if subject.until < end(end(learned, subject.monitor.window), subject.monitor.window):
        return said
    return Said("investigate", (f"no row was scored since the training, and rows came until {subject.until:%Y-%m-%d}",))


def _unless_without_reference(said: Said, totals: Totals, version: int | None) -> Said:
    """No calm is said of a version that nothing can be held against, though none of its windows is over yet."""
    if version is None or version in totals.references or said.verdict in ("investigate", "retrain"):
        return said
    return Said("investigate", (f"no reference: {UNRECORDED.format(version)}", *said.reasons), said.window)


def _judged(
    watch: "_Watch", held: Mapping[Key, dict[str, Any]], keys: Collection[Key]
) -> Iterator[tuple[Key, dict[str, Any]]]:
    """The windows of these keys; and those held that an estimate decided which is believed now and was not, or was."""
    new = {key: watch.performance(key) for key in sorted(keys)}
    known = _errors({key: w["performance"] for key, w in held.items()} | new)
    again = {key: held[key]["performance"] for key in set(_doubted_anew(watch.monitor, held, known)) - set(new)}
    for key, performance in {**new, **again}.items():
        yield key, {**(held[key] if key in again else {}), **watch.window(key, performance, known.get(key[1]))}


def _errors(performances: Mapping[Key, Mapping[str, Any]]) -> dict[int, Errors]:
    """Of each version's estimates, over its windows whose labels are known."""
    off: dict[int, list[tuple[float, Sequence[float]]]] = {}
    for (_, version), p in performances.items():
        if p.get("off") is not None:
            off.setdefault(version, []).append((p["off"], p["true"]))
    return {version: found for version, each in off.items() if (found := errors(each))}


def _doubted_anew(monitor: Monitor, held: Mapping[Key, Any], known: Mapping[int, Errors]) -> Iterator[Key]:
    """Windows judged by an estimate that was believed and no longer is, or the other way."""
    for key, w in held.items():
        before = Errors(**w["errors"]) if w.get("errors") else None
        by_estimate = w["performance"].get("off") is None and w["performance"]["estimated"] is not None
        if by_estimate and deciding.doubted(monitor, before) != deciding.doubted(monitor, known.get(key[1])):
            yield key


def _missing(windows: Collection[Key], version: int | None, period: Period, until: datetime | None) -> Iterator[Key]:
    """The windows without a row between those of a version; the one after them, if the spine went past it."""
    if version is None:
        return
    every = {start for start, _ in windows}
    starts = sorted(start for start, v in windows if v == version)
    for start, later in pairwise(starts):
        start = end(start, period)
        while start < later:
            if start not in every:  # else another version scored it
                yield start, version
            start = end(start, period)
    if starts and until and end(end(starts[-1], period), period) <= until:
        yield end(starts[-1], period), version


def learned(history: History, model: str) -> datetime | None:
    """The end of the newest day of which the last training saw rows, whatever came of it; None before the first."""
    of = f"models.{model}"
    mine = [r for r in history.records if r.stage == of and "splits" in r.detail and "moved" not in r.detail]
    newest = [part["to"] for r in mine[-1:] for part in r.detail["splits"].values()]
    return _midnight(max(newest)) + timedelta(days=1) if newest else None


def _midnight(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day[:10]), time(), UTC)


def _key(window: Mapping[str, Any]) -> Key:
    return datetime.fromisoformat(window["window"]), window["model_version"]


def _closed(subject: Subject, every: Mapping[Key, Mapping[str, Any]], version: int | None) -> list[Closed]:
    """The windows of a version that are over: a row of a later one was scored, or came without a score."""
    if not every:
        return []
    monitor = subject.monitor
    newest = max(start for start, _ in every)
    newest = max(newest, subject.until or newest)
    over = [
        (start, every[start, v]) for start, v in sorted(every) if v == version and end(start, monitor.window) <= newest
    ]
    return [
        Closed(
            name(start, monitor.window),
            end(start, monitor.window),
            _said(monitor, w, newest - end(start, monitor.window)),
        )
        for start, w in over
    ]


def _said(monitor: Monitor, window: Mapping[str, Any], since: timedelta) -> Said:
    """What is said of a window that is over for so long: as when it was counted, unless its labels are overdue."""
    said = Said(window["verdict"], tuple(window["reasons"]))
    return deciding.overdue(monitor, said, window["labelled"], window["rows"], since)


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
    answers: Answers
    totals: Totals
    made: Mapping[int, Trained | None]
    hang: Hang

    def window(self, key: Key, performance: Mapping[str, Any], errors: Errors | None) -> dict[str, Any]:
        """Everything that is said of a window and the model version that scored it.

        errors: of the version's estimates.
        """
        start, version = key
        compared = self._compared(key)
        moved, worst = self._scores_moved(key), self._weakest(key)
        lost = sentence(self.monitor.performance, worst) if worst else ""
        seen = replace(self._seen(key, compared, performance), errors=errors, weakest=lost)
        said = deciding.judge(self.monitor, seen)
        return {
            "window": start.isoformat(),
            "name": name(start, self.monitor.window),
            "model_version": version,
            "rows": seen.rows,
            "labelled": seen.labelled,
            "features": [c.as_json() for c in compared],
            "drifted": [c.feature for c in compared if c.drifted],
            "score_psi": moved.get("previous", (None, 1.0))[0],
            "score_psi_training": moved.get("training", (None, 1.0))[0],
            "score_mean": self.answers.mean(self._scores(key)),
            "performance": performance,
            "slice": worst,
            "errors": errors.as_json() if errors else None,
            "attribution": None if self._few(key) else self.hang.get(key),
            "verdict": said.verdict,
            "reasons": list(said.reasons),
        }

    def _counts(self, key: Key | None) -> Mapping[str, Any]:
        return self.totals.windows.get(key, {}) if key else {}

    def _scores(self, key: Key | None) -> Mapping[str, Any]:
        counts: Mapping[str, Any] = self._counts(key).get(SCORE, {})
        return counts

    def _before(self, key: Key) -> Key | None:
        """The window of the same version before this one."""
        start, version = key
        return max(((s, v) for s, v in self.totals.windows if v == version and s < start), default=None)

    def _compared(self, key: Key) -> tuple[Compared, ...]:
        reference, counts = self.totals.references.get(key[1], Reference()), self._counts(key)
        if self._few(key):
            return ()
        held: Mapping[Since, Mapping[str, Any]] = {
            "training": reference.counts,
            "previous": self._counts(self._before(key)),
        }
        return compare(self.monitor.drift, reference.bins, {r: held[r] for r in self.monitor.references}, counts)

    def _few(self, key: Key) -> bool:
        """Too few rows to be checked: no figure of such a window is told, for it could look good."""
        return self.answers.rows(self._scores(key)) < self.monitor.rows

    def performance(self, key: Key) -> dict[str, Any]:
        """The metric by what happened, by estimate, and what both are held against; None for what is not known.

        off: the estimate of the rows that have labels less the truth, where those suffice to tell it.
        """
        metric, made, scores = self.monitor.performance.metric, self.made.get(key[1]), self._scores(key)
        assert metric
        before, previous = self._held_against(key, metric)
        found = {"metric": metric, "before": before, "previous": previous}
        if self._few(key):
            return {**found, **dict.fromkeys(("true", "estimated", "off", "calibration_error"))}
        estimated, error = self.answers.estimated(scores, metric, made)
        true = self.answers.true(scores, metric, made)
        told = deciding.suffice(self.monitor, self.answers.labelled(scores), self.answers.rows(scores))
        then, _ = self.answers.estimated(scores, metric, made, known=True) if told and true else (None, None)
        return {
            **found,
            "true": true,
            "estimated": estimated,
            "off": round(then - true[0], 6) if true and then is not None else None,
            "calibration_error": error,
        }

    def _weakest(self, key: Key) -> dict[str, Any] | None:
        if self._few(key):
            return None
        return weakest(self.monitor, self.answers, by_slice(self._counts(key)), self.made.get(key[1]))

    def _held_against(self, key: Key, metric: str) -> tuple[float | None, bool]:
        """The metric of the test slice or of the window before, of both the better; whether it is the latter."""
        made, before = self.made.get(key[1]), self._scores(self._before(key))
        test = made.test.get(metric) if made else None
        at_test, value = float(test[0]) if test else None, None
        if made and "previous" in self.monitor.references and self.answers.labelled(before) >= self.monitor.rows:
            value = self.answers.value(before, metric, made)
        if value is None or at_test is None or self.monitor.reference == "previous":
            return (at_test, False) if value is None else (value, True)
        return (value, True) if self.monitor.performance.lost(at_test, value) > 0 else (at_test, False)

    def _seen(self, key: Key, compared: Sequence[Compared], performance: Mapping[str, Any]) -> Seen:
        counts, reference = self._counts(key), self.totals.references.get(key[1])
        score = self._scores(key)
        return Seen(
            rows=self.answers.rows(score),
            compared=sum(not c.ignored for c in compared),
            counted=min(map(rows_of, features_of(counts).values()), default=None),
            drifted=tuple(c.words(len(self.monitor.references) > 1) for c in compared if c.drifted),
            scores=self._scores_drifted(key),
            attribution=self.hang[key]["ndcg"] if key in self.hang else None,
            no_reference="" if reference else UNRECORDED.format(key[1]),
            first="training" not in self.monitor.references and self._before(key) is None,
            labelled=self.answers.labelled(score),
            untold=self.answers.untold(score),
            unlikely=self.answers.unlikely(score, self.made.get(key[1])),
            unscored=score.get("unscored", 0),
            before=performance["before"],
            previous=performance.get("previous", False),
            true=tuple(performance["true"]) if performance["true"] else None,
            estimated=performance["estimated"],
            uncalibrated=performance["calibration_error"] is None,
            estimable=performance["metric"] in self.answers.estimable,
        )

    def _scores_drifted(self, key: Key) -> dict[Since, float]:
        chance = self.monitor.drift.false_discovery
        return {r: far for r, (far, p) in self._scores_moved(key).items() if far > USUAL["psi"] and p <= chance}

    def _scores_moved(self, key: Key) -> dict[Since, tuple[float, float]]:
        """PSI of the scores in some twenty bars, and its chance, against each that has rows.

        The window before always; the test slice, which no model was fitted on, for the training.
        """
        made, moved = self.made.get(key[1]), dict[Since, tuple[float, float]]()
        held: dict[Since, Mapping[str, Any]] = {"previous": self._scores(self._before(key))}
        if made and "training" in self.monitor.references:
            held = {"training": made.scores, **held}
        for since, before in held.items():
            sides = self.answers.bars(before, self._scores(key))
            if all(map(sum, sides)):
                moved[since] = round(psi(*sides), 6), chi_squared(*sides)[1]
        return moved
