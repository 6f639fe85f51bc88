"""What can be known to be wrong with a model before an engine starts: what its task has not, names that nothing has.

The label and the feature table are checked where all names are (check.py).
"""

from collections.abc import Collection, Iterator

from pipelines.columns import near
from pipelines.spec import METRICS, TASKS, Gate, Isotonic, Model, learners

Found = Iterator[tuple[tuple[str | int, ...], str]]  # (keys within the model, sentence)


def unfit(model: Model) -> Found:
    """Candidates that cannot learn the task, and metrics that it has not."""
    known = learners(model.task)
    for i, candidate in enumerate(model.candidates):
        if candidate.kind not in known:
            yield (
                ("candidates", i, "kind"),
                f"{candidate.kind} learns no task {model.task}{near(candidate.kind, known)}",
            )
    for column, each in model.prepare.items():
        if each.kind == "target" and not TASKS[model.task].means:
            of = "of classes" if TASKS[model.task].supervised else f"of task {model.task}"
            yield ("prepare", column, "kind"), f"a mean label {of} there is none; take one_hot or hash"
    if model.search.metric:
        yield from _metric(("search", "metric"), model.search.metric, model)
    for i, gate in enumerate(model.gates):
        yield from _metric(("gates", i, "metric"), gate.metric, model)
        yield from _bounds(("gates", i), gate)


def _metric(place: tuple[str | int, ...], metric: str, model: Model) -> Found:
    words = TASKS[model.task]
    asked = words.asked(bool(model.label))
    if metric not in asked:
        without = " without a label" if metric in words.metrics else ""
        yield place, f"a task {model.task} has no metric '{metric}'{without}{near(metric, asked)}"


def _bounds(place: tuple[str | int, ...], gate: Gate) -> Found:
    measure = METRICS[gate.metric]
    for name, bound in (("min", gate.min), ("max", gate.max)):
        if bound is not None and not measure.low <= bound <= measure.high:
            yield (*place, name), f"{gate.metric} lies between {measure.low:g} and {measure.high:g}, got {bound:g}"


def absent(model: Model, outputs: Collection[str]) -> Found:
    """Columns that the model names and its feature table, with these outputs, has not."""
    named: list[tuple[tuple[str | int, ...], str]] = [(("slices", i), column) for i, column in enumerate(model.slices)]
    named += [
        (("candidates", i, "feature"), c.feature) for i, c in enumerate(model.candidates) if isinstance(c, Isotonic)
    ]
    named += [(("gates", i, "slice"), gate.slice) for i, gate in enumerate(model.gates) if gate.slice]
    named += [(("prepare", column), column) for column in model.prepare]
    for place, column in named:
        if column not in outputs:
            yield place, f"{model.features} has no feature '{column}'{near(column, outputs)}"
