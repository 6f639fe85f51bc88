"""What an answer hangs on: parts that sum to it, and a loss where a feature is dealt out anew."""

from collections.abc import Set
from datetime import UTC, datetime
from itertools import permutations
from math import log

import numpy as np
import pyarrow as pa
import pytest
from pyspark.ml.functions import vector_to_array
from pyspark.sql import functions as F

from pipelines import evaluate
from pipelines.explain import Asked, explain, sampled
from pipelines.models import treeshap
from pipelines.models.base import Asked as Wanted
from pipelines.models.base import Inputs, predict
from pipelines.models.contributions import contributions, written
from pipelines.models.graphs import drawn, with_said
from pipelines.models.learners import fit
from pipelines.models.trees import AMONG, AT_MOST, LEAF, Tree
from pipelines.monitor.attribution import compared
from pipelines.onnx import Graph
from pipelines.run.attributing import Attributed
from pipelines.score import CONTRIBUTED, Scorer, by_graph, by_pipeline
from pipelines.shap import SAID, VECTOR, Shap
from pipelines.spec import Explain, LogisticRegression, Xgboost
from pipelines.spec.candidate import DecisionTree, Gbt, LinearRegression, NaiveBayes, RandomForest
from pipelines.spec.task import LABEL, PREDICTION, PROBABILITY, TARGET
from pipelines.tune import Trial

pytestmark = pytest.mark.spark

ROWS = 800
NOW = datetime(2026, 1, 2, tzinfo=UTC)
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


TASKS = {"late": "binary", "delay": "regression", "carrier_then": "multiclass"}


def fitted(table, candidate, label: str = "late") -> tuple[Trial, object]:
    task = evaluate.TASKS[TASKS[label]].learned(table.withColumnRenamed(label, LABEL))
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


def test_where_a_feature_no_longer_varies_answers_hang_on_the_others(trials, tmp_path):
    trial, rows = trials["trees"]
    asked = Attributed(trial.fitted, tuple(trial.blocks), ("id",), 500, str(tmp_path))
    before, calm = asked.weights(rows), asked.weights(rows.withColumn("wind", F.lit(20.0)))

    assert before and calm
    assert max(before, key=before.__getitem__) == "wind" and max(calm, key=calm.__getitem__) == "carrier"
    assert compared(before, asked.weights(rows.where("id < 400")) or {})["ndcg"] == 1.0
    assert compared(before, calm)["ndcg"] < 0.95
    assert asked.weights(rows.where("id < 0")) is None


SPARKS = {
    "tree": (DecisionTree(kind="decision_tree", depth=4), "late"),
    "forest": (RandomForest(kind="random_forest", trees=5, depth=4), "late"),
    "forest of classes": (RandomForest(kind="random_forest", trees=5, depth=4), "carrier_then"),
    "forest's number": (RandomForest(kind="random_forest", trees=5, depth=4), "delay"),
    "boosted": (Gbt(kind="gbt", rounds=4, depth=3), "late"),
    "boosted number": (Gbt(kind="gbt", rounds=4, depth=3), "delay"),
}


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.long] * (k != "boosted")) for k in SPARKS])
def test_the_parts_of_what_sparks_trees_answer_sum_to_it(table, tmp_path, kind):
    candidate, label = SPARKS[kind]
    trial, rows = fitted(table.withColumn("carrier_then", F.col("carrier")), candidate, label)
    sample = rows.orderBy("id").select("id", *COLUMNS, LABEL)

    found, _ = contributions(trial.fitted, trial.blocks, sample, ROWS, str(tmp_path))

    answer = F.col(PREDICTION) if label == "delay" else vector_to_array(F.col(PROBABILITY))
    answers = [r.answer for r in predict(trial.fitted, sample, {"answer": answer}).orderBy("id").collect()]
    said = answers if label == "delay" else [p[-found.values.shape[1] :] for p in answers]
    whole = (found.values.sum(axis=2) + found.base).squeeze()
    if candidate.kind == "gbt" and label == "late":
        said = [log(p / (1 - p)) for (p,) in said]
    assert whole == pytest.approx(np.array(said, dtype=float).squeeze(), abs=2e-5)
    assert np.abs(found.values).max() > 0.01


def tree(seed: int) -> Tree:
    """Seven nodes: numbers and categories split; below the root's yes a number once more."""
    dice, made = np.random.default_rng(seed), Tree()
    made.add(0, AT_MOST, float(dice.random()), (1, 4, 0))
    made.add(1, AMONG, [0.0, 2.0], (2, 3, 0))
    made.end(float(dice.random()))
    made.end(float(dice.random()))
    made.add(2, AT_MOST, float(dice.random()), (5, 6, 0))
    made.end(float(dice.random()))
    made.end(float(dice.random()))
    made.rows = [10.0, 6.0, 2.0, 4.0, 4.0, 1.0, 3.0]
    return made


def expected(made: Tree, row: list[float], known: Set[int], node: int = 0) -> float:
    """What a tree says of a row of which some places are known; else ways are weighed by the rows that went there."""
    if made.feature[node] == LEAF:
        return made.leaf[node]
    yes, no = (expected(made, row, known, way) for way in (made.yes[node], made.no[node]))
    value, among = row[made.feature[node]], made.mode[node] == AMONG
    if made.feature[node] in known:
        return yes if (value in made.among[node] if among else value <= made.split[node]) else no
    share = made.rows[made.yes[node]] / made.rows[node]
    return share * yes + (1 - share) * no


