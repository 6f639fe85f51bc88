"""What each rule of the training debugger says of an epoch's account, and what it lets pass."""

import pytest

from pipelines.deep import rules

WELL = {
    "loss": 0.5, "held_loss": 0.5, "left_out": 0, "classes": [500, 500], "units": 64, "dead": 3, "seconds": 4.0,
    "gradient": {"median": 0.3, "most": 1.0, "first": 0.2, "last": 0.2}, "work_s": [3.0, 3.2],
    "profile": {"load": 0.1, "forward": 1.0, "backward": 2.0, "allreduce": 0.2, "wait": 0.1, "update": 0.2},
}  # fmt: skip


def epochs(*changes: dict[str, object]) -> list[dict[str, object]]:
    """Epochs that go well but for what is said of them."""
    return [{**WELL, "loss": 0.5 - 0.05 * i, "held_loss": 0.5 - 0.04 * i, **c} for i, c in enumerate(changes)]


ILL = {
    "not_finite": (epochs({"left_out": 2}), "2 steps had a gradient that is NaN or infinite, and were left out"),
    "not_learning": (
        epochs({"loss": 0.7}, {"loss": 0.6998}, {"loss": 0.6999}),
        "the loss is 0.6999 after epoch 3, and was 0.7 after epoch 1",
    ),
    "exploding_gradients": (
        epochs({"gradient": {"median": 0.3, "most": 4e4, "first": 0.2, "last": 0.2}}),
        "a gradient of norm 4e+04, where 0.3 is usual",
    ),
    "vanishing_gradients": (
        epochs({"gradient": {"median": 0.3, "most": 1.0, "first": 1e-6, "last": 0.2}}),
        "the first layer's gradient has norm 1e-06, the last layer's 0.2",
    ),
    "dead_units": (epochs({"dead": 40}), "40 of 64 hidden units answer 0 to every row looked at"),
    "overfitting": (
        epochs({"held_loss": 0.5}, {"held_loss": 0.52}, {"held_loss": 0.6}),
        "rows that do not train have a loss of 0.6; it was 0.5 after epoch 1",
    ),
    "class_imbalance": (epochs({"classes": [9_990, 10]}), "the rarest class has 10 of 10,000 rows"),
    "rank_skew": (epochs({"work_s": [2.0, 5.0, 3.0]}), "rank 1 works 5.0 s an epoch, the others on average 2.5 s"),
    "input_starvation": (
        epochs({"profile": {**WELL["profile"], "load": 2.0}}),  # type: ignore[dict-item]
        "ranks wait for rows 50% of the time",
    ),
}
NEARLY = {
    "not_learning": epochs({"loss": 0.7}, {"loss": 0.699}, {"loss": 0.698}),
    "exploding_gradients": epochs({"gradient": {"median": 0.3, "most": 30.0, "first": 0.2, "last": 0.2}}),
    "vanishing_gradients": epochs({"gradient": {"median": 0.3, "most": 1.0, "first": 1e-3, "last": 0.2}}),
    "dead_units": epochs({"dead": 32}),
    "overfitting": epochs({"held_loss": 0.5}, {"held_loss": 0.6}, {"held_loss": 0.55}),
    "class_imbalance": epochs({"classes": [9_800, 200]}),
    "rank_skew": epochs({"work_s": [0.01, 0.05], "seconds": 0.1}),
    "input_starvation": epochs({"profile": {**WELL["profile"], "load": 0.9}}),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("rule", list(ILL))
def test_a_rule_says_what_ails(rule):
    account, why = ILL[rule]

    assert rules.examined(account) == [rules.Finding(rule, len(account), why)]


@pytest.mark.parametrize("rule", list(NEARLY))
def test_a_rule_lets_pass_what_is_usual(rule):
    assert rules.examined(NEARLY[rule]) == []


def test_nothing_ails_a_net_that_learns():
    assert rules.examined(epochs({}, {}, {}, {})) == []
    assert rules.examined(epochs({"classes": [], "units": 0, "dead": 0, "held_loss": None})) == []
    assert rules.examined(epochs({"work_s": [5.0]})) == []


def test_of_two_ranks_one_that_works_twice_as_long_is_told():
    assert [found.why for found in rules.examined(epochs({"work_s": [1.5, 3.0]}))] == [
        "rank 1 works 3.0 s an epoch, the others on average 1.5 s"
    ]
    assert rules.examined(epochs({"work_s": [2.2, 3.0]})) == []


def test_each_rule_has_an_ill_case_and_a_name_in_the_spec():
    from typing import get_args

    from pipelines.spec.candidate import Ailment

    assert set(rules.RULES) == set(ILL) == set(get_args(Ailment))


def test_of_a_whole_training_each_rule_is_said_once_with_when_it_began():
    ill = epochs({}, {"left_out": 1}, {"left_out": 3}, {})

    (found,) = rules.ailments(ill)

    assert (found["rule"], found["since"], found["last"]) == ("not_finite", 2, 3)
