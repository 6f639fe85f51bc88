"""Every learner on one small table of flights, against scikit-learn, XGBoost or algebra on the same rows.

Where a learner solves a problem with one answer, its predictions are the
twin's; where it draws lots or stops early, its metric is.
"""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
import xgboost
from pyspark.sql import functions as F
from scipy import optimize
from sklearn import ensemble, isotonic, linear_model, naive_bayes, neural_network, svm, tree
from sklearn import metrics as sk

from pipelines import evaluate
from pipelines.errors import DataError, SpecError
from pipelines.models.base import Asked, Inputs, predict
from pipelines.models.learners import LEARNERS, fit
from pipelines.models.splits import Slices, seen
from pipelines.spec.candidate import KINDS, learners
from pipelines.spec.task import LABEL, TARGET

pytestmark = pytest.mark.spark

ROWS, TRAIN = 600, 400
START = datetime(2026, 1, 1, tzinfo=UTC)
DDL = "id int, carrier string, distance int, wind double, late int, delay double, grade string"
INPUTS = Inputs(("carrier",), ("distance", "wind"))
LABELS = {"binary": "late", "regression": "delay", "multiclass": "grade"}
SPECS = {kind.named(): kind for kind in KINDS}


def options(kind: str) -> dict[str, object]:
    """Enough steps to settle; hardly a penalty, so that an answer is that of the twin."""
    return {
        "logistic_regression": {"regularization": 1e-3, "iterations": 300},
        "linear_regression": {"regularization": 0.0},
        "generalized_linear_regression": {"family": "poisson", "regularization": 1e-6},
        "random_forest": {"trees": 20},
        "gbt": {"rounds": 10, "depth": 3, "learning_rate": 0.3},
        "linear_svc": {"regularization": 1e-3, "iterations": 20},
        "factorization_machines": {"iterations": 80, "factors": 2, "step": 0.3},
        "mlp": {"hidden": (6,), "iterations": 50},
        "isotonic": {"feature": "wind"},
        "xgboost": {"rounds": 10, "depth": 3},
    }.get(kind, {})


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Delays grow with wind and by carrier, more so for one of them; every tenth wind is missing."""
    rng = np.random.default_rng(7)
    carrier = rng.choice(["UA", "AA", "B6"], ROWS, p=[0.5, 0.3, 0.2])
    distance, wind = rng.integers(100, 3_000, ROWS), 40 * rng.random(ROWS)
    delay = 5 + 0.5 * wind + 0.002 * distance + 8 * (carrier == "AA") * (wind / 20) + rng.gamma(2, 2, ROWS)
    made = pd.DataFrame({"id": np.arange(ROWS), "carrier": carrier, "distance": distance, "wind": wind})
    made["late"], made["delay"] = (delay + 4 * rng.standard_normal(ROWS) > 22).astype(int), delay
    made["grade"] = np.where(delay < 16, "good", np.where(delay < 26, "fair", "poor"))
    made.loc[made["id"] % 10 == 0, "wind"] = np.nan
    return made


@pytest.fixture(scope="module")
def slices(frame, table):
    rows = table.astype(object).where(table.notna(), None).values.tolist()
    train, test = frame(rows[:TRAIN], DDL), frame(rows[TRAIN:], DDL)
    return train.repartition(2, "id").cache(), test.cache()


def learned(kind: str, task: str, slices) -> tuple[object, pd.DataFrame]:
    """What was fitted, and the test rows with its answers, by id."""
    train, test = (df.withColumn(LABEL, F.col(LABELS[task])) for df in slices)
    known = evaluate.TASKS[task].learned(train)
    asked = Asked(task, known.width, ("id",), tuple(known.closing()))
    fitted = fit(SPECS[kind](kind=kind, **options(kind)), train.withColumn(TARGET, known.target()), INPUTS, asked)
    return fitted, predict(fitted.pipeline, test, known.answers(labelled=True)).toPandas().sort_values("id")


def design(table: pd.DataFrame, indicator: bool = True) -> np.ndarray:
    """What the linear shape is said to be, made by pandas: median, indicator, standard scale, one-hot."""
    fitted = table.iloc[:TRAIN]
    wind = table["wind"].fillna(fitted["wind"].quantile(0.5, interpolation="lower"))
    scaled = [(c - c[:TRAIN].mean()) / c[:TRAIN].std() for c in (table["distance"].astype(float), wind)]
    missing = [table["wind"].isna().astype(float)] if indicator else []
    hot = [(table["carrier"] == v).astype(float) for v in ("UA", "AA", "B6")]
    return np.column_stack([*hot, *scaled, *missing])


def twin(model, table: pd.DataFrame, task: str, features: np.ndarray) -> object:
    """Fitted on the same rows; its answers for the others."""
    fitted = model.fit(features[:TRAIN], table[LABELS[task]][:TRAIN])
    return fitted.predict(features[TRAIN:]) if task == "regression" else fitted.predict_proba(features[TRAIN:])


EXACT = {
    ("binary", "logistic_regression"): linear_model.LogisticRegression(C=1 / (TRAIN * 1e-3), max_iter=1_000),
    ("multiclass", "logistic_regression"): linear_model.LogisticRegression(C=1 / (TRAIN * 1e-3), max_iter=1_000),
    ("regression", "linear_regression"): linear_model.LinearRegression(),
    ("regression", "generalized_linear_regression"): linear_model.PoissonRegressor(alpha=1e-6, max_iter=1_000),
    ("binary", "naive_bayes"): naive_bayes.GaussianNB(),
    ("multiclass", "naive_bayes"): naive_bayes.GaussianNB(),
}


@pytest.mark.parametrize(("task", "kind"), list(EXACT))
def test_a_problem_with_one_answer_has_that_of_scikit_learn(table, slices, task, kind):
    _, answers = learned(kind, task, slices)

    expected = twin(EXACT[task, kind], table, task, design(table))

    if task == "binary":
        expected = expected[:, 1]
    elif task == "multiclass":
        expected = expected.max(axis=1)
    assert answers["score"].to_numpy() == pytest.approx(expected, abs=0.005, rel=0.005)


@pytest.mark.parametrize("task", list(LABELS))
def test_xgboost_on_spark_is_xgboost(table, slices, task):
    fitted, answers = learned("xgboost", task, slices)

    index = table["carrier"].map({"UA": 0.0, "AA": 1.0, "B6": 2.0})
    features = np.column_stack([index, table["distance"], table["wind"]])
    kind = xgboost.XGBRegressor if task == "regression" else xgboost.XGBClassifier
    model = kind(n_estimators=10, max_depth=3, learning_rate=0.1, tree_method="hist")
    labels = table.copy()
    if task == "multiclass":
        labels["grade"] = labels["grade"].map(
            {c: i for i, c in enumerate(labels["grade"][:TRAIN].value_counts().index)}
        )
    expected = twin(model, labels, task, features)

    expected = expected[:, 1] if task == "binary" else expected.max(axis=1) if task == "multiclass" else expected
    assert answers["score"].to_numpy() == pytest.approx(expected, rel=1e-4)
    assert {name for name, _ in fitted.importance} == {"carrier", "distance", "wind"}


def test_isotonic_is_scikit_learns_on_its_one_feature(table, slices):
    fitted, answers = learned("isotonic", "regression", slices)

    wind = table["wind"].fillna(table["wind"][:TRAIN].quantile(0.5, interpolation="lower"))
    expected = isotonic.IsotonicRegression(out_of_bounds="clip").fit(wind[:TRAIN], table["delay"][:TRAIN])
    assert answers["score"].to_numpy() == pytest.approx(expected.predict(wind[TRAIN:]), rel=1e-6)
    assert fitted.pipeline.stages[0].getStatement().count("__n_") == 1


@pytest.fixture(scope="module")
def lasting(frame):
    """Times until something broke, Weibull by x; what is over 20 is cut there, for nobody waited longer."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=500)
    time = np.exp(2 + 0.7 * x) * rng.weibull(1 / 0.6, size=500)
    over = [True if t < 20 else (None, False)[i % 2] for i, t in enumerate(time)]  # where nobody says, it goes on
    rows = [(i, float(a), float(min(t, 20)), over[i]) for i, (a, t) in enumerate(zip(x, time, strict=True))]
    return rows, frame(rows, f"id int, x double, {TARGET} double, broke boolean")


