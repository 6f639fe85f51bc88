"""b04: the newest value that was known before a label's time, from one table of events and from eight.

Ours is `features.build` alone: frames in, Parquet out. Peers: a range join and
row_number for each table (K of them, one after another), as feature stores'
guides write it; and K separate as-of joins, each the cheapest that we know by
hand (union, last over a window), joined by the label's id.

Keys are Zipf distributed, of labels and of events alike, so that the greatest
key has a fifth to a third of the rows. No two rows share a moment, or
peers could choose another of two equal ones.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from benchmarks.measure import Answer, Arm, Contest
from benchmarks.peers import asof
from benchmarks.project import answer_of, sessions
from pipelines.features import build
from pipelines.spec import Feature, Table

SEED = 4
SPAN_US = 60 * 86_400 * 1_000_000  # two months
BEGIN_US = 1_700_000_000 * 1_000_000


@dataclass(frozen=True)
class Profile:
    """How many labels, and events of each table; and for how many events a key with how many tables."""

    labels: int
    events: int
    cases: tuple[tuple[int, int], ...]
    pairs: int
    warmups: int


PROFILES = {
    "quick": Profile(20_000, 100_000, ((10, 1), (200, 1), (1_000, 1), (200, 8)), pairs=3, warmups=1),
    "full": Profile(100_000, 500_000, ((10, 1), (100, 1), (200, 1), (1_000, 1), (10, 8), (200, 8)), pairs=5, warmups=1),
}


@dataclass
class Entrant:
    """One way to join, from the same files into a folder of its own."""

    name: str
    spark: SparkSession
    made: Path
    tables: int
    to: Path
    join: Callable[[DataFrame, Mapping[str, DataFrame]], DataFrame]

    def arm(self) -> Arm:
        """As it is measured."""
        return Arm(self.name, lambda: None, self._act, self._answer)

    def _act(self) -> None:
        events = {f"e{n}": self.spark.read.parquet(str(self.made / f"e{n}.parquet")) for n in range(self.tables)}
        labels = self.spark.read.parquet(str(self.made / "labels.parquet"))
        self.join(labels, events).write.mode("overwrite").parquet(str(self.to))

    def _answer(self) -> Answer:
        columns = ["label", *(f"e{n}_value" for n in range(self.tables))]
        return answer_of(self.spark.read.parquet(str(self.to)).select(*columns))


def contests(profile: str, scratch: Path) -> Iterator[Contest]:
    """By events a key, with one table and with eight."""
    asked = PROFILES[profile]
    with sessions("b04") as spark:
        for a_key, tables in asked.cases:
            folder = scratch / f"{a_key}_{tables}"
            make(folder / "made", asked.labels, asked.events, a_key, tables)
            ours, *peers = arms(spark, folder, tables)
            size = f"{a_key:,} events a key, {tables} table{'s' if tables > 1 else ''}"
            yield Contest("b04", size, ours, tuple(peers), asked.pairs, asked.warmups, asked.pairs)


def arms(spark: SparkSession, folder: Path, tables: int) -> list[Arm]:
    """Ours and its peers."""
    ways = {"ours": _ours, "range join": asof.range_joins, "K joins": asof.separate_joins}
    return [
        Entrant(name, spark, folder / "made", tables, folder / name.replace(" ", "_"), join).arm()
        for name, join in ways.items()
    ]


def make(folder: Path, labels: int, events: int, a_key: int, tables: int) -> None:
    """Labels and tables of events as Parquet, the same at every call."""
    folder.mkdir(parents=True)
    dice, keys = np.random.default_rng(SEED), events // a_key
    sizes = {"labels": labels, **{f"e{n}": events for n in range(tables)}}
    for place, (name, rows) in enumerate(sizes.items()):
        columns = {"key": _zipf(dice, keys, rows), "at": _moments(dice, rows, place, len(sizes))}
        if name == "labels":
            columns["label"] = pa.array(np.arange(rows))
        else:
            columns["value"] = pa.array(dice.random(rows))
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def _zipf(dice: np.random.Generator, keys: int, rows: int) -> pa.Array:
    """The k-th key is met 1/k as often as the first."""
    weights = 1 / np.arange(1, keys + 1)
    return pa.array(dice.choice(keys, size=rows, p=weights / weights.sum()))


def _moments(dice: np.random.Generator, rows: int, place: int, of: int) -> pa.Array:
    """Moments that no other row of any table has: one in each of `rows` slots, in an offset of the table's own."""
    slot = SPAN_US // rows // of * of
    found = BEGIN_US + np.arange(rows) * slot + dice.integers(0, slot // of, rows) * of + place
    return pa.array(dice.permutation(found), pa.timestamp("us", tz="UTC"))


def _ours(labels: DataFrame, events: Mapping[str, DataFrame]) -> DataFrame:
    as_of = [{"table": name, "keys": ["key"], "within": "90 days", "columns": ["value"]} for name in events]
    said = {"spine": "labels", "keys": ["label"], "as_of_time": "at", "as_of": as_of}
    table = Table.model_validate({"event_time": "at", "select": "SELECT * FROM events"})
    return build(Feature.model_validate_json(json.dumps(said)), labels, events, dict.fromkeys(events, table))
