"""Promises over time: how old the newest row may be, and how many rows a refresh may bring. Plain Python decides.

Freshness is measured against the moment at which a batch was intended, so a
replay finds the same. Volume counts what was applied since the last
publication: rows that were refused publication, and came in pieces, are
judged together, and asking twice does not make too few rows enough.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from math import inf, isfinite
from statistics import median

from pipelines.quality.judgement import Judgement
from pipelines.spec import Freshness, Volume, length_words
from pipelines.state import Record

FRESHNESS, VOLUME, TIER = "freshness", "volume", "time"


def fresh(promise: Freshness, newest: datetime | None, now: datetime) -> Judgement:
    """newest, now: UTC. A table without a row that has a time is not fresh; a row of the future is."""
    success = newest is not None and now - newest <= promise.within
    label = f"rows: newest within {length_words(promise.within)}"
    said = f"newest {newest:%Y-%m-%d %H:%M} UTC, {_age(now - newest)}" if newest else "no row with a time"
    value = newest.isoformat() if newest else None
    return Judgement(label, promise.on_fail, success, said, FRESHNESS, TIER, value=value)


def stale(promise: Freshness, published: Record, now: datetime) -> str:
    """'newest row is 3 days old, promised within 2 days', by what a publication found; empty where it is fresh."""
    found = [e.get("value") for e in published.detail.get("expectations", ()) if e.get("name") == FRESHNESS]
    if not found or (found[0] and now - datetime.fromisoformat(found[0]) <= promise.within):
        return ""
    age = f"newest row is {_age(now - datetime.fromisoformat(found[0]))}" if found[0] else "no row with a time"
    return f"{age}, promised within {length_words(promise.within)}"


def enough(promise: Volume, counts: Mapping[str, int], before: Iterable[Record], whole: bool) -> Judgement:
    """Rows applied since the last publication against the median of the publications before.

    counts: of this batch, as a run record has them.
    before: the stage's attempts in this generation that finished, oldest first.
    whole : every refresh makes the table anew, so that only its own rows count.
    """
    published, pending = _published(before, whole)
    if not (pending or whole or _read(counts)):
        return _volume(promise, None, "nothing was read")
    applied = counts.get("applied", 0) + pending
    if len(published) < promise.over:
        return _volume(promise, None, f"{applied:,} rows; {len(published)} of {promise.over} refreshes to compare with")
    usual = median(published[-promise.over :])
    times = applied / usual if usual else inf if applied else 1.0
    said = f"{applied:,} rows, {times:.2f} times" if usual else f"{applied:,} rows against"
    return _volume(promise, times, f"{said} the median {usual:,.0f} of {promise.over} refreshes")


def _volume(promise: Volume, times: float | None, observed: str) -> Judgement:
    low, high = promise.min, promise.max
    success = times is None or ((low is None or low <= times) and (high is None or times <= high))
    ends = [f"{word} {end:g}" for word, end in (("at least", low), ("at most", high)) if end is not None]
    label = f"rows: {', '.join(ends)} times the median of {promise.over} refreshes"
    value = times if times is not None and isfinite(times) else None  # JSON has no infinity
    return Judgement(label, promise.on_fail, success, observed, VOLUME, TIER, value=value)


def _published(before: Iterable[Record], whole: bool) -> tuple[list[int], int]:
    """Rows that each publication brought, and those that none has yet."""
    found, pending = [], 0
    for record in before:
        pending = record.counts.get("applied", 0) + (0 if whole else pending)
        if record.published_version is not None:
            found += [pending] if pending or whole or _read(record.counts) else []
            pending = 0
    return found, 0 if whole else pending


def _read(counts: Mapping[str, int]) -> bool:
    """True where something arrived, be it an empty file; a version that is only judged again reads nothing."""
    return bool(counts.get("rows_in") or counts.get("files"))


def _age(length: timedelta) -> str:
    return f"{length_words(length, rounded=True)} old" if length >= timedelta() else "in the future"
