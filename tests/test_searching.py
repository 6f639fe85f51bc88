"""A search: cut off it goes on, by halving it ends on all rows, out of time it still has a winner."""

from dataclasses import dataclass

import pytest

from pipelines import search as searching
from pipelines.search import Found, Tried, ranked, search
from pipelines.spec import Candidate, Model
from pipelines.trials import Kept

BOOST = {"kind": "xgboost", "depth": [1, 9], "learning_rate": {"low": 0.05, "high": 0.5, "log": True}}
ROWS = 90_000


class Killed(Exception):
    """As a kill would do it: what is on disk is on disk."""


@dataclass(frozen=True)
class Fitted:
    """The better the nearer to depth 4, and on more rows."""

    candidate: Candidate
    share: float
    seconds: float = 2.0

    @property
    def metrics(self) -> dict[str, float]:
        return {"roc_auc": 0.9 * self.share - abs(self.candidate.depth - 4) / 100}


def model(**how: object) -> Model:
    whole = {"features": "f", "label": "l", "task": "binary", "candidates": [BOOST]}
    return Model.model_validate({**whole, "search": {"metric": "roc_auc", "trials": 4, **how}})


def searched(
    kept: Kept | None, most: int = 99, usd_hour: float = 0.0, **how: object
) -> tuple[list[str], Found[Fitted] | None]:
    """What a search told until it ended, or was killed before it told more than `most` lines."""
    told: list[str] = []

    def tell(text: str) -> None:
        if len(told) == most:
            raise Killed
        told.append(text)

    try:
        return told, search(model(**how), ROWS, Fitted, kept, tell, usd_hour)
    except Killed:
        return told, None


@pytest.fixture
def kept(tmp_path) -> Kept:
    return Kept(str(tmp_path / "trials"), "models.late")


def test_the_best_wins_and_comes_first():
    _, found = searched(None, trials=12)

    assert [t.metrics["roc_auc"] for t in found.board] == sorted(
        (t.metrics["roc_auc"] for t in found.board), reverse=True
    )
    assert sorted(t.number for t in found.board) == list(range(12))
    assert found.winner == Fitted(found.board[0].candidate, 1.0)


def test_a_search_that_was_cut_off_goes_on_where_it_was(kept):
    cut_off, nothing = searched(kept, most=2)
    told, found = searched(kept)

    assert (cut_off, nothing) == (["fits xgboost (1 of 4)", "fits xgboost (2 of 4)"], None)
    assert told == [
        "tried xgboost before (1 of 4)",
        "tried xgboost before (2 of 4)",
        "fits xgboost (3 of 4)",
        "fits xgboost (4 of 4)",
    ]
    assert found == searched(None)[1]


@pytest.mark.parametrize("most", range(1, 6))
def test_wherever_a_search_was_cut_off_it_has_the_same_winner(kept, most):
    searched(kept, most=most, trials=6)

    assert searched(kept, trials=6)[1] == searched(None, trials=6)[1]


def test_a_search_that_was_over_is_not_searched_again(kept):
    first = searched(kept)[1]

    told, again = searched(kept)

    assert told == [f"tried xgboost before ({n} of 4)" for n in (1, 2, 3, 4)]
    assert again == first  # the winner fitted once more


def test_a_kept_trial_of_other_parameters_is_tried_again(kept):
    searched(kept)

    told, _ = searched(kept, seed=8)

    assert told[0] == "tried xgboost before (1 of 4)"  # the start is the same
    assert told[1:] == [f"fits xgboost ({n} of 4)" for n in (2, 3, 4)]


def test_halving_ends_with_few_on_all_rows(kept):
    told, found = searched(kept, halving=2)

    assert [(t.rung, t.share) for t in found.board] == [(2, 1.0), (1, 0.5), (1, 0.5), *[(0, 0.25)] * 4]
    assert told[0] == "fits xgboost on 25% of the rows (1 of 4)"
    assert found.board[0].candidate == found.board[1].candidate == found.winner.candidate
    assert searched(kept, halving=2)[1] == found


def test_few_rows_are_not_halved(monkeypatch):
    monkeypatch.setattr(searching, "LEAST_ROWS", ROWS + 1)

    assert {t.share for t in searched(None, halving=2)[1].board} == {1.0}


def test_out_of_time_no_trial_begins_and_the_best_so_far_wins(kept):
    told, found = searched(kept, budget_minutes=0.05)  # 3 s, and a trial takes 2

    assert told == ["fits xgboost (1 of 4)", "fits xgboost (2 of 4)"]
    assert len(found.board) == 2
    assert searched(kept, budget_minutes=0.05)[1] == found  # time before a kill counts


def test_out_of_time_no_trial_goes_on_to_more_rows():
    _, found = searched(None, halving=2, budget_minutes=0.15)  # 9 s: four trials, and one of two again

    assert [(t.rung, t.share) for t in found.board] == [(2, 1.0), (1, 0.5), *[(0, 0.25)] * 4]


def test_out_of_money_no_trial_begins_and_the_best_so_far_wins(kept):
    told, found = searched(kept, usd_hour=3.6, budget_usd=0.003)  # a second costs 0.001, and a trial takes 2

    assert told == ["fits xgboost (1 of 4)", "fits xgboost (2 of 4)"]
    assert len(found.board) == 2
    assert len(searched(None, usd_hour=1.8, budget_usd=0.003)[1].board) == 3  # half as dear: 0.003 after three
    assert len(searched(None, usd_hour=0.36, budget_usd=0.003)[1].board) == 4


def test_only_a_winner_from_before_a_kill_is_fitted_twice(kept):
    def fits() -> int:
        calls: list[Candidate] = []
        search(model(), ROWS, lambda c, share: calls.append(c) or Fitted(c, share), kept, lambda _: None)
        return len(calls)

    assert [fits(), fits()] == [4, 1]


def test_out_of_time_one_trial_still_ends_on_all_rows():
    _, found = searched(None, halving=2, budget_minutes=0.01)

    assert [(t.rung, t.share) for t in found.board] == [(2, 1.0), (1, 0.5), (0, 0.25)]


def test_side_by_side_the_same_search_finds_the_same(kept):
    one, other = (searched(k, parallel=3)[1] for k in (None, kept))

    assert one == other
    assert len(one.board) == 4


def test_a_line_without_the_metric_is_last_of_its_rung():
    candidate = model().candidates[0]
    board = [Tried(n, 0, 1.0, candidate, m, 1.0) for n, m in enumerate([{}, {"roc_auc": 0.6}, {"roc_auc": 0.7}])]

    assert [t.number for t in ranked(board, "roc_auc")] == [2, 1, 0]
    assert ranked([*board, Tried(3, 1, 1.0, candidate, {"roc_auc": 0.1}, 1.0)], "roc_auc")[0].number == 3
