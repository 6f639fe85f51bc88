"""Metrics, slices and intervals: what each task counts (binary, regression, multiclass), and what is made of counts."""

from collections.abc import Mapping

from pyspark.ml import PipelineModel

from pipelines.errors import DataError
from pipelines.evaluate.base import Counts, Task, bars
from pipelines.evaluate.binary import Binary
from pipelines.evaluate.multiclass import Multiclass
from pipelines.evaluate.regression import Regression
from pipelines.evaluate.tally import Tally, by_slice, counts, figures, intervals, surely_better, tally

TASKS: Mapping[str, type[Task]] = {"binary": Binary, "regression": Regression, "multiclass": Multiclass}
TASK = "lakeloom.task"  # tag of a registered version


def restored(tags: Mapping[str, str], fitted: PipelineModel) -> Task:
    """The task of a registered model. Errors: DataError where it was trained before tasks were written beside it."""
    if TASK not in tags:
        raise DataError("the model says no task: it was trained by an older version; train it anew: --full-refresh")
    return TASKS[tags[TASK]].restored(tags, fitted)


__all__ = [
    "TASK", "TASKS", "Binary", "Counts", "Multiclass", "Regression", "Tally", "Task", "bars", "by_slice", "counts",
    "figures", "intervals", "restored", "surely_better", "tally",
]  # fmt: skip
