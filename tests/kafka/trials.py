"""Kill a service that scores a topic, many times, while the topic fills; compare with what one undisturbed call makes.

    PYTHONPATH=.:scripts:tests python -m kafka.trials [--messages 2000] [--kills 6] [--seed 1] [--most-records 1000]

One trial: a champion is trained, the project is copied, and `lakeloom score
--continuous` is started over and over on the copy while numbered records
arrive. Each life but the last ends by SIGKILL to its whole process group: in
turn at the gaps between two commits, and at a moment that the seed decides,
counted from the life's first batch. What is scored and what is refused has to
be what the original makes of the whole topic in one call: nothing lost,
nothing doubled, the same checksum.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, pairwise
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory
from threading import Thread

from e2e.project import COMMAND, LIMIT_S, Project

from kafka.broker import Broker, running
from kafka.stream import FIRST, content, expected, numbers, records, scored, trained
from pipelines.crash import VARIABLE
from pipelines.run import proving
from pipelines.spark import start
from pipelines.spec import Target

GAPS = (
    "between clean and quarantine",
    "before the run record @ tables.payments",
    "before the run record @ features.seen",
    "between scores and their progress",
    "before the run record @ scores.live",
)
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:ReservedCodeCacheSize=240m"  # as all tests have it
PATIENCE_S = 900  # for the champion's proof: this machine may be busy with other trials
SPAN_S = 12.0  # after its first batch a life that ends by chance lasts at most so long
SOON = 20  # parts in which the later half of a life's records arrives, one a second


@dataclass(frozen=True)
class Asked:
    """The size of a trial."""

    messages: int
    kills: int
    seed: int
    most_records: int


def ends(asked: Asked) -> Iterator[str | float]:
    """How each life ends: every second at a gap, in turn; the others after some seconds."""
    dice, gaps = random.Random(asked.seed), cycle(GAPS)
    for number in range(asked.kills):
        yield dice.uniform(0, SPAN_S) if number % 2 else next(gaps)


def shares(asked: Asked) -> list[tuple[int, int]]:
    """Which records arrive in which life; the last call finds the last of them."""
    dice = random.Random(asked.seed + 1)
    inner = sorted(dice.sample(range(FIRST + 1, FIRST + asked.messages), asked.kills))
    return list(pairwise([FIRST, *inner, FIRST + asked.messages]))


def life(made: Project, end: str | float) -> str:
    """One life of the service, and how it ended, in words. Errors: AssertionError where it ended by itself."""
    env = {**os.environ, **({VARIABLE: end} if isinstance(end, str) else {})}
    before, log = len(made.warehouse.intents()), made.root / "service.log"
    with (
        log.open("w") as said,
        subprocess.Popen([COMMAND, "score", made.conf, "live", "--continuous"], env=env, stdout=said, stderr=said,
                         start_new_session=True) as process,
    ):  # fmt: skip
        if isinstance(end, float):
            _until_begun(made, before, process)
            time.sleep(end)
            os.killpg(process.pid, SIGKILL)
        code = process.wait(LIMIT_S)
    assert code == -SIGKILL, log.read_text()[-3000:]
    return end if isinstance(end, str) else f"{end:.1f} s after its first batch"


def _until_begun(made: Project, before: int, process: "subprocess.Popen[bytes]") -> None:
    limit = time.monotonic() + LIMIT_S
    while len(made.warehouse.intents()) == before and process.poll() is None:
        assert time.monotonic() < limit, "no batch was begun"
        time.sleep(0.1)


def arriving(broker: Broker, topic: str, share: tuple[int, int]) -> Thread:
    """Half of the records now, the others by and by."""
    some = records(*share)
    half, part = len(some) // 2, max(1, len(some) // 2 // SOON)
    broker.spread(topic, some[:half])

    def rest() -> None:
        for begin in range(half, len(some), part):
            broker.spread(topic, some[begin : begin + part])
            time.sleep(1)

    thread = Thread(target=rest)
    thread.start()
    return thread


def wrong(battered: Project, undisturbed: Project, end: int) -> str:
    """What differs, in words; '' for nothing."""
    found = numbers(battered.rows("scores.live"))
    if found != expected(end):
        return f"{len(found)} scores of {len(set(found))} records, {len(expected(end))} were sent"
    seen, meant = content(battered), content(undisturbed)
    return "" if seen == meant else f"{seen} against {meant}"


def trial(root: Path, broker: Broker, asked: Asked) -> str:
    """One trial, told as it goes; '' where nothing is wrong."""
    original, topic = trained(root / "undisturbed", broker, asked.most_records)
    shutil.copytree(original.root, root / "battered")
    battered = Project(root / "battered", original.name)
    *lives, last = shares(asked)
    for number, (share, end) in enumerate(zip(lives, ends(asked), strict=True), 1):
        thread = arriving(broker, topic, share)
        tell(f"  life {number}: records {share[0]} to {share[1] - 1}, killed {life(battered, end)}")
        thread.join()
    broker.spread(topic, records(*last))
    scored(battered)
    begun = time.monotonic()
    scored(original)
    tell(f"  undisturbed: {time.monotonic() - begun:.0f} s, scores and refused {content(original)}")
    return wrong(battered, original, FIRST + asked.messages)


def tell(text: str) -> None:
    """A line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run the trials; 1 if any went wrong."""
    parser = argparse.ArgumentParser(description="Kill a service that scores a topic.")
    parser.add_argument("--trials", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1, help="of the first trial; the next has the next")
    parser.add_argument("--messages", type=int, default=2_000)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--most-records", type=int, default=1_000, help="a batch takes no more")
    given = parser.parse_args()
    os.environ["SPARK_SUBMIT_OPTS"] = QUICK
    proving.LIMIT_S = PATIENCE_S
    failures, spark = 0, start(Target(master="local[2]", driver_memory="1g"), "trials", brief=True)
    for seed in range(given.seed, given.seed + given.trials):
        asked = Asked(given.messages, given.kills, seed, given.most_records)
        with TemporaryDirectory() as folder, running(Path(folder)) as broker:
            flaw = trial(Path(folder), broker, asked)
        failures += bool(flaw)
        tell(f"seed={seed} {asked.messages:,} records, {asked.kills} kills: {flaw or 'as undisturbed'}")
    spark.stop()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
