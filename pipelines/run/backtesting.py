"""How the winner would have done in the past: trained again at each origin, judged on what came next.

The published model is not touched by it. Its candidate was chosen on rows of
later than most origins, so that the figures are of the candidate as it is, not
of the search that found it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pyspark.sql import DataFrame

from pipelines import evaluate, tune
from pipelines.errors import DataError
from pipelines.models.base import predict
from pipelines.models.embargo import embargoed
from pipelines.models.folds import Fold, folds, slices
from pipelines.models.splits import Slices, seen
from pipelines.run.judging import bounded, together
from pipelines.spec import Candidate, Feature, Model

Json = dict[str, Any]


def backtest(
    rows: DataFrame,
    model: Model,
    feature: Feature,
    problem: tune.Problem,
    candidate: Candidate,
    tell: Callable[[str], None],
) -> list[Json]:
    """A line for each fold, the oldest first; one that cannot be trained says why. Cost: a training for each.

    Errors: DataError where rows make no folds.
    """
    assert model.backtest, "is asked for"
    found = []
    for number, fold in enumerate(folds(rows, problem.time, model.backtest), 1):
        tell(f"trains {candidate.kind} as of {fold.origin:%Y-%m-%d} (fold {number} of {model.backtest.folds})")
        try:
            made = dealt(rows, problem.time, fold, model)
            found.append(_line(fold, made.summary, _judged(made, model, feature, problem, candidate)))
        except DataError as error:
            found.append(_line(fold, {}, {"why": str(error)}))
    return found


def dealt(rows: DataFrame, time: str, fold: Fold, model: Model) -> Slices:
    """The sides of a fold; where labels lie ahead, what trains was known when what chooses begins, as in a training."""
    assert model.backtest, "is asked for"
    made = slices(rows, time, fold, model.backtest, model.split)
    made = seen(made, model.observed) if model.observed else made
    return embargoed(made, time, model.forecasting.horizon) if model.forecasting else made


def _line(fold: Fold, summary: Json, found: Json) -> Json:
    counts = {f"{side}_rows": part["rows"] for side, part in summary.items()}
    return {"origin": fold.origin.isoformat(), "until": fold.until.isoformat(), **counts, **found}


def _judged(made: Slices, model: Model, feature: Feature, problem: tune.Problem, candidate: Candidate) -> Json:
    """Metrics with intervals beside the baseline of the fold's own training rows."""
    done = tune.trial(made, replace(problem, task=evaluate.learned(model, feature, made.train)), candidate)
    answered = predict(done.fitted, made.test, done.task.answers(labelled=True))
    counts = evaluate.tally(done.task, answered, together(model, feature))
    return {"test": bounded(done.task, counts), "baseline": done.task.baseline(counts.whole)}
