"""Weights of 8 bits: how far a product may be off, what is left as it is, and what has nothing to quantise."""

import json

import numpy as np
import onnx
import pytest
from online import graph

from pipelines import shap
from pipelines.errors import DataError
from pipelines.models.graphs import quantised
from pipelines.models.graphs.draft import ML, Draft, Tensor
from pipelines.models.graphs.trees import forest
from pipelines.models.graphs.weights import rounded
from pipelines.models.trees import AT_MOST, Tree
from pipelines.onnx import Graph
from pipelines.signature import SAID

pytestmark = pytest.mark.spark
DICE = np.random.default_rng(7)


def wide(weights, said=None) -> bytes:
    """A graph of one number x, whose score is 1 x weights + 0.5, for a row of so many ones times x."""
    draft = Draft()
    ones = draft.constant(np.ones((1, len(weights))))
    x = draft.op("MatMul", draft.matrix(draft.feature("x", "number")), ones, made=Tensor("", "double", len(weights)))
    product = draft.op("MatMul", x, draft.constant(weights), made=Tensor("", "double", weights.shape[-1]))
    return draft.finished({"score": draft.op("Add", product, draft.constant(0.5))}, said or {})


def test_a_weight_is_off_by_half_a_scale_and_the_greatest_by_nothing():
    weights = np.zeros((130, 2))
    weights[:64, 0] = np.linspace(-2.54, 2.54, 64)  # a scale of 0.02
    weights[64:128, 0] = 1000.0  # one of its own
    weights[129, 0] = -1.27
    weights[5, 1] = 0.3

    whole, scales = rounded(weights)

    assert whole.dtype == np.int8 and scales == pytest.approx(np.array([[0.02, 0.3 / 127], [1000 / 127, 0], [0.01, 0]]))
    assert [*whole[[0, 63, 64, 128, 129], 0]] == [-127, 127, 127, 0, -127]
    unfolded = whole * np.repeat(scales, 64, axis=0)[:130]
    assert np.abs(unfolded - weights)[:64, 0].max() <= 0.01 + 1e-7
    assert unfolded[64:] == pytest.approx(weights[64:], rel=1e-6) and unfolded[5, 1] == pytest.approx(0.3)


@pytest.mark.parametrize("shape", [(2000, 3), (1500,), (40, 1100)], ids=str)
def test_a_quantised_graph_is_smaller_and_its_product_off_by_what_its_weights_are(shape):
    weights = DICE.standard_normal(shape)
    full = wide(weights)

    small = quantised(full)

    whole, scales = rounded(weights)
    axis = int(np.argmax(shape))
    unfolded = whole * np.take(np.repeat(scales, 64, axis=axis), range(shape[axis]), axis=axis)
    found = Graph.opened(small).score({"x": [0.0, 1.0]})["score"]
    assert found[1] == pytest.approx(unfolded.sum(axis=0) + 0.5, abs=1e-4)
    assert np.abs(found[1] - Graph.opened(full).score({"x": [1.0]})["score"][0]).max() > 1e-4
    assert np.all(found[0] == 0.5)
    assert len(small) < len(full) - 6 * weights.size


def test_embeddings_are_quantised_and_small_tensors_are_not():
    draft, table = Draft(), DICE.standard_normal((700, 4)).astype(np.float32)
    kind = draft.cast(draft.feature("x", "number"), "int64")
    found = draft.cast(draft.gathered(table, kind, "float"), "double")
    few = draft.op("MatMul", found, draft.constant(np.ones((4, 255))), made=Tensor("", "double", 255))
    content = draft.finished({"score": few}, {})

    small = quantised(content)

    types = {tensor.name: tensor.data_type for tensor in onnx.load_model_from_string(small).graph.initializer}
    assert list(types.values()).count(onnx.TensorProto.INT8) == 1 and onnx.TensorProto.DOUBLE in types.values()
    rows = {"x": [0.0, 699.0]}
    apart = Graph.opened(small).score(rows)["score"] - Graph.opened(content).score(rows)["score"]
    assert 0 < np.abs(apart).max() < 4 * np.abs(table).max() / 127


def test_it_keeps_its_signature_and_tells_no_parts():
    small = Graph.opened(quantised(wide(np.ones((1024, 1)), {SAID: json.dumps({"task": "binary"}), shap.SAID: "{}"})))

    assert small.said == {SAID: '{"task": "binary"}'}


def test_what_has_nothing_to_quantise_is_refused():
    draft, tree = Draft(), Tree()
    tree.add(0, AT_MOST, 3.0, (1, 2, 1))
    tree.end(0.25)
    tree.end(0.75)
    x = draft.matrix(draft.feature("x", "number"))
    assert ML in {node.domain for node in onnx.load_model_from_string(trees(draft, x, tree)).graph.node}

    with pytest.raises(DataError, match=r"^it answers by trees, which compare; there is nothing to quantise"):
        quantised(trees(draft, x, tree))
    with pytest.raises(DataError, match=r"^it has no matrix of 1,024 weights or more; there is nothing to quantise"):
        quantised(graph())


def trees(draft: Draft, x: Tensor, tree: Tree) -> bytes:
    return draft.finished({"score": forest(draft, x, [tree], [0])}, {})
