"""Where the stages of a pipeline are drawn: columns from left to right, and the paths between them. Pure.

Columns are those of the kinds, and within one of what is read first; the order in a column is Sugiyama's, so that few
edges cross (Sugiyama, Tagawa, Toda 1981).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

Needs = Mapping[str, tuple[str, ...]]  # node, as tables.flights -> nodes that it reads
Lane = tuple[str, int]  # what runs through a column (a node; 'a>' for what leaves a), and the column
WIDE, HIGH, GAP_X, GAP_Y, TOP = 172, 54, 40, 18, 34  # pixels of a node, between nodes, above them


@dataclass(frozen=True)
class Layout:
    """Upper left corners of boxes, SVG paths between them, a heading over the first column of each kind; in pixels."""

    corners: Mapping[str, tuple[int, int]]
    edges: tuple[tuple[str, str, str], ...]  # from, to, path
    headings: tuple[tuple[int, str], ...]  # x, kind
    width: int
    height: int


def layout(needs: Needs, kinds: Sequence[str]) -> Layout:
    """Of a graph whose nodes say their kind; a long edge keeps a lane free in each column that it crosses."""
    ranks = _ranks(needs, kinds)
    columns = _ordered(*_lanes(needs, ranks))
    tallest = max((len(c) for c in columns), default=0)
    at = {
        lane: (x * (WIDE + GAP_X), TOP + int((y + (tallest - len(column)) / 2) * (HIGH + GAP_Y)))
        for x, column in enumerate(columns)
        for y, lane in enumerate(column)
    }
    corners = {node: at[node, ranks[node]] for node in needs}
    edges = tuple((a, b, _path(a, b, ranks, at)) for b, reads in needs.items() for a in reads)
    first = {kind: [x for node, (x, _) in corners.items() if node.startswith(f"{kind}.")] for kind in kinds}
    heads = tuple((min(found), kind) for kind, found in first.items() if found)
    return Layout(corners, edges, heads, len(columns) * (WIDE + GAP_X) - GAP_X, TOP + tallest * (HIGH + GAP_Y))


def _ranks(needs: Needs, kinds: Sequence[str]) -> dict[str, int]:
    """Node -> column: right of all that it reads, and of every node of an earlier kind."""
    ranks: dict[str, int] = {}
    floor = 0
    for kind in kinds:
        mine = [node for node in needs if node.startswith(f"{kind}.")]
        for node in mine:
            ranks[node] = max([floor, *(ranks.get(a, -1) + 1 for a in needs[node])])
        floor = max([floor, *(ranks[node] + 1 for node in mine)])
    return ranks


def _lanes(needs: Needs, ranks: Mapping[str, int]) -> tuple[list[list[Lane]], dict[Lane, list[Lane]]]:
    """The lanes of each column, and lane -> the lanes that enter it from the left."""
    enters: dict[Lane, list[Lane]] = {(node, rank): [] for node, rank in ranks.items()}
    for node, reads in needs.items():
        for before, lane in (hop for a in reads for hop in pairwise(_trail(a, node, ranks))):
            enters.setdefault(lane, []).append(before)
    return [[lane for lane in enters if lane[1] == i] for i in range(max(ranks.values(), default=-1) + 1)], enters


def _trail(a: str, b: str, ranks: Mapping[str, int]) -> list[Lane]:
    return [(a, ranks[a]), *((f"{a}>", rank) for rank in range(ranks[a] + 1, ranks[b])), (b, ranks[b])]


def _ordered(columns: list[list[Lane]], enters: Mapping[Lane, list[Lane]]) -> list[list[Lane]]:
    """Each column sorted by the mean place of what enters (Sugiyama's barycentre), so that few edges cross."""
    done: list[list[Lane]] = columns[:1]
    for column in columns[1:]:
        place = {lane: i / max(len(done[-1]) - 1, 1) for i, lane in enumerate(done[-1])}
        means = {lane: fmean([place[b] for b in enters.get(lane, ())] or [1]) for lane in column}
        done.append(sorted(column, key=means.__getitem__))
    return done


def _path(a: str, b: str, ranks: Mapping[str, int], at: Mapping[Lane, tuple[int, int]]) -> str:
    """An SVG path from a's right side to b's left side, straight through the lanes kept for it."""
    trail = [at[lane] for lane in _trail(a, b, ranks)]
    half, bend = HIGH // 2, GAP_X // 2
    path = f"M{trail[0][0] + WIDE},{trail[0][1] + half}"
    for (x0, y0), (x1, y1) in pairwise(trail):
        path += f"H{x0 + WIDE}C{x0 + WIDE + bend},{y0 + half} {x1 - bend},{y1 + half} {x1},{y1 + half}"
    return path
