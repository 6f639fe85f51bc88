"""Metrics, slices and intervals: what each task counts, and what is made of counts."""

from collections.abc import Mapping
from dataclasses import replace

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame

from pipelines.errors import DataError
from pipelines.evaluate.anomaly import Anomaly
from pipelines.evaluate.base import Counts, Extended, Task, bars
from pipelines.evaluate.binary import Binary
from pipelines.evaluate.clustering import Clustering
from pipelines.evaluate.decision import costs
from pipelines.evaluate.fairness import by_group, compared
from pipelines.evaluate.forecasting import Forecasting
from pipelines.evaluate.multiclass import Multiclass
from pipelines.evaluate.recommendation import Recommendation
from pipelines.evaluate.regression import Regression
from pipelines.evaluate.tally import Tally, by_slice, counts, figures, intervals, surely_better, tally
from pipelines.evaluate.weakness import weakness
from pipelines.spec import Feature, Model

TASKS: Mapping[str, type[Task]] = {
    "binary": Binary,
    "regression": Regression,
    "multiclass": Multiclass,
    "clustering": Clustering,
    "anomaly": Anomaly,
    "forecasting": Forecasting,
    "recommendation": Recommendation,
}
TASK = "lakeloom.task"  # tag of a registered version


def learned(model: Model, feature: Feature, train: DataFrame) -> Task:
    """A model's task, with what the training slice and the conf say. Cost and errors: as of `Task.learned`, `asked`."""
    task = TASKS[model.task].learned(train)
    if isinstance(task, Binary) and model.decision:
        cost = model.decision.cost
        return replace(task, costs=(cost.false_positive, cost.false_negative))
    return task.asked(model, feature, train) if isinstance(task, Extended) else task


def completed(task: Task, fitted: PipelineModel, train: DataFrame) -> Task:
    """The task with what a fitted pipeline adds to it: nothing, where a label was learned."""
    return task.completed(fitted, train) if isinstance(task, Extended) else task


def restored(tags: Mapping[str, str], fitted: PipelineModel) -> Task:
    """The task of a registered model. Errors: DataError where it was trained before tasks were written beside it."""
    if TASK not in tags:
        raise DataError("the model says no task: it was trained by an older version; train it anew: --full-refresh")
    return TASKS[tags[TASK]].restored(tags, fitted)


__all__ = [
    "TASK", "TASKS", "Anomaly", "Binary", "Clustering", "Counts", "Forecasting", "Multiclass", "Recommendation",
    "Regression", "Tally", "Task", "bars", "by_group", "by_slice", "compared", "completed", "costs", "counts",
    "figures", "intervals", "learned", "restored", "surely_better", "tally", "weakness",
]  # fmt: skip
