"""What can be known to be wrong with a monitor before an engine starts: the names that it gives."""

from collections.abc import Iterator

from pipelines.columns import near
from pipelines.spec import Monitor, Pipeline
from pipelines.spec.monitor import WATCHED


def unwatchable(monitor: Monitor, pipeline: Pipeline) -> Iterator[tuple[tuple[str, ...], str]]:
    """(keys within the monitor, sentence) of each flaw; of scores that are flawed themselves, none."""
    if monitor.scores not in pipeline.scores:
        yield ("scores",), f"no scores '{monitor.scores}'{near(monitor.scores, pipeline.scores)}"
        return
    model = pipeline.models.get(pipeline.scores[monitor.scores].model)
    if model and model.task not in WATCHED:
        yield ("scores",), f"{monitor.scores} are of task: {model.task}; a monitor watches {' or '.join(WATCHED)}"
    elif model and (asked := monitor.performance.metric) and asked not in WATCHED[model.task]:
        there = ", ".join(WATCHED[model.task])
        yield ("performance", "metric"), f"a task {model.task} has no metric '{asked}' to be watched; there is {there}"
    feature = pipeline.features.get(pipeline.scores[monitor.scores].of)
    for key, columns in (("features", monitor.drift.features), ("ignore", monitor.drift.ignore)):
        for column in columns:
            if feature and column not in feature.outputs():
                of = pipeline.scores[monitor.scores].of
                yield ("drift", key), f"{of} has no feature '{column}'{near(column, feature.outputs())}"
