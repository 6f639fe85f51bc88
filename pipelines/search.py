"""Search: try candidates, keep the best. It knows nothing of Spark: what fits and judges a candidate is given to it.

Without ranges every candidate is one trial. With ranges a sampler proposes,
within a budget of trials and minutes; by halving, many are tried on few rows
and few on all of them, and only those on all rows can win. Finished trials are
kept durably: after a kill the same questions are asked again, and those that
have an answer are not fitted again.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf
from typing import Any, Generic, Protocol, TypeVar

from pipelines.sampler import Proposal, Sampler, rungs
from pipelines.spec import Candidate, Metric, Model, smaller_is_better
from pipelines.trials import Kept

LEAST_ROWS = 2_000  # of a rung; on fewer, trials cannot be told apart


class Judged(Protocol):
    """A candidate that was fitted and judged."""

    @property
    def metrics(self) -> dict[str, float]:
        """On the validation slice."""

    @property
    def seconds(self) -> float:
        """That it took."""


T = TypeVar("T", bound=Judged)
Fit = Callable[[Candidate, float], T]  # a plain candidate, and on which share of the training rows


@dataclass(frozen=True)
class Tried:
    """A line of the leaderboard: what was tried on which share of the training rows, and what came of it."""

    number: int
    rung: int
    share: float
    candidate: Candidate
    metrics: dict[str, float]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """For the run record, and to be kept."""
        return {
            "number": self.number,
            "kind": self.candidate.kind,
            "params": self.candidate.model_dump(mode="json", exclude={"kind", "ranges"}),
            "rows_share": self.share,
            "seconds": self.seconds,
            "validate": self.metrics,
        }


@dataclass(frozen=True)
class Found(Generic[T]):
    """The winner, and all that was tried, the best first."""

    winner: T
    board: tuple[Tried, ...]


def search(
    model: Model, rows: int, fit: Fit[T], kept: Kept | None, tell: Callable[[str], None], usd_hour: float = 0.0
) -> Found[T]:
    """The best of a model's candidates by its metric; of equals, the one that was tried first.

    rows: of the training slice; kept: where finished trials are looked for and written, None: nowhere;
    usd_hour: what the machines cost.
    Cost: a call of `fit` for each trial that is not found there; one more if the winner was.
    """
    bench, sampler = _Bench(model, rows, fit, kept, tell, usd_hour), Sampler(model)
    board: list[Tried] = []
    while (asked := sampler.ask(model.search.parallel)) and not (board and bench.late):
        for proposal, tried in zip(asked, bench.tried(asked, 0), strict=True):
            sampler.tell(proposal, tried.metrics.get(model.chosen_by))
            board.append(tried)
    last = board
    for rung, (_, most) in enumerate(bench.rungs[1:], 1):
        last = bench.again(ranked(last, model.chosen_by)[:most], rung)
        board = [*board, *last]
    best = ranked(last, model.chosen_by)[0]
    return Found(bench.winner(best), tuple(ranked(board, model.chosen_by)))


def ranked(board: Sequence[Tried], metric: Metric) -> list[Tried]:
    """The best first: those on more rows before those on fewer, and those without the metric last among equals."""
    sign = 1 if smaller_is_better(metric) else -1
    return sorted(board, key=lambda t: (-t.rung, sign * t.metrics[metric] if metric in t.metrics else inf, t.number))


class _Bench(Generic[T]):
    """Where trials are carried out: what is known of them, how long they took, the best one's fit."""

    def __init__(
        self, model: Model, rows: int, fit: Fit[T], kept: Kept | None, tell: Callable[[str], None], usd_hour: float
    ) -> None:
        self.model, self.fit, self.kept, self.tell, self.usd_hour = model, fit, kept, tell, usd_hour
        self.rungs = rungs(model, rows, LEAST_ROWS)
        self.seconds = 0.0
        self.best: tuple[Tried, T] | None = None

    @property
    def late(self) -> bool:
        """True where a budget is spent, by the time that trials took: also those before a kill."""
        asked, hours = self.model.search, self.seconds / 3600
        spent = ((asked.budget_minutes, 60 * hours), (asked.budget_usd, self.usd_hour * hours))
        return any(budget is not None and used >= budget for budget, used in spent)

    def tried(self, asked: Sequence[Proposal], rung: int) -> list[Tried]:
        """These proposals side by side, in their order; of their fits the best is held."""
        if len(asked) == 1:
            found = [self._tried(asked[0], rung)]
        else:
            with ThreadPoolExecutor(len(asked)) as threads:
                found = list(threads.map(lambda proposal: self._tried(proposal, rung), asked))
        for tried, done in found:
            self._hold(tried, done)
        self.seconds += max(tried.seconds for tried, _ in found)
        return [tried for tried, _ in found]

    def again(self, best: Sequence[Tried], rung: int) -> list[Tried]:
        """The best of a rung on more rows; at least one, and no other after the budget."""
        found: list[Tried] = []
        width = self.model.search.parallel
        for start in range(0, len(best), width):
            if not (found and self.late):
                found += self.tried([Proposal(t.number, t.candidate) for t in best[start : start + width]], rung)
        return found

    def winner(self, best: Tried) -> T:
        """The fitted trial of a line; fitted now if that was before a kill."""
        if self.best and self.best[0] == best:
            return self.best[1]
        return self.fit(best.candidate, 1.0)

    def _tried(self, proposal: Proposal, rung: int) -> tuple[Tried, T | None]:
        """The line of a proposal, and its fit if it was not tried before."""
        share = self.rungs[rung][0]
        before, kind = self._before(proposal, rung), proposal.candidate.kind
        said = f"tried {kind} before" if before else f"fits {kind}"
        of_rows = f" on {share:.0%} of the rows" if share < 1 else ""
        self.tell(f"{said}{of_rows} ({proposal.number + 1} of {self.model.trials})")
        if before:
            return before, None
        done = self.fit(proposal.candidate, share)
        found = Tried(proposal.number, rung, share, proposal.candidate, done.metrics, round(done.seconds, 2))
        if self.kept:
            self.kept.keep(f"{rung}-{proposal.number}", found.as_json())
        return found, done

    def _before(self, proposal: Proposal, rung: int) -> Tried | None:
        """What was kept of the same trial; of another, since a release may propose otherwise, nothing."""
        line = self.kept.find(f"{rung}-{proposal.number}") if self.kept else None
        share = self.rungs[rung][0]
        if line is None:
            return None
        found = Tried(proposal.number, rung, share, proposal.candidate, line["validate"], line["seconds"])
        return found if found.as_json() == line else None

    def _hold(self, found: Tried, done: T | None) -> None:
        """Of all fits the best one's alone is held: a thousand would fill the memory."""
        if done and (self.best is None or ranked([self.best[0], found], self.model.chosen_by)[0] == found):
            self.best = found, done
