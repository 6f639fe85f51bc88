"""Which features a model's answers hang on, asked of a bounded sample of its test rows.

By permutation: a feature's values are dealt out anew among the rows, and what
the metric loses is its importance (Breiman 2001; Fisher and others 2019). It
is a column of the conf that is permuted, before any preparation, so that one
hot places need no adding up. By SHAP where the learner has it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import IntegerType, StructField, StructType

from pipelines import evaluate
from pipelines.evaluate import Task
from pipelines.models.base import SEED, predict
from pipelines.models.contributions import contributions
from pipelines.shap import Contributions
from pipelines.spec import METRICS, Explain
from pipelines.spec.task import LABEL
from pipelines.tune import Trial

MOST_COLUMNS = 40  # permuted: those that weigh most by the learner's own account first
MOST_SCORED = 400_000  # rows, over all permutations
MOST_DRAWN, MOST_POINTS = 8, 80  # features with a point for each of so many rows
WHICH, ALL, WHOLE = "__which", -1, 1 << 20
Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What is explained: on test rows with a label and these keys, by the metric that chose the winner."""

    test: DataFrame
    rows: int
    keys: Sequence[str]
    metric: str
    how: Explain
    scratch: str  # a folder that all machines see


def explain(winner: Trial, columns: Sequence[str], asked: Asked) -> Json:
    """Importance by permutation, and SHAP values, as the run record holds them.

    columns: features. Cost: scores at most 400,000 rows more; the sample comes to the driver.
    """
    known = [name for name, _ in winner.importance if name in columns]
    looked = list(dict.fromkeys([*known, *columns]))[:MOST_COLUMNS]
    most = min(asked.how.rows, MOST_SCORED // ((len(looked) + 1) * asked.how.repeats))
    sample = sampled(asked.test, asked.keys, most / max(asked.rows, 1)).select(*columns, LABEL)
    lost = permutation(winner.fitted, winner.task, sample, looked, asked)
    found = contributions(winner.fitted, winner.blocks, sample, most, asked.scratch)
    return {"of": asked.rows, "permutation": lost, "shap": shap(*found) if found else None}


def sampled(df: DataFrame, keys: Sequence[str], share: float) -> DataFrame:
    """About a share of the rows, the same ones each time, in the order of their keys. Cost: a sort of the sample."""
    some = df.where(F.pmod(F.xxhash64(F.lit(SEED), *keys), F.lit(WHOLE)) < F.lit(round(share * WHOLE)))
    return (df if share >= 1 else some).orderBy(*keys)


def permutation(fitted: PipelineModel, task: Task, sample: DataFrame, columns: Sequence[str], asked: Asked) -> Json:
    """What the metric loses on average, and how much that differs from one permutation to the next.

    sample: a small frame in a fixed order. Cost: a scoring pass for each repeat, over the sample once for each column.
    """
    table, dice = sample.toArrow().combine_chunks(), np.random.default_rng(SEED)
    lost: dict[str, list[float]] = {c: [] for c in columns}
    base = None
    for _ in range(asked.how.repeats):
        order = dice.permutation(table.num_rows)
        figures = _figures(fitted, task, sample, _permuted(table, columns, order), asked.metric)
        base = figures.get(ALL)
        for i, column in enumerate(columns):
            if base is not None and i in figures:
                lost[column].append(METRICS[asked.metric].sign * (base - figures[i]))
    features = [_spread(column, values) for column, values in lost.items() if len(values) > 1]
    features.sort(key=lambda each: (-each["lost"], each["feature"]))
    return {
        "rows": table.num_rows, "repeats": asked.how.repeats, "metric": asked.metric, "whole": base,
        "seed": SEED, "left_out": len(sample.columns) - 1 - len(columns), "features": features,
    }  # fmt: skip


def _permuted(table: pa.Table, columns: Sequence[str], order: Any) -> pa.Table:
    """The table, and once more for each column, that one in another order; WHICH says which."""
    parts = [table.append_column(WHICH, pa.array(np.full(table.num_rows, ALL, dtype=np.int32)))]
    for i, column in enumerate(columns):
        place = table.column_names.index(column)
        changed = table.set_column(place, table.schema.field(place), table[column].take(pa.array(order)))
        parts.append(changed.append_column(WHICH, pa.array(np.full(table.num_rows, i, dtype=np.int32))))
    return pa.concat_tables(parts)


def _figures(fitted: PipelineModel, task: Task, sample: DataFrame, table: pa.Table, metric: str) -> Mapping[int, float]:
    """Value of WHICH -> the metric of its rows, where it is defined."""
    schema = StructType([*sample.schema.fields, StructField(WHICH, IntegerType())])
    rows = sample.sparkSession.createDataFrame(table, schema)
    counts = task.count(predict(fitted, rows, task.answers(labelled=True)), F.col(WHICH))
    found = {which: evaluate.figures(task, held) for which, held in counts.items()}
    return {which: figures[metric] for which, figures in found.items() if metric in figures}


def _spread(column: str, lost: Sequence[float]) -> Json:
    return {"feature": column, "lost": fmean(lost), "deviation": stdev(lost), "least": min(lost), "most": max(lost)}


def shap(found: Contributions, rows: pa.Table) -> Json:
    """Mean sizes, and of the first features some rows: [part of the answer, place of the value among all from 0 to 1].

    The place is None of what is no number.
    """
    size = found.mean_size
    drawn = [name for name, _ in size[:MOST_DRAWN]] if found.values.shape[1] == 1 else []
    some = np.linspace(0, rows.num_rows - 1, min(rows.num_rows, MOST_POINTS)).astype(int)
    points = {c: _points(found.values[:, 0, found.features.index(c)], _places(rows[c]), some) for c in drawn}
    return {
        "rows": rows.num_rows,
        "outputs": int(found.values.shape[1]),
        "features": [{"feature": c, "mean_size": s, "points": points.get(c, [])} for c, s in size],
    }


def _points(parts: Any, places: Any, some: Any) -> list[list[float | None]]:
    return [[float(f"{parts[i]:.4g}"), None if places is None else round(float(places[i]), 2)] for i in some]


def _places(column: pa.ChunkedArray) -> Any:
    """The rank of each value as a share; missing ones lie lowest."""
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return None
    values = np.nan_to_num(column.cast(pa.float64()).to_numpy().astype(float), nan=-np.inf)
    return np.searchsorted(np.sort(values), values) / max(len(values) - 1, 1)