def test_survival_is_the_likeliest_weibull_of_times_that_go_on(lasting):
    rows, train = lasting
    _, x, time, broke = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    broke = np.nan_to_num(broke)

    def unlikely(weights):
        """Of density where it broke, of survival where it did not: algebra, and scipy finds the least."""
        scale = np.exp(weights[2])
        off = (np.log(time) - weights[0] - weights[1] * x) / scale
        with np.errstate(over="ignore"):  # far off it is infinitely unlikely
            return -np.sum(broke * (off - np.log(scale)) - np.exp(off))

    best = optimize.minimize(unlikely, [1, 0, 0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-8}).x
    fitted = fit(
        SPECS["survival"](kind="survival"), train, Inputs((), ("x",)), Asked("regression", 0, observed="broke")
    )

    found = np.array([r.prediction for r in fitted.pipeline.transform(train).orderBy("id").collect()])
    assert 150 < broke.sum() < 490
    assert found == pytest.approx(np.exp(best[0] + best[1] * x), rel=2e-3)
    assert best[:2] == pytest.approx([2, 0.7], abs=0.1)  # what they were made with

    blind = fit(SPECS["survival"](kind="survival"), train, Inputs((), ("x",)), Asked("regression", 0))
    assert blind.pipeline.transform(train).agg(F.avg("prediction")).first()[0] < 0.95 * found.mean()  # as if all broke


