"""Which rank reads which rows: every row once, in equal shares, the same wherever it is planned."""

from itertools import pairwise

import numpy as np
import pytest

from pipelines.deep import shards
from pipelines.deep.shards import Group, Part


def grouped(number: int, seed: int = 0) -> list[Group]:
    """Row groups of very unequal size, 0 rows among them."""
    rows = np.random.default_rng(seed).integers(0, 200_000, number)
    return [Group(f"part-{i // 4}.parquet", i % 4, int(n)) for i, n in enumerate(rows)]


def spans(parts: list[Part]) -> dict[Group, list[tuple[int, int]]]:
    found: dict[Group, list[tuple[int, int]]] = {}
    for part in parts:
        found.setdefault(part.group, []).append((part.first, part.first + part.rows))
    return found


@pytest.mark.parametrize(("number", "world"), [(10, 1), (10, 2), (100, 7), (1_000, 128), (2_000, 1_024), (50, 1_024)])
def test_each_row_of_each_group_is_dealt_once(number, world):
    groups = grouped(number)

    dealt = shards.deal(groups, world, seed=1, version=3)

    assert len(dealt) == world
    found = spans([part for parts in dealt for part in parts])
    assert set(found) == {g for g in groups if g.rows}
    for group, cuts in found.items():
        ends = [(0, 0), *sorted(cuts), (group.rows, group.rows)]
        assert all(a[1] == b[0] for a, b in pairwise(ends))


@pytest.mark.parametrize("world", [2, 16, 128, 1_024])
@pytest.mark.parametrize("number", [10, 3_000])
def test_ranks_differ_by_one_row_at_most(number, world):
    dealt = shards.deal(grouped(number), world, seed=1, version=3)

    rows = [sum(part.rows for part in parts) for parts in dealt]
    assert max(rows) - min(rows) <= 1
    assert max(rows) / (sum(rows) / world) <= 1.02


def test_a_rank_shares_at_most_a_group_with_each_neighbour():
    dealt = shards.deal(grouped(1_000), 16, seed=1, version=3)

    held = [{part.group for part in parts} for parts in dealt]
    assert sum(map(len, held)) <= 1_000 + 15


def test_the_same_question_has_the_same_answer_and_another_seed_or_version_another():
    groups = grouped(100)

    assert shards.deal(groups, 4, 1, 3) == shards.deal(groups, 4, 1, 3)
    assert shards.deal(groups, 4, 1, 3) != shards.deal(groups, 4, 2, 3)
    assert shards.deal(groups, 4, 1, 3) != shards.deal(groups, 4, 1, 4)


def test_an_epoch_has_an_order_of_its_own_over_the_same_parts():
    (parts,) = shards.deal(grouped(100), 1, 1, 3)

    first, second = (shards.ordered(parts, 1, epoch) for epoch in (0, 1))

    assert first != second and first == shards.ordered(parts, 1, 0)
    assert sorted(first, key=hash) == sorted(second, key=hash) == sorted(parts, key=hash)


def test_fewer_rows_than_ranks_leave_some_with_none_and_all_with_the_same_steps():
    dealt = shards.deal([Group("a", 0, 3)], 8, 1, 0)

    assert sorted(sum(p.rows for p in parts) for parts in dealt) == [0, 0, 0, 0, 0, 1, 1, 1]
    assert shards.steps(dealt, 0, 1_000) == 1
    assert shards.sizes(0, 1) == [0]


def test_rows_kept_out_are_each_so_many_th_of_a_group_however_it_is_cut():
    # rows 4, 9, 14 and 19 of twenty
    whole, cut = Part(Group("a", 0, 20), 0, 20), (Part(Group("a", 0, 20), 0, 7), Part(Group("a", 0, 20), 7, 13))

    assert whole.held(5) == 4
    assert [part.held(5) for part in cut] == [1, 3]
    assert whole.held(0) == 0


@pytest.mark.parametrize("world", [1, 3, 64])
def test_every_rank_has_as_many_steps_and_no_step_is_larger_than_asked(world):
    dealt = shards.deal(grouped(40), world, 1, 0)

    steps = shards.steps(dealt, 20, 1_000)

    for parts in dealt:
        found = shards.sizes(shards.trained(parts, 20), steps)
        assert len(found) == steps and sum(found) == shards.trained(parts, 20)
        assert max(found) <= 1_000 and max(found) - min(found) <= 1


def test_no_part_is_longer_than_what_is_mixed_at_once():
    dealt = shards.deal([Group("a", 0, 1_000_000)], 2, 1, 0)

    assert max(part.rows for parts in dealt for part in parts) <= shards.PART_ROWS
