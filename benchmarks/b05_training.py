"""b05: a boosted model of a binary label, from Parquet to a fitted model, by three ways that must be equally good.

Ours is what a training does with one candidate: rows dealt to a worker a core,
columns looked at, prepared and fitted (`learners.fit`). Peers: Spark ML's GBT,
as its guide has it, and XGBoost by itself in one process with as many threads
(peers/boosting.py). The data have the form of HIGGS: 28 numbers, of which some
are made of others, and a label that hangs on products of them. Ours may be no
worse by more than 0.002 of ROC AUC on unseen rows; a peer may.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from sklearn.metrics import roc_auc_score

from benchmarks.measure import Answer, Arm, Contest
from benchmarks.peers import boosting
from benchmarks.project import sessions
from pipelines import tune
from pipelines.models import learners
from pipelines.models.base import Asked, Inputs
from pipelines.spec.candidate import Xgboost
from pipelines.spec.task import PROBABILITY, TARGET

SEED = 5
FEATURES = tuple(f"x{i}" for i in range(28))
KEY, TESTED, FILES = "id", 100_000, 8
ALIKE = 0.002  # of ROC AUC
ROUNDS, DEPTH, RATE = 20, 5, 0.1


@dataclass(frozen=True)
class Profile:
    """Rows to train on; the first size is also given to Spark ML's GBT."""

    sizes: tuple[int, ...]
    pairs: int
    warmups: int


PROFILES = {
    "quick": Profile((1_000_000, 100_000, 300_000), pairs=2, warmups=1),
    "full": Profile((1_000_000, 100_000, 300_000, 3_000_000, 5_000_000), pairs=3, warmups=1),
}


@dataclass(frozen=True, eq=False)
class Skill(Answer):
    """Of as many rows, and ours no worse than the other's by more than ALIKE; `hash` is ROC AUC."""

    own: bool = False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Skill):
            return False
        ours, theirs = (self, other) if self.own else (other, self)
        return self.rows == other.rows and float(ours.hash) >= float(theirs.hash) - ALIKE

    __hash__ = None  # type: ignore[assignment]  # being alike is not transitive


@dataclass
class Entrant:
    """One way to fit; what it made answers for the rows of `test.parquet`."""

    name: str
    folder: Path
    fit: Callable[[Path], boosting.Score]
    made: list[boosting.Score] = field(default_factory=list)

    def arm(self) -> Arm:
        """As it is measured: the fit alone."""
        return Arm(self.name, self.made.clear, self._act, self._answer)

    def _act(self) -> None:
        self.made.append(self.fit(self.folder / "train"))

    def _answer(self) -> Answer:
        rows = pq.read_table(self.folder / "test.parquet")
        scores = self.made[-1](self.folder / "test.parquet")
        return Skill(rows.num_rows, f"{roc_auc_score(rows['label'].to_numpy(), scores):.4f}", self.name == "ours")


def contests(profile: str, scratch: Path) -> Iterator[Contest]:
    """The greatest common size against both peers; the others, a series, against XGBoost by itself."""
    asked = PROFILES[profile]
    with sessions("b05") as spark:
        for place, rows in enumerate(asked.sizes):
            folder = scratch / str(rows)
            make(folder, rows, TESTED)
            ours, alone, gbt = arms(spark, folder)
            peers = (alone, gbt) if place == 0 else (alone,)
            size = f"{rows:,} x {len(FEATURES)}"
            yield Contest("b05", size, ours, peers, asked.pairs, asked.warmups, asked.pairs, "trained", rows)


def arms(spark: SparkSession, folder: Path) -> tuple[Arm, Arm, Arm]:
    """Ours, XGBoost by itself, Spark ML's GBT."""
    how = boosting.How(FEATURES, ROUNDS, DEPTH, RATE)
    ways: dict[str, Callable[[Path], boosting.Score]] = {
        "ours": lambda train: _ours(spark, train),
        "XGBoost alone": lambda train: boosting.alone(train, how),
        "Spark ML GBT": lambda train: boosting.gbt(spark, train, how),
    }
    ours, alone, gbt = (Entrant(name, folder, fit).arm() for name, fit in ways.items())
    return ours, alone, gbt


def make(folder: Path, rows: int, tested: int) -> None:
    """Rows to train on in some files, and rows to test on; the same at every call."""
    (folder / "train").mkdir(parents=True)
    dice = np.random.default_rng(SEED)
    pq.write_table(_rows(dice, tested, 0), folder / "test.parquet")
    for part in range(FILES):
        first, last = rows * part // FILES, rows * (part + 1) // FILES
        pq.write_table(_rows(dice, last - first, first), folder / "train" / f"{part}.parquet")


def _rows(dice: np.random.Generator, rows: int, first: int) -> pa.Table:
    """21 measured numbers, 7 made of them, as in HIGGS; the label by a logistic model of products."""
    low = dice.normal(size=(rows, 21)).astype(np.float32)
    high = np.abs(low[:, :7] * low[:, 7:14]) + 0.1 * low[:, 14:]
    logit = high[:, :4].sum(axis=1) - 1.5 * high[:, 4] + low[:, 0] * low[:, 20] - 1.5
    label = (dice.random(rows) < 1 / (1 + np.exp(-logit))).astype(np.int32)
    numbers = np.hstack([low, high]).T
    columns = dict(zip(FEATURES, map(pa.array, numbers), strict=True))
    return pa.table({KEY: pa.array(np.arange(first, first + rows)), **columns, "label": pa.array(label)})


def _ours(spark: SparkSession, train: Path) -> boosting.Score:
    candidate = Xgboost(kind="xgboost", rounds=ROUNDS, depth=DEPTH, learning_rate=RATE, workers=os.cpu_count() or 1)
    rows = spark.read.parquet(str(train)).withColumnRenamed("label", TARGET)
    dealt = tune.dealt(rows, rows.count(), candidate, [KEY]).persist()
    try:
        fitted = learners.fit(candidate, dealt, Inputs.of(rows, FEATURES), Asked("binary", 2, (KEY,)))
    finally:
        dealt.unpersist()
    return lambda test: boosting.in_order(fitted.pipeline.transform(spark.read.parquet(str(test))), KEY, PROBABILITY)
