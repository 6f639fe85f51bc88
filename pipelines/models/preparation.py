"""From feature columns to one vector: what is fitted, is fitted on the training slice alone, and lies in the pipeline.

Four shapes. `linear`: missing numbers become the median with a column that
says so, all are standardised; categories are one-hot. `net`: the same, with
categories by index. `trees`: the same without scale. `boosted`: numbers as they
are, missing ones included, categories by index. A category with many values is its mean
label, or its hash. NaN and infinity count as missing; a category that was not
seen in training has a place of its own, or the mean of all.

The columns on the way: __n_x the number, __c_x the category, __t_x the text;
of the vector: __v_x and what else the blocks name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyspark.ml import Transformer
from pyspark.ml.feature import SQLTransformer, VectorAssembler
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.models import categories, numbers
from pipelines.models.base import Asked, Block, Inputs, Shape, select
from pipelines.models.moments import moments
from pipelines.models.numbers import Seen
from pipelines.spec import TASKS
from pipelines.spec import prepare as how
from pipelines.spec.task import FEATURES

MOST_VALUES = 256  # of a category that gets a place for each, or an index
AT_ONCE = 100  # columns of an aggregate of quantiles
MOST_EMBEDDED = 20_000  # the same of a net, in which each value has a short vector


@dataclass(frozen=True)
class Prepared:
    """Fitted stages up to the vector, what stands where in it, and the training rows with it."""

    stages: tuple[Transformer, ...]
    blocks: tuple[Block, ...]
    left_out: tuple[str, ...]
    train: DataFrame

    @property
    def width(self) -> int:
        """Places of the vector."""
        return sum(b.width for b in self.blocks)


def prepare(train: DataFrame, inputs: Inputs, shape: Shape, asked: Asked) -> Prepared:
    """Fit on the training rows. Cost: a scan and two aggregates. Errors: DataError: nothing varies."""
    first = SQLTransformer(statement=select({**numbers.typed(inputs), **categories.typed(inputs)}))
    typed = first.transform(train)
    seen, values = _seen(typed, inputs, shape)
    left_out = tuple(c for c in inputs.columns if (c in seen and seen[c].constant) or values.get(c, 2) < 2)
    kept = inputs.only(set(inputs.columns) - set(left_out))
    if not kept.columns:
        raise DataError(f"none of the {len(inputs.columns)} features varies among the training rows")
    kept = _decided(kept, shape, values, asked)
    made, blocks = numbers.made(kept, seen, shape)
    second = SQLTransformer(statement=select({**made, **numbers.cut(kept, seen)}))
    fitted = categories.fit(second.transform(typed), kept, shape)
    blocks = sorted([*fitted.blocks, *blocks], key=lambda b: inputs.columns.index(b.feature))
    vector = VectorAssembler(inputCols=[b.column for b in blocks], outputCol=FEATURES, handleInvalid="keep")
    rows = vector.transform(categories.out_of_fold(fitted.train, kept, asked))
    return Prepared((first, second, *fitted.stages, vector), tuple(blocks), left_out, rows)


def _seen(typed: DataFrame, inputs: Inputs, shape: Shape) -> tuple[dict[str, Seen], dict[str, int]]:
    """What is known of numbers, and about how many values each category has. Cost: a scan, an aggregate, quantiles."""
    asked = [F.approx_count_distinct(f"__c_{c}").alias(f"c{i}") for i, c in enumerate(inputs.categories)]
    found: Any = typed.agg(F.count(F.lit(1)).alias("rows"), *asked).first()
    each = moments(typed, [f"__n_{c}" for c in inputs.numbers]) if inputs.numbers else []
    quantiles = _quantiles(typed, {c: s for c in inputs.numbers if (s := numbers.shares(inputs.how.get(c), shape))})
    seen = {c: Seen.of(found["rows"], m, quantiles.get(c, ())) for c, m in zip(inputs.numbers, each, strict=True)}
    return seen, {c: found[f"c{i}"] for i, c in enumerate(inputs.categories)}


def _quantiles(typed: DataFrame, shares: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, ...]]:
    """Of the numbers that need some. Cost: an aggregate for each hundred of them: one of all compiles for minutes."""
    found: dict[str, tuple[float, ...]] = {}
    names = list(shares)
    for some in (names[i : i + AT_ONCE] for i in range(0, len(names), AT_ONCE)):
        row: Any = typed.agg(*[F.percentile_approx(f"__n_{c}", list(shares[c])) for c in some]).first()
        found |= {c: tuple(values or ()) for c, values in zip(some, row, strict=True)}
    return found


def _decided(inputs: Inputs, shape: Shape, values: dict[str, int], asked: Asked) -> Inputs:
    """With a preparation for each category that has none: by the shape, and by how many values it has."""
    few = how.OneHot(kind="one_hot") if shape == "linear" else how.Index(kind="index")
    many = how.MeanLabel(kind="target") if _means(asked) else how.Hashed(kind="hash")
    most = MOST_EMBEDDED if shape == "net" else MOST_VALUES
    plain = {c: few if values[c] <= most else many for c in inputs.categories}
    return inputs.prepared({**plain, **inputs.how})


def _means(asked: Asked) -> bool:
    """True where the mean of labels says something of a category: there are labels, of two classes or numbers."""
    return TASKS[asked.kind].supervised and asked.classes <= 2
