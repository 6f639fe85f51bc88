"""The threshold that costs least, against every other threshold; and what it costs on rows that did not choose it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import evaluate
from pipelines.evaluate import Binary, Tally
from pipelines.evaluate.binary import BINS, NEVER, cheapest_threshold, cost
from pipelines.evaluate.tally import GROUPS

pytestmark = pytest.mark.spark

PRICES = st.floats(0.01, 100)
ROWS = st.lists(st.tuples(st.integers(0, BINS - 1), st.integers(0, 1)), min_size=1, max_size=60)


def counted(rows: list[tuple[int, int]]) -> np.ndarray:
    """(bin, label) -> what Spark would count."""
    counts = np.zeros((BINS, 2))
    np.add.at(counts, tuple(np.array(rows).T), 1)
    return counts


def by_hand(rows: list[tuple[int, int]], costs: tuple[float, float], threshold: float) -> float:
    """One row after the other."""
    return sum(costs[0] if s / BINS >= threshold and not y else costs[1] if s / BINS < threshold and y else 0
               for s, y in rows)  # fmt: skip


@given(ROWS, st.tuples(PRICES, PRICES))
@settings(max_examples=200)
def test_no_other_threshold_costs_less(rows, costs):
    chosen = cheapest_threshold(counted(rows), costs)

    cuts = [0.0, *sorted({(s + 1) / BINS for s, _ in rows if s + 1 < BINS}), NEVER]  # all that differ in any row
    least = min(by_hand(rows, costs, threshold) for threshold in cuts)
    assert by_hand(rows, costs, chosen) == pytest.approx(least)
    assert all(by_hand(rows, costs, t) > least - 1e-9 for t in cuts if t < chosen)


@given(ROWS, st.tuples(PRICES, PRICES), st.sampled_from([0.0, 0.25, 0.5, 1 - 1 / BINS, NEVER]))
def test_the_cost_of_a_row_is_the_mean_over_the_rows(rows, costs, threshold):
    assert cost(counted(rows), costs, threshold) == pytest.approx(by_hand(rows, costs, threshold) / len(rows))


def test_a_dear_miss_lowers_the_threshold_to_the_ratio_of_costs():
    # calibrated scores: yes pays where score x cost of a miss exceeds (1 - score) x cost of an alarm: from 1/6 on
    counts = np.zeros((BINS, 2))
    middle = (np.arange(BINS) + 0.5) / BINS
    counts[:, 1], counts[:, 0] = 1_000 * middle, 1_000 * (1 - middle)

    assert cheapest_threshold(counts, (1, 5)) == pytest.approx(1 / 6, abs=1 / BINS)
    assert cheapest_threshold(counts, (1, 1)) == pytest.approx(1 / 2, abs=1 / BINS)


def test_where_no_yes_pays_none_is_said():
    counts = counted([(BINS - 1, 0), (BINS - 1, 1), (5, 0)])

    task = Binary(costs=(10, 1)).decided(counts)

    assert task.threshold == NEVER > 1
    assert (task.metrics(counts)["recall"], task.metrics(counts)["accuracy"]) == (0, pytest.approx(2 / 3))


def test_costs_decide_in_place_of_f1():
    counts = counted([(1_000, 0)] * 6 + [(1_000, 1)] * 2 + [(3_000, 1)] * 4 + [(100, 0)] * 9)

    assert Binary().decided(counts).threshold == 1_001 / BINS  # F1 8/10 against 12/18
    assert Binary(costs=(1, 10)).decided(counts).threshold == 101 / BINS  # 6 against 20


def test_the_record_holds_what_each_threshold_costs_with_its_interval():
    # 40 groups of 4 rows each, all alike: one alarm at 0.5, one miss below 0.3
    rows = [(int(0.9 * BINS), 1), (int(0.6 * BINS), 0), (int(0.2 * BINS), 1), (int(0.1 * BINS), 0)]
    task = Binary(threshold=0.15, costs=(1, 5))

    found = evaluate.costs(task, Tally(np.stack([counted(rows)] * GROUPS)))

    assert {name: value for name, (value, *_) in found.items()} == {
        "chosen": 1 / 4, "half": 6 / 4, "always": 2 / 4, "never": 10 / 4, "saved": 5 / 4,
    }  # fmt: skip
    assert all(low == pytest.approx(value) == high for value, low, high in found.values())


def test_a_task_without_costs_has_none():
    assert evaluate.costs(Binary(), Tally(np.zeros((GROUPS, BINS, 2)))) == {}
    assert evaluate.costs(evaluate.Regression(), Tally(np.zeros((GROUPS, 10)))) == {}
