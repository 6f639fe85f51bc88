"""Which rank reads which rows: planned once from one pinned version, the same wherever it is planned.

Row groups are put in an order that seed, version and world size decide, and the
rows of that long line are cut into equal lengths, one a rank; so ranks differ
by one row at most, and share at most one row group with a neighbour. A rank keeps its rows for
the whole training, for then what it has decoded serves every epoch; the epoch
decides the order in which it comes by them. Nothing here reads a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

PART_ROWS = 32_768  # at most, of what is read at once and mixed with others


@dataclass(frozen=True)
class Group:
    """A row group of a file. first: the number of its first row in the file; gone: rows that a deletion vector took."""

    file: str
    number: int
    rows: int
    first: int = 0
    gone: int = 0


@dataclass(frozen=True)
class Part:
    """Rows [first, first + rows) of a row group."""

    group: Group
    first: int
    rows: int

    def held(self, every: int) -> int:
        """How many of them are kept out of training: each `every`-th of its row group; 0: none."""
        return (self.first + self.rows) // every - self.first // every if every else 0


Parts = tuple[Part, ...]


def deal(groups: Sequence[Group], world: int, seed: int, version: int) -> tuple[Parts, ...]:
    """The parts of each rank: every row of every group once; none, where there are fewer rows than ranks."""
    order = np.random.default_rng([seed, version, world]).permutation(len(groups))
    line = [groups[i] for i in order if groups[i].rows]
    ends = [0, *accumulate(g.rows for g in line)]
    whole, parts = ends[-1], tuple[list[Part], ...]([] for _ in range(world))
    bounds = [whole * r // world for r in range(world + 1)]
    rank = 0
    for group, start, end in zip(line, ends[:-1], ends[1:], strict=True):
        at = start
        while at < end:
            while bounds[rank + 1] <= at:
                rank += 1
            upto = min(end, bounds[rank + 1])
            parts[rank].extend(_cut(group, at - start, upto - start))
            at = upto
    return tuple(tuple(each) for each in parts)


def _cut(group: Group, first: int, upto: int) -> list[Part]:
    """Pieces of about equal length, PART_ROWS at most."""
    pieces = -(-(upto - first) // PART_ROWS)
    ends = [first + (upto - first) * i // pieces for i in range(pieces + 1)]
    return [Part(group, a, b - a) for a, b in pairwise(ends)]


def ordered(parts: Parts, seed: int, epoch: int) -> Parts:
    """The order in which a rank comes by its parts in an epoch."""
    return tuple(parts[i] for i in np.random.default_rng([seed, epoch]).permutation(len(parts)))


def trained(parts: Parts, every: int) -> int:
    """Rows of some parts that train."""
    return sum(part.rows - part.held(every) for part in parts)


def steps(dealt: Sequence[Parts], every: int, batch: int) -> int:
    """Steps of an epoch: the same on every rank, as many as the one with the most rows needs.

    batch: rows of a step of one rank, at most.
    """
    return max(1, max(-(-trained(parts, every) // batch) for parts in dealt))


def sizes(rows: int, steps: int) -> list[int]:
    """Rows of each step of a rank: they differ by one at most; 0 only where a rank has fewer rows than steps."""
    ends = [rows * i // steps for i in range(steps + 1)]
    return [b - a for a, b in pairwise(ends)]
