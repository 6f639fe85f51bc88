"""Target to session: the one getOrCreate.

UTC, ANSI, declared schemas, idempotent commits; sized for the cores at hand.
The Delta jars stand in pyspark's own jars folder (scripts/bootstrap puts them
there), so no session pays for a resolver.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, cast

from pyspark.sql import SparkSession

from pipelines.errors import PlatformError
from pipelines.spec import REFERENCE, Target

ALWAYS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.runSQLOnFiles": "false",
    "spark.databricks.delta.commit.idempotencyCheck.enabled": "true",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.adaptive.coalescePartitions.parallelismFirst": "false",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # INT96 has no statistics
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "256",  # tables of so many files are read by their log
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.localRelationThreshold": "0",  # else the optimiser scores such rows itself, on one core
    "spark.sql.execution.pythonUDF.arrow.enabled": "false",  # Spark 4.2.0 waits for ever where one reads Parquet
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
SHUFFLE_TASKS_A_CORE = 2
LOGGING = Path(__file__).with_name("log4j2.properties").resolve()
NOISE = re.compile(rb"Using incubator modules|JNI_OnLoad|Task \d+ got rank \d+")  # of Spark, netlib and XGBoost
# Short runs end before the optimising compiler pays: 41 CPU-seconds against 70 for 1 % on top of 300,000 rows. The room
# for code is Java's usual one, which without that compiler would be 48 MB and full after a minute.
BRIEF = " -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"


@contextmanager
def session(target: Target, name: str, brief: bool = False) -> Iterator[SparkSession]:
    """A session on the target, stopped at the end; one that was there before (a notebook's) serves, and goes on.

    brief : many small jobs are to come, and no large one.
    Errors: PlatformError if the JVM or a jar is missing.
    """
    before = SparkSession.getActiveSession()
    spark = start(target, name, brief)
    try:
        yield spark
    finally:
        if before is None:
            spark.stop()


def start(target: Target, name: str, brief: bool = False) -> SparkSession:
    """A session on the target, for its caller to stop. Errors: PlatformError if the JVM or a jar is missing."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(f"lakeloom {name}")
    if target.master is not None:
        builder = builder.master(target.master).config("spark.driver.memory", target.driver_memory)
        builder = builder.config(map=_java(brief))
        if target.master.startswith("local"):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            builder = builder.config("spark.driver.bindAddress", "127.0.0.1")
    for key, value in {**ALWAYS, **target.spark}.items():
        builder = builder.config(key, _told(key, value))
    try:
        with _overheard():
            spark = builder.getOrCreate()
        if not spark.conf.get("spark.log.level", None):  # else spark-submit was told
            spark.sparkContext.setLogLevel("ERROR")
        spark.conf.set("spark.sql.shuffle.partitions", SHUFFLE_TASKS_A_CORE * spark.sparkContext.defaultParallelism)
    except Exception as found:
        raise PlatformError(
            f"Spark did not start: {_first_line(found)}; `lakeloom doctor` tells what to type"
        ) from found
    return spark


def yield_memory() -> None:
    """Java gives back what it does not use, to a process that is to run beside it. Nothing without a session."""
    spark = SparkSession.getActiveSession()
    if spark is not None:
        cast(Any, spark.sparkContext)._jvm.System.gc()


@contextmanager
def heeding(spark: SparkSession, act: Callable[[], None]) -> Iterator[None]:
    """SIGTERM to Spark's JVM, which would end the session amid a batch, calls `act` while the block runs.

    Under spark-submit it is the JVM that is told, and elsewhere it is told as well where a whole group of processes is.
    """
    from pyspark import java_gateway

    callbacks, gateway = cast(Any, java_gateway), cast(Any, spark.sparkContext._gateway)
    callbacks.ensure_callback_server_started(gateway)
    signals, named = gateway.jvm.sun.misc.Signal, gateway.jvm.sun.misc.Signal("TERM")
    before = signals.handle(named, _Handler(act))
    try:
        yield
    finally:
        with suppress(Exception):  # there is no JVM any more
            signals.handle(named, before)


class _Handler:
    """What Java calls when a signal comes."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    def handle(self, signal: object) -> None:
        """As sun.misc.SignalHandler has it."""
        self.act()

    class Java:
        """For py4j."""

        implements = ("sun.misc.SignalHandler",)


def _told(option: str, value: str) -> str:
    """An option with the secrets that it names. Errors: PlatformError where the environment has one not."""
    absent = [name for name in REFERENCE.findall(value) if not os.environ.get(name)]
    if absent:
        said = f"there is no environment variable {absent[0]}; export {absent[0]}=..."
        raise PlatformError(f"the target's {option}: {said}")
    return REFERENCE.sub(lambda found: os.environ[found[1]], value)


@contextmanager
def _overheard() -> Iterator[None]:
    """A JVM that is started here prints to our stderr, what Delta's VACUUM says on stdout too, and no NOISE."""
    sys.stdout.flush()
    kept, (heard, spoken) = (os.dup(1), os.dup(2)), os.pipe()
    Thread(target=_pass_on, args=(heard, os.dup(2)), daemon=True).start()
    for number in (1, 2):
        os.dup2(spoken, number)
    os.close(spoken)
    try:
        yield
    finally:
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
            os.close(before)


def _pass_on(heard: int, to: int) -> None:
    """Line by line, until all that may write are gone."""
    with os.fdopen(heard, "rb") as lines, os.fdopen(to, "wb", buffering=0) as out:
        for line in lines:
            if not NOISE.search(line):
                out.write(line)


def _java(brief: bool) -> dict[str, bool | float | int | str | None]:
    """Only errors reach a terminal; under spark-submit, logging is as the cluster has it."""
    return {"spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={java_logging()}{BRIEF if brief else ''}"}


def java_logging() -> str:
    """Where Java finds LOGGING: in a folder, or in the wheel that this is imported from."""
    archive = getattr(__spec__.loader, "archive", None)  # zipimport's
    if archive is None:
        return LOGGING.as_uri()
    return f"jar:{Path(archive).resolve().as_uri()}!/pipelines/{LOGGING.name}"


def _first_line(found: Exception) -> str:
    return (str(found).splitlines() or [type(found).__name__])[0][:300]
