"""Rates by group against a hand count, how far groups are apart, and intervals against what they promise."""

import numpy as np
import pytest
from pyspark.sql import functions as F

from pipelines.evaluate import by_group, compared
from pipelines.evaluate.fairness import Groups, apart, rates
from pipelines.evaluate.tally import GROUPS

pytestmark = pytest.mark.spark

# yes and right, yes and wrong, no and wrong, no and right
NORTH, SOUTH = np.array([30.0, 10, 20, 40]), np.array([10.0, 10, 10, 20])


def spread_out(counts: np.ndarray) -> np.ndarray:
    """The same counts, as even over the groups of the jackknife as whole rows can be."""
    found = np.zeros((GROUPS, 4))
    for fate, rows in enumerate(counts):
        for row in range(int(rows)):
            found[(row + 7 * fate) % GROUPS, fate] += 1
    return found


def test_rates_are_those_of_the_four_fates():
    assert rates(NORTH) == {
        "selection_rate": 40 / 100,
        "true_positive_rate": 30 / 50,
        "false_positive_rate": 10 / 50,
        "precision": 30 / 40,
    }
    assert rates(np.array([0.0, 0, 0, 5])) == {"selection_rate": 0, "false_positive_rate": 0}  # the others: no rows


def test_groups_are_held_against_the_most_frequent_and_the_furthest_are_named():
    few = np.array([1.0, 0, 0, 0])
    found = compared(Groups({"north": spread_out(NORTH), "south": spread_out(SOUTH), "few": spread_out(few)}), rows=50)

    north, south, small = found["groups"]
    assert found["reference"] == "north"
    assert (south["rows"], south["positives"], south["rates"]["precision"][0]) == (50, 20, 0.5)
    assert south["difference"]["precision"][0] == pytest.approx(0.5 - 0.75)
    assert south["ratio"]["true_positive_rate"][0] == pytest.approx(0.5 / 0.6)
    assert "difference" not in north and "difference" not in small
    assert found["largest"]["precision"]["high"] == ["north", 0.75]
    assert found["largest"]["precision"]["low"] == ["south", 0.5]
    assert found["largest"]["precision"]["difference"][0] == pytest.approx(0.25)
    assert found["largest"]["precision"]["ratio"][0] == pytest.approx(0.5 / 0.75)
    assert found["largest"]["false_positive_rate"]["high"] == ["south", 10 / 30]


def test_one_group_alone_is_not_apart_from_any():
    found = compared(Groups({"north": spread_out(NORTH)}), rows=50)

    assert found["largest"] == {} and found["groups"][0]["rates"]["selection_rate"][0] == 0.4


def test_an_interval_of_a_difference_holds_the_truth_in_about_95_of_100_trials():
    dice, held = np.random.default_rng(5), 0
    for _ in range(200):
        one, other = (
            np.stack([dice.multinomial(20, shares) for _ in range(GROUPS)])
            for shares in ([0.3, 0.1, 0.2, 0.4], [0.2, 0.2, 0.2, 0.4])
        )
        _, low, high = apart(one, other)["difference"]["false_positive_rate"]
        held += low <= 0.1 / 0.5 - 0.2 / 0.6 <= high

    assert 0.90 <= held / 200 <= 0.99


def test_spark_counts_what_a_hand_counts(frame):
    rows = [
        (i, *row)
        for i, row in enumerate([
            ("north", True, 1), ("north", True, 1), ("north", True, 0), ("north", False, 0), (None, False, 1),
            ("south", False, 1), ("south", False, None),
        ])
    ]  # fmt: skip

    found = by_group(frame(rows, "id int, depot string, predicted boolean, _label int"), "depot", F.col("id"))

    assert {value: counts.sum(axis=0).tolist() for value, counts in found.counts.items()} == {
        "north": [2, 1, 0, 1], "(missing)": [0, 0, 1, 0], "south": [0, 0, 1, 0],
    }  # fmt: skip
    assert list(found.counts) == ["north", "(missing)", "south"]
