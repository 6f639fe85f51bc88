"""A text as the counts of its words: what a learner of topics reads."""

from pyspark.ml.feature import CountVectorizer, RegexTokenizer, SQLTransformer, StopWordsRemover
from pyspark.sql import DataFrame

from pipelines.errors import DataError, SpecError
from pipelines.models import categories
from pipelines.models.base import Inputs, select
from pipelines.models.preparation import Prepared
from pipelines.spec.task import FEATURES


def prepare(train: DataFrame, column: str, most: int, min_rows: int) -> Prepared:
    """Stages from a text to FEATURES, a count for each known word; English stop words left out. Cost: one aggregate.

    most: words that are known; min_rows: that a word has to be in.
    Errors: SpecError where the column is no text, DataError where no word is left.
    """
    if dict(train.dtypes)[column] != "string":
        raise SpecError(f"lda: feature {column} is no text")
    typed = SQLTransformer(statement=select(categories.typed(Inputs((), (), texts=(column,)))))
    split = RegexTokenizer(inputCol=f"__t_{column}", outputCol=f"__s_{column}", pattern=r"\W+")
    kept = StopWordsRemover(inputCol=f"__s_{column}", outputCol=f"__k_{column}", locale="en_US")
    rows = kept.transform(split.transform(typed.transform(train)))
    counter = CountVectorizer(inputCol=f"__k_{column}", outputCol=FEATURES, vocabSize=most, minDF=float(min_rows))
    counted = counter.fit(rows)
    if not counted.vocabulary:
        raise DataError(f"lda: no word of {column} stands in {min_rows} training rows or more")
    return Prepared((typed, split, kept, counted), (), (), counted.transform(rows))
