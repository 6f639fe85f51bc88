"""The command line of trials by seed: how many, from which seed on; a line for each, and exit 1 if any went wrong."""

import argparse
import sys
from collections.abc import Iterable

Result = tuple[str, str]  # what was done, with its seed; what is wrong, '' for nothing


def seeds(description: str, trials: int) -> range:
    """The seeds that the command line asks for: each repeats its trial alone."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--trials", type=int, default=trials)
    parser.add_argument("--seed", type=int, default=1, help="of the first trial; the next has the next")
    asked = parser.parse_args()
    return range(asked.seed, asked.seed + asked.trials)


def told(found: Iterable[Result]) -> int:
    """Say each trial as it ends, then how many failed; 1 if any did."""
    count = failures = 0
    for done, wrong in found:
        count, failures = count + 1, failures + bool(wrong)
        _say(f"{done}: {f'WRONG: {wrong}' if wrong else 'right'}")
    _say(f"{count} trials, {failures} failures")
    return 1 if failures else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
