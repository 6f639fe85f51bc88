"""A key that has a third of all rows: as-of join and windows give what pandas reckons, in a heap of a gigabyte."""

import json

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.features import build
from pipelines.spec import Feature, Table

pytestmark = pytest.mark.spark

ROWS, KEYS, HOT, SHARE = 300_000, 10_000, 0, 0.3
START, SECONDS = 1_767_225_600, 3_000_000  # 2026, and a month of it
HOUR, DAY = 3_600, 86_400
ASKED = 150  # of the hot key, and as many of the others
FEATURE = Feature.model_validate_json(
    json.dumps({
        "spine": "orders", "keys": ["id"], "as_of_time": "at",
        "as_of": [{"table": "events", "keys": ["k"], "within": "3 hours", "columns": ["v"]}],
        "windows": [
            {"table": "events", "keys": ["k"], "over": ["1 day"], "aggregates": {"v": ["count", "sum"]}},
            {"table": "events", "keys": ["k"], "over": ["1 hour"], "aggregates": {"v": ["max"]}},
        ],
    })
)  # fmt: skip
TABLES = {"events": Table.model_validate({"event_time": "at", "select": "SELECT 1 AS k"})}


def skewed(seed: int) -> pd.DataFrame:
    """id, k, second, v: seconds of which none comes twice, and of k one that has its share."""
    dice = np.random.default_rng(seed)
    k = np.where(dice.random(ROWS) < SHARE, HOT, dice.integers(1, KEYS, ROWS))
    second = dice.choice(SECONDS, ROWS, replace=False)
    return pd.DataFrame({"id": np.arange(ROWS), "k": k, "second": second, "v": dice.integers(0, 1_000, ROWS)})


def timed(spark: SparkSession, rows: pd.DataFrame) -> DataFrame:
    at = F.timestamp_seconds(F.col("second") + START).alias("at")
    return spark.createDataFrame(rows).select("id", "k", "v", at)


def reckoned(events: pd.DataFrame, k: int, second: int) -> tuple[object, ...]:
    """What a row of a key sees: the newest of three hours, count and sum of a day, the greatest of an hour."""
    past = events[(events.k == k) & (events.second < second)].sort_values("second")
    near, day, hour = (past[past.second >= second - length].v.tolist() for length in (3 * HOUR, DAY, HOUR))
    return near[-1] if near else None, len(day), sum(day) if day else None, max(hour, default=None)


def test_a_key_that_has_a_third_of_all_rows_sees_what_any_other_does(spark):
    orders, events = skewed(1), skewed(2)
    asked = pd.concat([orders[orders.k == HOT][:ASKED], orders[orders.k != HOT][:ASKED]])
    expected = {int(r.id): reckoned(events, r.k, r.second) for r in asked.itertuples()}

    made = build(FEATURE, timed(spark, orders), {"events": timed(spark, events)}, TABLES)
    rows = made.where(F.col("id").isin([*expected])).collect()

    assert (orders.k == HOT).sum() > 0.29 * ROWS
    assert {r.id: (r.events_v, r.k_v_count_1d, r.k_v_sum_1d, r.k_v_max_1h) for r in rows} == expected
    assert sum(seen is not None for seen, *_ in expected.values()) > ASKED  # and of the others some see nothing
    assert max(count for _, count, *_ in expected.values()) > 2_000
