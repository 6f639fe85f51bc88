"""Retrain, investigate or wait, with the reasons in words. Pure: what was found of windows in, a decision out.

`wait` is said only of what was checked, or where a check has to wait and the reason says for what. A window too small
to be checked is `unchecked`; what could not be checked and should have been is `investigate`. Only a loss that labels
prove asks for training: drift alone may be a season, and an estimate is no truth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from pipelines.monitor.estimating import Errors
from pipelines.spec import length_words
from pipelines.spec.monitor import ERRORS, Monitor, Reference, Retrain

Verdict = Literal["retrain", "investigate", "unchecked", "wait"]
SEVERITY: tuple[Verdict, ...] = ("wait", "unchecked", "investigate", "retrain")
SCORED: Mapping[Reference, str] = {"training": "those of the test slice", "previous": "the window before"}
MOST_NAMED = 3  # features in a sentence
BY_CHANCE = 0.05  # of estimates that are right: so seldom may they be called wrong


@dataclass(frozen=True)
class Seen:
    """What was found of one window."""

    rows: int
    compared: int = 0  # features
    counted: int | None = None  # rows of which features were counted; None: as many as there are
    drifted: tuple[str, ...] = ()  # features, in words
    scores: Mapping[Reference, float] = field(default_factory=dict)  # psi against each, where far and no chance
    weakest: str = ""  # the slice that surely lost too much, in words
    attribution: float | None = None  # NDCG of what the answers hang on, where it is watched and can be told
    no_reference: str = ""  # why there is none
    first: bool = False  # it would be held against the window before, and there is none
    labelled: int = 0
    untold: str = ""  # why the labels that are known cannot tell
    unlikely: str = ""  # why that is no chance
    unscored: int = 0
    before: float | None = None  # the metric to hold it against
    previous: bool = False  # which is that of the window before
    true: tuple[float, float, float] | None = None  # the metric by known labels, and its interval
    estimated: float | None = None
    uncalibrated: bool = False  # nothing told what its scores are worth as chances
    estimable: bool = True  # whether there is such a thing for its task
    errors: Errors | None = None  # of the version's estimates, where labels came


@dataclass(frozen=True)
class Said:
    """A verdict and why."""

    verdict: Verdict
    reasons: tuple[str, ...]
    window: str = ""  # whose it is, of a decision


@dataclass(frozen=True)
class Closed:
    """A window that is over, with what is said of it."""

    name: str
    end: datetime
    said: Said


def judge(monitor: Monitor, seen: Seen) -> Said:
    """One window by itself."""
    if not seen.rows:
        return Said("investigate", ("no row was scored",))
    if seen.rows < monitor.rows:
        return Said("unchecked", (f"nothing is checked: {seen.rows:,} rows, {monitor.rows:,} are needed",))
    found = [_performance(monitor, seen), _drift(monitor, seen), *_moved(monitor, seen), *_gaps(monitor, seen)]
    found += [("investigate", seen.weakest)] if seen.weakest else []
    worst = max((verdict for verdict, _ in found), key=SEVERITY.index)
    return Said(worst, tuple(reason for _, reason in sorted(found, key=lambda f: -SEVERITY.index(f[0]))))


def _performance(monitor: Monitor, seen: Seen) -> tuple[Verdict, str]:
    asked = monitor.performance
    if seen.before is None:
        return "investigate", f"{asked.metric} has nothing to be held against"
    unknown = _not_known(monitor, seen)
    if unknown or seen.true is None:
        return _by_estimate(monitor, seen, unknown)
    value, low, high = seen.true
    shown, before = asked.shown(*seen.true), _against(monitor, seen.before, seen.previous)
    lost, best = asked.lost(value, seen.before), low if asked.metric in ERRORS else high
    if lost > (asked.drop or 0) and asked.lost(best, seen.before) > 0:
        return "retrain", f"{shown}, {asked.by(value, seen.before)} {before}"
    return "wait", f"{shown} holds against {before}"


def _against(monitor: Monitor, before: float, previous: bool) -> str:
    return monitor.performance.figure(before) + " of the window before" * previous


def _not_known(monitor: Monitor, seen: Seen) -> str:
    """Why the truth cannot be told yet; '' where it can."""
    if not suffice(monitor, seen.labelled, seen.rows):
        return f"labels of {seen.labelled:,} of {seen.rows:,} rows are known"
    return seen.untold


def suffice(monitor: Monitor, labelled: int, rows: int) -> bool:
    """Whether a window has labels enough to be judged by them."""
    return labelled >= monitor.rows and labelled >= monitor.performance.labelled * rows


def _by_estimate(monitor: Monitor, seen: Seen, unknown: str) -> tuple[Verdict, str]:
    asked = monitor.performance
    if not seen.estimable:
        return "wait", f"{unknown or 'no label is known'}; {asked.metric} waits for them"
    if seen.estimated is None or seen.before is None:
        return "investigate", f"{unknown}; {asked.metric} cannot be estimated either"
    said = f"{unknown}; {asked.metric} is estimated at {seen.estimated:.4f}"
    said += f", against {_against(monitor, seen.before, seen.previous)}"
    if seen.uncalibrated:
        return "investigate", f"{said}; how far its scores are chances is not known, for they could not be calibrated"
    if seen.errors and doubted(monitor, seen.errors):
        over = f"{seen.errors.windows} window{'s' * (seen.errors.windows != 1)}"
        return "investigate", f"{said}; estimates were off by {seen.errors.mean:.4f} on average over {over}"
    return ("investigate" if asked.lost(seen.estimated, seen.before) > (asked.drop or 0) else "wait"), said


def doubted(monitor: Monitor, errors: Errors | None) -> bool:
    """Whether estimates were so far off, where labels came, that another one says nothing; and that is no chance."""
    return errors is not None and errors.mean > (monitor.performance.drop or 0) and errors.chance <= BY_CHANCE


def _drift(monitor: Monitor, seen: Seen) -> tuple[Verdict, str]:
    if seen.no_reference:
        return "investigate", f"no reference: {seen.no_reference}"
    if seen.first:
        return "wait", "no feature is checked in the first window"
    if not seen.compared:
        return "investigate", "no feature was checked"
    if not seen.drifted:
        return "wait", f"none of {seen.compared} features drifted"
    rest = f" and {len(seen.drifted) - MOST_NAMED} more" if len(seen.drifted) > MOST_NAMED else ""
    said = f"{len(seen.drifted)} of {seen.compared} features drifted: {', '.join(seen.drifted[:MOST_NAMED])}{rest}"
    return _unless_labels_tell(monitor, seen), said


def _moved(monitor: Monitor, seen: Seen) -> list[tuple[Verdict, str]]:
    verdict = _unless_labels_tell(monitor, seen)
    said = [f"scores drifted from {SCORED[since]} (psi {psi:.2f})" for since, psi in seen.scores.items()]
    least = monitor.attribution.least if monitor.attribution else 0.0
    if seen.attribution is not None and seen.attribution < least:
        said.append(f"answers hang on other features than at training (NDCG {seen.attribution:.2f})")
    untold = monitor.attribution is not None and seen.attribution is None
    gaps: list[tuple[Verdict, str]] = [("investigate", "what answers hang on cannot be told of this model")]
    return [(verdict, each) for each in said] + (gaps if untold else [])


def _unless_labels_tell(monitor: Monitor, seen: Seen) -> Verdict:
    """What has moved is looked into where it is not known yet what it did."""
    return "investigate" if _not_known(monitor, seen) or seen.true is None else "wait"


def _gaps(monitor: Monitor, seen: Seen) -> list[tuple[Verdict, str]]:
    found: list[tuple[Verdict, str]] = []
    if seen.unlikely and suffice(monitor, seen.labelled, seen.rows):
        found.append(("investigate", seen.unlikely))
    if seen.unscored:
        found.append(("investigate", f"{seen.unscored:,} rows have no score"))
    if seen.counted is not None and seen.counted != seen.rows and not seen.no_reference:
        found.append(("investigate", f"features of {seen.counted:,} of {seen.rows:,} rows were counted"))
    return found


def overdue(monitor: Monitor, said: Said, labelled: int, rows: int, since: timedelta) -> Said:
    """What is said of a window that is over for so long; where its labels should be known by now, that first."""
    within = monitor.performance.labels_within
    if within is None or since < within or suffice(monitor, labelled, rows):
        return said
    late = f"labels of {labelled:,} of {rows:,} rows are known {length_words(since, rounded=True)} after the window"
    verdict = max(said.verdict, "investigate", key=SEVERITY.index)
    return Said(verdict, (late, *said.reasons) if verdict != said.verdict else (*said.reasons, late))


def decide(
    closed: Sequence[Closed], retrain: Retrain | None, learned: datetime | None, usd: Decimal | None = None
) -> Said:
    """What follows from the windows of the present model that are over, oldest first.

    learned: until when the last training saw rows, whatever came of it; windows that it saw are no evidence.
    usd    : what a training is likely to cost; None where nobody can tell.
    """
    after = [w for w in closed if learned is None or w.end > learned]
    if not after:
        return Said("wait", ("nothing is decided: no window after the model's training is over",))
    window, said = _worst(after)
    worst, reasons = said.verdict, said.reasons
    if worst == "retrain" and retrain and learned and window.end - learned < retrain.cooldown:
        wanted, since = length_words(retrain.cooldown), length_words(window.end - learned, rounded=True)
        cools = f"cools down: {window.name} ends {since} after the last training, not {wanted}"
        return _beside(after, Said("wait", (cools, *reasons), window.name))
    budget = retrain.budget_usd if retrain and worst == "retrain" else None
    if budget is not None and usd is not None and usd > budget:
        dear = f"a training would cost about {usd:.4f} USD, budget_usd is {budget}"
        return Said("investigate", (f"{window.name}: {dear}", *window.said.reasons), window.name)
    return said


def _worst(windows: Sequence[Closed]) -> tuple[Closed, Said]:
    """The newest of those with the gravest verdict, and what it says as a decision."""
    worst = max((w.said.verdict for w in windows), key=SEVERITY.index)
    window = [w for w in windows if w.said.verdict == worst][-1]
    return window, Said(worst, (f"{window.name}: {window.said.reasons[0]}", *window.said.reasons[1:]), window.name)


def _beside(windows: Sequence[Closed], cools: Said) -> Said:
    """A training that has to wait hides nothing that another window says."""
    others = [w for w in windows if w.said.verdict in ("unchecked", "investigate")]
    if not others:
        return cools
    _, said = _worst(others)
    return Said(said.verdict, (*said.reasons, *cools.reasons), said.window)
