"""What the run record of a training says of a model version."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.state import History

Slice = tuple[str, str]  # column and value, as a text
MOST_SLICES = 200  # of all versions together; of one the evaluation has 30 a column


@dataclass(frozen=True)
class Trained:
    """Of its training slice, its answers on the test slice, and its threshold."""

    version: int
    features: int  # version of the feature table
    first: str  # days of its training slice
    last: str
    threshold: float
    test: Mapping[str, Sequence[float]]  # metric -> value, and its interval
    calibration: Sequence[Sequence[float]]
    slices: Mapping[Slice, Mapping[str, Any]] = field(default_factory=dict)  # its rows and metrics on the test slice
    scores: Mapping[str, Any] = field(default_factory=dict)  # of the test slice, outlined; {}: made before it was kept


def trained(history: History, model: str, features: str, version: int) -> Trained | None:
    """By the newest record that made the version; None where there is none."""
    mine = (r for r in reversed(history.records) if r.stage == f"models.{model}")
    made = (r for r in mine if r.detail.get("version") == version and "moved" not in r.detail)
    record = next((r for r in made if features in r.inputs), None)
    if record is None:
        return None
    d, train = record.detail, record.detail["splits"]["train"]
    points = d.get("curves", {}).get("calibration", ())
    of = version, record.inputs[features]["upto"], train["from"], train["to"]
    slices = {(column, p["value"]): p for column, parts in d.get("slices", {}).items() for p in parts}
    return Trained(*of, d.get("threshold", 0.5), d["test"], points, slices, d.get("scores") or {})


def classes(history: History, model: str) -> tuple[str, ...]:
    """Those that any version of a model knows, the most frequent first."""
    mine = (r for r in history.records if r.stage == f"models.{model}")
    return tuple(dict.fromkeys(each for r in mine for each in r.detail.get("classes", ())))


def slices(history: History, model: str, columns: Collection[str]) -> tuple[Slice, ...]:
    """Those that a version was judged by on its test slice, the newest version's first."""
    mine = (r.detail.get("slices", {}) for r in reversed(history.records) if r.stage == f"models.{model}")
    found = dict.fromkeys((c, part["value"]) for each in mine for c in columns for part in each.get(c, ()))
    return tuple(found)[:MOST_SLICES]