@pytest.mark.parametrize("seed", range(3))
def test_parts_are_those_of_shapley(seed):
    trees, orders = [tree(seed), tree(seed + 100)], list(permutations(range(3)))
    dice = np.random.default_rng(seed)
    rows = [[float(dice.random()), float(dice.integers(0, 4)), float(dice.random())] for _ in range(20)]
    rows.append([trees[0].split[0], 2.0, trees[0].split[4]])  # a value that is the split itself is a yes
    says = np.array([[made.leaf[node]] for made in trees for node in made.leaves])

    values, base = treeshap.written(trees, says, 3).parts(np.array(rows))

    for row, parts in zip(rows, values[:, 0], strict=True):
        added = np.zeros(3)
        for order in orders:
            for at, place in enumerate(order):
                with_it, without = {*order[: at + 1]}, {*order[:at]}
                added[place] += sum(expected(t, row, with_it) - expected(t, row, without) for t in trees) / len(orders)
        assert parts == pytest.approx(added, abs=1e-6)
    assert base[:, 0] == pytest.approx(sum(expected(t, rows[0], set()) for t in trees), abs=1e-6)


PUBLISHED = ["linear", "trees", "number", "forest", "boosted"]


@pytest.mark.parametrize("kind", [pytest.param(k, marks=[pytest.mark.long] * (k in SPARKS)) for k in PUBLISHED])
def test_a_graph_tells_the_parts_that_spark_does(trials, table, tmp_path, kind):
    trial, rows = trials[kind] if kind in trials else fitted(table, *SPARKS[kind])
    sample = rows.orderBy("id").select("id", *COLUMNS, LABEL).withColumn("at", F.lit(NOW))
    found, _ = contributions(trial.fitted, trial.blocks, sample, ROWS, str(tmp_path))
    trial.fitted.write().save(f"file://{tmp_path}/sparkml")
    tags = {evaluate.TASK: trial.task.kind, **trial.task.tags()}
    made = drawn(tmp_path / "sparkml", tags, dict(sample.dtypes), ())
    vectors = Graph.opened(made.content).score(made.signature.columns(sample.toArrow().to_pylist()), [VECTOR])[VECTOR]
    parts = written(trial.fitted, trial.blocks, vectors, str(tmp_path))
    content = with_said(made.content, {SAID: parts.text()})

    scored = Scorer(by_graph(content), trial.task, 1, ("id",), "at").score(sample, NOW, explain=2)

    expected = [dict((p["feature"], p["part"]) for p in each) for each in found.top(2)]
    answered = [dict((p.feature, p.part) for p in r.contributions) for r in scored.orderBy("id").collect()]
    assert [pytest.approx(parts, abs=1e-6) for parts in expected] == answered
    assert Shap.said_by(Graph.opened(content).said).blocks == parts.blocks


def test_without_parts_contributions_are_null(trials, tmp_path):
    trial, rows = trials["linear"]
    sample = rows.limit(3).withColumn("at", F.lit(NOW))

    scored = Scorer(by_pipeline(trial.fitted, trial.task), trial.task, 1, ("id",), "at").score(sample, NOW, explain=2)

    assert dict(scored.dtypes)["contributions"] == CONTRIBUTED
    assert [r.contributions for r in scored.collect()] == [None] * 3
    assert (
        "contributions"
        not in Scorer(by_pipeline(trial.fitted, trial.task), trial.task, 1, ("id",), "at").score(sample, NOW).columns
    )


@pytest.mark.parametrize("kind", ["linear", "trees", "number"])
def test_the_parts_of_an_answer_and_its_base_sum_to_the_answer(trials, kind):
    trial, rows = trials[kind]
    sample = rows.orderBy("id").select("id", *COLUMNS, LABEL)

    found, table = contributions(trial.fitted, trial.blocks, sample, ROWS, "")

    scores = [r.score for r in predict(trial.fitted, sample, trial.task.answers(True)).orderBy("id").collect()]
    answer = scores if kind == "number" else [log(s / (1 - s)) for s in scores]
    assert table["id"].to_pylist() == list(range(ROWS))
    assert found.features == COLUMNS or set(found.features) == set(COLUMNS)
    assert (found.values.sum(axis=2) + found.base)[:, 0] == pytest.approx(answer, abs=2e-4)


def test_a_linear_part_is_the_weight_times_the_distance_from_the_mean(trials):
    trial, rows = trials["number"]
    found, table = contributions(trial.fitted, trial.blocks, rows.orderBy("id").select("id", *COLUMNS), ROWS, "")

    part, noise = found.values[:, 0, found.features.index("noise")], np.array(table["noise"])
    slope = np.polyfit(noise, part, 1)[0]
    assert part == pytest.approx(slope * (noise - noise.mean()), abs=1e-9)
    assert found.values.mean(axis=0) == pytest.approx(0, abs=1e-9)


def test_a_learner_without_such_parts_has_none(table):
    trial, rows = fitted(table, NaiveBayes(kind="naive_bayes"))

    assert contributions(trial.fitted, trial.blocks, rows.select(*COLUMNS), ROWS, "") is None


@pytest.fixture(scope="module")
def told(trials):
    """What the run record holds, twice from differently dealt rows."""
    trial, rows = trials["trees"]
    asked = [
        Asked(df, ROWS, ("id",), "roc_auc", Explain(rows=500, repeats=3), "") for df in (rows, rows.repartition(5))
    ]
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
    found = explain(trial, COLUMNS, Asked(rows, ROWS, ("id",), "rmse", Explain(rows=100, repeats=2), ""))

    lost = found["permutation"]["features"]
    assert lost[0]["feature"] == "wind" and lost[0]["lost"] > 5  # minutes


def test_rows_that_arrow_brings_are_scored_by_executors_not_by_the_optimiser(spark, plan):
    doubled = spark.createDataFrame(pa.table({"n": [1, 2]})).select(F.col("n") * 2)

    assert "Project" in plan(doubled)
    assert "LocalTableScan" not in plan(doubled)
