"""An estimator of a team's own: it learns behind our preparation, and what the target does not list is refused."""

import pytest

from pipelines import evaluate
from pipelines.errors import SpecError
from pipelines.models.base import Asked, Fitted, Inputs, predict
from pipelines.models.learners import fit
from pipelines.spec import LogisticRegression, Own
from pipelines.spec.task import LABEL, TARGET

pytestmark = pytest.mark.spark

INPUTS = Inputs(("depot",), ("weight",))
ROWS = [(i, "ns"[i % 2], i % 17 / 2.0, int(i % 17 + i % 5 > 11)) for i in range(200)]
THERE = "there are margin, nothing, straight, stump"


@pytest.fixture(scope="module")
def sent(frame):
    return frame(ROWS, f"id int, depot string, weight double, {LABEL} int").cache()


def learned(sent, candidate, extensions: tuple[str, ...] = ("acme",)) -> tuple[Fitted, list[float]]:
    """What was fitted, and its scores by id."""
    task = evaluate.TASKS["binary"].learned(sent)
    asked = Asked("binary", task.width, ("id",), tuple(task.closing()), extensions=extensions)
    fitted = fit(candidate, sent.withColumn(TARGET, task.target()), INPUTS, asked)
    scored = predict(fitted.pipeline, sent, task.answers(labelled=True)).orderBy("id")
    return fitted, [row.score for row in scored.collect()]


def test_it_stands_behind_the_same_preparation_and_answers_as_ours_does(sent):
    params = {"regParam": 0.01, "elasticNetParam": 0.0, "maxIter": 30, "family": "binomial"}
    ours = LogisticRegression(kind="logistic_regression", regularization=0.01, iterations=30)

    (theirs, found), (known, expected) = (
        learned(sent, candidate) for candidate in (Own(kind="own", estimator="straight", params=params), ours)
    )

    assert found == expected and len({round(score, 6) for score in found}) > 10
    assert theirs.importance == known.importance and theirs.importance[0][0] == "weight"


def test_bins_are_as_many_as_the_longest_category_has_values(frame):
    many = [(i, f"d{i % 40:02}", 1.0, int(i % 40 > 20)) for i in range(200)]  # Spark takes 32 unless told
    sent = frame(many, f"id int, depot string, weight double, {LABEL} int")

    _, found = learned(sent, Own(kind="own", estimator="stump", shape="trees", params={"maxDepth": 1}))

    assert found == [float(label) for *_, label in many]


def test_its_features_have_the_shape_that_the_conf_asks_for(sent):
    plain = Own(kind="own", estimator="stump", shape="trees", params={"maxDepth": 1})

    linear, trees = (learned(sent, each)[0] for each in (plain.model_copy(update={"shape": "linear"}), plain))

    assert [sum(b.width for b in fitted.blocks) for fitted in (linear, trees)] == [4, 2]  # of depots two and any other
    assert trees.importance[0] == ("weight", 1.0)


@pytest.mark.parametrize(
    ("name", "params", "extensions", "sentence"),
    [
        ("stump", {}, (), "estimator: stump is in ESTIMATORS of no extension; the target names no extensions"),
        ("stump", {}, ("json",), "estimator: stump is in ESTIMATORS of no extension; there are none"),
        ("stumps", {}, ("acme",), f"estimator: stumps is in ESTIMATORS of no extension; {THERE}"),
        ("stump", {}, ("acme_gone",), "extensions: acme_gone cannot be imported here: No module named 'acme_gone'"),
        ("nothing", {}, ("acme",), "estimator: nothing should be an estimator of pyspark.ml, got dict"),
        ("nothing", {"x": 1}, ("acme",), "estimator: nothing cannot be made with these params: <lambda>() got an "
         "unexpected keyword argument 'x'"),
        ("stump", {"maxDepth": 99}, ("acme",), "estimator: stump cannot be fitted: "),
        ("margin", {}, ("acme",), "estimator: margin makes no column __probability, which its task needs"),
    ],
)  # fmt: skip
def test_what_cannot_learn_is_one_sentence(sent, name, params, extensions, sentence):
    with pytest.raises(SpecError) as caught:
        learned(sent, Own(kind="own", estimator=name, params=params), extensions)

    assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)
