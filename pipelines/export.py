"""A certified graph as files: bare, as a serverless function in a zip, or as the context of a container image.

Each holds `model.onnx` and `metadata.json`. The zip and the context hold the
few modules of ours that answer, and name the locked versions of what those
import; nothing of Spark, MLflow or the conf goes with them.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from pipelines.errors import SpecError
from pipelines.onnx import Graph
from pipelines.replies import GRAPH, METADATA
from pipelines.signature import SAID, Signature

NOTHING: Mapping[str, bytes] = MappingProxyType({})
FORMATS = ("onnx", "lambda", "docker")
ANSWERING = ("__init__", "errors", "signature", "shap", "onnx", "keyed", "replies")  # modules that score a body
FUNCTION = ("numpy", "onnxruntime")
SERVICE = (*FUNCTION, "starlette", "uvicorn", "httptools", "prometheus-client")
EPOCH = (1980, 1, 1, 0, 0, 0)  # of files in a zip, so that the same model gives the same bytes
HERE = Path(__file__).parent

HANDLER = '''"""A serverless function behind an HTTP gateway; the model is opened once for each instance."""

import base64
import json
from pathlib import Path

from pipelines.replies import Served

SERVED = Served.opened(Path(__file__).parent / "model")


def handler(event, context):
    """An event of an HTTP gateway (payload 1.0 or 2.0) in, its reply out."""
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    body = event.get("body") or ""
    content = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    reply = SERVED.reply(content, headers.get("content-type", ""))
    return {
        "statusCode": reply.status,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(reply.body),
    }
'''
DOCKERFILE = """FROM python:3.12-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY pipelines pipelines
COPY model model
USER 65532
EXPOSE 8080
ENTRYPOINT ["python", "-m", "pipelines.serve", "model", "--host", "0.0.0.0", "--port", "8080"]
"""


def write(
    folder: Path,
    format: str,
    content: bytes,
    told: Mapping[str, Any],
    beside: Mapping[str, bytes] = NOTHING,
) -> list[str]:
    """Write a graph and what is told of it into a new folder; returns the files. Errors: SpecError where it has some.

    told: 'model', 'version', 'certificate', 'rows' (examples), and what else is to stand in metadata.json; beside:
    more files of the model.
    """
    if folder.exists() and any(folder.iterdir()):
        raise SpecError(f"{folder}: is not empty; name a new folder")
    model = {GRAPH: content, METADATA: (json.dumps(metadata(content, told), indent=2) + "\n").encode(), **beside}
    files = {"onnx": lambda: model, "lambda": lambda: _function(model), "docker": lambda: _context(model)}[format]()
    for name, found in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(found)
    return sorted(files)


def metadata(content: bytes, told: Mapping[str, Any]) -> dict[str, Any]:
    """What stands beside a graph: who it is, its hash and certificate, what it reads, one example."""
    graph = Graph.opened(content)
    said = json.loads(graph.said[SAID])
    names = [f.name for f in Signature.of(said).features]
    rest = {key: value for key, value in told.items() if key != "rows"}
    examples: Sequence[Mapping[str, Any]] = told.get("rows", ())
    return {
        **rest,
        "sha256": graph.sha256,
        "task": said["task"],
        "classes": said["classes"],
        "features": [{k: f[k] for k in ("name", "type", "kind")} for f in said["features"]],
        "answers": {port.name: port.type for port in graph.outputs},
        "example": {name: examples[0].get(name) for name in names} if examples else None,
    }


def _modules(names: Sequence[str]) -> dict[str, bytes]:
    return {f"pipelines/{name}.py": (HERE / f"{name}.py").read_bytes() for name in names}


def _locked(names: Sequence[str]) -> bytes:
    return "".join(f"{name}=={version(name)}\n" for name in names).encode()


def _function(model: Mapping[str, bytes]) -> dict[str, bytes]:
    """function.zip, and the requirements that its runtime has to have, as a layer or beside it in the zip."""
    files = {"handler.py": HANDLER.encode(), **_modules(ANSWERING)}
    files |= {f"model/{name}": found for name, found in model.items()}
    whole = BytesIO()
    with ZipFile(whole, "w", ZIP_DEFLATED) as out:
        for name in sorted(files):
            entry = ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            out.writestr(entry, files[name], ZIP_DEFLATED)
    return {"function.zip": whole.getvalue(), "requirements.txt": _locked(FUNCTION)}


def _context(model: Mapping[str, bytes]) -> dict[str, bytes]:
    files = {"Dockerfile": DOCKERFILE.encode(), "requirements.txt": _locked(SERVICE)}
    return (
        files
        | _modules((*ANSWERING, "openapi", "requestlog", "serve"))
        | {f"model/{name}": found for name, found in model.items()}
    )
