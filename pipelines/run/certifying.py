"""The parity certificate: the ONNX graph of a model answers as Spark does, row by row, or the model is not promoted.

The graph is drawn from the files that were logged, so it is of what any other
process would load. Rows of the test slice are answered by both; the graph sees
them as a request would bring them, and some are sent as a request to the
endpoint itself, where its web server is installed. A model with a stage that
has no nodes lives on without a graph, and the reason is kept.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from decimal import Decimal
from math import isinf, isnan, nan
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.sql import Column, DataFrame

from pipelines.errors import LakeloomError
from pipelines.models.base import Block, predict
from pipelines.models.contributions import written
from pipelines.models.graphs import Drawn, drawn, with_said
from pipelines.onnx import Graph
from pipelines.registry import STAGES, Logged, Registry
from pipelines.replies import MOST_BYTES, OK, Served
from pipelines.shap import SAID, VECTOR
from pipelines.signature import Signature

GATE = "ONNX answers as Spark does"
ROWS, OVER_HTTP = 1_000, 200


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
    over_http: int = 0  # of the rows; 0 where no web server is installed

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
        over = f"{self.over_http:,} of them over HTTP" if self.over_http else self.why
        return {"gate": GATE, "passed": self.passed, "why": f"{why}; {over}" if over else why}


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
    certificate = over_http(compared(made, graph, spark, list(asked.answers)), graph, spark, list(asked.answers))
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
    largest, unlike = _differences(rows, {name: found[name].tolist() for name in answers})
    return Certificate(graph.sha256, len(rows), largest, made.tolerance, unlike)


def over_http(
    certificate: Certificate, graph: Graph, rows: Sequence[Mapping[str, Any]], answers: Sequence[str]
) -> Certificate:
    """With what the endpoint says of the first rows; as it was where no web server is installed."""
    try:
        from pipelines.run.asking import listening
    except ModuleNotFoundError:
        return certificate
    signature = Signature.said_by(graph.said)
    few, body = _request(signature, rows[:OVER_HTTP])
    if not few:
        return certificate
    with listening(Served(graph, signature, {"model": "certified", "version": 0})) as post:
        status, reply = post(body)
    if status != OK:
        return replace(certificate, unlike=certificate.unlike + len(few), why=f"over HTTP: {reply.decode()[:300]}")
    given = json.loads(reply)["answers"]
    largest, unlike = _differences(few, {name: [answer[name] for answer in given] for name in answers})
    most, others = max(certificate.largest, largest), certificate.unlike + unlike
    return replace(certificate, largest=most, unlike=others, over_http=len(few))


def _request(signature: Signature, rows: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], bytes]:
    """Rows that JSON can hold, as many as the endpoint takes, and the body that asks for them."""
    names = [feature.name for feature in signature.features]
    few = [row for row in rows if not any(_endless(row[name]) for name in names)]
    body = json.dumps({"rows": [{name: _sent(row[name]) for name in names} for row in few]}).encode()
    return (few, body) if len(body) <= MOST_BYTES else _request(signature, few[: len(few) // 2])


def _endless(value: Any) -> bool:
    return isinstance(value, float) and isinf(value)


def _sent(value: Any) -> Any:
    """As a client writes it in JSON."""
    if isinstance(value, date):  # a moment is a date, too
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return None if isinstance(value, float) and isnan(value) else value


def _differences(rows: Sequence[Mapping[str, Any]], found: Mapping[str, Sequence[Any]]) -> tuple[float, int]:
    """Of Spark's answers in some rows: the largest of numbers, and in how many places others differ."""
    largest, unlike = 0.0, 0
    for name, answers in found.items():
        for was, now in zip((row[name] for row in rows), answers, strict=True):
            if isinstance(was, float):
                largest = max(largest, _apart(was, nan if now is None else now))
            else:
                unlike += was != now
    return largest, unlike


def _apart(was: float, now: float) -> float:
    """Relative to what it was where that is greater than 1; infinite where but one is a number."""
    if isnan(was) and isnan(now):
        return 0.0
    apart = abs(was - now) / max(1.0, abs(was))
    return float("inf") if isnan(apart) else apart
