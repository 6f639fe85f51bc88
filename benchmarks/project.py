"""A conf in a folder, refreshed in this process: `lakeloom run` without the start of Python and of the JVM.

Each sample has a warehouse of its own: Delta remembers by path what it saw of
a table.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from ruamel.yaml import YAML

from benchmarks.measure import Answer
from pipelines.errors import DataError
from pipelines.run.order import Order
from pipelines.run.pipeline import run
from pipelines.spark import session
from pipelines.spec import Pipeline, Target, load
from pipelines.state import Record, Warehouse


@contextmanager
def sessions(name: str) -> Iterator[SparkSession]:
    """The session that all arms share, as every stage opens it."""
    with session(Target(), name) as spark:
        yield spark


@dataclass(frozen=True)
class Project:
    """One conf and where it lands."""

    pipeline: Pipeline
    landing: Path

    def refresh(self, warehouse: Path, stage: str) -> Record:
        """One batch of one table. Errors: DataError where the run refuses it or finds nothing to do."""
        target = Target(warehouse=str(warehouse), landing=str(self.landing))
        (outcome,) = run(self.pipeline, target, Order((stage,)), lambda *_: None)
        if outcome.error:
            raise outcome.error
        if not outcome.record:
            raise DataError(f"{stage}: nothing ran: {outcome.verdict.why}")
        return outcome.record

    def path(self, warehouse: Path, stage: str, part: str = "") -> Path:
        """Where a table lies."""
        return Path(Warehouse(str(warehouse), self.pipeline.pipeline).path(stage, part))


def project(folder: Path, conf: dict[str, object]) -> Project:
    """A conf, written and read as a user's is; files land in folder/landing."""
    file = folder / f"{conf['pipeline']}.yml"
    (folder / "landing").mkdir(parents=True, exist_ok=True)
    YAML().dump(conf, file)
    return Project(load(file), folder / "landing")


def answer_of(rows: DataFrame, said: str = "") -> Answer:
    """Rows, and a hash over their values in any order; `said` is what else must agree."""
    hashed = F.sum(F.xxhash64(*rows.columns).cast("decimal(38,0)"))
    found = rows.agg(F.count("*").alias("rows"), hashed.alias("hash")).first()
    assert found
    return Answer(found.rows, f"{found['hash']} {said}".strip())
