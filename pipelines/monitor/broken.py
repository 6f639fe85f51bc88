"""Promises of the tables behind a monitor's scores that are broken more often by now: looked into, drift or none. Pure.

By the test of causes.py, on two sides: the newest refresh of each table against those before, since one bad day is lost
in a month; and what came since the monitor's newest window against all before, since a small refresh proves nothing.
A promise that holds for as many rows as it asks for (`mostly`) is kept, whatever the others do. One that fails a
refresh is not among them: the refresh was refused, and says so itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from pipelines.lineage import Graph
from pipelines.monitor.causes import Moved, above, moved, since_window
from pipelines.monitor.deciding import MOST_NAMED, SEVERITY
from pipelines.monitor.history import newest_windows
from pipelines.state import Json, Record
from pipelines.told import Quality


def with_broken(
    detail: Mapping[str, Json], records: Sequence[Record], graph: Graph, scores: str, quality: Sequence[Quality]
) -> dict[str, Json]:
    """The detail of a monitor's record, its decision at least `investigate` where a promise is broken more often.

    records: of the monitor, those before this one that are ok, oldest first. quality: oldest first.
    """
    tables = {node for node in above(graph.stages, scores) if node.startswith("tables.")}
    windows = sorted([*newest_windows(records), *detail["windows"]], key=lambda w: (w["window"], w["model_version"]))
    newest = windows[-1] if windows else None
    mine = [q for q in quality if q.stage in tables and q.on_fail != "fail"]
    broken = _broken(mine, since_window(records, newest) if newest else None)
    return {**detail, "decision": _raised(detail["decision"], broken, newest["name"] if newest else "")}


def _broken(quality: Sequence[Quality], since: datetime | None) -> list[Moved]:
    """Each promise once, by the side on which it is broken most; the worst first."""
    sides = [dict(_last_but_one(quality)), *([{q.stage: since for q in quality}] if since else [])]
    found: dict[tuple[str, str], Moved] = {}
    for side in sides:
        failed = {(q.stage, q.label) for q in quality if not q.success and q.stage in side and q.at > side[q.stage]}
        for each in moved(quality, side):
            key = each.stage, each.promise
            if each.now > each.before and key in failed:
                found[key] = max(found.get(key, each), each, key=lambda m: m.now - m.before)
    return sorted(found.values(), key=lambda m: m.before - m.now)


def _last_but_one(quality: Sequence[Quality]) -> Iterator[tuple[str, datetime]]:
    """Of each table, when the refresh before its newest one was; nothing of a table that was refreshed once."""
    for stage in {q.stage for q in quality}:
        moments = sorted({q.at for q in quality if q.stage == stage})
        yield from ((stage, at) for at in moments[-2:-1])


def _raised(decision: Mapping[str, Json], broken: Sequence[Moved], window: str) -> dict[str, Json]:
    verdict = max([decision["verdict"], *["investigate"] * bool(broken)], key=SEVERITY.index)
    said, reasons = [m.sentence for m in broken[:MOST_NAMED]], decision["reasons"]
    said += [f"{len(broken) - MOST_NAMED} more promises are broken more often"] * (len(broken) > MOST_NAMED)
    told = [*said, *reasons] if verdict != decision["verdict"] else [*reasons, *said]
    held = [{**asdict(m), "window": window} for m in broken]
    return {**decision, "verdict": verdict, "reasons": told, "broken": held}
