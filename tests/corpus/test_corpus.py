"""Damaged files, seeded: no row lost, doubled or half-published, and nothing but one sentence where a batch is refused.

`trials.py` does the same for as many seeds as there is time for.
"""

import time
from pathlib import Path

import pytest

from corpus.damage import WAYS
from corpus.trials import trial, tried

pytestmark = pytest.mark.spark

SEED, COUNT, LIMIT_S = 7_000, 12, 90


def test_a_damaged_file_beside_a_good_one_loses_doubles_and_half_publishes_nothing(spark, tmp_path: Path):
    begun, done, wrong = time.monotonic(), 0, []
    for seed in range(SEED, SEED + COUNT):
        said, found = tried(tmp_path / str(seed), seed)
        wrong += [f"{said}  WRONG: {found}"] if found else []
        done += 1
        if time.monotonic() - begun > LIMIT_S:
            break

    assert wrong == []
    assert done >= COUNT // 3, f"{done} trials from seed {SEED} in {LIMIT_S} s"


def test_a_seed_is_the_same_trial_for_ever():
    assert trial(SEED) == trial(SEED)


@pytest.mark.long
def test_seeds_come_by_every_way_of_damage():
    found = {(t.form, t.way) for t in map(trial, range(1_500))}

    assert found == {(form, way) for form, ways in WAYS.items() for way in ways}
