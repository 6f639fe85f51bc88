"""Recommendations: tastes are completed, lists are judged as scikit-learn judges them, the unseen has an answer."""

import numpy as np
import pytest
from pyspark.sql import functions as F
from sklearn import metrics as sk

from pipelines import evaluate
from pipelines.errors import DataError
from pipelines.evaluate import Recommendation
from pipelines.models import learners
from pipelines.models.base import Asked, Inputs, predict
from pipelines.run.judging import together
from pipelines.spec import Feature, Model
from pipelines.spec.task import LABEL, NAIVE, SCORE, TARGET

pytestmark = pytest.mark.spark

DDL = f"user string, item string, {LABEL} double"
TASK = Recommendation(mean=3.0, user="user", item="item", top=3, relevant=4.0)
USERS, ITEMS = 12, 8


def model(**candidate) -> Model:
    return Model.model_validate({
        "features": "shown", "label": "stars", "task": "recommendation",
        "recommendation": {"user": "user", "item": "item", "top": 3, "relevant": 4.0},
        "candidates": ({"kind": "als", **candidate},),
    })  # fmt: skip


def stars(user: int, item: int) -> float:
    """Tastes of rank one: what a user gives in general, times what an item gets in general."""
    return (1 + user / 4) * (1 + item / 3)


def rated(frame, held_out: bool):
    """A third of all pairs is held out, some of each user and of each item."""
    pairs = [(u, i) for u in range(USERS) for i in range(ITEMS) if ((u + i) % 3 == 0) == held_out]
    return frame([(f"u{u}", f"i{i}", stars(u, i)) for u, i in pairs], DDL)


@pytest.fixture(scope="module")
def fitted(frame, tmp_path_factory):
    rows = rated(frame, held_out=False).withColumn(TARGET, F.col(LABEL))
    task = evaluate.learned(model(), Feature(spine="s", keys=("user",), as_of_time="at"), rows)
    asked = Asked(
        task.kind,
        task.width,
        ("user", "item"),
        tuple(task.closing()),
        model().pair,
        str(tmp_path_factory.mktemp("steps")),
    )
    candidate = model(rank=1, regularization=0.0001, iterations=10).candidates[0]
    return learners.fit(candidate, rows, Inputs(("user", "item"), ()), asked), task


def scored(fitted, rows):
    found, task = fitted
    return predict(found.pipeline, rows, task.answers(labelled=True))


def test_tastes_of_rank_one_are_completed_where_nothing_was_rated(frame, fitted):
    found = scored(fitted, rated(frame, held_out=True)).collect()

    assert len(found) == USERS * ITEMS // 3
    assert [r[SCORE] for r in found] == pytest.approx([r[LABEL] for r in found], rel=0.02)


def test_of_a_user_that_was_not_seen_the_answer_is_the_mean_rating_of_the_item(frame, fitted):
    unseen = frame([("nobody", "i1", 0.0), ("u1", "nothing", 0.0), (None, None, 0.0)], DDL)

    by_pair = {(r.user, r.item): r for r in scored(fitted, unseen).collect()}

    of_item = [stars(u, 1) for u in range(USERS) if (u + 1) % 3]
    whole = [stars(u, i) for u in range(USERS) for i in range(ITEMS) if (u + i) % 3]
    smoothed = (sum(of_item) + 5 * np.mean(whole)) / (len(of_item) + 5)
    assert by_pair["nobody", "i1"][SCORE] == pytest.approx(smoothed)
    assert by_pair["u1", "nothing"][SCORE] == by_pair[None, None][SCORE] == pytest.approx(np.mean(whole))


def lists(seed: int) -> list[tuple[str, str, float, float, float]]:
    """Labels of 0 to 5, scores without ties; of one user a single row, of another nothing that was liked."""
    rng = np.random.default_rng(seed)
    made = []
    for user in range(8):
        n = 1 if user == 0 else 7
        labels = [0.0] * n if user == 1 else rng.integers(0, 6, n).astype(float).tolist()
        found = zip(labels, *rng.random((2, n)).tolist(), strict=True)
        made += [(f"u{user}", f"i{i}", *of) for i, of in enumerate(found)]
    return made


def expected(rows, at: int) -> tuple[float, float]:
    """NDCG and MAP by scikit-learn and by hand; at: the place of the score in a row."""
    gains, precisions = [], []
    for user in sorted({r[0] for r in rows}):
        mine = sorted((r for r in rows if r[0] == user), key=lambda r: -r[at])
        labels, hits = [r[2] for r in mine], [r[2] >= 4 for r in mine]
        if max(labels) > 0:
            one = len(labels) == 1  # scikit-learn refuses a single document, whose order is the best there is
            gains.append(1.0 if one else sk.ndcg_score([labels], [[-i for i in range(len(labels))]], k=3))
        if any(hits):
            total = sum(sum(hits[: i + 1]) / (i + 1) for i in range(min(3, len(hits))) if hits[i])
            precisions.append(total / min(sum(hits), 3))
    return float(np.mean(gains)), float(np.mean(precisions))


@pytest.mark.parametrize("seed", [1, 2])
def test_lists_are_judged_as_scikit_learn_judges_them(frame, seed):
    rows = lists(seed)
    table = frame(rows, f"{DDL}, {SCORE} double, {NAIVE} double")

    counts = evaluate.counts(TASK, table)

    found, base = TASK.metrics(counts), TASK.baseline(counts)
    assert (found["ndcg"], found["mean_average_precision"]) == pytest.approx(expected(rows, 3))
    assert (base["ndcg"], base["mean_average_precision"]) == pytest.approx(expected(rows, 4))
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean([(r[2] - r[3]) ** 2 for r in rows])))
    assert TASK.said(counts) == {"users": sum(any(r[2] > 0 for r in rows if r[0] == u) for u in {r[0] for r in rows})}


def test_a_model_that_does_not_decide_between_items_gains_nothing_by_it(frame):
    rows = [("a", "x", 0.0, 1.0), ("a", "y", 5.0, 1.0)]

    counts = evaluate.counts(TASK, frame(rows, f"{DDL}, {SCORE} double"))

    assert TASK.metrics(counts)["ndcg"] == pytest.approx(1 / np.log2(3))  # the worse order of the two


def test_without_a_liked_item_there_is_nothing_to_rank(frame):
    counts = evaluate.counts(TASK, frame([("a", "x", 0.0, 1.0)], f"{DDL}, {SCORE} double"))

    with pytest.raises(DataError, match="no user with a label above 0"):
        TASK.metrics(counts)


def test_an_interval_leaves_out_whole_users(frame):
    group = together(model(), Feature(spine="s", keys=("item",), as_of_time="at"))
    rows = frame(lists(3), f"{DDL}, {SCORE} double, {NAIVE} double")

    whole, parts = evaluate.counts(TASK, rows), evaluate.tally(TASK, rows, group)

    assert parts.whole == pytest.approx(whole)  # were users split between groups, there would be more lists


def test_what_was_said_of_users_and_items_is_kept_beside_the_model(fitted):
    found, task = fitted

    assert Recommendation.restored(task.tags(), found.pipeline) == task
