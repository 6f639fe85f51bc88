"""Pairs of features beside a net, by numpy and as a graph: what a factorization machine adds."""

from itertools import combinations

import numpy as np
import pytest

from pipelines.deep.design import Design, outputs
from pipelines.models.graphs import nets
from pipelines.models.graphs.draft import Draft, Tensor
from pipelines.onnx import Graph
from pipelines.spec.task import FEATURES

KINDS = ((1, 3), (2, 4))


def weighed(design: Design) -> dict[str, np.ndarray]:
    dice = np.random.default_rng(3)
    return {name: dice.standard_normal(shape).astype(np.float32) for name, shape in design.weights.items()}


def designed(numbers: tuple[int, ...], **options: object) -> Design:
    return Design("multiclass", numbers, KINDS, (4,), 2, factors=3, **options)  # type: ignore[arg-type]


def vectors(rows: int) -> np.ndarray:
    dice = np.random.default_rng(4)
    return np.column_stack([dice.standard_normal(rows), dice.integers(0, 3, rows), dice.integers(0, 5, rows)])


def test_pairs_are_products_of_vectors():
    # one number of 2 with the slope (1, 3), one category whose value 1 has the vector (5, -1): 2*1*5 and 2*3*-1
    design = Design("regression", (0,), ((1, 2),), (1,), 1, factors=2)
    weights = {name: np.zeros(shape, np.float32) for name, shape in design.weights.items()}
    weights |= {"slopes.weight": np.array([[1], [3]], np.float32), "pairs.weight": np.array([[1, 10]], np.float32)}
    weights["factors.0.weight"] = np.array([[9, 9], [5, -1]], np.float32)

    assert outputs(design, weights, np.array([[2.0, 1.0]])).tolist() == [[10.0 - 60.0]]


def test_each_pair_counts_once():
    design, x = designed((0,)), vectors(20)
    weights = weighed(design)
    plain = outputs(Design("multiclass", (0,), KINDS, (4,), 2), weights, x).astype(np.float64)

    found = outputs(design, weights, x) - plain

    for row, of in zip(x, found, strict=True):
        kinds = [weights[f"factors.{i}.weight"][min(int(row[at]), n - 1)] for i, (at, n) in enumerate(KINDS)]
        pairs = sum(a * b for a, b in combinations([row[0] * weights["slopes.weight"][:, 0], *kinds], 2))
        assert of == pytest.approx(weights["pairs.weight"] @ pairs, abs=1e-5)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("numbers", [(0,), ()])
def test_a_graph_has_the_pairs_that_numpy_has(numbers, wide):
    design, x = designed(numbers, wide=wide), vectors(50)
    weights = weighed(design)
    draft = Draft()
    columns = [draft.matrix(draft.feature(f"x{i}", "number")) for i in range(3)]
    draft.offers(FEATURES, lambda: draft.op("Concat", *columns, made=Tensor("", "double", 3), axis=1))

    made = Graph.opened(draft.finished({"found": nets._outputs(draft, design, weights)}, {}))

    found = made.score({f"x{i}": x[:, i] for i in range(3)})["found"]
    assert found == pytest.approx(outputs(design, weights, x), abs=1e-5)
    assert np.abs(found - outputs(Design("multiclass", numbers, KINDS, (4,), 2, wide), weights, x)).max() > 0.1
