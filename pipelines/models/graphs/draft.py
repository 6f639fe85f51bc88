"""A graph while it is drawn. A column is made when it is first asked for, so what no answer needs is not in it.

Numbers are doubles, missing is NaN; a column is a vector of rows, or a matrix
of rows and places.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

from pipelines.errors import DataError
from pipelines.onnx import OPSET

ML, CONTRIB = "ai.onnx.ml", "com.microsoft"  # trees and texts; what onnxruntime brings beside the standard
OPSETS = {"": OPSET, ML: 5, CONTRIB: 1}
IR = 10
ELEMENTS = {
    "double": TensorProto.DOUBLE, "float": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL,
    "string": TensorProto.STRING, "int32": TensorProto.INT32, "uint32": TensorProto.UINT32,
}  # fmt: skip
_ELEMENT_NAMES = {number: name for name, number in ELEMENTS.items()}
ENTERS = {"number": "double", "category": "string", "text": "string", "time": "int64"}  # by the kind of a feature


@dataclass(frozen=True)
class Tensor:
    """A value of the graph. `places`: of a row; 0 of a vector."""

    name: str
    type: str = "double"
    places: int = 0


class Draft:
    """Nodes, constants, inputs, and columns that can be asked for."""

    def __init__(self) -> None:
        self.inputs: dict[str, str] = {}  # feature -> kind, in the order in which they were first read
        self._nodes: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Tensor] = {}
        self._initializers: list[Any] = []
        self._makers: dict[str, Callable[[], Tensor]] = {}
        self._made: dict[str, Tensor] = {}

    def offers(self, column: str, make: Callable[[], Tensor]) -> None:
        """A column that a stage makes."""
        self._makers[column] = make

    def has(self, column: str) -> bool:
        """True where a stage makes it."""
        return column in self._makers

    def column(self, name: str) -> Tensor:
        """What a stage makes, made once. Errors: DataError where none does."""
        if name not in self._makers:
            raise DataError(f"no stage makes {name}")
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def feature(self, name: str, kind: str) -> Tensor:
        """A column of the feature table, as an input. Errors: DataError where it is read as two kinds."""
        if self.inputs.setdefault(name, kind) != kind:
            raise DataError(f"feature {name} is read as {self.inputs[name]} and as {kind}")
        return Tensor(name, ENTERS[kind])

    def constant(self, value: Any, type: str = "double") -> Tensor:
        """A number, a text, or an array of them; the same one is stored once."""
        array: NDArray[Any] = np.asarray(value, dtype=helper.tensor_dtype_to_np_dtype(ELEMENTS[type]))
        key = (type, array.shape, repr(array.tolist()).encode() if type == "string" else array.tobytes())
        if key not in self._constants:
            made = Tensor(f"constant_{len(self._constants)}", type, array.shape[-1] if array.ndim > 1 else 0)
            self._constants[key] = made
            self._initializers.append(_tensor(made.name, array, type))
        return self._constants[key]

    def op(self, kind: str, *inputs: Tensor, made: Tensor | None = None, domain: str = "", **attributes: Any) -> Tensor:
        """A node; what it makes is of the type and places of `made`, or of its first input."""
        like = made or inputs[0]
        out = Tensor(f"{kind.lower()}_{len(self._nodes)}", like.type, like.places)
        names = [t.name for t in inputs]
        self._nodes.append(helper.make_node(kind, names, [out.name], name=out.name, domain=domain, **attributes))
        return out

    def within(self, content: bytes, inputs: Mapping[str, Tensor], output: str, made: Tensor) -> Tensor:
        """One output of another graph over values of this one, its nodes beside ours.

        Errors: DataError where it has operators that this one has in another version.
        """
        model = compose.add_prefix(onnx.load_model_from_string(content), f"within_{len(self._nodes)}_")
        for opset in model.opset_import:
            if OPSETS.get(opset.domain or "") != opset.version:
                raise DataError(f"a graph of opset {opset.version} does not fit into one of {OPSETS.get(opset.domain)}")
        ports = {port.name.split("_", 2)[2]: port for port in (*model.graph.input, *model.graph.output)}
        for name, value in inputs.items():
            fed = self.cast(value, _ELEMENT_NAMES[ports[name].type.tensor_type.elem_type])
            self._nodes.append(
                helper.make_node("Identity", [fed.name], [ports[name].name], name=f"to_{ports[name].name}")
            )
        self._nodes.extend(model.graph.node)
        self._initializers.extend(model.graph.initializer)
        port = ports[output]
        return Tensor(port.name, _ELEMENT_NAMES[port.type.tensor_type.elem_type], made.places)

    def cast(self, value: Tensor, type: str) -> Tensor:
        """The same values of another type."""
        if value.type == type:
            return value
        return self.op("Cast", value, made=Tensor("", type, value.places), to=ELEMENTS[type])

    def matrix(self, vector: Tensor) -> Tensor:
        """A vector as a matrix of one place."""
        if vector.places:
            return vector
        return self.op("Unsqueeze", vector, self.constant([1], "int64"), made=Tensor("", vector.type, 1))

    def gathered(self, table: Any, index: Tensor, type: str = "double") -> Tensor:
        """Rows of a table, or items of a list, by their number."""
        rows = self.constant(table, type)
        return self.op("Gather", rows, self.cast(index, "int64"), made=Tensor("", type, rows.places), axis=0)

    def made(self, name: str) -> Tensor | None:
        """A column that some answer hangs on."""
        return self._made.get(name)

    def finished(self, answers: Mapping[str, Tensor], said: Mapping[str, str]) -> bytes:
        """The graph with its answers by name, and what is said beside it."""
        nodes = [helper.make_node("Identity", [t.name], [name], name=f"to_{name}") for name, t in answers.items()]
        inputs = [helper.make_tensor_value_info(n, ELEMENTS[ENTERS[k]], ["rows"]) for n, k in self.inputs.items()]
        outputs = [helper.make_tensor_value_info(n, ELEMENTS[t.type], _shape(t)) for n, t in answers.items()]
        graph = helper.make_graph([*self._nodes, *nodes], "lakeloom", inputs, outputs, self._initializers)
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR, producer_name="lakeloom")
        helper.set_model_props(model, dict(said))
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def with_said(content: bytes, said: Mapping[str, str]) -> bytes:
    """A graph with more said beside it."""
    model = onnx.load_model_from_string(content)
    for key, value in said.items():
        model.metadata_props.add(key=key, value=value)
    found: bytes = model.SerializeToString(deterministic=True)
    return found


def _shape(tensor: Tensor) -> list[str | int]:
    return ["rows", tensor.places] if tensor.places else ["rows"]


def _tensor(name: str, array: NDArray[Any], type: str) -> Any:
    if type == "string":
        texts = np.array([str(text).encode() for text in array.reshape(-1)], dtype=np.object_)
        return helper.make_tensor(name, TensorProto.STRING, array.shape, texts)
    return numpy_helper.from_array(array, name)
