"""The same graph with its weights as whole numbers of 8 bits: a smaller file, and answers that differ a little.

Weights alone: what a row brings stays in doubles. Some weights on end share a
scale, so that the greatest of them is 127, and each is off by half a scale at
most; whoever opens the graph unfolds them. Weights are what MatMul, Gemm and
Conv multiply by, and the tables of single precision that Gather looks up, which
are the embeddings of nets. Trees have none: they compare, and a rounded
threshold would send rows another way.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipelines.errors import DataError
from pipelines.shap import SAID

SHARE, LEAST = 64, 1_024  # weights of one scale; of a tensor that is worth it
GREATEST = 127  # of 8 bits, to both sides of 0
MULTIPLY = ("MatMul", "Gemm", "Conv")  # by their second input
PASS_ON = ("Cast", "Transpose", "Identity")  # from a weight to what multiplies by it


def quantised(content: bytes) -> bytes:
    """Without what tells the parts of an answer, for those would be parts of the whole graph's answers.

    Errors: DataError where there is nothing to quantise.
    """
    model = onnx.load_model_from_string(content)
    graph = model.graph
    weights = list(_weights(graph))
    if not weights:
        trees = any(node.op_type == "TreeEnsemble" for node in graph.node)
        lacks = "it answers by trees, which compare" if trees else f"it has no matrix of {LEAST:,} weights or more"
        raise DataError(f"{lacks}; there is nothing to quantise, export it as it is")
    named = {tensor.name for tensor in weights}
    kept = [tensor for tensor in graph.initializer if tensor.name not in named]
    _replace(graph.initializer, [*kept, *(part for tensor in weights for part in _parts(tensor))])
    _replace(graph.node, [*(node for tensor in weights for node in _unfolding(tensor)), *graph.node])
    _replace(model.metadata_props, [said for said in model.metadata_props if said.key != SAID])
    made: bytes = model.SerializeToString(deterministic=True)
    return made


def _weights(graph: Any) -> Iterator[Any]:
    """Each tensor once."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    passed = {node.output[0]: node.input[0] for node in graph.node if node.op_type in PASS_ON}
    for node in graph.node:
        name = node.input[1] if node.op_type in MULTIPLY else node.input[0] if node.op_type == "Gather" else ""
        while name in passed:
            name = passed[name]
        kinds = (TensorProto.FLOAT,) if node.op_type == "Gather" else (TensorProto.FLOAT, TensorProto.DOUBLE)
        if name in tensors and tensors[name].data_type in kinds and np.prod(tensors[name].dims) >= LEAST:
            yield tensors.pop(name)


def _parts(tensor: Any) -> list[Any]:
    """Whole numbers and scales, in place of the weights."""
    whole, scales = rounded(numpy_helper.to_array(tensor))
    return [
        numpy_helper.from_array(whole, f"{tensor.name}_whole"),
        numpy_helper.from_array(scales, f"{tensor.name}_scale"),
    ]


def rounded(weights: NDArray[Any]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Whole numbers of the same shape, and the scale of each SHARE of them along the longest side."""
    axis = _longest(weights.shape)
    starts = np.arange(0, weights.shape[axis], SHARE)
    scales = np.maximum.reduceat(np.abs(weights), starts, axis=axis).astype(np.float32) / np.float32(GREATEST)
    each = np.repeat(np.where(scales > 0, scales, 1), SHARE, axis=axis)
    each = np.take(each, np.arange(weights.shape[axis]), axis=axis)
    return np.clip(np.rint(weights / each), -GREATEST, GREATEST).astype(np.int8), scales


def _longest(shape: tuple[int, ...]) -> int:
    return int(np.argmax(shape))


def _unfolding(tensor: Any) -> list[Any]:
    """Nodes that make the weights of their parts, under their own name."""
    single = tensor.name if tensor.data_type == TensorProto.FLOAT else f"{tensor.name}_single"
    parts = [f"{tensor.name}_whole", f"{tensor.name}_scale"]
    axis = _longest(tuple(tensor.dims))
    unfold = helper.make_node("DequantizeLinear", parts, [single], name=f"unfold_{tensor.name}",
                              axis=axis, block_size=SHARE)  # fmt: skip
    widen = helper.make_node("Cast", [single], [tensor.name], name=f"widen_{tensor.name}", to=TensorProto.DOUBLE)
    return [unfold] if single == tensor.name else [unfold, widen]


def _replace(field: Any, values: list[Any]) -> None:
    """The values of a repeated field by others, some of which may be its own."""
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)