def test_a_survival_is_judged_by_times_that_are_over(lasting):
    rows, train = lasting
    slices = Slices(
        train, train, train, {"train": {"rows": 500}, "validate": {"rows": 500}, "test": {"rows": 500}}, START, 0
    )
    over = sum(broke is True for *_, broke in rows)

    found = seen(slices, "broke")

    assert [part["rows"] for part in found.summary.values()] == [500, over, over]
    assert [df.count() for df in (found.train, found.validate, found.test)] == [500, over, over]
    with pytest.raises(DataError, match="broke is true in no row of the validation or the test slice"):
        seen(Slices(train, train.where("NOT broke"), train, slices.summary, START, 0), "broke")


def test_isotonic_wants_a_number(slices):
    train = slices[0].withColumn(TARGET, F.col("delay"))
    spec = SPECS["isotonic"](kind="isotonic", feature="carrier")

    with pytest.raises(SpecError) as caught:
        fit(spec, train, INPUTS, Asked("regression", 0))

    assert str(caught.value) == "isotonic: feature carrier is no number"


@pytest.mark.parametrize(
    ("family", "least", "sentence"),
    [
        ("poisson", -1, "a label of family poisson is 0 or greater; there is -1"),
        ("gamma", 0, "a label of family gamma is greater than 0; there is 0"),
        ("survival", 0, "a label of family survival is greater than 0; there is 0"),
    ],
)
def test_a_label_outside_its_family_is_refused(slices, family, least, sentence):
    train = slices[0].withColumn(TARGET, F.when(F.col("id") == 3, float(least)).otherwise(5.0))
    kind = "survival" if family == "survival" else "generalized_linear_regression"
    spec = SPECS[kind](kind=kind, **({} if kind == family else {"family": family}))

    with pytest.raises(DataError) as caught:
        fit(spec, train, INPUTS, Asked("regression", 0))

    assert str(caught.value) == f"{kind}: {sentence}"


