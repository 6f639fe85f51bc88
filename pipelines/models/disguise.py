"""Features that tell the label by themselves: the label in disguise, more often than luck.

They are named, not refused: a label may rightly hang on one column, and what
was not known in time `check` refuses before anything runs. Of more than two
classes only categories are looked at.
"""

import numpy as np
from numpy.typing import NDArray
from pyspark.ml.feature import SQLTransformer
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.models import categories, numbers
from pipelines.models.base import Asked, Inputs, select
from pipelines.models.moments import moments
from pipelines.spec.task import TARGET, TASKS

TELLING = 0.999  # correlation, or share of the label's variance between the values of a category
TAIL = 0.001  # of either class, beyond which a row may stray
SAMPLE, SEED = 20_000, 7  # rows that are looked at for such a value
MOST_CELLS = 10_000_000  # of them, where there are many numbers
ROWS_A_VALUE = 10  # fewer make any category tell its rows apart, as a key does


def disguised(train: DataFrame, inputs: Inputs, asked: Asked, rows: int) -> dict[str, str]:
    """Feature -> how well it tells TARGET among the training rows, where it does so alone.

    rows: about how many there are. Cost: a scan, an aggregate, and a sample that comes to the driver.
    """
    if not TASKS[asked.kind].supervised:
        return {}
    made = select({**numbers.typed(inputs), **categories.typed(inputs)})
    typed = SQLTransformer(statement=made).transform(train)
    found = {} if asked.classes > 2 or not inputs.numbers else _numbers(typed, inputs)
    if asked.classes == 2 and inputs.numbers:
        sample = min(SAMPLE, MOST_CELLS // len(inputs.numbers))
        found = _parting(typed.sample(min(1.0, sample / max(rows, 1)), SEED), inputs) | found
    return found | (_categories(typed, inputs) if inputs.categories else {})


def _numbers(typed: DataFrame, inputs: Inputs) -> dict[str, str]:
    found = moments(typed, [f"__n_{c}" for c in inputs.numbers], TARGET)
    told = {c: each.correlation for c, each in zip(inputs.numbers, found, strict=True)}
    return {c: f"its correlation with the label is {r:.4f}" for c, r in told.items() if abs(r) >= TELLING}


def _parting(typed: DataFrame, inputs: Inputs) -> dict[str, str]:
    """Numbers that lie on one side of a value in nearly all rows of one class, and on the other in those of the other.

    Of a sample, which comes to the driver: a number that parts all rows parts these.
    """
    names = [f"__n_{c}" for c in inputs.numbers]
    rows = typed.select(*names, F.col(TARGET).cast("double").alias(TARGET)).toArrow()
    label = rows[TARGET].to_numpy()
    told = {c: rows[name].to_numpy() for c, name in zip(inputs.numbers, names, strict=True)}
    return {c: "it parts the two labels, nearly every row" for c, values in told.items() if _apart(values, label)}


def _apart(values: NDArray[np.float64], label: NDArray[np.float64]) -> bool:
    sides = [side[~np.isnan(side)] for side in (values[label == 0], values[label == 1])]
    if not all(len(side) for side in sides):
        return False
    no, yes = (np.quantile(side, [TAIL, 1 - TAIL], method="inverted_cdf") for side in sides)
    return bool(yes[0] > no[1] or yes[1] < no[0])


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
