"""b13: what watching scores costs beside making them: 5 M rows of 30 features, and 1 % more on top of them.

A model of 100,000 rows is champion; then the rows to score arrive and enter
their table and features, once. Peer is the stage that scores them, ours the
stage that watches the scores: features and scores counted into days, judged
against the training slice. Both as `lakeloom run` has them, inside one session,
each sample from a copy of the warehouse as it was before its stage.

The monitor is asked for 5 M rows, and for 50,000 on top of 5 M that it counted.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.copies import copied
from benchmarks.measure import Answer, Arm, Contest
from benchmarks.project import project, sessions
from pipelines.run.order import Order
from pipelines.run.pipeline import run
from pipelines.spec import Pipeline, Target
from pipelines.state import History, Warehouse

SEED, NUMBERS, CATEGORIES = 13, 27, 3
NAMES = (*(f"x{i}" for i in range(NUMBERS)), *(f"c{i}" for i in range(CATEGORIES)))
TRAINED, DAY_S, FIRST_S = 100_000, 86_400, 1_767_225_600  # 2026-01-01
TRAINED_DAYS, SCORED_DAYS = 60, 30
TO_FEATURES = ("tables.rows", "features.seen")
SCORES, MONITOR = "scores.each", "monitors.watch"


@dataclass(frozen=True)
class Profile:
    """Rows that are scored and watched; then so many more on top of them."""

    rows: int
    more: int
    pairs: int


PROFILES = {"quick": Profile(500_000, 5_000, pairs=2), "full": Profile(5_000_000, 50_000, pairs=3)}


@dataclass
class Place:
    """A conf with its landing folder; warehouses are copied, models stay where they are."""

    pipeline: Pipeline
    folder: Path
    copies: dict[str, int] = field(default_factory=dict)

    def refresh(self, warehouse: Path, stages: Sequence[str]) -> None:
        """Run stages, as a user does. Errors: those of the stages."""
        target = Target(
            warehouse=str(warehouse), landing=str(self.folder / "landing"), driver_memory="4g",
            tracking=f"sqlite:///{self.folder}/mlflow.db", artifacts=str(self.folder / "artifacts"),
        )  # fmt: skip
        for outcome in run(self.pipeline, target, Order(tuple(stages)), lambda *_: None):
            if outcome.error:
                raise outcome.error

    def arm(self, name: str, base: Path, stage: str) -> Arm:
        """One stage, on a copy of a warehouse each time."""

        def now() -> Path:
            return self.folder / f"{base.name}-{name.replace(' ', '_')}-{self.copies[name]}"

        def prepare() -> None:
            if name in self.copies:
                shutil.rmtree(now(), ignore_errors=True)
            self.copies[name] = self.copies.get(name, 0) + 1
            copied(base, now())

        return Arm(name, prepare, lambda: self.refresh(now(), [stage]), lambda: self._answer(now(), stage))

    def _answer(self, warehouse: Path, stage: str) -> Answer:
        """The rows that a stage's newest batch read."""
        last = History.of(Warehouse(str(warehouse), self.pipeline.pipeline)).last(stage, "ok")
        assert last
        return Answer(last.counts["rows_in"], "")


def contests(profile: str, scratch: Path) -> Iterator[Contest]:
    """All rows, then a little more of them."""
    asked = PROFILES[profile]
    place, now = Place(project(scratch, conf()).pipeline, scratch), scratch / "now"
    with sessions("b13"):
        _land(place.folder, "trained", TRAINED, 0, TRAINED_DAYS)
        place.refresh(now, [*TO_FEATURES, "models.yes"])
        yield _contest(place, now, f"{asked.rows:,} x {len(NAMES)}", asked.rows, TRAINED_DAYS, asked.pairs)
        after = TRAINED_DAYS + SCORED_DAYS
        size = f"{asked.more:,} more on {asked.rows:,} x {len(NAMES)}"
        yield _contest(place, now, size, asked.more, after, asked.pairs)


def _contest(place: Place, now: Path, size: str, rows: int, day: int, pairs: int) -> Contest:
    """Rows arrive; the warehouse before they are scored, and before they are watched, is kept."""
    before: Callable[[str], Path] = lambda what: now.with_name(f"before_{what}_{rows}")  # noqa: E731
    _land(place.folder, str(rows), rows, day, SCORED_DAYS)
    place.refresh(now, TO_FEATURES)
    copied(now, before("scores"))
    place.refresh(now, [SCORES])
    copied(now, before("watching"))
    place.refresh(now, [MONITOR])
    ours = place.arm("watching", before("watching"), MONITOR)
    return Contest("b13", size, ours, (place.arm("scoring", before("scores"), SCORES),), pairs, 1, pairs)


def conf() -> dict[str, object]:
    """One table, one feature table, one model, its scores, a monitor of all features by day."""
    columns = ["id", "at", *NAMES, "yes", "told_at"]
    ddl = ["id BIGINT", "at TIMESTAMP", *(f"{n} {'DOUBLE' if n[0] == 'x' else 'STRING'}" for n in NAMES)]
    source = {"kind": "files", "format": "parquet", "path": "rows"}
    return {
        "pipeline": "b13",
        "sources": {"rows_raw": {**source, "schema": ", ".join([*ddl, "yes BOOLEAN", "told_at TIMESTAMP"])}},
        "tables": {
            "rows": {
                "from": "rows_raw", "keys": ["id"], "event_time": "at", "known_at": {"yes": "told_at"},
                "select": f"SELECT {', '.join(columns)} FROM rows_raw",
            },
        },
        "features": {"seen": {"spine": "rows", "keys": ["id"], "as_of_time": "at", "columns": list(NAMES)}},
        "models": {
            "yes": {
                "features": "seen", "label": "yes", "task": "binary",
                "candidates": [{"kind": "xgboost", "rounds": 100}], "gates": [{"metric": "roc_auc", "min": 0.5}],
            },
        },
        "scores": {"each": {"model": "yes", "of": "seen", "mode": "batch"}},
        "monitors": {"watch": {"scores": "each", "window": "day"}},
    }  # fmt: skip


def _land(folder: Path, name: str, rows: int, day: int, days: int) -> None:
    """Rows spread evenly over some days; a label that hangs on some of the features, known an hour later."""
    dice = np.random.default_rng(SEED + rows)
    at = (FIRST_S + day * DAY_S) * 1_000_000 + np.arange(rows) * (days * DAY_S * 1_000_000 // rows)
    numbers = dice.normal(size=(NUMBERS, rows))
    categories = dice.integers(0, 20, size=(CATEGORIES, rows))
    odds = numbers[0] + numbers[1] * numbers[2] + (categories[0] > 14)
    yes = dice.random(rows) < 1 / (1 + np.exp(-odds))
    time = pa.timestamp("us", "UTC")
    values = {
        "id": pa.array(day * 1_000_000_000 + np.arange(rows)),
        "at": pa.array(at, time),
        **{f"x{i}": pa.array(column) for i, column in enumerate(numbers)},
        **{f"c{i}": pa.array(column).cast(pa.string()) for i, column in enumerate(categories)},
        "yes": pa.array(yes),
        "told_at": pa.array(at + 3_600_000_000, time),
    }
    file = folder / "landing" / "rows" / f"{name}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(values), file, row_group_size=250_000)
