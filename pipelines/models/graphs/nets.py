"""A net as nodes: what pipelines/deep/design.py works out by numpy, in the same order and precision.

Weights are stored in single precision, as they were trained, and widened when
they are used; outputs are rounded to single precision before they become
answers, as the model does.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from safetensors.numpy import load

from pipelines.deep.design import INPUT, OUTPUT, Design
from pipelines.errors import DataError
from pipelines.models.graphs.draft import Draft, Tensor
from pipelines.models.graphs.learning import probability
from pipelines.models.graphs.stored import Stage
from pipelines.spec.task import FEATURES, PREDICTION

Weights = dict[str, Any]


def net(draft: Draft, stage: Stage) -> None:
    """NetModel: embeddings, layers, and the straight line and the pairs beside them."""
    design = Design.of(stage.said["design"])
    if design.picture:
        raise DataError("a net of pictures has no node in a graph: it reads files, not numbers")
    content = (stage.folder / design.file).read_bytes()

    def found() -> Tensor:
        if design.module:
            return draft.cast(_own(draft, content, design), "double")
        return _rounded(draft, _outputs(draft, design, load(content)))

    if design.goal == "regression":
        draft.offers(PREDICTION, lambda: _number(draft, design, found()))
        return
    probability(draft, lambda: _shares(draft, design, found()))


def is_own(stage: Stage) -> bool:
    """True of a net that a team has made."""
    return stage.kind == "NetModel" and bool(Design.of(stage.said["design"]).module)


def _own(draft: Draft, content: bytes, design: Design) -> Tensor:
    """A team's own net: its graph within this one."""
    made = Tensor("", "", design.outputs)
    return draft.cast(draft.within(content, {INPUT: draft.column(FEATURES)}, OUTPUT, made), "float")


def _outputs(draft: Draft, design: Design, weights: Weights) -> Tensor:
    vector = draft.column(FEATURES)
    numbers = _places(draft, vector, design.numbers)
    kinds = [_kind(draft, vector, at, values) for at, values in design.categories]
    embedded = [_looked_up(draft, weights[f"embeddings.{i}.weight"], kind) for i, kind in enumerate(kinds)]
    made = Tensor("", "double", design.layers[0][0])
    read = _read(draft, design, weights, vector) if design.sequences else []
    found = draft.op("Concat", *([numbers] if design.numbers else []), *embedded, *read, made=made, axis=1)
    last = len(design.layers) - 1
    for i in range(last + 1):
        found = _times(draft, found, weights[f"layers.{i}.weight"])
        found = draft.op("Add", found, _wide(draft, weights[f"layers.{i}.bias"]))
        found = found if i == last else draft.op("Relu", found)
    if design.wide:
        found = draft.op("Add", found, _times(draft, numbers, weights["line.weight"])) if design.numbers else found
        for i, kind in enumerate(kinds):
            found = draft.op("Add", found, _looked_up(draft, weights[f"steps.{i}.weight"], kind))
    return draft.op("Add", found, _paired(draft, design, weights, numbers, kinds)) if design.factors else found


def _read(draft: Draft, design: Design, weights: Weights, vector: Tensor) -> list[Tensor]:
    """Of the sequences what each filter finds: the most, and the last."""
    bias, found = _wide(draft, weights["glance.bias"]), []
    for places in design.glances:
        seen = _times(draft, _places(draft, vector, places), weights["glance.weight"])
        found.append(draft.op("Relu", draft.op("Add", seen, bias)))
    return [draft.op("Max", *found), found[-1]]


def _paired(draft: Draft, design: Design, weights: Weights, numbers: Tensor, kinds: Sequence[Tensor]) -> Tensor:
    """What all pairs of features add: half of the square of the sum less the sum of squares."""
    vectors = [_looked_up(draft, weights[f"factors.{i}.weight"], kind) for i, kind in enumerate(kinds)]
    squares = [draft.op("Mul", each, each) for each in vectors]
    if design.numbers:
        slopes = weights["slopes.weight"]
        vectors.append(_times(draft, numbers, slopes))
        squares.append(_times(draft, draft.op("Mul", numbers, numbers), slopes.astype(np.float64) ** 2))
    whole = draft.op("Sum", *vectors)
    apart = draft.op("Sub", draft.op("Mul", whole, whole), draft.op("Sum", *squares))
    return _times(draft, draft.op("Mul", apart, draft.constant(0.5)), weights["pairs.weight"])


def _places(draft: Draft, vector: Tensor, places: tuple[int, ...]) -> Tensor:
    made = Tensor("", "double", len(places))
    return draft.op("Gather", vector, draft.constant(places, "int64"), made=made, axis=1)


def _kind(draft: Draft, vector: Tensor, at: int, values: int) -> Tensor:
    """The value of a category by its number; one beyond the last counts as that one."""
    place = draft.op("Gather", vector, draft.constant(at, "int64"), made=Tensor(""), axis=1)
    whole = draft.cast(place, "int64")
    least = draft.op("Max", whole, draft.constant(0, "int64"))
    return draft.op("Min", least, draft.constant(values - 1, "int64"))


def _looked_up(draft: Draft, table: Any, kind: Tensor) -> Tensor:
    return draft.cast(draft.gathered(table, kind, "float"), "double")


def _times(draft: Draft, x: Tensor, weight: Any) -> Tensor:
    turned = _wide(draft, np.ascontiguousarray(weight.T))
    return draft.op("MatMul", x, turned, made=Tensor("", "double", len(weight)))


def _wide(draft: Draft, weight: Any) -> Tensor:
    """Stored as it is, single or double; used as double."""
    return draft.cast(draft.constant(weight, "float" if weight.dtype == np.float32 else "double"), "double")


def _rounded(draft: Draft, found: Tensor) -> Tensor:
    return draft.cast(draft.cast(found, "float"), "double")


def _number(draft: Draft, design: Design, found: Tensor) -> Tensor:
    scaled = draft.op("Mul", found, draft.constant(design.scale))
    whole = draft.op("Add", scaled, draft.constant(design.offset))
    return draft.op("Squeeze", whole, draft.constant([1], "int64"), made=Tensor(""))


def _shares(draft: Draft, design: Design, found: Tensor) -> Tensor:
    if design.goal == "binary":
        half = draft.op("Mul", found, draft.constant(0.5))
        found = draft.op("Concat", draft.op("Neg", half), half, made=Tensor("", "double", 2), axis=1)
    return draft.op("Softmax", found, axis=1)


NETS: dict[str, Callable[[Draft, Stage], None]] = {"NetModel": net}
