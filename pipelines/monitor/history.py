"""What the records of a monitor say, over all its batches: each window as it was judged last. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.state import Json, Record

Window = Mapping[str, Json]


def newest_windows(records: Sequence[Record]) -> list[dict[str, Json]]:
    """The last judgement of each window by the monitor's present generation, oldest window first.

    records: of one monitor, those that are ok, oldest first.
    """
    last = max((r.generation for r in records), default=0)
    mine = [w for r in records if r.generation == last for w in r.detail.get("windows", ())]
    windows = {(w["window"], w["model_version"]): w for w in mine}
    return [windows[key] for key in sorted(windows)]


def drifted(window: Window) -> str:
    """'7 of 24': features that the conf ignores are shown and do not count; '-' where none was compared."""
    return (
        "-"
        if not window["features"]
        else f"{len(window['drifted'])} of {sum(not f.get('ignored') for f in window['features'])}"
    )


@dataclass(frozen=True)
class Course:
    """One feature over the windows, oldest first."""

    label: str
    found: tuple[tuple[str, dict[str, Json]], ...]  # name of the window, the feature as it was compared

    @property
    def last(self) -> dict[str, Json]:
        """In the newest window that has it."""
        return self.found[-1][1]

    @property
    def most(self) -> float:
        """The greatest distance, in limits."""
        return max(float(f["distance"] / f["most"]) for _, f in self.found)

    @property
    def dots(self) -> list[tuple[float, float, bool, str]]:
        """(x, y, whether it drifted, what it says) of each window, in the unit square; y to the greatest distance."""
        top = max(self.most, 1.0)
        return [
            (i / max(len(self.found) - 1, 1), f["distance"] / f["most"] / top, f["drifted"], _says(name, f))
            for i, (name, f) in enumerate(self.found)
        ]


def courses(windows: Sequence[Window]) -> list[Course]:
    """Every feature over windows, the one that went furthest first."""
    of: dict[str, list[tuple[str, dict[str, Json]]]] = {}
    for window in windows:
        for feature in window["features"]:
            of.setdefault(feature["feature"], []).append((window["name"], feature))
    found = [Course(name, tuple(parts)) for name, parts in of.items()]
    return sorted(found, key=lambda c: (-c.most, c.label))


def _says(name: str, f: Mapping[str, Json]) -> str:
    return f"{name}: {f['statistic']} {f['distance']:.3f}, limit {f['most']:g}{', drifted' if f['drifted'] else ''}"
