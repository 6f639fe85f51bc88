"""Measuring on a small shared machine: pairs in one run, two clocks, the same answer first, no verdict from noise.

Two arms alternate A B, B A, A B ... after warm-ups. Each pair gives one ratio,
peer / ours, so that above 1 ours is cheaper; what counts is the median of the
ratios with their range, never a ratio of two medians. A pair whose answers
differ fails the run; a pair that others disturbed is dropped and counted. To
measure something new, describe it as a Contest in a file b<NN>_<name>.py.

Two things are derived from pairs. Where both arms have a floor, the same work
without what is compared, it is run in the same round, and what each arm adds
to its floor is compared (`added`). Contests of one series differ in rows
alone, and over them each arm's cost has an exponent (`growth`).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from statistics import linear_regression, median

from benchmarks.machine import Noise, Peak, glance, noise_between, tree_cpu_s
from pipelines.errors import DataError

MOST_DROPPED = 0.30  # of the pairs; above it there is no verdict
LEAST_ADDED = 0.01  # share of the floor; what adds less cannot be told from nothing
FEWEST_SIZES = 3  # over which an exponent is fitted


@dataclass(frozen=True)
class Answer:
    """What an arm made: rows and an order-independent hash; the two arms of a pair agree on both."""

    rows: int
    hash: str


@dataclass(frozen=True)
class Arm:
    """One way to do the work; only `act` is measured. Its floor is the same without what is compared."""

    name: str
    prepare: Callable[[], None]
    act: Callable[[], None]
    answer: Callable[[], Answer]
    floor: "Arm | None" = None


@dataclass(frozen=True)
class Contest:
    """Ours against each peer on one size, and against itself: the A/A control; `rows` is its size within a series."""

    bench: str
    size: str
    ours: Arm
    peers: tuple[Arm, ...]
    pairs: int
    warmups: int
    control_pairs: int
    series: str = ""
    rows: int = 0


@dataclass(frozen=True)
class Sample:
    """One run of one arm; memory is the most that the whole process tree held at once."""

    arm: str
    wall_s: float
    cpu_s: float
    memory_mb: float
    answer: Answer


@dataclass(frozen=True)
class Pair:
    """Ours and the peer, one right after the other; their floors, if both have one, just before or after."""

    ours: Sample
    peer: Sample
    noise: Noise
    floors: tuple[Sample, Sample] | None = None


@dataclass(frozen=True)
class Ratio:
    """Median of paired ratios peer / ours, with their range."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """What the pairs say; `wall` and `cpu` are None where too many were dropped."""

    pairs: int
    dropped: int
    wall: Ratio | None
    cpu: Ratio | None


def run_pairs(ours: Arm, peer: Arm, count: int, warmups: int) -> Iterator[Pair]:
    """Warm both arms up, then yield each pair as it is done; the order flips every time.

    Errors: DataError where the two answers differ; whatever an arm raises.
    """
    for arm in (*_floors(ours, peer), ours, peer) * warmups:
        _sample(arm)
    for i in range(count):
        yield _pair(ours, peer, peer_first=i % 2 == 1)


def verdict(pairs: Sequence[Pair]) -> Verdict:
    """Ratios over the quiet pairs; none where more than 30 % were loud."""
    quiet = [p for p in pairs if not p.noise.loud]
    dropped = len(pairs) - len(quiet)
    if not quiet or dropped > MOST_DROPPED * len(pairs):
        return Verdict(len(pairs), dropped, None, None)
    return Verdict(
        len(pairs),
        dropped,
        wall=_ratio([p.peer.wall_s / p.ours.wall_s for p in quiet]),
        cpu=_ratio([p.peer.cpu_s / p.ours.cpu_s for p in quiet]),
    )


def added(pairs: Sequence[Pair]) -> list[Pair]:
    """What each arm adds to its floor, as pairs of their own; those without floors are left out."""
    return [replace(p, ours=_above(p.ours, p.floors[0]), peer=_above(p.peer, p.floors[1])) for p in pairs if p.floors]


def growth(costs: Mapping[int, Sequence[float]]) -> Ratio | None:
    """The exponent of cost over rows: median and range of the log-log slopes of the i-th samples of all sizes.

    costs: rows -> what each repetition cost. None for fewer than 3 sizes.
    """
    if len(costs) < FEWEST_SIZES:
        return None
    sizes = [log(rows) for rows in costs]
    rounds = zip(*costs.values(), strict=False)
    return _ratio([linear_regression(sizes, [log(cost) for cost in costs]).slope for costs in rounds])


def _above(sample: Sample, floor: Sample) -> Sample:
    wall_s = max(sample.wall_s - floor.wall_s, LEAST_ADDED * floor.wall_s)
    cpu_s = max(sample.cpu_s - floor.cpu_s, LEAST_ADDED * floor.cpu_s)
    return replace(sample, wall_s=wall_s, cpu_s=cpu_s)


def _ratio(values: Sequence[float]) -> Ratio:
    return Ratio(median(values), min(values), max(values))


def _floors(ours: Arm, peer: Arm) -> tuple[Arm, ...]:
    """The floors to run: none unless both have one, one where it is the same."""
    if ours.floor is None or peer.floor is None:
        return ()
    return (ours.floor,) if ours.floor is peer.floor else (ours.floor, peer.floor)


def _pair(ours: Arm, peer: Arm, peer_first: bool) -> Pair:
    floors = _floors(ours, peer)
    line = (*floors, ours, peer)
    before = glance()
    samples = [_sample(arm) for arm in (reversed(line) if peer_first else line)]
    noise = noise_between(before, glance())
    *below, mine, theirs = reversed(samples) if peer_first else samples
    if mine.answer != theirs.answer:
        raise DataError(f"{mine.arm} made {_said(mine.answer)}, but {theirs.arm} made {_said(theirs.answer)}")
    return Pair(mine, theirs, noise, (below[0], below[-1]) if below else None)


def _said(answer: Answer) -> str:
    return f"{answer.rows} rows with hash {answer.hash}"


def _sample(arm: Arm) -> Sample:
    arm.prepare()
    cpu_s, begun_s = tree_cpu_s(), time.monotonic()
    with Peak() as peak:
        arm.act()
    wall_s, cpu_s = time.monotonic() - begun_s, tree_cpu_s() - cpu_s
    return Sample(arm.name, wall_s, cpu_s, peak.mb, arm.answer())
