"""Stages of the preparation as nodes: one function for each class that models/preparation.py makes.

A function reads what Spark stored of its stage and offers the columns that the
stage makes. To add one: a function, and a line in PREPARING.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.columns import Node, trees
from pipelines.models.graphs.draft import CONTRIB, ML, Draft, Tensor
from pipelines.models.graphs.expressions import compiled
from pipelines.models.graphs.stored import Stage, vector

UNSEEN = 2**31 - 1  # the category under which Spark keeps what is true of all
SEED = 42  # of MurmurHash3 where Spark hashes features
PADDING = " "  # no word: a word has letters, digits and _ alone


def expressions(draft: Draft, stage: Stage) -> None:
    """SQLTransformer: columns beside those that are there."""

    def offer(name: str, tree: Node) -> None:
        draft.offers(name, lambda: compiled(draft, tree))

    for name, tree in trees(stage.params["statement"]).items():
        offer(name, tree)


def indexes(draft: Draft, stage: Stage) -> None:
    """StringIndexerModel: the place of a value in a list; what is not in it has the place after the last."""

    def index(column: str, labels: list[str]) -> Tensor:
        return draft.op(
            "LabelEncoder", draft.column(column), made=Tensor("", "int64"), domain=ML,
            keys_strings=labels, values_int64s=list(range(len(labels))), default_int64=len(labels),
        )  # fmt: skip

    names = zip(stage.params["inputCols"], stage.params["outputCols"], stage.row()["labelsArray"], strict=True)
    for column, made, labels in names:
        draft.offers(made, partial(index, column, labels))


def labels(stage: Stage) -> dict[str, list[str]]:
    """What a StringIndexerModel knows of each column that it reads."""
    return dict(zip(stage.params["inputCols"], stage.row()["labelsArray"], strict=True))


def places(draft: Draft, stage: Stage) -> None:
    """OneHotEncoderModel, as we fit it: a place for each value, one more for all others."""

    def hot(column: str, width: int) -> Tensor:
        return draft.gathered(np.eye(width), draft.column(column))

    sizes = stage.row()["categorySizes"]
    for column, made, width in zip(stage.params["inputCols"], stage.params["outputCols"], sizes, strict=True):
        draft.offers(made, partial(hot, column, width))


def hashes(draft: Draft, stage: Stage) -> None:
    """FeatureHasher of one text: a one at the hash of 'column=value'."""
    (column,), width = stage.params["inputCols"], stage.params["numFeatures"]

    def made() -> Tensor:
        name = draft.constant(f"{column}=", "string")
        texts = draft.op("StringConcat", name, draft.column(column), made=Tensor("", "string"))
        return _counted(draft, draft.matrix(_bucket(draft, texts, width)), width)

    draft.offers(stage.params["outputCol"], made)


def words(draft: Draft, stage: Stage) -> None:
    """RegexTokenizer, as we make it: words of a text in small letters, a row padded to the longest."""

    def made() -> Tensor:
        text = draft.column(stage.params["inputCol"])
        small = draft.op("StringNormalizer", text, case_change_action="LOWER", locale="C")
        return draft.op(
            "Tokenizer", small, made=Tensor("", "string", -1), domain=CONTRIB,
            mark=0, mincharnum=1, pad_value=PADDING, tokenexp="[a-zA-Z0-9_]+",
        )  # fmt: skip

    draft.offers(stage.params["outputCol"], made)


def frequencies(draft: Draft, stage: Stage) -> None:
    """HashingTF: how often each bucket is hit; padding hits one more, which is cut off."""
    width = stage.params["numFeatures"]

    def made() -> Tensor:
        found = draft.column(stage.params["inputCol"])
        padding = draft.op("Equal", found, draft.constant(PADDING, "string"), made=Tensor("", "bool", -1))
        bucket = draft.op("Where", padding, draft.constant(width, "int64"), _bucket(draft, found, width))
        whole = _counted(draft, Tensor(bucket.name, "int64", -1), width + 1)
        start, end, axis = (draft.constant([i], "int64") for i in (0, width, 1))
        return draft.op("Slice", whole, start, end, axis, made=Tensor("", "double", width))

    draft.offers(stage.params["outputCol"], made)


def weights(draft: Draft, stage: Stage) -> None:
    """IDFModel: rare words weigh more."""
    weight = vector(stage.row()["idf"])
    column = stage.params["inputCol"]
    draft.offers(stage.params["outputCol"], lambda: draft.op("Mul", draft.column(column), draft.constant(weight)))


def _bucket(draft: Draft, texts: Tensor, width: int) -> Tensor:
    """Spark's hash of a text, taken as a signed number, modulo the width; never negative."""
    hashed = draft.op(
        "MurmurHash3", texts, made=Tensor("", "int32", texts.places), domain=CONTRIB, seed=SEED, positive=0
    )
    return draft.op("Mod", draft.cast(hashed, "int64"), draft.constant(width, "int64"))


