"""Figures of numbers in one pass are numpy's, however the rows lie in partitions and whatever is missing."""

import numpy as np
import pytest
from pyspark.sql import functions as F

from pipelines.models.moments import Moments, moments

pytestmark = pytest.mark.spark

FAR = 1e9  # a mean beside which deviations are small


@pytest.fixture(scope="module")
def table(frame):
    dice = np.random.default_rng(3)
    rows = [(i, FAR + dice.normal(), None if i % 7 else float(dice.normal()), float(i % 2)) for i in range(900)]
    return frame(rows, "id int, far double, thin double, y double").repartition(5, "id").cache()


@pytest.mark.parametrize("column", ["far", "thin"])
def test_figures_are_those_of_the_rows_that_have_the_number(table, column):
    (found,) = moments(table, [column], "y")

    x, y = (np.array(side) for side in zip(*table.where(F.col(column).isNotNull()).select(column, "y").collect(),
                                           strict=True))  # fmt: skip
    assert (found.n, found.low, found.high) == (len(x), x.min(), x.max())
    assert found.mean == pytest.approx(x.mean(), rel=1e-15)
    assert found.variance == pytest.approx(x.var(), rel=1e-6)
    assert found.correlation == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-7)


def test_of_no_rows_and_of_one_value_nothing_is_said(table):
    nothing = table.where("id < 0")

    assert moments(nothing, ["far", "thin"]) == [Moments()] * 2
    (constant,) = moments(table.withColumn("c", F.lit(3)), ["c"], "y")
    assert (constant.low, constant.high, constant.variance, constant.correlation) == (3.0, 3.0, 0.0, 0.0)


def test_the_same_partitions_give_the_same_digits(table):
    assert moments(table, ["far", "thin"], "y") == moments(table, ["far", "thin"], "y")
