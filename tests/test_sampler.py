"""Proposals: the candidates first, then within ranges; the same questions for the same answers."""

import pytest

from pipelines.sampler import Sampler, rungs
from pipelines.spec import Model

BOOST = {"kind": "xgboost", "depth": [2, 9], "learning_rate": {"low": 0.01, "high": 0.3, "log": True}}
LINE = {"kind": "logistic_regression", "regularization": {"low": 1e-6, "high": 1.0, "log": True}}
PLAIN = {"kind": "logistic_regression"}


def model(*candidates: dict, metric: str = "roc_auc", **search: object) -> Model:
    whole = {"features": "f", "label": "l", "task": "binary", "candidates": list(candidates)}
    return Model.model_validate({**whole, "search": {"metric": metric, **search}})


def near(depth: int, candidate) -> float:
    """The nearer the depth, the better."""
    return 1 - abs(getattr(candidate, "depth", 99) - depth) / 100


def asked(of: Model, answer, answers: int = 99) -> list:
    """All proposals of a search of which so many were answered before it was begun anew."""
    sampler, found = Sampler(of), []
    while proposals := sampler.ask(of.search.parallel):
        for proposal in proposals:
            found.append(proposal.candidate)
            sampler.tell(proposal, answer(proposal.candidate))
    return found


def test_every_candidate_is_tried_as_it_stands_before_any_is_varied():
    first, second, third, *rest = asked(model(PLAIN, BOOST, LINE, trials=8), lambda c: near(5, c))

    assert (first.kind, first.regularization) == ("logistic_regression", 1e-4)
    assert (second.kind, second.depth, second.learning_rate) == ("xgboost", 6, 0.1)  # the defaults
    assert (third.kind, third.regularization) == ("logistic_regression", 1e-4)
    assert len(rest) == 5


def test_proposals_lie_within_their_ranges_and_are_plain():
    found = asked(model(BOOST, LINE, trials=40), lambda c: near(5, c))

    assert all(not c.ranges for c in found)
    assert all(2 <= c.depth <= 9 and 0.01 <= c.learning_rate <= 0.3 for c in found if c.kind == "xgboost")
    assert all(1e-6 <= c.regularization <= 1 for c in found if c.kind == "logistic_regression")
    assert len({c.model_dump_json() for c in found}) > 20


@pytest.mark.parametrize("parallel", [1, 3])
def test_the_same_answers_bring_the_same_questions(parallel):
    one, other = (asked(model(BOOST, LINE, trials=15, parallel=parallel), lambda c: near(5, c)) for _ in range(2))

    assert one == other


def test_another_seed_asks_otherwise():
    one, other = (asked(model(BOOST, trials=10, seed=seed), lambda c: near(5, c)) for seed in (1, 2))

    assert one[0] == other[0]  # the start
    assert one[1:] != other[1:]


@pytest.mark.parametrize(("metric", "sign"), [("roc_auc", 1), ("log_loss", -1)])
def test_a_search_comes_near_to_what_is_good(metric, sign):
    found = asked(model(BOOST, metric=metric, trials=40), lambda c: sign * near(9, c))

    late = [c.depth for c in found[20:]]
    assert sum(late) / len(late) > 7  # 5.5 at random


def test_a_trial_that_came_to_nothing_is_passed_over():
    assert len(asked(model(BOOST, trials=10), lambda c: None)) == 10


def test_a_rung_of_too_few_rows_is_left_out():
    halved = model(BOOST, trials=9, halving=3)

    assert [trials for _, trials in rungs(halved, 90_000, least=2_000)] == [9, 3, 1]
    assert [trials for _, trials in rungs(halved, 9_000, least=2_000)] == [3, 1]
    assert [trials for _, trials in rungs(halved, 900, least=2_000)] == [1]
