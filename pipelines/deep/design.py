"""What a net is made of, and what it answers: numbers in, numbers out, by numpy alone.

A net takes the vector that preparation makes: numbers as they stand, and
categories as indexes, each of which becomes an embedding. Or it takes a picture,
as its pixels one after the other. Answers are worked out in double precision and
given in single, so that a row has the same answer in whatever batch it comes.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Goal = Literal["binary", "multiclass", "regression"]
Matrix = NDArray[Any]
WIDEST_EMBEDDING = 50
SIDE = 3  # of a filter, in pixels
PICTURES = 256  # worked out at once
INPUT, OUTPUT = "vector", "outputs"  # of the graph that is a team's own net


@dataclass(frozen=True)
class Design:
    """numbers: their places of the vector; categories: (place, values) of each; outputs: of the last layer.

    sequences: numbers by their places, the oldest first; filters: then one number, of those that read them.
    factors: length of the vectors whose products are pairs of features; 0: no pairs.
    picture: channels, height, width; filters: of each step, which halves the sides; feature: the column of pictures.

    offset, scale: of a number that is learned: the label is offset + scale * output.
    module: of a team's own net its name; what it is made of then stands in an ONNX graph, not in arrays.
    """

    goal: Goal
    numbers: tuple[int, ...]
    categories: tuple[tuple[int, int], ...]
    hidden: tuple[int, ...]
    outputs: int
    wide: bool = False
    dropout: float = 0.0
    offset: float = 0.0
    scale: float = 1.0
    module: str = ""
    picture: tuple[int, int, int] | None = None
    filters: tuple[int, ...] = ()
    feature: str = ""
    factors: int = 0
    sequences: tuple[tuple[int, ...], ...] = ()

    @property
    def width(self) -> int:
        """Places of the vector."""
        if self.picture:
            return math.prod(self.picture)
        return len(self.numbers) + len(self.categories)

    @property
    def embeddings(self) -> tuple[tuple[int, int], ...]:
        """(values, width) of each category. Source: the rule of fastai's tabular learner, 1.6 * values ** 0.56."""
        return tuple((values, min(WIDEST_EMBEDDING, round(1.6 * values**0.56))) for _, values in self.categories)

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of each layer, the last one included."""
        return tuple(itertools.pairwise((self._seen, *self.hidden, self.outputs)))

    @property
    def _seen(self) -> int:
        """Numbers that come to the first layer."""
        if self.picture:
            _, height, width = (side >> len(self.filters) for side in self.picture)
            return self.filters[-1] * height * width
        read = 2 * sum(self.filters) if self.sequences else 0  # the most that each found, and what it found last
        return len(self.numbers) + sum(width for _, width in self.embeddings) + read

    @property
    def glances(self) -> tuple[tuple[int, ...], ...]:
        """The places of each three neighbouring steps, of all sequences."""
        steps = list(zip(*self.sequences, strict=True))
        return tuple(sum(steps[i : i + SIDE], ()) for i in range(len(steps) - SIDE + 1))

    @property
    def kernels(self) -> tuple[tuple[int, int], ...]:
        """(in, out) of each step of filters."""
        return tuple(itertools.pairwise((self.picture[0], *self.filters))) if self.picture else ()

    @property
    def file(self) -> str:
        """What it has learned is stored under this name."""
        return "net.onnx" if self.module else "weights.safetensors"

    @property
    def weights(self) -> dict[str, tuple[int, ...]]:
        """The shape of each array by the name that net.py gives it."""
        shapes: dict[str, tuple[int, ...]] = {}
        shapes |= {f"embeddings.{i}.weight": shape for i, shape in enumerate(self.embeddings)}
        for i, (inputs, outputs) in enumerate(self.kernels):
            shapes |= {f"filters.{i}.weight": (outputs, inputs, SIDE, SIDE), f"filters.{i}.bias": (outputs,)}
        for i, (inputs, outputs) in enumerate(self.layers):
            shapes |= {f"layers.{i}.weight": (outputs, inputs), f"layers.{i}.bias": (outputs,)}
        if self.wide:
            shapes["line.weight"] = (self.outputs, len(self.numbers))
            shapes |= {f"steps.{i}.weight": (values, self.outputs) for i, (_, values) in enumerate(self.categories)}
        if self.sequences:
            (filters,), seen = self.filters, len(self.glances[0])
            shapes |= {"glance.weight": (filters, seen), "glance.bias": (filters,)}
        if self.factors:
            shapes |= {"slopes.weight": (self.factors, len(self.numbers)), "pairs.weight": (self.outputs, self.factors)}
            shapes |= {f"factors.{i}.weight": (values, self.factors) for i, (_, values) in enumerate(self.categories)}
        return shapes

    def as_json(self) -> dict[str, Any]:
        """To be kept with a model, and sent to ranks."""
        return asdict(self)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Design":
        """What was kept."""
        lists = {name: tuple(told.get(name, ())) for name in ("numbers", "hidden", "filters")}
        categories = tuple((place, values) for place, values in told["categories"])
        picture = tuple(told["picture"]) if told.get("picture") else None
        lists["sequences"] = tuple(tuple(places) for places in told.get("sequences", ()))
        return cls(**{**told, **lists, "categories": categories, "picture": picture})


def outputs(design: Design, weights: Mapping[str, Matrix], vector: Matrix) -> Matrix:
    """What the last layer gives for each row of a vector of shape (rows, places): float32, shape (rows, outputs).

    weights: by the names that net.py gives. A category beyond the last value counts as that one.
    """
    if design.picture:
        parts = [vector[i : i + PICTURES] for i in range(0, len(vector), PICTURES)]
        made = [_layered(design, weights, _filtered(design, weights, part)).astype(np.float32) for part in parts]
        return np.concatenate([*made, np.empty((0, design.outputs), np.float32)])
    numbers = vector[:, list(design.numbers)].astype(np.float64)
    kinds = [np.clip(vector[:, at].astype(np.int64), 0, values - 1) for at, values in design.categories]
    embedded = [weights[f"embeddings.{i}.weight"].astype(np.float64)[kind] for i, kind in enumerate(kinds)]
    read = [_read(design, weights, vector)] if design.sequences else []
    found = _layered(design, weights, np.concatenate([numbers, *embedded, *read], axis=1))
    if design.wide:
        found += numbers @ weights["line.weight"].astype(np.float64).T
        found += sum(weights[f"steps.{i}.weight"].astype(np.float64)[kind] for i, kind in enumerate(kinds))
    if design.factors:
        found += _paired(weights, numbers, kinds)
    return found.astype(np.float32)


def _read(design: Design, weights: Mapping[str, Matrix], vector: Matrix) -> Matrix:
    """Of the sequences what each filter finds: the most over all three neighbouring steps, and the last."""
    seen = vector[:, np.array(design.glances)].astype(np.float64)
    found = np.maximum(seen @ weights["glance.weight"].astype(np.float64).T + weights["glance.bias"], 0.0)
    made: Matrix = np.concatenate([found.max(axis=1), found[:, -1]], axis=1)
    return made


def _paired(weights: Mapping[str, Matrix], numbers: Matrix, kinds: Sequence[Matrix]) -> Matrix:
    """Each feature as a vector; the sum over all pairs of their products, place by place, weighed for each output.

    Source: half of the square of the sum less the sum of squares (Rendle 2010); its places are weighed as in He and
    Chua 2017, so that there may be several outputs.
    """
    slopes = weights["slopes.weight"].astype(np.float64)
    looked = [weights[f"factors.{i}.weight"].astype(np.float64)[kind] for i, kind in enumerate(kinds)]
    whole = sum(looked, numbers @ slopes.T)
    squares = sum((each**2 for each in looked), numbers**2 @ (slopes**2).T)
    found: Matrix = (whole**2 - squares) / 2 @ weights["pairs.weight"].astype(np.float64).T
    return found


def _layered(design: Design, weights: Mapping[str, Matrix], found: Matrix) -> Matrix:
    last = len(design.layers) - 1
    for i in range(last + 1):
        found = found @ weights[f"layers.{i}.weight"].astype(np.float64).T + weights[f"layers.{i}.bias"]
        found = found if i == last else np.maximum(found, 0.0)
    return found


def _filtered(design: Design, weights: Mapping[str, Matrix], vector: Matrix) -> Matrix:
    """Of pictures what the filters make of them: each step looks at 3 x 3 pixels, and keeps the most of 2 x 2."""
    assert design.picture
    found = vector.reshape(-1, *design.picture).astype(np.float64)
    for i, (_, outputs) in enumerate(design.kernels):
        rows, inputs, height, width = found.shape
        seen = sliding_window_view(np.pad(found, ((0, 0), (0, 0), (1, 1), (1, 1))), (SIDE, SIDE), axis=(2, 3))
        flat = seen.transpose(0, 2, 3, 1, 4, 5).reshape(rows * height * width, inputs * SIDE * SIDE)
        weight = weights[f"filters.{i}.weight"].astype(np.float64).reshape(outputs, -1)
        made = np.maximum(flat @ weight.T + weights[f"filters.{i}.bias"], 0.0).reshape(rows, height, width, outputs)
        even = made[:, : height // 2 * 2, : width // 2 * 2].reshape(rows, height // 2, 2, width // 2, 2, outputs)
        found = even.max(axis=(2, 4)).transpose(0, 3, 1, 2)
    return found.reshape(len(found), -1)


def answers(design: Design, found: Matrix) -> tuple[Matrix, Matrix]:
    """Of outputs: raw (a margin for each class, or the number) and probability (empty of a number), both double."""
    found = found.astype(np.float64)
    if design.goal == "regression":
        return design.offset + design.scale * found, np.empty((len(found), 0))
    raw = np.concatenate([-found, found], axis=1) / 2 if design.goal == "binary" else found
    grown = np.exp(raw - raw.max(axis=1, keepdims=True)) if len(raw) else raw
    return raw, grown / grown.sum(axis=1, keepdims=True)
