"""Slices that are surely worse: found where they were planted, and rarely where there is nothing."""

from math import log, sqrt
from statistics import NormalDist

import numpy as np
import pytest
from pyspark.sql import functions as F

from pipelines.evaluate import Anomaly, Binary, Clustering, Forecasting, Regression, weakness
from pipelines.evaluate.weakness import Cell, surely_worse

pytestmark = pytest.mark.spark

A, B, BOTH = (("a", 1),), (("b", 1),), (("a", 1), ("b", 1))


def cell(losses) -> Cell:
    losses = np.asarray(losses, dtype=float)
    return Cell(len(losses), float(losses.sum()), float((losses**2).sum()))


def test_a_difference_has_the_interval_of_two_means_for_all_looks_at_once():
    dice = np.random.default_rng(1)
    inside, outside = dice.normal(2, 1, 400), dice.normal(1, 2, 600)
    whole = cell([*inside, *outside])

    looks, (found,) = surely_worse(whole, {A: cell(inside), B: cell(outside), (("c", 1),): cell(inside[:99])})

    z = NormalDist().inv_cdf(1 - 0.05 / (2 * 2))  # the third slice has too few rows to be looked at
    error = sqrt(inside.var() / 400 + outside.var() / 600)
    assert (looks, found.where) == (2, A)
    assert found.by == pytest.approx(inside.mean() - outside.mean())
    assert found.least == pytest.approx(found.by - z * error)
    assert found.own == pytest.approx(z * sqrt(inside.var() / 400))


def test_a_pair_is_said_only_where_it_is_worse_than_each_of_its_two():
    dice = np.random.default_rng(2)
    whole = cell(dice.normal(1, 0.5, 10_000))
    parent, worse, same = (cell(dice.normal(mean, 0.5, n)) for mean, n in ((1.3, 2_000), (2.0, 500), (1.3, 500)))

    of_worse = surely_worse(whole, {A: parent, BOTH: worse})[1]
    of_same = surely_worse(whole, {A: parent, BOTH: same})[1]

    assert [f.where for f in of_worse] == [BOTH, A]
    assert [f.where for f in of_same] == [A]


def test_where_all_slices_are_alike_one_is_called_worse_in_about_five_of_a_hundred_trials():
    dice, alarms = np.random.default_rng(3), 0
    for _ in range(300):
        losses, level = dice.exponential(1.0, 4_000), dice.integers(0, 20, 4_000)
        cells = {(("a", int(v)),): cell(losses[level == v]) for v in range(20)}
        alarms += bool(surely_worse(cell(losses), cells)[1])

    assert alarms / 300 <= 0.08  # one-sided half of 5 %, skewed losses make it more


@pytest.fixture(scope="module")
def flights(frame):
    """Carrier and wind decide how wrong a delay is: 1 everywhere, 9 for B in strong wind; four winds are missing."""
    made = []
    for i in range(2_000):
        carrier, wind = "AB"[i % 2], float(i // 2 % 4)
        wrong = 9.0 if carrier == "B" and wind == 3 else 1.0 + (i % 7) / 100
        made.append((i, carrier, None if i < 4 else wind, wrong, 0.0))
    return frame(made, "id int, carrier string, wind double, score double, _label double")


COLUMNS = {"carrier": False, "wind": True}


def test_a_planted_slice_is_found_by_its_two_columns(flights):
    found = weakness(Regression(), flights, COLUMNS, F.col("id"), 2_000)

    worst = found["slices"][0]
    assert worst["where"] == {"carrier": "B", "wind": "over 2"}
    assert worst["rows"] == 250
    assert worst["loss"] == pytest.approx([9, 9, 9])
    assert worst["rest"] == pytest.approx(sum(1 + i % 7 / 100 for i in range(2_000) if i % 8 != 7) / 1_750, abs=0.02)
    assert found["loss"] == "absolute error" and (found["rows"], found["of"]) == (2_000, 2_000)
    assert found["support"] == 100


def test_partitions_change_nothing(flights):
    once = weakness(Regression(), flights, COLUMNS, F.col("id"), 2_000)
    again = weakness(Regression(), flights.orderBy("score").repartition(7), COLUMNS, F.col("id"), 2_000)

    assert [(s["where"], s["rows"]) for s in again["slices"]] == [(s["where"], s["rows"]) for s in once["slices"]]
    assert [s["worse_by"] for s in again["slices"]] == [pytest.approx(s["worse_by"]) for s in once["slices"]]


def test_a_yes_or_no_is_judged_by_log_loss_and_by_labelled_rows(frame):
    rows = [("A", 0.9, 1)] * 300 + [("B", 0.9, 0)] * 300 + [("B", 0.9, None)] * 300
    dice = np.random.default_rng(4)
    df = frame([(i, c, s - 0.1 * float(dice.random()), y) for i, (c, s, y) in enumerate(rows)],
               "id int, carrier string, score double, _label int")  # fmt: skip

    found = weakness(Binary(), df, {"carrier": False}, F.col("id"), 600)

    (worst,) = found["slices"]
    assert (worst["where"], worst["rows"], found["rows"]) == ({"carrier": "B"}, 300, 600)
    assert -log(1 - 0.8) < worst["loss"][0] < -log(1 - 0.9)


def test_few_rows_are_not_cut_into_slices(flights):
    assert weakness(Regression(), flights.limit(50), COLUMNS, F.col("id"), 199) == {}


@pytest.mark.parametrize("task", [Clustering(), Anomaly(), Forecasting()], ids=lambda task: task.kind)
def test_a_task_without_a_loss_of_rows_that_stand_alone_has_no_worst_slice(flights, task):
    assert weakness(task, flights, COLUMNS, F.col("id"), 2_000) == {}


def test_of_many_rows_a_sample_is_looked_at(flights):
    found = weakness(Regression(), flights, COLUMNS, F.col("id"), 400_000)  # as if there were so many

    assert 400 < found["rows"] < 600 and found["of"] == 400_000
