"""b02: what ten row checks of lineitem add to the write, where nothing is bad and where 1 % is.

Two of ours, each with a floor of its own, the same work without the checks:

fused  our functions as the product has them, straight into one Delta write;
       rows that are refused cost a second pass, into a quarantine. Its floor
       is a bare write.
run    `lakeloom run` of a conf with one table, inside this session: census,
       intent, staging, row identities, lock and record included. Its floor is
       the same run of a table without expectations.

A peer writes first and checks the written table then; its floor is the bare
write. Ours splits the rows, the peers only count; all must count the same, and
write the same rows. One session serves all arms, warm.
"""

import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from benchmarks import lineitem
from benchmarks.lineitem import COLUMNS, DDL
from benchmarks.measure import Answer, Arm, Contest
from benchmarks.peers import after_write, deequ_style
from benchmarks.project import Project, answer_of, project, sessions
from pipelines import staging, tables
from pipelines.log import Transaction
from pipelines.quality import fused
from pipelines.spec import Expectation

SCALES = {"quick": 0.05, "full": 0.3}
PAIRS = {"quick": 3, "full": 7}
WARMUPS = {"quick": 1, "full": 2}
FULL_ONLY = {"ten counts", "Deequ style", "staged with checks", "staged without checks"}
_VALUES = "expect_column_values_to_"
_MODES = ["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"]
CHECKS: list[dict[str, object]] = [
    {f"{_VALUES}not_be_null": {"column": "l_orderkey"}},
    {f"{_VALUES}be_between": {"column": "l_quantity", "min_value": 1, "max_value": 50}},
    {f"{_VALUES}be_between": {"column": "l_extendedprice", "min_value": 1, "max_value": 200000}},
    {f"{_VALUES}be_between": {"column": "l_discount", "min_value": 0, "max_value": 0.1}},
    {f"{_VALUES}be_between": {"column": "l_tax", "min_value": 0, "max_value": 0.08}},
    {f"{_VALUES}be_in_set": {"column": "l_returnflag", "value_set": ["A", "N", "R"]}},
    {f"{_VALUES}be_in_set": {"column": "l_linestatus", "value_set": ["F", "O"]}},
    {f"{_VALUES}be_in_set": {"column": "l_shipmode", "value_set": _MODES}},
    {f"{_VALUES}match_regex": {"column": "l_shipinstruct", "regex": "^[A-Z ]+$"}},
    {"expect_column_pair_values_a_to_be_greater_than_b": {"column_A": "l_receiptdate", "column_B": "l_shipdate"}},
]
EXPECT = [{**check, "on_fail": "quarantine"} for check in CHECKS]
RULES = tuple(Expectation.model_validate_json(json.dumps(e)) for e in EXPECT)
ONCE = Transaction("b02", 0)
Counts = list[int]  # rows that break each rule, in the order of CHECKS


@dataclass
class Entrant:
    """One way to write and check, into a new folder each time."""

    name: str
    folder: Path
    act: Callable[[Path], Counts | None]
    written: Callable[[Path], DataFrame]
    floor: Arm | None = None
    times: int = 0
    counts: Counts | None = field(default=None, init=False)

    @property
    def now(self) -> Path:
        """Where the present sample goes."""
        return self.folder / str(self.times)

    def arm(self) -> Arm:
        """As it is measured."""
        return Arm(self.name, self._prepare, self._act, self._answer, self.floor)

    def _prepare(self) -> None:
        shutil.rmtree(self.now, ignore_errors=True)
        self.times += 1
        self.now.mkdir(parents=True)

    def _act(self) -> None:
        with warnings.catch_warnings():  # of third parties
            warnings.simplefilter("ignore")
            self.counts = self.act(self.now)

    def _answer(self) -> Answer:
        """What was written and counted; of an arm that does not check, an aggregate counts here, unmeasured."""
        rows = self.written(self.now).select(*COLUMNS)
        rows.sparkSession.catalog.clearCache()  # what a peer persisted
        counts = after_write.one_aggregate(rows) if self.counts is None else self.counts
        return answer_of(rows, f"and counts {counts}")