LOTS = {"min_samples_leaf": 20, "random_state": 0}
ALIKE = {
    ("binary", "decision_tree"): tree.DecisionTreeClassifier(max_depth=5, **LOTS),
    ("multiclass", "decision_tree"): tree.DecisionTreeClassifier(max_depth=5, **LOTS),
    ("regression", "decision_tree"): tree.DecisionTreeRegressor(max_depth=5, **LOTS),
    ("binary", "random_forest"): ensemble.RandomForestClassifier(20, max_depth=8, random_state=0),
    ("multiclass", "random_forest"): ensemble.RandomForestClassifier(20, max_depth=8, random_state=0),
    ("regression", "random_forest"): ensemble.RandomForestRegressor(
        20, max_depth=8, max_features=1 / 3, random_state=0
    ),
    ("binary", "gbt"): ensemble.GradientBoostingClassifier(n_estimators=10, learning_rate=0.3, random_state=0),
    ("regression", "gbt"): ensemble.GradientBoostingRegressor(n_estimators=10, learning_rate=0.3, random_state=0),
    ("binary", "linear_svc"): svm.SVC(kernel="linear", C=1 / (TRAIN * 1e-3), random_state=0),
    ("binary", "mlp"): neural_network.MLPClassifier(
        (6,), activation="logistic", solver="lbfgs", max_iter=5_000, random_state=0
    ),
    ("multiclass", "mlp"): neural_network.MLPClassifier(
        (6,), activation="logistic", solver="lbfgs", max_iter=5_000, random_state=0
    ),
    ("binary", "factorization_machines"): linear_model.LogisticRegression(C=10, max_iter=1_000),
    ("regression", "factorization_machines"): linear_model.Ridge(1e-3),
}


def merit(task: str, answers: pd.DataFrame) -> float:
    if task == "binary":
        return sk.roc_auc_score(answers["late"], answers["score"])
    if task == "multiclass":
        return sk.accuracy_score(answers["grade"], answers["predicted"])
    return sk.r2_score(answers["delay"], answers["score"])


@pytest.mark.parametrize(("task", "kind"), list(ALIKE))
def test_what_draws_lots_is_as_good_as_its_twin(table, slices, task, kind):
    _, answers = learned(kind, task, slices)

    features = design(table)
    if kind == "factorization_machines":  # all pairs, written out
        features = np.column_stack([features, *(features[:, i] * features[:, j] for i in range(6) for j in range(i))])
    model = ALIKE[task, kind].fit(features[:TRAIN], table[LABELS[task]][:TRAIN])
    rest, shown = features[TRAIN:], table[TRAIN:].copy()
    if task == "binary":
        shown["score"] = model.decision_function(rest) if kind == "linear_svc" else model.predict_proba(rest)[:, 1]
    shown["predicted" if task == "multiclass" else "score"] = (
        shown["score"] if task == "binary" else model.predict(rest)
    )
    assert merit(task, answers) > merit(task, shown) - 0.06  # a net finds another hollow with other threads
    if task == "binary":
        assert answers["score"].between(0, 1).all()
        assert answers["score"].mean() == pytest.approx(table["late"][:TRAIN].mean(), abs=0.06)


def test_every_kind_is_tried_for_every_task_that_it_learns():
    tried = {
        *EXACT,
        *ALIKE,
        *((task, "xgboost") for task in LABELS),
        ("regression", "isotonic"),
        ("regression", "survival"),
    }
    tried |= {(task, net) for task in LABELS for net in ("tabular_net", "image_net")}  # in tests/deep, where torch is
    tried |= {(task, "own") for task in LABELS}  # in test_own.py

    assert tried == {(task, kind) for task in LABELS for kind in learners(task)}
    assert set(LEARNERS) == set(SPECS)
