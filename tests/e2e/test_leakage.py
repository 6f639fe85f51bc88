"""No feature of any conf sees the future: all that became known later is made anew, and published rows do not change.

Every feature table of every file in conf/ is tried; a new one needs nothing
here. To each a derived column is added, which counts what the others miss. Its
tables are made of the flights that the demo lands where its sources read those,
else of rows made up by the schema.
"""

import json
import random
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import land
import pytest
from pyspark.sql import DataFrame, SparkSession

from e2e.project import Project, land_flights, project
from pipelines.columns import ddl
from pipelines.features import build
from pipelines.ingest import BESIDE
from pipelines.spec import Feature, Source, Table, load

pytestmark = pytest.mark.spark

CONFS = sorted((Path(__file__).parents[2] / "conf").glob("*.yml"))
DAILY = ("flights", "weather")  # the others by night
TABLES = [
    pytest.param(conf, name, id=f"{conf.stem}.{name}", marks=[pytest.mark.long] * (conf.stem not in DAILY))
    for conf in CONFS
    for name in load(conf).features
]
MONTHS, DAYS = (1,), (1, 2)
MADE_UP, ASKED = 300, 200  # rows of a source; of a feature table, the newest before each moment
NOON = datetime(2013, 1, 2, 12)
SEED = 5
Row = dict[str, Any]


