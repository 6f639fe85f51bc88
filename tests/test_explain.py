"""What an answer hangs on: parts that sum to it, and a loss where a feature is dealt out anew."""

from math import log

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from pipelines import evaluate
from pipelines.explain import Asked, explain, sampled
from pipelines.models.base import Asked as Wanted
from pipelines.models.base import Inputs, predict
from pipelines.models.contributions import contributions
from pipelines.models.learners import fit
from pipelines.spec import Explain, LogisticRegression, Xgboost
from pipelines.spec.candidate import LinearRegression, RandomForest
from pipelines.spec.task import LABEL, TARGET
from pipelines.tune import Trial

pytestmark = pytest.mark.spark

ROWS = 800
INPUTS = Inputs(("carrier",), ("wind", "noise"))
COLUMNS = ("carrier", "wind", "noise")
LINEAR = LogisticRegression(kind="logistic_regression")
TREES = Xgboost(kind="xgboost", rounds=15, depth=3)


@pytest.fixture(scope="module")
def table(frame):
    """Late by wind and by one carrier of three; noise tells nothing; every tenth wind is missing."""
    dice = np.random.default_rng(7)
    made = []
    for i in range(ROWS):
        carrier, wind, noise = str(dice.choice(["UA", "AA", "B6"])), 40 * dice.random(), dice.random()
        delay = float(wind + 15 * (carrier == "AA") + 4 * dice.standard_normal())
        made.append((i, carrier, None if i % 10 == 0 else float(wind), float(noise), int(delay > 28), delay))
    ddl = "id int, carrier string, wind double, noise double, late int, delay double"
    return frame(made, ddl).repartition(2, "id").cache()


def fitted(table, candidate, label: str = "late") -> tuple[Trial, object]:
    task = evaluate.TASKS["binary" if label == "late" else "regression"].learned(table.withColumnRenamed(label, LABEL))
    rows = table.withColumnRenamed(label, LABEL)
    done = fit(candidate, rows.withColumn(TARGET, task.target()), INPUTS, Wanted(task.kind, task.width, ("id",)))
    return Trial(candidate, done.pipeline, task, {}, done.importance, done.left_out, 0.0, done.blocks), rows


@pytest.fixture(scope="module")
def trials(table):
    """Kind -> the fitted trial and its labelled rows."""
    return {
        "linear": fitted(table, LINEAR),
        "trees": fitted(table, TREES),
        "number": fitted(table, LinearRegression(kind="linear_regression"), "delay"),
    }


@pytest.mark.parametrize("kind", ["linear", "trees", "number"])
def test_the_parts_of_an_answer_and_its_base_sum_to_the_answer(trials, kind):
    trial, rows = trials[kind]
    sample = rows.orderBy("id").select("id", *COLUMNS, LABEL)

    found, table = contributions(trial.fitted, trial.blocks, sample, ROWS)

    scores = [r.score for r in predict(trial.fitted, sample, trial.task.answers(True)).orderBy("id").collect()]
    answer = scores if kind == "number" else [log(s / (1 - s)) for s in scores]
    assert table["id"].to_pylist() == list(range(ROWS))
    assert found.features == COLUMNS or set(found.features) == set(COLUMNS)
    assert (found.values.sum(axis=2) + found.base)[:, 0] == pytest.approx(answer, abs=2e-4)


def test_a_linear_part_is_the_weight_times_the_distance_from_the_mean(trials):
    trial, rows = trials["number"]
    found, table = contributions(trial.fitted, trial.blocks, rows.orderBy("id").select("id", *COLUMNS), ROWS)

    part, noise = found.values[:, 0, found.features.index("noise")], np.array(table["noise"])
    slope = np.polyfit(noise, part, 1)[0]
    assert part == pytest.approx(slope * (noise - noise.mean()), abs=1e-9)
    assert found.values.mean(axis=0) == pytest.approx(0, abs=1e-9)


def test_a_learner_without_such_parts_has_none(table):
    trial, rows = fitted(table, RandomForest(kind="random_forest", trees=3, depth=3))

    assert contributions(trial.fitted, trial.blocks, rows.select(*COLUMNS), ROWS) is None


@pytest.fixture(scope="module")
def told(trials):
    """What the run record holds, twice from differently dealt rows."""
    trial, rows = trials["trees"]
    asked = [Asked(df, ROWS, ("id",), "roc_auc", Explain(rows=500, repeats=3)) for df in (rows, rows.repartition(5))]
    return [explain(trial, COLUMNS, each) for each in asked]


def test_a_feature_loses_what_the_metric_loses_without_it(told):
    lost = {f["feature"]: f for f in told[0]["permutation"]["features"]}

    assert [f["feature"] for f in told[0]["permutation"]["features"]] == ["wind", "carrier", "noise"]
    assert lost["wind"]["lost"] > 0.2 > lost["carrier"]["lost"] > 0.03
    assert abs(lost["noise"]["lost"]) < 0.02
    assert all(f["least"] <= f["lost"] <= f["most"] and f["deviation"] >= 0 for f in lost.values())


def test_the_sample_is_bounded_and_says_how_large_it_is(told):
    found = told[0]

    assert 420 < found["permutation"]["rows"] < 580 and found["of"] == ROWS
    assert found["shap"]["rows"] == found["permutation"]["rows"]
    assert (found["permutation"]["repeats"], found["permutation"]["metric"]) == (3, "roc_auc")
    assert [f["feature"] for f in found["shap"]["features"]][:2] == ["wind", "carrier"]
    assert all(len(f["points"]) == 80 for f in found["shap"]["features"])
    assert {place for _, place in found["shap"]["features"][1]["points"]} == {None}  # a carrier is neither high nor low


def test_the_same_is_said_however_the_rows_lie(told):
    assert told[0] == told[1]


def test_a_sample_holds_the_same_rows_each_time(table):
    once, again = ([r.id for r in sampled(df, ["id"], 0.3).collect()] for df in (table, table.orderBy(F.desc("id"))))

    assert once == again == sorted(once)
    assert 180 < len(once) < 300


def test_an_error_grows_where_a_number_is_permuted(trials):
    trial, rows = trials["number"]
    found = explain(trial, COLUMNS, Asked(rows, ROWS, ("id",), "rmse", Explain(rows=100, repeats=2)))

    lost = found["permutation"]["features"]
    assert lost[0]["feature"] == "wind" and lost[0]["lost"] > 5  # minutes


def test_rows_that_arrow_brings_are_scored_by_executors_not_by_the_optimiser(spark, plan):
    doubled = spark.createDataFrame(pa.table({"n": [1, 2]})).select(F.col("n") * 2)

    assert "Project" in plan(doubled)
    assert "LocalTableScan" not in plan(doubled)
