"""A drift of a known date is seen soon, and one that is not there seldom: a few seeds of scripts/alarms.py."""

import alarms
import pytest
from alarms import CHANGE, Case

from pipelines.spec.monitor import Drift

SEEDS = range(8)


def trials(case: Case, **rule: object) -> list[alarms.Trial]:
    return [alarms.trial(case, Drift(**rule), seed) for seed in SEEDS]  # type: ignore[arg-type]


@pytest.mark.parametrize("statistic", ["psi", "jensen_shannon", "wasserstein"])
def test_a_shift_of_a_standard_deviation_is_seen_in_its_first_window(statistic):
    assert [t.delay for t in trials(Case(500, shift=1.0), statistic=statistic)] == [0] * len(SEEDS)


def test_windows_in_which_nothing_changed_give_no_alarm():
    found = trials(Case(500))

    assert [t.false_alarms for t in found] == [0] * len(SEEDS)
    assert [t.delay for t in found] == [None] * len(SEEDS)


def test_small_windows_give_few_alarms_where_the_distance_alone_would_give_many():
    tested, alone = trials(Case(60)), trials(Case(60), false_discovery=0.999999)

    windows = len(SEEDS) * CHANGE
    assert sum(t.false_alarms for t in tested) / windows <= 0.10
    assert sum(t.false_alarms for t in alone) / windows >= 0.60


def test_a_slow_drift_is_seen_once_it_has_come_far():
    delays = [t.delay for t in trials(Case(500, a_window=0.05))]

    assert all(delay is not None and 5 <= delay <= 15 for delay in delays)
