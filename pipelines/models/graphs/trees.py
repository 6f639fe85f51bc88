"""Trees as one node: Spark's, from its tables, and XGBoost's, from its JSON; in doubles, as both are stored.

A leaf says one number. Of classes it says its own number among all leaves,
and what it stands for is looked up: so sums are made in the order of the trees.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pipelines.errors import DataError
from pipelines.models.graphs.draft import ML, Draft, Tensor
from pipelines.models.graphs.stored import Stage
from pipelines.models.trees import AMONG, AT_MOST, BELOW, LEAF, Grown, Tree, grown

SUM = 1
MOST_NODES = 2_000_000  # some 100 MB


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


def of_spark(stage: Stage, classes: bool) -> Grown:
    """Of a stored stage. classes: leaves say their number among all leaves, else the number that they predict."""
    weights: dict[int, float] = {}
    if (stage.folder / "treesMetadata").is_dir():  # Spark stores a number, parameters and a weight, without names
        weights = {number: float(weight) for number, _, weight in (row.values() for row in stage.rows("treesMetadata"))}
    return grown(stage.rows(), weights, classes)


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
