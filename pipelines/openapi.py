"""What an endpoint says of itself: an OpenAPI document, made of the model that it serves."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.onnx import Port
from pipelines.replies import MOST_ROWS, Served
from pipelines.signature import Feature

REFUSED = {
    400: "cut off", 401: "no token, or an unknown one", 404: "an unknown key", 408: "too slow", 413: "too large",
    415: "not JSON", 422: "no row of the model's", 503: "the features do not answer",
}  # fmt: skip
JSON = {"tensor(bool)": "boolean", "tensor(string)": "string", "tensor(int64)": "integer", "tensor(int32)": "integer"}
Json = dict[str, Any]


def described(served: Served) -> Json:
    """All routes, with the model's own example; what is asked and answered, by type."""
    told, refused = served.metadata, {"401": _reply(REFUSED[401], _ref("Error"))}
    return {
        "openapi": "3.1.0",
        "info": {"title": told["model"], "version": str(told["version"])},
        "security": [{"bearer": []}],
        "paths": {
            "/score": {"post": _scoring(served)},
            "/reload": {"post": {"summary": "look for another version (role admin)", "responses": {
                "200": _reply("the version that answers now", _object(version=_of("integer"), changed=_of("boolean"))),
                "503": _reply("it cannot be had; the old one stays", _ref("Error")), **refused}}},
            "/metadata": {"get": _page("what the model is, and what it reads", _of("object"), **refused)},
            "/openapi.json": {"get": _page("this document", _of("object"), **refused)},
            "/metrics": {"get": {"summary": "for Prometheus", "responses": {
                "200": {"description": "figures", "content": {"text/plain": {"schema": _of("string")}}}, **refused}}},
            "/health": {"get": {**_page("it lives", _object(alive=_of("boolean"))), "security": []}},
            "/ready": {"get": {**_page("it answers", _ref("Ready"), **{"503": _reply("it ends", _ref("Ready"))}),
                               "security": []}},
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Answer": _answer(served), "Error": _object(error=_of("string")),
                "Ready": _object(ready=_of("boolean"), version=_of("integer")),
            },
        },
    }  # fmt: skip


def _scoring(served: Served) -> Json:
    row = {"type": "object", "properties": {f.name: _schema(f) for f in served.signature.features},
           "required": [f.name for f in served.signature.features]}  # fmt: skip
    held = [_many("keys", _key(served.metadata["lookup"]["keys"]))] if "lookup" in served.metadata else []
    asked = {"schema": {"oneOf": [row, _many("rows", row), *held]}, "example": served.metadata.get("example", {})}
    head = {"model": _of("string"), "version": _of("integer"), "warnings": {"type": "array", "items": _of("string")}}
    answers = {"type": "array", "items": _ref("Answer"), "maxItems": MOST_ROWS}
    forms = [_object(**head, answer=_ref("Answer")), _object(**head, answers=answers)]
    refused = {str(status): _reply(why, _ref("Error")) for status, why in REFUSED.items()}
    body = {"required": True, "content": {"application/json": asked}}
    replies = {"200": _reply("scored", {"oneOf": forms}), **refused}
    return {"summary": "score a row, or rows", "requestBody": body, "responses": replies}


def _answer(served: Served) -> Json:
    """Of each output of the graph its values; contributions and as_of where they were asked for."""
    part = _object(feature=_of("string"), part=_of("number"))
    beside = {"contributions": {"type": ["array", "null"], "items": part}, "as_of": {"type": ["string", "null"]}}
    outputs = {port.name: _value(port) for port in served.graph.outputs}
    return {"type": "object", "properties": {**outputs, **beside}, "required": list(outputs)}


def _value(port: Port) -> Json:
    one = {"type": [JSON.get(port.type, "number"), "null"]}
    return {"type": "array", "items": one} if port.places else one


def _of(kind: str) -> Json:
    return {"type": kind}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _reply(why: str, schema: Mapping[str, Any]) -> Json:
    return {"description": why, "content": {"application/json": {"schema": schema}}}


def _page(what: str, schema: Mapping[str, Any], **others: Json) -> Json:
    return {"summary": what, "responses": {"200": _reply(what, schema), **others}}


def _many(name: str, item: Mapping[str, Any]) -> Json:
    return _object(**{name: {"type": "array", "items": item, "minItems": 1, "maxItems": MOST_ROWS}})


def _key(names: Sequence[str]) -> Json:
    return _object(**{name: {} for name in names})


def _schema(feature: Feature) -> Json:
    if feature.kind == "number":
        return {"type": ["number", "null"]}
    if feature.type == "boolean":
        return {"type": ["boolean", "null"]}
    if feature.kind == "time":
        return {"type": ["string", "null"], "format": "date" if feature.type == "date" else "date-time"}
    return {"type": ["string", "null"] if feature.type in ("string", "date") else ["integer", "null"]}
