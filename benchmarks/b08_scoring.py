"""b08: batch scores of 100 trees over 16 columns, Parquet in and Parquet out, by three ways that answer alike.

Ours is the scoring function of a published binary model: its ONNX graph in one
pass over Arrow batches. Peers: the same booster by MLflow's `spark_udf`, and,
as a floor, by XGBoost itself in one thread without Spark. Loading the model is
part of each run, as it is of each job.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from xgboost import Booster

from benchmarks.measure import Answer, Arm, Contest
from benchmarks.peers import scoring
from benchmarks.project import sessions
from pipelines import evaluate
from pipelines.models import learners
from pipelines.models.base import Asked, Inputs
from pipelines.models.graphs import drawn
from pipelines.score import Scorer, by_graph
from pipelines.spec.candidate import Xgboost
from pipelines.spec.task import TARGET

SEED, COLUMNS, FILES, TRAINED = 8, 16, 8, 50_000
NAMES = tuple(f"x{i}" for i in range(COLUMNS))
SIZES = {"quick": (200_000, 2), "full": (1_000_000, 3)}  # rows and pairs
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Way:
    """One way to score what lies in a folder into another."""

    name: str
    to: Path
    act: Callable[[Path], None]

    def arm(self) -> Arm:
        """From an empty folder."""
        return Arm(
            self.name, lambda: shutil.rmtree(self.to, ignore_errors=True), lambda: self.act(self.to), self._answer
        )

    def _answer(self) -> Answer:
        """Rows, and their mean score to the sixth digit: single precision ends there."""
        scores = pq.read_table(self.to, columns=["score"])["score"]
        return Answer(len(scores), f"{pc.mean(scores.cast(pa.float64())).as_py():.6f}")


def contests(profile: str, scratch: Path) -> Iterator[Contest]:
    """One size; all ways share a session."""
    rows, pairs = SIZES[profile]
    make(scratch / "rows", rows)
    with sessions("b08") as spark:
        ours, *peers = ways(spark, scratch)
        yield Contest("b08", f"{rows:,} x {COLUMNS}", ours.arm(), tuple(p.arm() for p in peers), pairs, 1, pairs)


def trained(spark: SparkSession, scratch: Path) -> bytes:
    """A booster's graph; in the folder the same one as `booster.ubj`, and as an MLflow model, `mlflow`."""
    make(scratch / "train", TRAINED)
    train = spark.read.parquet(str(scratch / "train")).withColumnRenamed("yes", TARGET)
    candidate = Xgboost(kind="xgboost", rounds=100, depth=6, workers=1)
    fitted = learners.fit(candidate, train, Inputs((), NAMES), Asked("binary", 2, ("id",))).pipeline
    fitted.write().save(f"file://{scratch}/pipeline")
    booster: Booster = fitted.stages[-1].get_booster()
    booster.save_model(scratch / "booster.ubj")
    scoring.saved(booster, NAMES, scratch / "mlflow")
    tags = {evaluate.TASK: "binary", **evaluate.Binary().tags()}
    return drawn(scratch / "pipeline", tags, dict(train.dtypes), ("id",)).content


def ways(spark: SparkSession, scratch: Path) -> tuple[Way, Way, Way]:
    """Ours, MLflow's, and the floor, of one booster."""
    task, graph = evaluate.Binary(), trained(spark, scratch)
    return (
        Way("ours", scratch / "ours", partial(_ours, spark, scratch / "rows", graph, task)),
        Way("spark_udf", scratch / "udf", partial(_udf, spark, scratch)),
        Way("without Spark", scratch / "floor", partial(_floor, scratch)),
    )


def _ours(spark: SparkSession, source: Path, graph: bytes, task: evaluate.Binary, to: Path) -> None:
    scorer = Scorer(by_graph(graph), task, 1, ("id",), "at")
    rows = spark.read.parquet(str(source)).withColumn("at", F.lit(NOW))
    scorer.score(rows, NOW).write.parquet(str(to))


def _udf(spark: SparkSession, scratch: Path, to: Path) -> None:
    rows = spark.read.parquet(str(scratch / "rows"))
    scoring.udf(spark, scratch / "mlflow", rows, NAMES).write.parquet(str(to))


def _floor(scratch: Path, to: Path) -> None:
    scoring.floor(Booster(model_file=scratch / "booster.ubj"), scratch / "rows", NAMES, to)


def make(folder: Path, rows: int) -> None:
    """Numbers in some files, and a label that hangs on products of them; the same at every call."""
    dice = np.random.default_rng(SEED)
    folder.mkdir(parents=True)
    for part in range(FILES):
        first, last = rows * part // FILES, rows * (part + 1) // FILES
        numbers = dice.normal(size=(COLUMNS, last - first))
        yes = dice.random(last - first) < 1 / (1 + np.exp(-numbers[0] - numbers[1] * numbers[2]))
        columns = dict(zip(NAMES, map(pa.array, numbers), strict=True))
        table = pa.table({"id": pa.array(np.arange(first, last)), **columns, "yes": pa.array(yes.astype(np.int32))})
        pq.write_table(table, folder / f"{part}.parquet")
