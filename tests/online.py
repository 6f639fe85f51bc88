"""A small certified model as a folder, and the endpoint over it as a process: what tests of serving share."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import shap
from pipelines.columns import trees
from pipelines.export import write
from pipelines.models.graphs.draft import Draft, Tensor
from pipelines.models.graphs.expressions import compiled
from pipelines.models.graphs.learning import _sided
from pipelines.shap import Linear, Shap
from pipelines.signature import SAID, Feature, Signature

ROW = {"wind": 12.5, "carrier": "UA", "sent": "2026-01-31T12:00:00Z"}
FEATURES = (
    Feature("wind", "double", "number"),
    Feature("carrier", "string", "category", ("UA", "AA")),
    Feature("sent", "timestamp", "time"),
)
SELECT = """SELECT *, coalesce(CAST(`wind` AS DOUBLE), 0D) / 10D AS w, coalesce(hour(`sent`) * 0D, 0D) AS h,
coalesce(CAST(`carrier` AS STRING), '(missing)') AS c FROM __THIS__"""
SCORE, ADMIN = "score-token-of-a-test", "admin-token-of-a-test"
LIMIT_S = 30


def graph(intercept: float = -1.0, explained: bool = False) -> bytes:
    """Score: the logistic function of intercept + wind / 10 + 1 for UA, + 2 for AA; late from 0.5 on.

    explained: with what tells the parts of an answer, compared with a wind of 5 from UA.
    """
    draft = Draft()
    made = trees(SELECT)
    wind, carrier, hour = (compiled(draft, made[name]) for name in "wch")
    index = draft.op("LabelEncoder", carrier, made=Tensor("", "int64"), domain="ai.onnx.ml",
                     keys_strings=["UA", "AA"], values_int64s=[0, 1], default_int64=2)  # fmt: skip
    known = draft.gathered(np.array([1.0, 2.0, 0.0]), index)
    sums = draft.op("Add", draft.op("Add", draft.op("Add", wind, hour), known), draft.constant(intercept))
    chances = _sided(draft, sums)
    score = draft.op("Gather", chances, draft.constant(1, "int64"), made=Tensor(""), axis=1)
    late = draft.op("GreaterOrEqual", score, draft.constant(0.5), made=Tensor("", "bool"))
    said = {**Signature(FEATURES, ("id",)).as_json(), "task": "binary", "classes": []}
    answers = {"score": score, "predicted": late}
    if not explained:
        return draft.finished(answers, {SAID: json.dumps(said)})
    vector = draft.op("Concat", *map(draft.matrix, (wind, known)), made=Tensor("", "double", 2), axis=1)
    parts = Shap((("wind", 1), ("carrier", 1)), Linear(np.ones(2), np.array([0.5, 1.0]), intercept))
    return draft.finished({**answers, shap.VECTOR: vector}, {SAID: json.dumps(said), shap.SAID: parts.text()})


def exported(
    folder: Path,
    version: int = 1,
    format: str = "onnx",
    intercept: float = -1.0,
    keys: Sequence[str] = (),
    explained: bool = False,
) -> Path:
    """The folder, as `lakeloom export` writes it."""
    told = {"model": "flights.late", "version": version, "certificate": {}, "keys": list(keys), "rows": [ROW]}
    write(folder, format, graph(intercept, explained), told)
    return folder


@dataclass
class Running:
    """A serving process; a request is real HTTP."""

    process: subprocess.Popen[str]
    port: int
    said: str  # on stderr until it served

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status, and the JSON or text that came back. body: bytes as they are, else JSON."""
        given = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {SCORE}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT_S)
        try:
            connection.request(method, path, given, sent)
            reply = connection.getresponse()
            text = reply.read().decode()
        finally:
            connection.close()
        return reply.status, json.loads(text) if "json" in reply.headers["content-type"] else text

    def score(self, body: Any) -> tuple[int, Any]:
        """POST /score."""
        return self.ask("POST", "/score", body)

    def end(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)


@contextmanager
def serving(command: list[str], cwd: Path | None = None, **env: str):
    """A process that serves on a free port, until the block ends."""
    known = {"LAKELOOM_SCORE_TOKEN": SCORE, "LAKELOOM_ADMIN_TOKEN": ADMIN, **env}
    process = subprocess.Popen(
        [sys.executable, *command, "--port", "0"],
        env={**os.environ, **known},
        cwd=cwd,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = _said(process)
        yield Running(process, int(said.rsplit(":", 1)[1]), said)
    finally:
        process.kill()
        process.communicate()


def _said(process: subprocess.Popen[str]) -> str:
    """What it says until it serves; the last line names the address."""
    said = [""]
    while said[-1] or process.poll() is None:
        said.append(process.stderr.readline())
        if " at http" in said[-1]:
            return "".join(said)
    raise AssertionError(f"it does not serve: {''.join(said)}")