def _counted(draft: Draft, index: Tensor, width: int) -> Tensor:
    """Of a matrix of places, how often each is named in a row."""
    shape = draft.op("Shape", index, made=Tensor("", "int64"))
    rows = draft.op("Gather", shape, draft.constant([0], "int64"), made=Tensor("", "int64"))
    whole = draft.op("Concat", rows, draft.constant([width], "int64"), made=Tensor("", "int64"), axis=0)
    zeros = draft.op("Expand", draft.constant(0.0), whole, made=Tensor("", "double", width))
    ones = draft.op("Expand", draft.constant(1.0), shape, made=Tensor("", "double", index.places))
    return draft.op("ScatterElements", zeros, index, ones, axis=1, reduction="add")


def means(draft: Draft, stage: Stage) -> None:
    """TargetEncoderModel: of an index the mean label of its value, drawn to that of all."""
    smoothing, names = (
        float(stage.params["smoothing"]),
        zip(stage.params["inputCols"], stage.params["outputCols"], strict=True),
    )
    rows = sorted(stage.rows(), key=lambda row: int(row["index"]))
    for (column, made), row in zip(names, rows, strict=True):
        draft.offers(made, partial(_mean, draft, column, _drawn_to_all(row, smoothing)))


def _drawn_to_all(row: Mapping[str, Any], smoothing: float) -> NDArray[np.float64]:
    """By index; the last is that of all."""
    found = {int(c): (n, s) for c, n, s in zip(row["categories"], row["counts"], row["stats"], strict=True)}
    _, whole = found.pop(UNSEEN)
    table = np.full(max(found, default=-1) + 2, whole)
    for index, (rows, own) in found.items():
        weight = rows / (rows + smoothing)
        table[index] = weight * own + (1 - weight) * whole
    return table


def _mean(draft: Draft, column: str, table: NDArray[np.float64]) -> Tensor:
    most = draft.constant(len(table) - 1, "int64")
    return draft.gathered(table, draft.op("Min", draft.cast(draft.column(column), "int64"), most))


def assembled(draft: Draft, stage: Stage) -> None:
    """VectorAssembler: columns side by side."""

    def made() -> Tensor:
        parts = [draft.matrix(draft.cast(draft.column(c), "double")) for c in stage.params["inputCols"]]
        return draft.op("Concat", *parts, made=Tensor("", "double", sum(p.places for p in parts)), axis=1)

    draft.offers(stage.params["outputCol"], made)


PREPARING: dict[str, Callable[[Draft, Stage], Any]] = {
    "SQLTransformer": expressions,
    "StringIndexerModel": indexes,
    "OneHotEncoderModel": places,
    "FeatureHasher": hashes,
    "RegexTokenizer": words,
    "HashingTF": frequencies,
    "IDFModel": weights,
    "TargetEncoderModel": means,
    "VectorAssembler": assembled,
}