@pytest.fixture(scope="module")
def published(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """conf -> its project, tables and features made."""

    @cache
    def made(conf: Path) -> Project:
        place = project(tmp_path_factory.mktemp(conf.stem), conf.stem)
        place.conf.write_bytes(conf.read_bytes())
        place.change(lambda whole: arrive(place, whole, load(conf).sources))
        place.change(lambda whole: derive(whole, load(conf).features))
        said = place.lakeloom("run", "--select", "tables", "--select", "features")
        assert said.error == ""
        return place

    return made


def arrive(place: Project, whole: Any, sources: dict[str, Source]) -> None:
    """The demo's flights for sources that read their files, made up rows for all others."""
    for name, source in sources.items():
        if source.kind == "files" and source.path in (*land.ONCE, *land.MONTHLY):
            land_flights(place, MONTHS, DAYS)
        else:
            schema = source.ddl + "".join(f", {c} {BESIDE[c]}" for c in source.beside)
            whole["sources"][name] = {"kind": "files", "format": "json", "path": name, "schema": schema}
            place.land(f"{name}/made-up.json", made_up(ddl(schema)))


def derive(whole: Any, features: dict[str, Feature]) -> None:
    for name, feature in features.items():
        missing = " + ".join(f"CAST(isnull({c}) AS INT)" for c in feature.outputs())
        whole["features"][name].setdefault("derive", {})["missing"] = missing


def made_up(columns: dict[str, str]) -> str:
    """Rows of a schema, keys few enough to meet."""
    dice = random.Random(SEED)
    return "".join(json.dumps({c: one(dice, kind) for c, kind in columns.items()}) + "\n" for _ in range(MADE_UP))


def one(dice: random.Random, kind: str) -> object:
    moment = NOON + timedelta(minutes=10 * dice.randrange(-300, 300))
    values = {
        "TIMESTAMP": moment.isoformat(), "DATE": moment.date().isoformat(), "STRING": dice.choice("abcdefgh"),
        "BOOLEAN": dice.random() < 0.5, "DOUBLE": dice.random(), "FLOAT": dice.random(),
    }  # fmt: skip
    return values.get(kind, None if "<" in kind or kind == "BINARY" else dice.randrange(20))


def other_future(
    dice: random.Random, rows: list[Row], table: Table, moment: datetime, keys: Collection[str] = ()
) -> Iterator[Row]:
    """All that a table's rows say that becomes known at a moment or later is made anew; rows come and go.

    keys: by which the table is joined; of a value that is known before its event they are known with it.
    """
    named = (*table.keys, *keys, table.event_time, table.sequence_by)
    values = [c for c in rows[0] if c not in named and c[0] != "_"]
    moments = {table.event_time, *table.known_at.values()}
    pool = {c: [row[c] for row in rows] for c in rows[0]}

    def secret(row: Row, column: str | None) -> bool:
        known = row[str(table.known(str(column)))]
        return known is None or known >= moment

    def other(column: str) -> object:
        later = moment + timedelta(minutes=dice.randrange(3_000))
        return dice.choice([None, later, later]) if column in moments else dice.choice(pool[column])

    for row in rows:
        if any(not secret(row, c) for c in (table.event_time, *values)):  # something of it is known: it is there
            yield {c: other(c) if c in values and secret(row, c) else value for c, value in row.items()}
        else:
            yield from ({c: other(c) for c in row} for _ in range(dice.randrange(3)))


@pytest.mark.parametrize(("conf", "name"), TABLES)
def test_nothing_that_became_known_later_changes_a_published_feature(spark, published, conf, name):
    place, dice = published(conf), random.Random(SEED)
    pipeline = load(place.conf)
    feature, specs = pipeline.features[name], dict(pipeline.tables)
    frames = {t: published_rows(spark, place, f"tables.{t}") for t in feature.tables()}
    rows = {t: [r.asDict() for r in frame.collect()] for t, frame in frames.items()}
    told = {keys(feature, r): r for r in published_rows(spark, place, f"features.{name}").collect()}
    times = sorted(r[feature.as_of_time] for r in told.values() if r[feature.as_of_time])
    assert times, "its tables came out empty; look at what `arrive` lands"

    for moment in (times[len(times) * share // 10] for share in (3, 6, 9)):
        asked = newest_before(rows[feature.spine], feature.as_of_time, moment)
        others = {t: list(other_future(dice, rows[t], specs[t], moment, joins(feature, t))) for t in feature.joined()}
        seen = {t: spark.createDataFrame(found, frames[t].schema) for t, found in others.items()}
        made = build(feature, spark.createDataFrame(asked, frames[feature.spine].schema), seen, specs).collect()

        assert len(made) == len(asked) > 0
        for row in made:
            for column in feature.outputs():
                assert row[column] == close(told[keys(feature, row)][column]), column


def published_rows(spark: SparkSession, place: Project, stage: str) -> DataFrame:
    version = place.records(stage)[-1].published_version
    return spark.read.format("delta").option("versionAsOf", version).load(place.warehouse.path(stage))


def joins(feature: Feature, table: str) -> set[str]:
    return {key for part in (*feature.as_of, *feature.windows) if part.table == table for key in part.keys}


def keys(feature: Feature, row: Any) -> tuple[object, ...]:
    return tuple(row[k] for k in feature.keys)


def newest_before(rows: list[Row], as_of_time: str, moment: datetime) -> list[Row]:
    """Those of the very moment among them, which may not see what becomes known with them."""
    by_then = [r for r in rows if r[as_of_time] and r[as_of_time] <= moment]
    return sorted(by_then, key=lambda r: r[as_of_time])[-ASKED:]


def close(value: object) -> object:
    """A sum of floating point numbers may have been added up in another order."""
    return pytest.approx(value, rel=1e-9, nan_ok=True) if isinstance(value, float) else value


def test_the_other_future_is_another_one():
    table = Table.model_validate({"event_time": "at", "known_at": {"late": "told"}, "select": "SELECT 1 AS id"})
    row = {"id": 1, "at": NOON - timedelta(hours=1), "told": NOON, "late": 7, "wind": 3}
    rows = [row, {**row, "at": NOON, "told": NOON}, {**row, "late": 8}]

    found = [list(other_future(random.Random(seed), rows, table, NOON)) for seed in range(20)]

    assert all(
        {r["wind"] for r in after if r["at"] and r["at"] < NOON} == {3} for after in found
    )  # what is known stays
    assert {r["late"] for after in found for r in after[:1]} == {7, 8}  # what is not, does not
    assert {r["told"] >= NOON for after in found for r in after[:1] if r["told"]} == {True}
    assert len({len(after) for after in found}) > 1  # rows come and go
