"""The parity certificate: the ONNX graph of a model answers as Spark does, row by row, or the model is not promoted.

The graph is drawn from the files that were logged, so it is of what any other
process would load. Rows of the test slice are answered by both; the graph sees
them as a request would bring them. A model with a stage that has no nodes
lives on without a graph, and the reason is kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import isnan
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame

from pipelines.errors import LakeloomError
from pipelines.models.base import Block, predict
from pipelines.models.contributions import written
from pipelines.models.graphs import Drawn, drawn, with_said
from pipelines.onnx import Graph
from pipelines.registry import STAGES, Logged, Registry
from pipelines.shap import SAID, VECTOR

GATE = "ONNX answers as Spark does"
ROWS = 1_000


@dataclass(frozen=True)
class Asked:
    """A model as it was logged, and what belongs to its answers."""

    logged: Logged
    fitted: PipelineModel
    answers: Mapping[str, Column]
    tags: Mapping[str, str]
    features: Sequence[str]
    beside: Sequence[str]  # columns that a row of features may hold too
    blocks: Sequence[Block]  # what stands where in the vector that its learner reads
    scratch: str  # a folder that all machines see


@dataclass(frozen=True)
class Certificate:
    """What came of it. `sha256`: of the graph; empty where there is none, and `why` says why."""

    sha256: str = ""
    rows: int = 0
    largest: float = 0.0  # difference of numbers, relative where they are greater than 1
    tolerance: float = 0.0
    unlike: int = 0  # rows whose other answers differ
    why: str = ""

    @property
    def passed(self) -> bool:
        """True where every answer is Spark's, numbers within the tolerance."""
        return self.largest <= self.tolerance and not self.unlike

    def as_json(self) -> dict[str, Any]:
        """For the run record."""
        return asdict(self)

    def as_gate(self) -> dict[str, Any]:
        """As gates stand in the run record."""
        other = f", {self.unlike} answered otherwise" if self.unlike else ""
        why = f"{self.rows:,} rows, {self.largest:.0e} apart at most ({self.tolerance:.0e} allowed){other}"
        return {"gate": GATE, "passed": self.passed, "why": why}


def certify(registry: Registry, asked: Asked, rows: DataFrame) -> Certificate:
    """Draw the graph, hold it against Spark on some rows, keep it beside the model. Cost: one job over ROWS rows."""
    types = dict(rows.select(*asked.features).dtypes)
    try:
        with registry.fetched(asked.logged) as folder:
            made = drawn(folder / STAGES, asked.tags, types, asked.beside)
        graph = Graph.opened(made.content)
    except LakeloomError as error:
        return Certificate(why=str(error))
    few = rows.select(*asked.features).limit(ROWS)
    spark = predict(asked.fitted, few, asked.answers).toArrow().to_pylist()
    certificate = compared(made, graph, spark, list(asked.answers))
    content = _explained(asked, made, graph, spark)
    return replace(certificate, sha256=registry.keep_graph(asked.logged.run_id, content))


def _explained(asked: Asked, made: Drawn, graph: Graph, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The graph with what tells the parts of its answers beside it, where its learner has such."""
    if not (graph.explains and rows):
        return made.content
    vectors = graph.score(made.signature.columns(rows), [VECTOR])[VECTOR]
    found = written(asked.fitted, asked.blocks, vectors, asked.scratch)
    return with_said(made.content, {SAID: found.text()}) if found else made.content


def compared(made: Drawn, graph: Graph, rows: Sequence[Mapping[str, Any]], answers: Sequence[str]) -> Certificate:
    """Rows of features with the answers that Spark gave them."""
    found = graph.score(made.signature.columns(rows), answers)
    largest, unlike = 0.0, 0
    for name in answers:
        for was, now in zip((row[name] for row in rows), found[name].tolist(), strict=True):
            if isinstance(was, float):
                largest = max(largest, _apart(was, now))
            else:
                unlike += was != now
    return Certificate(graph.sha256, len(rows), largest, made.tolerance, unlike)


def _apart(was: float, now: float) -> float:
    """Relative to what it was where that is greater than 1; infinite where but one is a number."""
    if isnan(was) and isnan(now):
        return 0.0
    apart = abs(was - now) / max(1.0, abs(was))
    return float("inf") if isnan(apart) else apart
