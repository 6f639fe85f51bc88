"""For notebooks: the published tables, scores and models of a pipeline, in three short calls.

    lake = Lake("conf/flights.yml")
    lake.table("flights"); lake.scores("late_arrival_daily"); lake.model("late_arrival")

Only what was published is seen, whatever is being written meanwhile.
"""

from functools import cached_property
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from pipelines import tables
from pipelines.deferring import warehouse_of
from pipelines.errors import DataError
from pipelines.run.scorer import champion
from pipelines.score import Scorer
from pipelines.spark import start
from pipelines.spec import load, load_target
from pipelines.state import History


class Lake:
    """One pipeline on one target, to be read. A Spark session starts with the first call; `close` ends it."""

    def __init__(self, conf: str | Path, target: str = "local") -> None:
        self.pipeline, self.target = load(Path(conf)), load_target(Path(conf), target)
        self.warehouse = warehouse_of(self.pipeline, self.target)

    @cached_property
    def spark(self) -> SparkSession:
        """The session of the target."""
        return start(self.target, f"notebook {self.pipeline.pipeline}")

    def table(self, name: str) -> DataFrame:
        """The published version of a table."""
        return self._published(f"tables.{name}")

    def features(self, name: str) -> DataFrame:
        """The published version of a feature table."""
        return self._published(f"features.{name}")

    def scores(self, name: str) -> DataFrame:
        """The published scores."""
        return self._published(f"scores.{name}")

    def model(self, name: str) -> Scorer:
        """The champion, its files verified: `lake.model(m).score(lake.features(f), now)`."""
        assert self.spark  # a model is loaded into a session
        return champion(self.pipeline, self.target, name)[0]

    def close(self) -> None:
        """End the session."""
        self.spark.stop()

    def _published(self, stage: str) -> DataFrame:
        version = History.of(self.warehouse).published(stage)
        if version is None:
            raise DataError(f"{stage}: nothing was published yet; `lakeloom run` makes it")
        return tables.read(self.spark, self.warehouse.path(stage), version)
