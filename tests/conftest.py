"""One local session for all tests that need Spark: UTC, two cores, two shuffle partitions, frames in two partitions.

A test file that imports pyspark says `pytestmark = pytest.mark.spark`; a run
with `-m "not spark"` does not even read it, so it starts no JVM and imports
no pyspark. A file that forgets the mark is refused, with its name.
"""

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from e2e.project import Project
    from pyspark.sql import DataFrame, SparkSession

# Runs here take seconds, too few for the optimising compiler to pay: without it they take two thirds of the time.
# On two cores the serial collector does for small heaps; room for code, since 48 MB are full after a minute.
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=240m"
os.environ["SPARK_SUBMIT_OPTS"] = f"{os.environ.get('SPARK_SUBMIT_OPTS', '')} {QUICK}".strip()

MARK = "pytestmark = pytest.mark.spark"
LATER = "test_r"  # and after, by the alphabet


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A run without Spark does not import the files that need it; None leaves the others to pytest."""
    return (_without_spark(config) and collection_path.suffix == ".py" and _marked(collection_path)) or None


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Remember what was imported before a file is."""
    if isinstance(collector, pytest.Module):
        _before[collector.path] = "pyspark" in sys.modules


def pytest_itemcollected(item: pytest.Item) -> None:
    """What lies in e2e/ is marked so; the later part of its files too, for scripts/test runs it beside the others."""
    if item.path.parent.name == "e2e":
        item.add_marker("e2e")
        if item.path.name >= LATER:
            item.add_marker("later")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse a file that brought pyspark into a run without it; one that was named to pytest itself may."""
    if _without_spark(session.config) and "pyspark" in sys.modules:
        first = [path for path, loaded in _before.items() if not loaded][-1]
        if not _marked(first):
            raise pytest.UsageError(f"{first} imports pyspark; a file that does says `{MARK}`")


def _without_spark(config: pytest.Config) -> bool:
    return "not spark" in config.getoption("markexpr")


def _marked(path: Path) -> bool:
    return f"\n{MARK}\n" in path.read_text()


_before: dict[Path, bool] = {}


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[SparkSession]":
    """The product's own session, two cores wide; Python's clock is in UTC as Spark's is."""
    from pipelines.spark import session
    from pipelines.spec import Target

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        place = {"spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("spark"))}
        with session(Target(master="local[2]", driver_memory="2g", spark=place), "tests") as started:
            started.conf.set("spark.sql.shuffle.partitions", "2")
            yield started
    time.tzset()


@pytest.fixture(autouse=True, scope="module")
def _room() -> Iterator[None]:
    """Delta keeps each table it saw for an hour, with its session: hundreds of both, after some files of tests."""
    yield
    context = sys.modules.get("pyspark.core.context")
    if context and context.SparkContext._active_spark_context is not None:
        gc.collect()  # what Python no longer holds, Java need not
        context.SparkContext._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()


@pytest.fixture(scope="session")
def flown(spark: "SparkSession", tmp_path_factory: pytest.TempPathFactory) -> "Project":
    """The flights conf after one run on a few days; who uses it only reads."""
    from e2e.project import flights, land_flights

    project = flights(tmp_path_factory.mktemp("flown"))
    land_flights(project, months=(1, 2), days=(1, 2, 3))
    assert project.lakeloom("run").error == ""
    return project


@pytest.fixture(scope="session")
def frame(spark: "SparkSession") -> "Callable[[list[Any], str], DataFrame]":
    """`frame(rows, ddl)`: a frame in two partitions."""
    return lambda rows, ddl: spark.createDataFrame(rows, ddl)


@pytest.fixture(scope="session")
def plan() -> "Callable[[DataFrame], str]":
    """`plan(df)`: the physical plan as text."""
    return lambda df: df._jdf.queryExecution().executedPlan().toString()
