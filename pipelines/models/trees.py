"""Trees as arrays: what graphs are drawn of, and what parts of an answer are asked of; Spark's read from its tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

AT_MOST, BELOW, AMONG = 0, 1, 6  # modes of a split: x <= v, x < v, x is one of some
LEAF = -1


@dataclass
class Tree:
    """Arrays over nodes; the root is the first. `yes` and `no` are nodes; of a leaf `feature` is LEAF."""

    feature: list[int] = field(default_factory=list)
    mode: list[int] = field(default_factory=list)
    split: list[float] = field(default_factory=list)
    among: list[Sequence[float]] = field(default_factory=list)
    yes: list[int] = field(default_factory=list)
    no: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)  # 1 where NaN goes to yes
    leaf: list[float] = field(default_factory=list)  # what a leaf says; of other nodes nothing
    rows: list[float] = field(default_factory=list)  # of the training slice that came by, where that is known

    def add(self, feature: int, mode: int, value: float | Sequence[float], ways: tuple[int, int, int]) -> None:
        """A split; ways: yes, no, whether NaN is a yes."""
        several = isinstance(value, Sequence)
        self.feature.append(feature)
        self.mode.append(mode)
        self.split.append(0.0 if isinstance(value, Sequence) else value)
        self.among.append(value if several else ())  # type: ignore[arg-type]  # `several` says which it is
        for into, way in zip((self.yes, self.no, self.missing), ways, strict=True):
            into.append(way)
        self.leaf.append(0.0)

    def end(self, says: float) -> None:
        """A leaf."""
        self.add(LEAF, AT_MOST, 0.0, (0, 0, 0))
        self.leaf[-1] = says

    @property
    def leaves(self) -> list[int]:
        """The nodes that are leaves, in their order."""
        return [node for node, feature in enumerate(self.feature) if feature == LEAF]

    @property
    def splits(self) -> list[int]:
        """The nodes that are not."""
        return [node for node, feature in enumerate(self.feature) if feature != LEAF]


@dataclass(frozen=True)
class Grown:
    """Spark's trees: beside each its weight, and of all leaves the rows of each class that ended there."""

    trees: tuple[Tree, ...]
    weights: tuple[float, ...]
    stats: NDArray[np.float64]


def grown(rows: Sequence[Mapping[str, Any]], weights: Mapping[int, float], classes: bool) -> Grown:
    """Of the rows of a stage's table. classes: leaves say their number among all leaves, else what they predict.

    weights: by the number of the tree; of a stage that is one tree, {}.
    """
    by_tree: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_tree.setdefault(row["treeID"] if weights else 0, []).append(row["nodeData"] if weights else row)
    stats: list[Any] = []
    found = [_spark(sorted(by_tree[at], key=lambda n: n["id"]), stats, classes) for at in sorted(by_tree)]
    said = tuple(weights[at] for at in sorted(by_tree)) if weights else (1.0,)
    return Grown(tuple(found), said, np.array(stats, dtype=np.float64))


def _spark(nodes: Sequence[Mapping[str, Any]], stats: list[Any], classes: bool) -> Tree:
    """Nodes by their number, the root first."""
    tree, place = Tree(), {node["id"]: at for at, node in enumerate(nodes)}
    for node in nodes:
        tree.rows.append(float(node["rawCount"]))
        if node["leftChild"] < 0:
            tree.end(len(stats) if classes else node["prediction"])
            stats.append(node["impurityStats"])
            continue
        split, ways = node["split"], (place[node["leftChild"]], place[node["rightChild"]], 0)
        left = [float(v) for v in split["leftCategoriesOrThreshold"]]
        if split["numCategories"] == -1:
            tree.add(split["featureIndex"], AT_MOST, left[0], ways)
        else:
            tree.add(split["featureIndex"], AMONG, left, ways)
    return tree
