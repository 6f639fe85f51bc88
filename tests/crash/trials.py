"""Kill a run at random moments, many times, and compare what a second run makes of it with an undisturbed one.

    PYTHONPATH=.:scripts:tests python -m crash.trials [--trials 20] [--seed 1]

Each trial lands the same files, starts `lakeloom run`, sends SIGKILL to its
whole process group at a moment that the seed decides, and runs again; every
second trial is killed twice. It prints its seed and what came of it, and a
failing seed alone repeats it: --trials 1 --seed S.
"""

import random
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from e2e.project import Project, flights, land_flights
from seeded import Result, seeds, told

MONTHS, DAYS = (1, 2), (1, 2, 3)
Evidence = dict[str, object]
BAD = (  # one line that cannot be read, one that breaks a promise: both belong into the quarantine
    "2013,{month},1,too,few\n"
    "2013,{month},1,900,900,0,1000,1000,0,UA,9001,N1,EWR,IAH,60,9,9,0,2013-{month:02}-01T14:00:00Z\n"
)


def landed(root: Path) -> Project:
    """A project whose first files have arrived."""
    project = flights(root)
    arrive(project, MONTHS)
    return project


def arrive(project: Project, months: tuple[int, ...]) -> None:
    """Some days of some months, two bad lines in each file of flights."""
    land_flights(project, months, DAYS)
    for month in months:
        file = project.landing / "flights" / f"flights-2013-{month:02}.csv"
        file.write_text(file.read_text() + BAD.format(month=month))


def evidence(project: Project) -> Evidence:
    """All that a run leaves behind and that must not depend on how it came about."""
    return {
        "tables": project.content(),
        "unread": project.unread(),
        "_runs": project.attempts(),
        "models": project.models(),
    }


def unlike(project: Project, undisturbed: Evidence) -> str:
    """What differs from an undisturbed run, in words; '' for nothing."""
    found = evidence(project)
    assert not undisturbed["unread"]
    return "; ".join(f"{k}: {found[k]} against {v}" for k, v in undisturbed.items() if found[k] != v)


def killed(project: Project, seed: int, seconds: float) -> Iterator[float]:
    """Start a run and kill it at a random moment within `seconds`, twice for an even seed; yields the moments."""
    moments = random.Random(seed)
    for _ in range(2 - seed % 2):
        moment = moments.uniform(0, seconds)
        project.lakeloom_apart("run", limit_s=moment)
        yield moment


def trial(root: Path, undisturbed: Evidence, seed: int, seconds: float) -> Result:
    """One project, killed and run again."""
    project = landed(root)
    moments = [f"{moment:.1f} s" for moment in killed(project, seed, seconds)]
    again = project.lakeloom_apart("run")
    wrong = again.error or unlike(project, undisturbed)
    return f"seed={seed} killed after {', '.join(moments)}", wrong


def trials(asked: Iterable[int]) -> Iterator[Result]:
    """One undisturbed run, then a trial for each seed."""
    with TemporaryDirectory() as folder:
        project, begun = landed(Path(folder) / "undisturbed"), time.monotonic()
        project.lakeloom_apart("run")
        seconds, undisturbed = time.monotonic() - begun, evidence(project)
        for seed in asked:
            yield trial(Path(folder) / str(seed), undisturbed, seed, seconds)


def main() -> int:
    """Run the trials; 1 if any went wrong."""
    return told(trials(seeds("Kill runs at random moments.", trials=20)))


if __name__ == "__main__":
    sys.exit(main())
