"""What Spark counts for a monitor is what a hand counts: bins, windows, labels."""

from datetime import UTC, datetime
from math import inf, nan

import numpy as np
import pytest
from pyspark.sql import functions as F

from pipelines.monitor import counting
from pipelines.monitor.bins import Categories, Numbers
from pipelines.run.slicing import Slices

pytestmark = pytest.mark.spark

VALUES = [-inf, 0.9, 1.0, 2.0, 2.1, 5.0, 5.1, inf, nan, None]
BINS = Numbers.of([1.0, 2.0, 5.0])


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(("period", "start"), [("day", "2026-03-04"), ("week", "2026-03-02"), ("month", "2026-03-01")])
def test_a_window_is_of_the_calendar(frame, period, start):
    rows = frame([(datetime(2026, 3, 4, 23, 59, tzinfo=UTC),), (None,)], "at timestamp")

    found = [row.w for row in rows.select(counting.window_of("at", period).alias("w")).collect()]

    assert found == [seconds(start), None]
    assert counting.moment_of(seconds(start)) == datetime.fromisoformat(start).replace(tzinfo=UTC)


def test_numbers_are_counted_as_python_places_them(frame):
    place = BINS.place(np.array([nan if v is None else v for v in VALUES]))

    found = counting.count(frame([(v,) for v in VALUES], "x double"), {"x": BINS}, F.lit(0))

    assert found[0]["x"]["rows"] == np.bincount(place, minlength=BINS.slots).tolist()
    assert found[0]["x"]["sums"] == [-1e100, 3.0, 7.1, 1e100, 0.0]


def test_categories_are_counted_by_value_known_new_and_missing(frame):
    bins = {"c": Categories(("a", "b"), ("rare",)), "many": Categories(("a",), ("b",), complete=False)}
    rows = [(v, v) for v in ("a", "a", "b", "rare", "never", None)]

    found = counting.count(frame(rows, "c string, many string"), bins, F.lit(0))

    assert found[0]["c"]["rows"] == [2, 1, 1, 1, 1]  # a, b, others, new, missing
    assert found[0]["many"]["rows"] == [2, 3, 0, 1]  # a, others, new, missing


def test_each_window_is_counted_by_itself(frame):
    at = [datetime(2026, month, 5, tzinfo=UTC) for month in (1, 1, 2)]
    rows = [*zip(at, [1.0, 3.0, 3.0], [True, False, None], strict=True), (None, 1.0, True)]
    bins = {"x": BINS, "b": Categories(("true", "false"))}

    found = counting.count(frame(rows, "at timestamp, x double, b boolean"), bins, counting.window_of("at", "month"))

    assert {w: (c["x"]["rows"], c["b"]["rows"]) for w, c in found.items()} == {
        seconds("2026-01-01"): ([0, 1, 1, 0, 0], [1, 1, 0, 0, 0]),
        seconds("2026-02-01"): ([0, 0, 1, 0, 0], [0, 0, 0, 0, 1]),
        None: ([0, 1, 0, 0, 0], [1, 0, 0, 0, 0]),
    }


def test_bins_are_the_quantiles_and_the_most_frequent_values(frame):
    rows = [(float(i), "often" if i % 2 else f"v{i % 3}", None) for i in range(101)]

    learned = counting.learn(frame(rows, "x double, c string, none double"), ["x", "none"], ["c"])

    assert learned["x"] == Numbers(tuple(float(10 * i) for i in range(11)), pytest.approx(np.arange(101).std()))
    assert learned["c"] == Categories(("often", "v0", "v1", "v2"))
    assert learned["none"] == Numbers(())


def test_of_many_rows_a_sample_gives_the_edges_and_all_rows_the_ends(spark):
    many = spark.range(4 * counting.SAMPLED).select(F.when(F.col("id") != 7, F.col("id").cast("double")).alias("x"))

    edges = counting.learn(many, ["x"], [])["x"].edges

    assert (edges[0], edges[-1]) == (0.0, 4 * counting.SAMPLED - 1)
    wanted = [4 * counting.SAMPLED * i / 10 for i in range(1, 10)]
    assert edges[1:-1] == pytest.approx(wanted, abs=0.01 * 4 * counting.SAMPLED)
    assert list(edges[1:-1]) != wanted


def test_a_number_that_few_of_many_rows_have_has_the_quantiles_of_all_of_them(spark):
    few = F.when(F.col("id") % 1000 == 0, (F.col("id") / 1000).cast("double"))

    edges = counting.learn(spark.range(10 * counting.SAMPLED).select(few.alias("x")), ["x"], [])["x"].edges

    assert edges == pytest.approx([0, *(50 * i for i in range(1, 10)), 499], abs=2)


