"""Metrics, slices and intervals: what each task counts (binary, regression, multiclass), and what is made of counts."""

from collections.abc import Mapping
from dataclasses import replace

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame

from pipelines.errors import DataError
from pipelines.evaluate.base import Counts, Task, bars
from pipelines.evaluate.binary import Binary
from pipelines.evaluate.decision import costs
from pipelines.evaluate.fairness import by_group, compared
from pipelines.evaluate.multiclass import Multiclass
from pipelines.evaluate.regression import Regression
from pipelines.evaluate.tally import Tally, by_slice, counts, figures, intervals, surely_better, tally
from pipelines.evaluate.weakness import weakness
from pipelines.spec import Model

TASKS: Mapping[str, type[Task]] = {"binary": Binary, "regression": Regression, "multiclass": Multiclass}
TASK = "lakeloom.task"  # tag of a registered version


def learned(model: Model, train: DataFrame) -> Task:
    """A model's task, with what the training slice and the conf say. Cost and errors: as of `Task.learned`."""
    task = TASKS[model.task].learned(train)
    if not (isinstance(task, Binary) and model.decision):
        return task
    cost = model.decision.cost
    return replace(task, costs=(cost.false_positive, cost.false_negative))


def restored(tags: Mapping[str, str], fitted: PipelineModel) -> Task:
    """The task of a registered model. Errors: DataError where it was trained before tasks were written beside it."""
    if TASK not in tags:
        raise DataError("the model says no task: it was trained by an older version; train it anew: --full-refresh")
    return TASKS[tags[TASK]].restored(tags, fitted)


__all__ = [
    "TASK", "TASKS", "Binary", "Counts", "Multiclass", "Regression", "Tally", "Task", "bars", "by_group", "by_slice",
    "compared", "costs", "counts", "figures", "intervals", "learned", "restored", "surely_better", "tally", "weakness",
]  # fmt: skip
