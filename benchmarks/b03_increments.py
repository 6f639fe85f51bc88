"""b03: what an increment costs against the size of the table that it goes into.

A fixed number of rows lands beside tables a hundred times apart in size. Into
`appended`, without keys, go new rows only; into `merged`, by its keys, new
orders and corrections of the newest ones before. Ours is `lakeloom run` of that
table inside this session. Peers, written by hand: the whole table anew from
all that landed; the new file appended, or a MERGE of it by its keys alone. A
last contest brings 1 % of the greatest table.

Each sample starts from a copy of the table as one load made it. After it the
arms must hold as many rows, and the same ones from the first touched key on.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from benchmarks import lineitem
from benchmarks.copies import copied
from benchmarks.lineitem import COLUMNS, DDL
from benchmarks.measure import Answer, Arm, Contest
from benchmarks.peers import increments
from benchmarks.project import Project, answer_of, project, sessions

NEW = "arrived.parquet"  # beside the files that were there
CORRECTED = 0.1  # share of what arrives for `merged`: the newest rows before
MILLION = 1_000_000


@dataclass(frozen=True)
class Profile:
    """How many rows the tables have, how many arrive, and how often each is run."""

    sizes: tuple[int, ...]
    arriving: int
    pairs: int
    warmups: int


PROFILES = {
    "quick": Profile((30_000, 300_000, 3_000_000), 100_000, pairs=3, warmups=1),
    "full": Profile((300_000, 3_000_000, 30_000_000), 100_000, pairs=5, warmups=2),
}


@dataclass
class Entrant:
    """One way to bring a table up to date, from a copy of its base each time."""

    name: str
    folder: Path
    load: Callable[[Path], None]  # the base, once
    act: Callable[[Path], None]
    table: Callable[[Path], Path]
    spark: SparkSession
    touched: int  # the least l_orderkey that arrives
    times: int = 0

    @property
    def now(self) -> Path:
        """Where the present sample works."""
        return self.folder / str(self.times)

    def arm(self, begun: Callable[[], None]) -> Arm:
        """As it is measured; `begun` lays the ground that all arms stand on, once."""

        def prepare() -> None:
            begun()
            self._prepare()

        return Arm(self.name, prepare, lambda: self.act(self.now), self._answer)

    def based(self) -> None:
        """Load the base, before anything arrives."""
        self.load(self.folder / "base")

    def _prepare(self) -> None:
        if self.times:
            shutil.rmtree(self.now)
        self.times += 1
        copied(self.folder / "base", self.now)

    def _answer(self) -> Answer:
        path = str(self.table(self.now))
        rows = self.spark.read.format("delta").load(path).where(F.col("l_orderkey") >= self.touched)
        return answer_of(rows.select(*COLUMNS), f"of {DeltaTable(path).count()}")


def contests(profile: str, scratch: Path) -> Iterator[Contest]:
    """The tables by size, each appended to and merged into; 1 % on top of the greatest."""
    asked = PROFILES[profile]
    percent = asked.sizes[-1] // 100
    made = lineitem.made(asked.sizes[-1] + max(asked.arriving, percent), scratch / "made")
    with sessions("b03") as spark:
        for rows in asked.sizes:
            kinds = {"appended": asked.arriving, "merged": asked.arriving}
            for table, arriving in kinds.items():
                yield _contest(spark, made, scratch / f"{table}_{rows}", table, rows, arriving, asked)
            shutil.rmtree(scratch / f"appended_{rows}", ignore_errors=True)
            shutil.rmtree(scratch / f"merged_{rows}", ignore_errors=True)
        yield _contest(spark, made, scratch / "percent", "merged", asked.sizes[-1], percent, asked)


def _contest(
    spark: SparkSession, made: Path, folder: Path, table: str, rows: int, arriving: int, asked: Profile
) -> Contest:
    ours, *peers = arms(spark, made, folder, table, rows, arriving)
    fixed = arriving == asked.arriving
    size = f"{table}, {arriving:,} on {rows / MILLION:g} M" if fixed else f"{table}, 1 % on {rows / MILLION:g} M"
    series, pairs = table if fixed else "", asked.pairs
    return Contest("b03", size, ours, tuple(peers), pairs, asked.warmups, pairs, series, rows)


def conf() -> dict[str, object]:
    """Lineitem without keys, and with them."""
    table = {"from": "lineitem", "select": f"SELECT {', '.join(COLUMNS)} FROM lineitem"}
    return {
        "pipeline": "b03",
        "sources": {"lineitem": {"kind": "files", "format": "parquet", "path": "lineitem", "schema": DDL}},
        "tables": {"appended": table, "merged": {**table, "keys": increments.KEYS, "sequence_by": "l_receiptdate"}},
    }


def arms(spark: SparkSession, made: Path, folder: Path, table: str, rows: int, arriving: int) -> list[Arm]:
    """Ours and its peers. When the first is asked for, their bases are loaded; then the increment lands."""
    place = project(folder, conf())
    landed = place.landing / "lineitem"
    arrived = arrivals(made, rows, arriving, keyed=table == "merged")
    touched = arrived["l_orderkey"][0].as_py()
    entrants = [
        Entrant(name, folder / name.replace(" ", "_"), load, act, where, spark, touched)
        for name, load, act, where in _ways(spark, place, landed, table)
    ]

    @cache
    def begun() -> None:
        lineitem.land(made, rows, landed)
        for entrant in entrants:
            entrant.based()
        lineitem.put(arrived, landed / NEW)

    return [entrant.arm(begun) for entrant in entrants]


def arrivals(made: Path, rows: int, count: int, keyed: bool) -> pa.Table:
    """The rows after the table's; for a keyed table a tenth are corrections of its last."""
    old = int(count * CORRECTED) if keyed else 0
    fresh = lineitem.part(made, rows, count - old)
    return pa.concat_tables([lineitem.corrected(lineitem.part(made, rows - old, old)), fresh]) if old else fresh


Way = tuple[str, Callable[[Path], None], Callable[[Path], None], Callable[[Path], Path]]


def _ways(spark: SparkSession, place: Project, landed: Path, table: str) -> list[Way]:
    stage, keyed = f"tables.{table}", table == "merged"

    def refresh(warehouse: Path) -> None:
        place.refresh(warehouse, stage)

    def rebuild(to: Path) -> None:
        increments.rebuild(spark, DDL, str(landed), str(to), keyed)

    by_hand = increments.merge if keyed else increments.append
    arrive = partial(_by_hand, by_hand, spark, str(landed / NEW))
    return [
        ("ours", refresh, refresh, lambda warehouse: place.path(warehouse, stage)),
        ("full rebuild", rebuild, rebuild, lambda to: to),
        ("naive MERGE" if keyed else "append by hand", rebuild, arrive, lambda to: to),
    ]


def _by_hand(act: Callable[[SparkSession, str, str, str], None], spark: SparkSession, arrived: str, to: Path) -> None:
    act(spark, DDL, arrived, str(to))
