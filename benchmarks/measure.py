"""Measuring on a small shared machine: pairs in one run, two clocks, the same answer first, no verdict from noise.

Two arms alternate A B, B A, A B ... after warm-ups. Each pair gives one ratio,
peer / ours, so that above 1 ours is cheaper; what counts is the median of the
ratios with their range, never a ratio of two medians. A pair whose answers
differ fails the run; a pair that others disturbed is dropped and counted. To
measure something new, describe it as a Contest in a file b<NN>_<name>.py.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.machine import Noise, Peak, glance, noise_between, tree_cpu_s
from pipelines.errors import DataError

MOST_DROPPED = 0.30  # of the pairs; above it there is no verdict


@dataclass(frozen=True)
class Answer:
    """What an arm made: rows and an order-independent hash; the two arms of a pair agree on both."""

    rows: int
    hash: str


@dataclass(frozen=True)
class Arm:
    """One way to do the work; only `act` is measured."""

    name: str
    prepare: Callable[[], None]
    act: Callable[[], None]
    answer: Callable[[], Answer]


@dataclass(frozen=True)
class Contest:
    """Ours against each peer on one size, and against itself: the A/A control."""

    bench: str
    size: str
    ours: Arm
    peers: tuple[Arm, ...]
    pairs: int
    warmups: int
    control_pairs: int


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
    """Ours and the peer, one right after the other."""

    ours: Sample
    peer: Sample
    noise: Noise


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
    for arm in (ours, peer) * warmups:
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


def _ratio(values: Sequence[float]) -> Ratio:
    return Ratio(median(values), min(values), max(values))


def _pair(ours: Arm, peer: Arm, peer_first: bool) -> Pair:
    before = glance()
    samples = [_sample(arm) for arm in ((peer, ours) if peer_first else (ours, peer))]
    noise = noise_between(before, glance())
    mine, theirs = reversed(samples) if peer_first else samples
    if mine.answer != theirs.answer:
        raise DataError(f"{mine.arm} made {_said(mine.answer)}, but {theirs.arm} made {_said(theirs.answer)}")
    return Pair(mine, theirs, noise)


def _said(answer: Answer) -> str:
    return f"{answer.rows} rows with hash {answer.hash}"


def _sample(arm: Arm) -> Sample:
    arm.prepare()
    cpu_s, begun_s = tree_cpu_s(), time.monotonic()
    with Peak() as peak:
        arm.act()
    wall_s, cpu_s = time.monotonic() - begun_s, tree_cpu_s() - cpu_s
    return Sample(arm.name, wall_s, cpu_s, peak.mb, arm.answer())
