"""What can be known to be wrong with a model before an engine starts: what its task has not, names that nothing has.

The label and the feature table are checked where all names are (check.py).
"""

from collections.abc import Collection, Iterator

from pipelines.columns import near
from pipelines.spec import METRICS, TASKS, Gate, ImageNet, Isotonic, Lda, Model, TabularNet, learners

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
    yield from _unused(model)
    yield from _censored(model)
    if model.search.metric:
        yield from _metric(("search", "metric"), model.search.metric, model)
    for i, gate in enumerate(model.gates):
        yield from _metric(("gates", i, "metric"), gate.metric, model)
        yield from _bounds(("gates", i), gate)


def _censored(model: Model) -> Found:
    """Where some labels are too low, only a learner that knows of it may learn."""
    if model.observed and model.task != "regression":
        yield ("observed",), f"a task {model.task} has no time that goes on; observed is of task regression"
    for i, candidate in enumerate(model.candidates if model.observed else ()):
        if candidate.kind != "survival":
            said = f"{candidate.kind} would take a label that is too low as it is; take survival"
            yield ("candidates", i, "kind"), said


def _unused(model: Model) -> Found:
    """Parts of a conf with which the task, or one without a label, can do nothing."""
    words, by = TASKS[model.task], model.split.by
    if model.forecasting and by != "time":
        yield ("split", "by"), f"a forecast lies ahead, and by: {by} would learn what it is judged by; take time"
    elif by == "stratified" and not (words.classes and model.label):
        without = " without a label" if words.classes else ""
        yield ("split", "by"), f"a task {model.task} has no classes to stratify by{without}; take time, random or group"
    for name in ("backtest", "explain"):
        if getattr(model, name) and not model.label:
            yield (name,), f"{name} holds answers against a label, and this task {model.task} has none"
    if model.recommendation and model.explain:
        yield ("explain",), "a recommendation hangs on its user and item alone; leave explain out"
    for name in ("decision", "fairness"):
        if getattr(model, name) and words.undecided:
            yield (name,), f"a task {model.task} {words.undecided}; {name} is of task binary"


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


def absent(model: Model, outputs: Collection[str], spine: Collection[str]) -> Found:
    """Columns that the model names and its feature table, with these outputs, has not; nor the spine, if it will do."""
    if model.observed in outputs:
        yield ("observed",), f"{model.observed} tells how the label ends, and is a feature of {model.features}"
    both = [*outputs, *(column for column in spine if column not in outputs)]
    sliced = both if model.forecasting is None else outputs  # a forecast reads nothing beside its features
    for places, there in ((_named(model), outputs), (_sliced(model), sliced), (_beside(model), both)):
        what = "feature" if there is outputs else "column"
        missing = [(place, column) for place, column in places if column not in there]
        yield from ((p, f"{model.features} has no {what} '{c}'{near(c, there)}") for p, c in missing)


def _named(model: Model) -> Found:
    """What has to be a feature."""
    asked = ((i, c) for i, c in enumerate(model.candidates) if isinstance(c, ImageNet | Isotonic | Lda))
    yield from ((("candidates", i, "feature"), c.feature) for i, c in asked)
    nets = ((i, c) for i, c in enumerate(model.candidates) if isinstance(c, TabularNet))
    for i, net in nets:
        told = ((j, k, column) for j, sequence in enumerate(net.sequences) for k, column in enumerate(sequence))
        yield from ((("candidates", i, "sequences", j, k), column) for j, k, column in told)
    yield from ((("prepare", column), column) for column in model.prepare)


def _sliced(model: Model) -> Found:
    """What is looked at value by value."""
    yield from ((("slices", i), column) for i, column in enumerate(model.slices))
    yield from ((("gates", i, "slice"), gate.slice) for i, gate in enumerate(model.gates) if gate.slice)


def _beside(model: Model) -> Found:
    """What may be a column of the spine as well."""
    if model.split.column:
        yield ("split", "column"), model.split.column
    if model.observed:
        yield ("observed",), model.observed
    yield from ((("fairness", "columns", i), c) for i, c in enumerate(model.fairness.columns if model.fairness else ()))