def test_scores_are_counted_by_window_version_label_and_bin(frame):
    rows = [(0.1, 1, 1), (0.1, 0, 1), (0.99, None, 1), (1.0, 1, 1), (0.5, 1, 2), (nan, 1, 2), (None, None, 2)]

    found = counting.count_scores(frame(rows, "s double, y int, model_version int"), "s", "y", F.lit(0), 8)

    assert found == {
        (0, 1): {"0": {"0": 1}, "1": {"0": 1, "7": 1}, "unknown": {"7": 1}, "unscored": 0},
        (0, 2): {"0": {}, "1": {"4": 1}, "unknown": {}, "unscored": 2},
    }


def test_numbers_and_their_errors_are_summed_by_window_and_version(frame):
    one = [(2.0, 1.0, 1), (-3.0, 1.0, 1), (0.0, None, 1), (nan, 1.0, 1)]
    rows = [*one, (None, 1.0, 2), (2.0, 2.0, 2), (2.0, 1e300, 2)]

    found = counting.count_numbers(frame(rows, "s double, y double, model_version int"), "s", "y", F.lit(0))

    one, two = found[0, 1], found[0, 2]
    assert {k: v for k, v in one.items() if k != "scores"} == {
        "sum": -1.0, "labelled": 2, "absolute": 5.0, "square": 17.0, "fourth": 257.0, "unscored": 1
    }  # fmt: skip
    assert one["scores"] == {"7262": 1, "-7465": 1, "0": 1}  # ceil(log(|x| / 1e-6) / log(1.002)), by its sign
    assert two["scores"] == {"7262": 2} and (two["unscored"], two["labelled"], two["absolute"]) == (1, 1, 0.0)


def test_classes_are_counted_by_label_and_by_whether_they_are_right(frame):
    rows = [(0.9, "a", "a", 1), (0.9, "a", "b", 1), (0.4, "b", None, 1), (0.4, "b", "new", 1), (1.0, "c", "new", 1),
            (None, "a", "a", 1), (0.9, None, "a", 1), (0.5, "a", "a", 2), (0.6, "old", "old", 2)]  # fmt: skip
    scored = frame(rows, "s double, predicted string, y string, model_version int")

    found = counting.count_classes(scored, "s", "y", F.lit(0), ["a", "b"], 10)

    assert found[0, 1] == {
        "given": {"a": 2, "b": 2, "c": 1},
        "pairs": {"a": {"a": 1}, "b": {"a": 1}, "(other)": {"b": 1, "c": 1}},
        "right": {"9": 1}, "wrong": {"9": 2, "4": 1}, "unknown": {"4": 1}, "unscored": 2,
    }  # fmt: skip
    assert found[0, 2]["right"] == {"5": 1, "6": 1}  # of a version whose record says no classes


def test_what_counts_windows_counts_slices_that_are_known_and_no_others(frame):
    shops = ["a", "a", "b", None, "z"]
    rows = [(shop, i, 0.1 + i / 10, i % 2 if i < 4 else None, 1) for i, shop in enumerate(shops)]
    parts = Slices((("shop", "a"), ("shop", "(missing)"), ("i", "0")))
    spread = parts.spread(frame(rows, "shop string, i int, s double, y int, model_version int"))

    found = parts.apart(counting.count_scores(spread, "s", "y", parts.window(F.lit(60).cast("bigint")), 1_000))

    assert found["", 60, 1] == {
        "0": {"100": 1, "300": 1}, "1": {"200": 1, "400": 1}, "unknown": {"500": 1}, "unscored": 0,
    }  # fmt: skip
    by_shop, by_i = found["by shop", 60, 1], found["by i", 60, 1]
    assert {shop: {y: sum(n.values()) for y, n in c.items() if y != "unscored"} for shop, c in by_shop.items()} == {
        "a": {"0": 1, "1": 1, "unknown": 0}, "(missing)": {"0": 0, "1": 1, "unknown": 0},
    }  # fmt: skip
    assert list(by_i) == ["0"] and len(found) == 3


def test_bins_of_slices_are_few_and_as_fine_as_any_where_rare_events_have_their_scores(spark):
    bins = 4096
    each = spark.range(bins).select(((F.col("id") + 0.5) / bins).alias("s"), F.lit(1).alias("y"), F.lit(1).alias("v"))
    rows = each.withColumnRenamed("v", "model_version").withColumn(counting.PART, F.lit(1))

    found = counting.count_scores(rows, "s", "y", F.lit(0), bins)[0, 1]["1"]

    assert sum(found.values()) == bins and len(found) < 520
    assert {place: rows for place, rows in found.items() if int(place) < 24} == {str(i): 1 for i in range(24)}
    assert max(found.values()) <= 0.035 / 4 * bins + 1  # at a half, where chances change most with the logit
