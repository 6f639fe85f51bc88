"""Trees as one node: Spark's, from its tables, and XGBoost's, from its JSON; in doubles, as both are stored.

A leaf says one number. Of classes it says its own number among all leaves,
and what it stands for is looked up: so sums are made in the order of the trees.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pipelines.errors import DataError
from pipelines.models.graphs.draft import ML, Draft, Tensor
from pipelines.models.graphs.stored import Stage

AT_MOST, BELOW, AMONG = 0, 1, 6  # modes of a split: x <= v, x < v, x is one of some
SUM = 1
LEAF = -1
MOST_NODES = 2_000_000  # some 100 MB


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


@dataclass
class _Flat:
    """The attributes of the node, over all trees."""

    attributes: dict[str, list[Any]]
    splits: list[float]
    modes: list[int]
    members: list[float]
    weights: list[float]


def forest(draft: Draft, x: Tensor, trees: Sequence[Tree], targets: Sequence[int]) -> Tensor:
    """Sums of leaves, a place for each target; the target of a tree is that of `targets`, and 0 is one of them."""
    nodes = sum(len(tree.feature) for tree in trees)
    if nodes > MOST_NODES:
        raise DataError(f"{len(trees):,} trees of {nodes:,} nodes; a graph has at most {MOST_NODES:,}")
    width = max(targets) + 1
    flat = _Flat({name: [] for name in _LISTS}, [], [], [], [])
    for tree, target in zip(trees, targets, strict=True):
        _append(flat, tree, target)
    lists: dict[str, Any] = dict(flat.attributes)
    if flat.members:
        lists["membership_values"] = _doubles("members", flat.members)
    return draft.op(
        "TreeEnsemble", x, made=Tensor("", "double", width), domain=ML, aggregate_function=SUM, n_targets=width,
        post_transform=0, nodes_splits=_doubles("splits", flat.splits), leaf_weights=_doubles("leaves", flat.weights),
        nodes_modes=helper.make_tensor("modes", TensorProto.UINT8, [len(flat.modes)], flat.modes), **lists,
    )  # fmt: skip


_LISTS = (
    "tree_roots", "nodes_featureids", "nodes_truenodeids", "nodes_trueleafs", "nodes_falsenodeids",
    "nodes_falseleafs", "nodes_missing_value_tracks_true", "leaf_targetids",
)  # fmt: skip


def _append(flat: _Flat, tree: Tree, target: int) -> None:
    """Nodes and leaves have numbers of their own; a tree of one leaf is a split with that on both sides."""
    if tree.feature[0] == LEAF:
        only = Tree()
        only.add(0, AT_MOST, 0.0, (1, 2, 1))
        only.end(tree.leaf[0])
        only.end(tree.leaf[0])
        tree = only
    numbers, lists = _numbers(tree, len(flat.splits), len(flat.weights)), flat.attributes
    lists["tree_roots"].append(len(flat.splits))
    for at, feature in enumerate(tree.feature):
        if feature == LEAF:
            lists["leaf_targetids"].append(target)
            flat.weights.append(tree.leaf[at])
            continue
        lists["nodes_featureids"].append(feature)
        flat.modes.append(tree.mode[at])
        flat.splits.append(tree.split[at])
        flat.members += [*tree.among[at], float("nan")] if tree.mode[at] == AMONG else []
        lists["nodes_missing_value_tracks_true"].append(tree.missing[at])
        for side, way in (("true", tree.yes[at]), ("false", tree.no[at])):
            lists[f"nodes_{side}nodeids"].append(numbers[way])
            lists[f"nodes_{side}leafs"].append(int(tree.feature[way] == LEAF))


def _numbers(tree: Tree, node: int, leaf: int) -> list[int]:
    """The number of each node among nodes, or among leaves."""
    found = []
    for feature in tree.feature:
        ends = feature == LEAF
        found.append(leaf if ends else node)
        node, leaf = node + (not ends), leaf + ends
    return found


def _doubles(name: str, values: Sequence[float]) -> Any:
    return helper.make_tensor(name, TensorProto.DOUBLE, [len(values)], list(values))


def looked_up(draft: Draft, x: Tensor, trees: Sequence[Tree], table: NDArray[np.float64]) -> Tensor:
    """Rows x trees x places: of each tree the row of `table` that its leaf names."""
    leaves = forest(draft, x, trees, range(len(trees)))
    found = draft.gathered(table, leaves)
    return Tensor(found.name, "double", table.shape[1])


@dataclass(frozen=True)
class Grown:
    """Spark's trees: beside each its weight, and of all leaves the rows of each class that ended there."""

    trees: tuple[Tree, ...]
    weights: tuple[float, ...]
    stats: NDArray[np.float64]


def grown(stage: Stage, classes: bool) -> Grown:
    """Of a stored stage. classes: leaves say their number among all leaves, else the number that they predict."""
    several = (stage.folder / "treesMetadata").is_dir()
    by_tree: dict[int, list[Mapping[str, Any]]] = {}
    for row in stage.rows():
        by_tree.setdefault(row["treeID"] if several else 0, []).append(row["nodeData"] if several else row)
    weights = {0: 1.0}
    if several:  # Spark stores a number, parameters and a weight of each, without names
        weights = {number: float(weight) for number, _, weight in (row.values() for row in stage.rows("treesMetadata"))}
    stats: list[Any] = []
    found = [_spark(sorted(by_tree[at], key=lambda n: n["id"]), stats, classes) for at in sorted(by_tree)]
    return Grown(tuple(found), tuple(weights[at] for at in sorted(by_tree)), np.array(stats, dtype=np.float64))


def _spark(nodes: Sequence[Mapping[str, Any]], stats: list[Any], classes: bool) -> Tree:
    """Nodes by their number, the root first."""
    tree, place = Tree(), {node["id"]: at for at, node in enumerate(nodes)}
    for node in nodes:
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


@dataclass(frozen=True)
class Boosted:
    """A booster: trees, the output that each adds to, and what is there before the first."""

    trees: tuple[Tree, ...]
    outputs: tuple[int, ...]
    base: tuple[float, ...]  # one for each output, before the link
    objective: str


def boosted(stage: Stage) -> Boosted:
    """Of a stored booster; XGBoost compares and adds in single precision."""
    learner = json.loads(stage.text("model"))["learner"]
    model, said = learner["gradient_booster"]["model"], learner["learner_model_param"]
    outputs = max(int(said["num_class"]), int(said["num_target"]), 1)
    base = np.atleast_1d(np.asarray(json.loads(said["base_score"]), dtype=np.float64))
    objective = learner["objective"]["name"]
    if objective == "binary:logistic":
        base = np.log(base / (1 - base))
    trees = tuple(_xgboost(tree) for tree in model["trees"])
    return Boosted(trees, tuple(model["tree_info"]), tuple(float(b) for b in np.broadcast_to(base, outputs)), objective)


def _xgboost(found: Mapping[str, Any]) -> Tree:
    tree = Tree()
    columns = ("left_children", "right_children", "split_indices", "split_conditions", "default_left")
    for left, right, feature, value, missing in zip(*(found[c] for c in columns), strict=True):
        value = float(np.float32(value))
        if left == -1:
            tree.end(value)
        else:
            tree.add(feature, BELOW, value, (left, right, missing))
    return tree
