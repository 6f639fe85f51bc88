"""The whole of it: stages in, a graph and the signature of what it reads out.

A stage that has no nodes here is named in the error; the model then lives
without a graph.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import DataError
from pipelines.models.graphs.answering import ANSWERING
from pipelines.models.graphs.draft import Draft
from pipelines.models.graphs.learning import LEARNING
from pipelines.models.graphs.nets import NETS, is_own
from pipelines.models.graphs.preparing import PREPARING, labels
from pipelines.models.graphs.stored import Stage, stages
from pipelines.shap import VECTOR
from pipelines.signature import MOST_TOLD, SAID, Feature, Signature
from pipelines.spec.task import CLASS, EXPLAINED, FEATURES, PREDICTION

TASK = "lakeloom.task"
DOUBLE, SINGLE = 1e-6, 1e-5  # XGBoost adds up its trees in single precision, and a net of your own may
CLUSTERS = ("KMeansModel", "BisectingKMeansModel", "GaussianMixtureModel")  # answering.py reads them itself
TELLING = ("boolean", "string", "date", "tinyint", "smallint", "int", "bigint")  # categories with one text a value


@dataclass(frozen=True)
class Drawn:
    """A graph, what it reads, and the classes that it tells apart, if it does."""

    content: bytes
    signature: Signature
    tolerance: float  # how far its answers may lie from Spark's, relative where they are greater than 1


def drawn(folder: Path, tags: Mapping[str, str], types: Mapping[str, str], beside: Sequence[str]) -> Drawn:
    """Of a stored pipeline and the tags of its version.

    types: feature -> Spark's type. beside: columns that a row may hold and the graph does not read.
    Errors: DataError naming what has no nodes.
    """
    draft, found = Draft(), stages(folder)
    for stage in found:
        _drawn(draft, stage)
    if tags[TASK] not in ANSWERING:
        raise DataError(f"the answers of task: {tags[TASK]} have no node in a graph")
    answers = ANSWERING[tags[TASK]](draft, found, tags)
    read = draft.made(FEATURES)
    if read and tags[TASK] in EXPLAINED:
        answers |= {VECTOR: read}
    features = tuple(_feature(name, kind, types, _known(found)) for name, kind in draft.inputs.items())
    unread = tuple(c for c in dict.fromkeys((*beside, *types)) if c not in draft.inputs)
    signature = Signature(features, unread)
    said = {**signature.as_json(), "task": tags[TASK], "classes": _classes(found)}
    single = any(stage.kind.startswith("SparkXGB") or is_own(stage) for stage in found)
    return Drawn(draft.finished(answers, {SAID: json.dumps(said)}), signature, SINGLE if single else DOUBLE)


def _drawn(draft: Draft, stage: Stage) -> None:
    if stage.kind == "IndexToString":
        names = stage.params["labels"]
        draft.offers(CLASS, lambda: draft.gathered(names, draft.column(PREDICTION), "string"))
        return
    made = PREPARING.get(stage.kind) or LEARNING.get(stage.kind) or NETS.get(stage.kind)
    if made is None and stage.kind not in CLUSTERS:
        raise DataError(f"{stage.kind} has no node in a graph")
    if made:
        made(draft, stage)


def _known(found: Sequence[Stage]) -> dict[str, list[str]]:
    """Category -> the values that were seen in training."""
    known: dict[str, list[str]] = {}
    for stage in found:
        known |= labels(stage) if stage.kind == "StringIndexerModel" else {}
    return {column.removeprefix("__c_"): values for column, values in known.items()}


def _feature(name: str, kind: Any, types: Mapping[str, str], known: Mapping[str, Sequence[str]]) -> Feature:
    type = types[name]
    if kind == "category" and type not in TELLING and not type.startswith("decimal"):
        raise DataError(f"feature {name} is a category of type {type}, whose text only Spark makes")
    values = known.get(name, ()) if kind == "category" else ()
    return Feature(name, type, kind, tuple(values) if len(values) <= MOST_TOLD else ())


def _classes(found: Sequence[Stage]) -> tuple[str, ...]:
    last: Stage = found[-1]
    return tuple(last.params["labels"]) if last.kind == "IndexToString" else ()
