"""Where a drift comes from: the slice that moved, the tables behind a feature, the promise that moved with it. Pure.

A promise has moved where the share of rows that break it is another in the refreshes that brought a window's rows than
in those before, by the chi-squared test (Fisher's where rows are few), adjusted for there being many promises, and by a
hundredth at least. It is a witness and no proof: what no promise watches has none.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from pipelines.lineage import Graph
from pipelines.monitor.history import newest_windows
from pipelines.monitor.statistics import benjamini_hochberg, same_share
from pipelines.state import Json, Record
from pipelines.told import Quality

LEAST = 0.01  # of the rows: a share that moved less is none
BY_CHANCE = 0.01  # of the promises that are said to have moved
OF_A_BATCH = ("drop", "quarantine")  # a refresh counts the rows that it brought; of other promises the whole table
Counts = NDArray[np.int64]  # rows that break a promise, and rows that keep it


@dataclass(frozen=True)
class Moved:
    """A promise of an upstream table, and the share of rows that broke it."""

    stage: str
    promise: str
    before: float
    now: float
    chance: float
    same_column: bool  # it is of a column that the feature is made of

    @property
    def sentence(self) -> str:
        """In words."""
        return f"of {self.stage} {self.now:.1%} of the rows break '{self.promise}', {self.before:.1%} before"


@dataclass(frozen=True)
class Cause:
    """One drifted feature: the columns that it is made of, nearest first, and what moved with it, if anything did."""

    feature: str
    columns: tuple[str, ...]
    moved: Moved | None
    where: Mapping[str, Json] | None = None  # the slice that moved most, as locating.located has it

    def as_json(self) -> dict[str, Json]:
        """For the run record."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """In words, for who has to look."""
        w, m, made = self.where, self.moved, f"{self.feature} comes from {', '.join(self.columns) or 'nowhere'}"
        if w:
            made += (
                f"; most where {w['slice']} (psi {w['psi']:.2f} of {w['rows']:,} rows, {w['elsewhere']:.2f} elsewhere)"
            )
        if not m:
            return f"{made}; no promise moved with it"
        return f"{made}; {m.sentence}"


def causes(
    drifted: Sequence[str], graph: Graph, features: str, quality: Sequence[Quality], since: datetime | None
) -> tuple[Cause, ...]:
    """One for each drifted feature, in their order.

    features: the stage of the feature table.
    since   : refreshes after it brought the window's rows; None where there are none before.
    """
    found = []
    for feature in drifted:
        behind = tuple(_behind(graph, f"{features}.{feature}"))
        tables = {stage for stage, _ in behind if stage.startswith("tables.")}
        theirs = [q for q in quality if q.stage in tables]
        columns = tuple(f"{stage}.{column}" for stage, column in behind)
        told = moved(theirs, dict.fromkeys(tables, since)) if since else []
        found.append(Cause(feature, columns, _likeliest(told, behind)))
    return tuple(found)


def _behind(graph: Graph, node: str) -> Iterator[tuple[str, str]]:
    """(stage or source, column) of all that a column is made of."""
    for each in above(graph.columns, node):
        stage, _, column = each.rpartition(".")
        yield stage, column


def above(needs: Mapping[str, Sequence[str]], node: str) -> Iterator[str]:
    """All that a node is made of, breadth first, each once."""
    met, level = {node}, [node]
    while level:
        level = list(dict.fromkeys(n for at in level for n in needs.get(at, ()) if n not in met))
        met |= set(level)
        yield from level


def moved(quality: Sequence[Quality], since: Mapping[str, datetime]) -> list[Moved]:
    """Promises of which rows were counted before and since, and whose share of broken ones moved.

    quality: oldest first. since: of each stage, after which its refreshes are held against those before.
    """
    of: dict[tuple[str, str, bool], list[Quality]] = {}
    for q in quality:
        if q.element_count and q.unexpected_count is not None and q.stage in since:
            of.setdefault((q.stage, q.label, q.on_fail in OF_A_BATCH), []).append(q)
    sides = {key: _sides(found, since[key[0]]) for key, found in of.items()}
    both = {k: (before, now) for k, (before, now) in sides.items() if before.any() and now.any() and before[0] + now[0]}
    chances = benjamini_hochberg([same_share(before.tolist(), now.tolist()) for before, now in both.values()])
    found = []
    for ((stage, label, _), sides_of), chance in zip(both.items(), chances, strict=True):
        before, now = (float(side[0] / side.sum()) for side in sides_of)
        if chance <= BY_CHANCE and abs(now - before) >= LEAST:
            found.append(Moved(stage, label, round(before, 6), round(now, 6), chance, False))
    return found


def _sides(refreshes: Sequence[Quality], since: datetime) -> tuple[Counts, Counts]:
    """Of one promise, the rows that came until then and those that came since; zeros where none were counted.

    A promise that is judged on the whole table says of new rows what it came to since; where rows went or changed, so
    that this says nothing, the whole table is held against the whole.
    """
    before, now = (np.array([_counts(q) for q in refreshes if (q.at > since) == side] or [(0, 0)]) for side in (0, 1))
    if refreshes[0].on_fail in OF_A_BATCH:
        return before.sum(axis=0), now.sum(axis=0)
    came = now[-1] - before[-1]
    return before[-1], came if came.min() >= 0 and came.any() else now[-1]


def _counts(q: Quality) -> tuple[int, int]:
    assert q.element_count is not None and q.unexpected_count is not None
    return q.unexpected_count, q.element_count - q.unexpected_count


def _likeliest(moved: Sequence[Moved], behind: Collection[tuple[str, str]]) -> Moved | None:
    """Of a column that the feature is made of before others; then the one that moved most."""
    known = {(stage, column) for stage, column in behind}
    marked = [Moved(**{**asdict(m), "same_column": (m.stage, _column(m.promise)) in known}) for m in moved]
    return max(marked, key=lambda m: (m.same_column, abs(m.now - m.before)), default=None)


def _column(label: str) -> str:
    """'amount' of 'amount: be between (min_value 0.0)'."""
    return label.partition(":")[0]


def with_causes(
    detail: Mapping[str, Json], records: Sequence[Record], graph: Graph, features: str, quality: Sequence[Quality]
) -> dict[str, Json]:
    """The detail of a monitor's record: each window with what its drift comes from, and so the decision.

    records: of the monitor, those before this one that are ok, oldest first.
    """
    windows, said = [], {w["name"]: _told(w) for w in newest_windows(records)}
    for window in detail["windows"]:
        since, where = since_window(records, window), window.get("where", {})
        found = [
            replace(c, where=where.get(c.feature)) for c in causes(window["drifted"], graph, features, quality, since)
        ]
        windows.append({**window, "causes": [c.as_json() for c in found]})
        said[window["name"]] = [c.sentence for c in found]
    decision = detail["decision"]
    return {**detail, "windows": windows, "decision": {**decision, "causes": said.get(decision["window"], [])}}


def _told(window: Mapping[str, Json]) -> list[str]:
    """What an earlier batch said of a window."""
    held = (Cause(**{**c, "moved": Moved(**c["moved"]) if c["moved"] else None}) for c in window.get("causes", ()))
    return [cause.sentence for cause in held]


def since_window(records: Sequence[Record], window: Mapping[str, Json]) -> datetime | None:
    """When the last batch of the monitor began that had not seen the window; None where there is none."""
    key = window["window"], window["model_version"]
    without = []
    for record in records:
        if key in {(w["window"], w["model_version"]) for w in record.detail.get("windows", ())}:
            break
        without.append(record)
    return without[-1].started_at if without else None
