"""Features that tell the label by themselves: the label in disguise, more often than luck.

They are named, not refused: a label may rightly hang on one column, and what
was not known in time `check` refuses before anything runs. Of more than two
classes only categories are looked at.
"""

from collections.abc import Sequence
from typing import Any

from pyspark.ml.feature import SQLTransformer
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.models import categories, numbers
from pipelines.models.base import Asked, Inputs, select
from pipelines.spec.task import TARGET, TASKS

TELLING = 0.999  # correlation, or share of the label's variance between the values of a category
TAIL = 0.001  # of either class, beyond which a row may stray
SAMPLE, SEED = 20_000, 7  # rows that are looked at for such a value
ROWS_A_VALUE = 10  # fewer make any category tell its rows apart, as a key does


def disguised(train: DataFrame, inputs: Inputs, asked: Asked, rows: int) -> dict[str, str]:
    """Feature -> how well it tells TARGET among the training rows, where it does so alone.

    rows: about how many there are. Cost: two aggregates, and quantiles of a sample.
    """
    if not TASKS[asked.kind].supervised:
        return {}
    made = select({**numbers.typed(inputs), **categories.typed(inputs)})
    typed = SQLTransformer(statement=made).transform(train)
    found = {} if asked.classes > 2 or not inputs.numbers else _numbers(typed, inputs)
    if asked.classes == 2 and inputs.numbers:
        found = _parting(typed.sample(min(1.0, SAMPLE / max(rows, 1)), SEED), inputs) | found
    return found | (_categories(typed, inputs) if inputs.categories else {})


def _numbers(typed: DataFrame, inputs: Inputs) -> dict[str, str]:
    row: Any = typed.agg(
        *[_correlation(F.col(f"__n_{c}")).alias(f"n{i}") for i, c in enumerate(inputs.numbers)]
    ).first()
    told = {c: row[f"n{i}"] or 0.0 for i, c in enumerate(inputs.numbers)}
    return {c: f"its correlation with the label is {r:.4f}" for c, r in told.items() if abs(r) >= TELLING}


def _parting(typed: DataFrame, inputs: Inputs) -> dict[str, str]:
    """Numbers that lie on one side of a value in nearly all rows of one class, and on the other in those of the other.

    Quantiles are dear, so they are of a sample: a number that parts all rows parts these.
    """
    ends = [TAIL, 1 - TAIL]
    asked = [F.percentile_approx(F.when(F.col(TARGET) == y, F.col(f"__n_{c}")), ends).alias(f"n{i}_{y}")
             for i, c in enumerate(inputs.numbers) for y in (0, 1)]  # fmt: skip
    row: Any = typed.agg(*asked).first()
    spans = {c: (row[f"n{i}_0"], row[f"n{i}_1"]) for i, c in enumerate(inputs.numbers)}
    return {c: "it parts the two labels, nearly every row" for c, (no, yes) in spans.items() if _apart(no, yes)}


def _apart(no: Sequence[float] | None, yes: Sequence[float] | None) -> bool:
    return bool(yes and no and (yes[0] > no[1] or yes[1] < no[0]))


def _correlation(n: Column) -> Column:
    """Null where one of the two does not vary; F.corr would divide by zero."""
    y = F.when(n.isNotNull(), F.col(TARGET))
    return F.nanvl(F.try_divide(F.covar_pop(n, y), F.stddev_pop(n) * F.stddev_pop(y)), F.lit(0.0))


def _categories(typed: DataFrame, inputs: Inputs) -> dict[str, str]:
    """By the correlation ratio: the variance between values, of the whole (Pearson 1905)."""
    parts = [F.struct(F.lit(c).alias("feature"), F.col(f"__c_{c}").alias("value")) for c in inputs.categories]
    pairs = typed.select(F.col(TARGET).alias("y"), F.explode(F.array(*parts)).alias("at"))
    y = F.col("y")
    values = pairs.groupBy("at.feature", "at.value").agg(
        F.sum(y).alias("s"), F.sum(y * y).alias("q"), F.count(y).alias("n")
    )
    s, q, n = (F.sum(c) for c in "sqn")
    between, whole = F.sum(F.col("s") * F.col("s") / F.col("n")) - s * s / n, q - s * s / n
    rows = (
        values.where("n > 0")
        .groupBy("feature")
        .agg(between.alias("between"), whole.alias("whole"), n.alias("n"), F.count("*").alias("values"))
    )
    told = {}
    for row in rows.collect():
        if row["whole"] and row["values"] * ROWS_A_VALUE <= row["n"] and row["between"] >= TELLING * row["whole"]:
            told[row["feature"]] = (
                f"its {row['values']:,} values explain {row['between'] / row['whole']:.2%} of the label"
            )
    return told
