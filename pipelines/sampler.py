"""What to try next: the candidates as they stand, then proposals of Optuna's TPE within their ranges. Pure.

The only import of optuna. It is asked and told on the driver, one after
another, from a seed: the same answers bring the same questions, so a search
that was cut off goes on as if it had not been. Nothing is stored by it.

Source: the tree-structured Parzen estimator, Bergstra and others (2011).
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import optuna

from pipelines.spec import Candidate, Model, smaller_is_better

STARTUP = 5  # proposals at random, before the estimator has seen enough
DIGITS = 4  # of a proposed number; more cannot matter, and people read them
WHICH = "candidate"  # the parameter that says which one, where several have ranges


@dataclass(frozen=True)
class Proposal:
    """A plain candidate to be tried; `asked` is Optuna's, None for a candidate without ranges."""

    number: int
    candidate: Candidate
    asked: optuna.Trial | None = None


class Sampler:
    """The proposals of one search, in their order."""

    def __init__(self, model: Model) -> None:
        optuna.logging.set_verbosity(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # constant_liar is called experimental; without it neighbours try the same
            sampler = optuna.samplers.TPESampler(
                seed=model.search.seed, n_startup_trials=STARTUP, constant_liar=model.search.parallel > 1
            )
        ways = optuna.study.StudyDirection
        way = ways.MINIMIZE if smaller_is_better(model.chosen_by) else ways.MAXIMIZE
        self.study = optuna.create_study(direction=way, sampler=sampler)
        self.candidates, self.trials, self.asked = model.candidates, model.trials, 0
        self.ranged = [i for i, c in enumerate(self.candidates) if c.ranges]

    def ask(self, most: int) -> list[Proposal]:
        """The next proposals, at most so many; none at the end."""
        count = min(most, self.trials - self.asked)
        return [self._next() for _ in range(count)]

    def tell(self, proposal: Proposal, value: float | None) -> None:
        """What came of a proposal, None for nothing; in the order in which they were asked."""
        if proposal.asked:
            self.study.tell(proposal.asked, value, None if value is not None else optuna.trial.TrialState.FAIL)

    def _next(self) -> Proposal:
        number, self.asked = self.asked, self.asked + 1
        if number >= len(self.candidates):
            return self._proposed(number)
        first = self.candidates[number]
        if not first.ranges:
            return Proposal(number, first)
        which = {WHICH: number} if len(self.ranged) > 1 else {}
        self.study.enqueue_trial({**which, **{f"{number}.{name}": v for name, v in first.start.items()}})
        return self._proposed(number)

    def _proposed(self, number: int) -> Proposal:
        asked = self.study.ask()
        which = asked.suggest_categorical(WHICH, self.ranged) if len(self.ranged) > 1 else self.ranged[0]
        candidate = self.candidates[which]
        return Proposal(number, candidate.at(dict(_values(asked, which, candidate))), asked)


def _values(asked: optuna.Trial, which: int, candidate: Candidate) -> Iterator[tuple[str, float]]:
    for name, r in candidate.ranges.items():
        if candidate.whole(name):
            yield name, asked.suggest_int(f"{which}.{name}", int(r.low), int(r.high), log=r.log)
        else:
            value = asked.suggest_float(f"{which}.{name}", r.low, r.high, log=r.log)
            yield name, min(max(float(f"{value:.{DIGITS}g}"), r.low), r.high)


def rungs(model: Model, rows: int, least: int) -> Sequence[tuple[float, int]]:
    """(share of the training rows, trials) of each rung that has rows enough; the last is on all rows."""
    found = model.search.rungs(model.trials)
    return [(share, trials) for share, trials in found if share == 1 or share * rows >= least]
