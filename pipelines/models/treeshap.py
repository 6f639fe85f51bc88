"""Any trees as a booster in XGBoost's own form, so that its TreeSHAP tells the parts of what they answer."""

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from pipelines.models.trees import AMONG, AT_MOST, LEAF, Tree
from pipelines.shap import Matrix, Trees

Splits = Mapping[int, Matrix]  # of a feature, in their order
SOFTMAX = {"name": "multi:softprob"}  # of any objective the parts are those before its link
SQUARED = {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}}
NO_PARENT = 2**31 - 1


def written(trees: Sequence[Tree], says: Matrix, width: int) -> Trees:
    """As a booster over so many places. says: leaves of all trees, in their order, by outputs."""
    splits = _splits(trees)
    return Trees(json.dumps(_model(trees, says, splits, width)), splits)


def _categories(trees: Sequence[Tree]) -> set[int]:
    return {f for tree in trees for f, mode in zip(tree.feature, tree.mode, strict=True) if mode == AMONG}


def _splits(trees: Sequence[Tree]) -> Splits:
    found: dict[int, set[float]] = {}
    for tree in trees:
        for node in tree.splits:
            if tree.mode[node] == AT_MOST:
                found.setdefault(tree.feature[node], set()).add(tree.split[node])
    return {feature: np.array(sorted(at)) for feature, at in found.items()}


def _model(trees: Sequence[Tree], says: Matrix, splits: Splits, width: int) -> Mapping[str, Any]:
    """XGBoost's JSON. A tree stands there once for each output."""
    outputs, first = says.shape[1], accumulate((len(tree.leaves) for tree in trees), initial=0)
    made = [
        _tree(tree, says[at:, output].tolist(), splits, {"num_feature": str(width)})
        for tree, at in zip(trees, first, strict=False)
        for output in range(outputs)
    ]
    sizes = {"num_trees": str(len(made)), "num_parallel_tree": "1"}
    forest = {
        "gbtree_model_param": sizes, "iteration_indptr": list(range(0, len(made) + 1, outputs)),
        "tree_info": list(range(outputs)) * len(trees), "trees": [{"id": at, **tree} for at, tree in enumerate(made)],
    }  # fmt: skip
    classes, among = {"num_class": str(outputs if outputs > 1 else 0)}, _categories(trees)
    kinds = ["c" if place in among else "q" for place in range(width)]
    sizes = {"base_score": "0E0", "boost_from_average": "0", "num_feature": str(width), "num_target": "1", **classes}
    objective = {**SOFTMAX, "softmax_multiclass_param": classes} if outputs > 1 else SQUARED
    learner = {
        "attributes": {}, "feature_names": [], "feature_types": kinds, "learner_model_param": sizes,
        "gradient_booster": {"name": "gbtree", "model": forest}, "objective": objective,
    }  # fmt: skip
    return {"version": [3, 0, 0], "learner": learner}


def _beside(tree: Tree) -> tuple[list[int], dict[int, tuple[int, int]]]:
    """Nodes in XGBoost's order, the right one of a split just after the left; place of a split -> places of both.

    Numbers that are a yes go left, categories that are a yes go right.
    """
    order, ways = [0], dict[int, tuple[int, int]]()
    for place, node in enumerate(order):  # which grows
        if tree.feature[node] != LEAF:
            ways[place] = len(order), len(order) + 1
            sides = tree.yes[node], tree.no[node]
            order.extend(reversed(sides) if tree.mode[node] == AMONG else sides)
    return order, ways


def _tree(tree: Tree, says: Sequence[float], splits: Splits, sizes: Mapping[str, str]) -> Mapping[str, Any]:
    leaf = dict(zip(tree.leaves, says, strict=False))
    order, ways = _beside(tree)
    nodes, nothing = range(len(order)), [0.0] * len(order)
    parents = [NO_PARENT] * len(order)
    for place, (left, right) in ways.items():
        parents[left] = parents[right] = place
    among = [place for place in ways if tree.mode[order[place]] == AMONG]
    members = [[int(value) for value in tree.among[order[place]]] for place in among]
    by_category = [int(tree.mode[n] == AMONG and n not in leaf) for n in order]
    said = [float(leaf[n]) if n in leaf else _below(tree, n, splits) for n in order]
    return {
        "tree_param": {**sizes, "num_deleted": "0", "num_nodes": str(len(order)), "size_leaf_vector": "1"},
        "left_children": [ways.get(p, (-1, -1))[0] for p in nodes],
        "right_children": [ways.get(p, (-1, -1))[1] for p in nodes],
        "parents": parents,
        "split_indices": [tree.feature[n] if n not in leaf else 0 for n in order],
        "split_conditions": said,
        "split_type": by_category,
        "default_left": by_category,
        "sum_hessian": [tree.rows[n] for n in order], "base_weights": nothing, "loss_changes": nothing,
        "categories": [value for each in members for value in each],
        "categories_nodes": among,
        "categories_segments": list(accumulate(map(len, members), initial=0))[:-1],
        "categories_sizes": list(map(len, members)),
    }  # fmt: skip


def _below(tree: Tree, node: int, splits: Splits) -> float:
    """Half a rank above that of the split; nothing of categories."""
    if tree.mode[node] == AMONG:
        return 0.0
    return float(np.searchsorted(splits[tree.feature[node]], tree.split[node])) + 0.5
