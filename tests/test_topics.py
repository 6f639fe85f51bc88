"""Topics of a text: two ways of speaking are told apart as scikit-learn tells them apart, and named by their words."""

import pytest
from pyspark.sql import functions as F
from sklearn.decomposition import LatentDirichletAllocation
from sklearn.feature_extraction.text import CountVectorizer

from pipelines import evaluate
from pipelines.errors import DataError, SpecError
from pipelines.evaluate import Clustering
from pipelines.models import learners
from pipelines.models.base import Asked, Inputs, predict
from pipelines.spec.candidate import Lda
from pipelines.spec.task import LABEL, PREDICTED, SCORE, TARGET

pytestmark = pytest.mark.spark

SEA, SKY = "harbour ship anchor tide sailor", "runway wing pilot cloud landing"
ASKED = Asked("clustering", 0)


def texts() -> list[str]:
    """Thirty of the sea, twenty of the sky, each of four of five words, said in turn."""
    made = []
    for words, number in ((SEA, 30), (SKY, 20)):
        five = words.split()
        made += [" ".join(w for j, w in enumerate(five * 3) if j % 5 != i % 5) + " and the" for i in range(number)]
    return made


@pytest.fixture(scope="module")
def fitted(frame):
    rows = frame(list(enumerate(texts())), "id int, remark string").withColumns({TARGET: F.lit(0.0), LABEL: F.lit(1)})
    found = learners.fit(Lda(kind="lda", feature="remark", k=2), rows, Inputs(("remark",), ()), ASKED)
    task = Clustering().completed(found.pipeline, rows)
    return task, predict(found.pipeline, rows, task.answers(labelled=True)).cache()


def test_two_ways_of_speaking_are_told_apart_as_by_scikit_learn(fitted):
    _, scored = fitted
    counts = CountVectorizer(stop_words=["and", "the"]).fit_transform(texts())
    shares = LatentDirichletAllocation(2, random_state=1).fit_transform(counts)

    found = [(r[PREDICTED], r[SCORE]) for r in scored.orderBy("id").collect()]

    theirs = shares.argmax(axis=1)
    assert (
        len({(mine, other) for (mine, _), other in zip(found, theirs, strict=True)}) == 2
    )  # the same but for the number
    assert min(share for _, share in found) > 0.9


def test_a_topic_is_told_by_its_words(fitted):
    task, scored = fitted

    told = task.pictures(scored, evaluate.counts(task, scored))["clusters"]

    assert [t["rows"] for t in told] == [30, 20]
    assert [{word for word, _ in t["traits"][:5]} for t in told] == [set(SEA.split()), set(SKY.split())]


def test_topics_that_share_no_word_lie_apart(fitted):
    task, scored = fitted

    found = task.metrics(evaluate.counts(task, scored))

    assert found["silhouette"] > 0.95 and found["smallest_cluster"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("column", "least", "error", "sentence"),
    [
        ("id", 2, SpecError, "lda: feature id is no text"),
        ("remark", 51, DataError, "lda: no word of remark stands in 51 training rows or more"),
    ],
)
def test_what_has_no_words_is_refused(frame, column, least, error, sentence):
    rows = frame(list(enumerate(texts())), "id int, remark string").withColumn(TARGET, F.lit(0.0))

    with pytest.raises(error, match=f"^{sentence}$"):
        learners.fit(Lda(kind="lda", feature=column, min_rows=least), rows, Inputs(("remark",), ("id",)), ASKED)
