"""A graph answers as Spark does: every learner, over every preparation, row by row, to the last digits of a double."""

import math
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.sql import functions as F
from safetensors.numpy import save

from pipelines import evaluate
from pipelines.deep.estimator import NetEstimator, NetModel
from pipelines.errors import DataError
from pipelines.models.base import Asked, Inputs, predict
from pipelines.models.graphs import drawn
from pipelines.models.learners import LEARNERS, OVER
from pipelines.models.preparation import prepare
from pipelines.onnx import Graph
from pipelines.run.certifying import compared, over_http
from pipelines.score import Scorer, by_graph, by_pipeline
from pipelines.spec import prepare as how
from pipelines.spec.candidate import KINDS
from pipelines.spec.task import LABEL, TARGET

pytestmark = pytest.mark.spark

DDL = (
    "id int, carrier string, plane string, gate string, wing boolean, terminal int, made date, wind double, "
    "seats int, price decimal(8,2), heat float, hour double, age double, sent timestamp, born date, note string, "
    "late int, delay double, grade string"
)
FEATURES = tuple(part.split()[0] for part in DDL.split(", "))[1:-3]
LABELS = {"binary": "late", "regression": "delay", "multiclass": "grade"}
PREPARE = {
    "plane": how.MeanLabel(kind="target", smoothing=5.0),
    "gate": how.Hashed(kind="hash", buckets=16),
    "terminal": how.OneHot(kind="one_hot"),
    "made": how.OneHot(kind="one_hot"),
    "seats": how.Number(kind="number", impute="mean", scale="min_max"),
    "hour": how.Cycle(kind="cycle", period=24),
    "age": how.Quantiles(kind="quantiles", number=4),
    "sent": how.Time(kind="time", parts=("hour", "weekday", "day", "month")),
    "note": how.Text(kind="text", buckets=32),
}
SEQUENCES = (("wind", "heat", "price", "seats"), ("price", "wind", "seats", "heat"))
BRIEF = {
    "logistic_regression": {"iterations": 20}, "linear_svc": {"iterations": 8}, "random_forest": {"trees": 5},
    "gbt": {"rounds": 5, "depth": 3}, "xgboost": {"rounds": 20, "depth": 4}, "mlp": {"hidden": (4, 3), "iterations": 8},
    "factorization_machines": {"factors": 2, "iterations": 10}, "isotonic": {"feature": "wind"},
    "generalized_linear_regression": {"family": "poisson", "regularization": 1e-2},
    "tabular_net": {"hidden": (16, 8), "wide": True, "factors": 3, "sequences": SEQUENCES},
    "kmeans": {"k": 3}, "gaussian_mixture": {"k": 2, "starts": 1, "iterations": 5},
}  # fmt: skip
ROUGH = {"xgboost": 1e-6, "naive_bayes": 1e-6}  # single precision; variances of almost nothing
ROWS = 200
NOW = datetime(2026, 1, 2, tzinfo=UTC)
SPECS = {kind.named(): kind for kind in KINDS}
LEARNED = [
    ("logistic_regression", "binary"), ("logistic_regression", "multiclass"), ("linear_regression", "regression"),
    ("generalized_linear_regression", "regression"), ("decision_tree", "multiclass"), ("random_forest", "binary"),
    ("gbt", "binary"), ("linear_svc", "binary"), ("naive_bayes", "multiclass"), ("factorization_machines", "binary"),
    ("mlp", "multiclass"), ("isotonic", "regression"), ("survival", "regression"),
    ("xgboost", "binary"), ("xgboost", "multiclass"),
    ("kmeans", "clustering"), ("kmeans", "anomaly"), ("gaussian_mixture", "anomaly"),
    ("tabular_net", "binary"), ("tabular_net", "multiclass"), ("tabular_net", "regression"),
]  # fmt: skip
DAILY = [  # one of each family: of the others a graph is asked by night
    ("logistic_regression", "binary"), ("linear_regression", "regression"), ("random_forest", "binary"),
    ("xgboost", "binary"), ("mlp", "multiclass"), ("kmeans", "clustering"), ("tabular_net", "binary"),
]  # fmt: skip
UNLIKE = ("bisecting_kmeans", "lda", "als", "image_net")  # learners that have no nodes
NOTES = ("Late again", "on TIME, again!", "", None, "a bird: b_2 strike", "Übergröße naïve", "ice")