def contests(profile: str, scratch: Path) -> Iterator[Contest]:
    """Nothing bad and 1 % bad, each for our functions alone and for the whole product."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    scale = SCALES[profile]
    rows = int(scale * lineitem.ROWS_PER_SCALE)
    whole = lineitem.part(lineitem.made(rows, scratch / "made"), 0, rows)
    with sessions("b02") as spark:
        for said, landed in (("nothing bad", whole), ("1 % bad", lineitem.spoiled(whole))):
            folder = scratch / said.replace(" ", "_")
            place = project(folder, conf())
            lineitem.put(landed, place.landing / "lineitem" / "lineitem.parquet")
            for way, (ours, *peers) in arms(spark, place, folder).items():
                size = f"SF {scale}, {said}, {way}"
                met = tuple(p for p in peers if profile == "full" or p.name not in FULL_ONLY)
                yield Contest("b02", size, ours, met, PAIRS[profile], WARMUPS[profile], PAIRS[profile])


def conf() -> dict[str, object]:
    """Lineitem with the checks, and without."""
    table = {"from": "lineitem", "select": f"SELECT {', '.join(COLUMNS)} FROM lineitem"}
    return {
        "pipeline": "b02",
        "sources": {"lineitem": {"kind": "files", "format": "parquet", "path": "lineitem", "schema": DDL}},
        "tables": {"checked": {**table, "expect": EXPECT}, "unchecked": table},
    }


def arms(spark: SparkSession, place: Project, folder: Path) -> dict[str, list[Arm]]:
    """Each of ours followed by its peers."""
    source = str(place.landing / "lineitem")
    bare = _peer(spark, source, folder, "bare write", lambda _: None).arm()
    checked = [_peer(spark, source, folder, name, check, bare).arm() for name, check in _checks_after().items()]
    straight = Entrant("fused", folder / "fused", partial(_fused, spark, source), partial(_split, spark), bare)
    staged = {name: partial(_staged, spark, source, rules) for name, rules in (("with", RULES), ("without", ()))}
    staged_arms = [
        Entrant(f"staged {name} checks", folder / f"staged_{name}", act, partial(_split, spark)).arm()
        for name, act in staged.items()
    ]
    unchecked = _run(spark, place, folder, "unchecked", None)
    run = _run(spark, place, folder, "checked", unchecked)
    return {"fused": [straight.arm(), bare, *checked], "run": [run, unchecked, bare, *staged_arms, *checked[-2:]]}


def _checks_after() -> dict[str, Callable[[DataFrame], Counts]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from benchmarks.peers import gx_checks  # seconds of import

    return {
        "one aggregate": after_write.one_aggregate,
        "ten counts": after_write.ten_counts,
        "Deequ style": deequ_style.check,
        "GX": partial(gx_checks.check, persist=True),
        "GX persist=False": partial(gx_checks.check, persist=False),
    }


def _peer(
    spark: SparkSession,
    source: str,
    folder: Path,
    name: str,
    check: Callable[[DataFrame], Counts | None],
    floor: Arm | None = None,
) -> Entrant:
    def act(to: Path) -> Counts | None:
        return check(after_write.write(after_write.read(spark, DDL, source), str(to / "clean")))

    return Entrant(name, folder / name.replace(" ", "_"), act, partial(_split, spark), floor)


def _fused(spark: SparkSession, source: str, to: Path) -> Counts:
    """All rules in the projection of the one write; what the footers have more than the commit goes to quarantine."""
    flagged = fused.flag(after_write.read(spark, DDL, source), RULES, malformed=F.lit(False))
    clean = flagged.where(F.col(fused.FLAWS) == 0).drop(fused.FLAWS)
    kept = tables.append(clean, str(to / "clean"), ONCE).applied
    if kept == lineitem.rows_of(Path(source)):
        return _counted({})
    refused = flagged.where(F.col(fused.FLAWS) != 0).withColumn(fused.REASONS, fused.reasons(RULES))
    tables.append(refused.drop(fused.FLAWS), str(to / "quarantine"), ONCE)
    return _by_reason(spark.read.format("delta").load(str(to / "quarantine")))


def _staged(spark: SparkSession, source: str, rules: tuple[Expectation, ...], to: Path) -> Counts | None:
    """Parquet first, a folder a fate, then the commits: the product's way without its bookkeeping."""
    flagged = fused.flag(after_write.read(spark, DDL, source), rules, malformed=F.lit(False))
    made = staging.write(flagged.select("*", fused.fate(rules)), str(to / "staged"), fused.FATE)
    clean = made.read(spark, "clean").drop(fused.FLAWS)
    tables.take(clean, made.footers.get("clean", {}), str(to / "clean"), ONCE)
    if not made.of("quarantine"):
        return _counted({}) if rules else None
    refused = made.read(spark, "quarantine").withColumn(fused.REASONS, fused.reasons(rules))
    counts = _by_reason(refused)
    tables.append(refused.drop(fused.FLAWS), str(to / "quarantine"), ONCE)
    return counts


def _run(spark: SparkSession, place: Project, folder: Path, table: str, floor: Arm | None) -> Arm:
    stage = f"tables.{table}"

    def act(to: Path) -> Counts | None:
        reasons = place.refresh(to, stage).detail["reasons"]
        return _counted(reasons) if table == "checked" else None

    def written(to: Path) -> DataFrame:
        return _union(spark, place.path(to, stage), place.path(to, stage, "quarantine"))

    return Entrant(f"run, {table}", folder / f"run_{table}", act, written, floor).arm()


def _split(spark: SparkSession, to: Path) -> DataFrame:
    return _union(spark, to / "clean", to / "quarantine")


def _union(spark: SparkSession, clean: Path, quarantine: Path) -> DataFrame:
    found = [spark.read.format("delta").load(str(p)).select(*COLUMNS) for p in (clean, quarantine) if p.exists()]
    return found[0].unionByName(found[1]) if len(found) > 1 else found[0]


def _by_reason(refused: DataFrame) -> Counts:
    reasons = refused.select(F.explode(fused.REASONS).alias("reason")).groupBy("reason").count().collect()
    return _counted({r.reason: r["count"] for r in reasons})


def _counted(reasons: dict[str, int]) -> Counts:
    return [reasons.get(rule.label, 0) for rule in RULES]
