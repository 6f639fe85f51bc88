"""What the threshold of a yes or no costs on rows that did not choose it, beside thresholds that nobody chose."""

from collections.abc import Mapping

from pipelines.evaluate.base import Counts, Task
from pipelines.evaluate.binary import NEVER, Binary, cost
from pipelines.evaluate.tally import Interval, Tally, spread

HALF = 0.5


def costs(task: Task, found: Tally) -> dict[str, Interval]:
    """What a row costs, on average: at the threshold, at 0.5, and where all or none are a yes; what the first saves.

    Nothing where the task has no costs. `saved`: 0.5 less the threshold, on the same rows.
    """
    return spread(found.counts, lambda held: _costs(task, held)) if isinstance(task, Binary) and task.costs else {}


def _costs(task: Binary, held: Counts) -> Mapping[str, float]:
    assert task.costs, "is asked for"
    at = {"chosen": task.threshold, "half": HALF, "always": 0.0, "never": NEVER}
    found = {name: cost(held, task.costs, threshold) for name, threshold in at.items()}
    return {**found, "saved": found["half"] - found["chosen"]}