def rows(seed: int, number: int, new: bool = False) -> list[tuple]:
    """Flights; every seventh value is missing. new: with categories that no other rows have, and days of any year."""
    rng, made = random.Random(seed), []
    for i in range(number):
        wind, carrier = 40 * rng.random(), rng.choice(["UA", "AA", "B6", *(["ZZ", "(missing)"] if new else [])])
        delay = 5 + wind / 2 + 8 * (carrier == "AA") + rng.random()
        days = rng.randrange(-300_000, 300_000) if new else rng.randrange(15_000, 15_400)
        sent = datetime(1970, 1, 1, 13, 7, tzinfo=UTC) + timedelta(days, rng.randrange(86_400), rng.randrange(10**6))
        features = [
            carrier, f"N{rng.randrange(30 if new else 20)}", f"g{rng.randrange(40)}é", rng.random() < 0.5,
            rng.randrange(4), date(2013, 1, 1 + rng.randrange(5)),
            rng.choice([wind, math.nan, math.inf]) if new else wind, rng.randrange(300),
            Decimal(rng.randrange(10**6)) / 100, rng.random(), 24 * rng.random(), rng.gauss(0, 5), sent, sent.date(),
            rng.choice(NOTES),
        ]  # fmt: skip
        known = [None if rng.random() < 1 / 7 else value for value in features]
        made.append((i, *known, int(delay > 18), delay, ["low", "middle", "high"][int(delay // 15) % 3]))
    return made


@pytest.fixture(scope="module")
def train(frame):
    return frame(rows(1, 400), DDL).cache()


@pytest.fixture(scope="module")
def test(frame):
    return frame(rows(2, ROWS, new=True), DDL).cache()


@pytest.fixture(scope="module")
def shapes(train):
    """Shape -> the preparation fitted once, for all learners that want it."""
    labelled = train.withColumn(LABEL, F.col("late")).withColumn(TARGET, F.col("late").cast("double"))
    inputs, asked = Inputs.of(train, FEATURES, PREPARE), Asked("binary", 2, ("id",))
    found = {shape: prepare(labelled, inputs, shape, asked) for shape in ("linear", "trees", "boosted", "net")}
    found["few"] = prepare(labelled, Inputs.of(train, ("wind", "carrier", "seats")), "linear", asked)
    for each in found.values():
        each.train.cache().count()
    return found


def trained(kind: str, task: str, shapes):
    """The fitted pipeline, and the task as a version would restore it."""
    learner = LEARNERS[kind]
    prepared = shapes["few" if task == "anomaly" else learner.shape]  # what is far is long to say in SQL
    labelled = prepared.train.withColumn(LABEL, F.col(LABELS.get(task, "late"))).withColumn(OVER, F.lit(1.0))
    known = evaluate.TASKS[task].learned(labelled)
    rows = labelled.withColumn(TARGET, known.target())
    asked, stages = Asked(task, known.width, ("id",)), list(prepared.stages)
    for stage in learner.stages(SPECS[kind](kind=kind, **BRIEF.get(kind, {})), asked, prepared):
        stages.append(untaught(stage) if kind == "tabular_net" else stage.fit(rows))
        rows = stages[-1].transform(rows)
    fitted = PipelineModel([*stages, *known.closing()])
    given = labelled.drop(*[c for c in labelled.columns if c.startswith("__")])
    return fitted, evaluate.completed(known, fitted, given)


def untaught(net: NetEstimator) -> NetModel:
    """With weights by chance: to train one takes torch, and what it has learned is nothing to its graph."""
    design = net.design({"mean": 8.0, "spread": 5.0})
    dice = np.random.default_rng(3)
    weights = {name: dice.standard_normal(shape).astype(np.float32) / 4 for name, shape in design.weights.items()}
    return NetModel(design, save(weights))


@pytest.mark.parametrize(
    ("kind", "task"), [pytest.param(*one, marks=[pytest.mark.long] * (one not in DAILY)) for one in LEARNED]
)
def test_a_graph_answers_as_spark_does(shapes, test, tmp_path, kind, task):
    fitted, known = trained(kind, task, shapes)
    fitted.write().save(f"file://{tmp_path}/sparkml")
    answers = known.answers(labelled=False)
    spark = predict(fitted, test, answers).toArrow().to_pylist()

    made = drawn(tmp_path / "sparkml", {evaluate.TASK: task, **known.tags()}, dict(test.dtypes), ("id",))

    graph = Graph.opened(made.content)
    found = over_http(compared(made, graph, spark, list(answers)), graph, spark, list(answers))
    assert (found.rows, found.unlike, found.over_http > ROWS / 2) == (ROWS, 0, True)
    assert found.largest < ROUGH.get(kind, 1e-12)


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("logistic_regression", "binary"),
        pytest.param("xgboost", "binary", marks=pytest.mark.long),
        pytest.param("linear_regression", "regression", marks=pytest.mark.long),
    ],
)
def test_scores_of_a_graph_are_those_of_spark(shapes, test, tmp_path, kind, task):
    fitted, known = trained(kind, task, shapes)
    fitted.write().save(f"file://{tmp_path}/sparkml")
    made = drawn(tmp_path / "sparkml", {evaluate.TASK: task, **known.tags()}, dict(test.dtypes), ("id",))
    ways = by_pipeline(fitted, known), by_graph(made.content)

    spark, graph = (Scorer(way, known, 3, ("id", "price"), "sent").score(test.repartition(3), NOW) for way in ways)

    assert graph.schema.simpleString() == spark.schema.simpleString()
    expected, found = (df.orderBy("id").toArrow() for df in (spark, graph))
    assert found.drop_columns(["score"]).equals(expected.drop_columns(["score"]))
    scores = [table["score"].to_numpy() for table in (found, expected)]
    assert scores[0] == pytest.approx(scores[1], abs=ROUGH.get(kind, 1e-12))
    assert graph.where("id < 0").count() == 0


def test_every_learner_has_a_graph_or_is_known_to_have_none():
    theirs = {"own"}  # a team's: the graph is that of the stage it becomes
    assert {kind for kind, _ in LEARNED} | set(UNLIKE) | theirs == set(LEARNERS)


def test_a_stage_without_nodes_is_named(shapes, tmp_path):
    fitted, _ = trained("bisecting_kmeans", "clustering", shapes)
    fitted.write().save(f"file://{tmp_path}/sparkml")

    with pytest.raises(DataError, match=r"^clusters of BisectingKMeansModel have no node in a graph$"):
        drawn(tmp_path / "sparkml", {evaluate.TASK: "clustering"}, {name: "double" for name in FEATURES}, ())
