"""Random logs, states and receipts in random deliveries: tables, histories, snapshots and views, many times.

    PYTHONPATH=.:scripts:tests python -m e2e.trials [--trials 20] [--seed 1]

Each trial makes its data and its cuts from its seed, runs the pipelines of the
tests on them, and compares with what those tests work out by hand. It prints
its seed and what came of it; a failing seed alone repeats it.
"""

import random
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from seeded import Result, seeds, told

from e2e import test_changes, test_snapshots, test_views
from e2e.project import Project
from e2e.shop import deliveries, log, shop
from pipelines.spark import start
from pipelines.spec import Target


def cuts(dice: random.Random, count: int, parts: int) -> Iterator[tuple[int, int]]:
    """Some neighbouring ranges that make up `count`."""
    return pairwise([0, *sorted(dice.sample(range(1, count), parts - 1)), count])


def changes(root: Path, seed: int) -> bool:
    """A log of upserts and deletions, shuffled, some twice: the newest rows, and the history."""
    made, parts = shop(root), random.Random(seed).randint(1, 4)
    for number, lines in enumerate(deliveries(log(seed), seed, parts)):
        made.land(f"log/{number}.json", lines)
        refreshed(made)
    newest = test_changes.shown(made, "customers", "id", "at", "name")
    history = test_changes.shown(made, "customers_then", "id", "at", "name", *test_changes.HISTORY)
    return (newest, history) == (test_changes.newest(log(seed)), test_changes.history(log(seed)))


def states(root: Path, seed: int) -> bool:
    """States of a register, in their order, several in a refresh."""
    made, days, dice = test_snapshots.members(root), test_snapshots.states(seed), random.Random(seed)
    for low, high in cuts(dice, len(days), dice.randint(1, 4)):
        for day in range(low + 1, high + 1):
            test_snapshots.land(made, day, days[day])
        refreshed(made)
    return test_snapshots.shown(made) == test_snapshots.worked_out(days)


def receipts(root: Path, seed: int) -> bool:
    """Receipts that only come in: a view that is added to."""
    made, rows, dice = test_views.till(root), test_views.receipts(seed), random.Random(seed)
    for low, high in cuts(dice, len(rows), dice.randint(2, 4)):
        test_views.land(made, str(low), rows[low:high])
        refreshed(made)
    return test_views.shown(made) == test_views.sales(rows)


def refreshed(made: Project) -> None:
    """Errors: AssertionError where a run fails."""
    said = made.lakeloom("run")
    assert said.code == 0, said.err


KINDS: tuple[Callable[[Path, int], bool], ...] = (changes, states, receipts)


def trials(asked: Iterable[int]) -> Iterator[Result]:
    """Each kind of trial for each seed, in one session."""
    spark = start(Target(master="local[2]", driver_memory="2g"), "trials", brief=True)
    for seed in asked:
        for kind in KINDS:
            with TemporaryDirectory() as folder:
                right = kind(Path(folder), seed)
            yield f"seed={seed} {kind.__name__}", "" if right else "not as worked out by hand"
    spark.stop()


def main() -> int:
    """Run the trials; 1 if any went wrong."""
    return told(trials(seeds("Deliver random data in random parts.", trials=20)))


if __name__ == "__main__":
    sys.exit(main())
