"""Users and items by number, as a factorization wants them; and the mean rating of each item.

The mean is what stands where a user or an item was not seen in training, and
what a model of tastes has to beat: the ranking that is the same for all.
"""

from collections.abc import Sequence

from pyspark.ml.feature import SQLTransformer
from pyspark.sql import DataFrame

from pipelines.models import categories
from pipelines.models.base import Inputs, select
from pipelines.models.preparation import Prepared

SMOOTHING = 5.0  # ratings of the mean of all that are added to an item's own


def prepare(train: DataFrame, pair: Sequence[str]) -> Prepared:
    """Stages that number user and item and tell an item's mean TARGET. Cost: two aggregates; all values to the driver.

    A value that was not seen gets a number of its own, of which no factors are known.
    """
    both = Inputs(categories=tuple(pair), numbers=())
    typed = SQLTransformer(statement=select(categories.typed(both)))
    rows = typed.transform(train)
    places = categories.indexer(both.categories).fit(rows)
    rows = places.transform(rows)
    means = categories.means(pair[1], SMOOTHING).fit(rows)
    return Prepared((typed, places, means), (), (), means.transform(rows))
