"""The JSON Schemas of a conf and of its tests, for editors: draft 7, which the YAML language server reads.

Pydantic emits 2020-12. Going down: `$defs` -> `definitions`; what stands beside
a `$ref` moves out of draft 7's blind spot (`allOf`); titles, which only repeat
names, go. It is a golden file: a change of face is a visible line in a diff.
"""

import json

from pipelines.spec.case import Cases
from pipelines.spec.expectations import Expectation
from pipelines.spec.pipeline import Pipeline

DRAFT = "http://json-schema.org/draft-07/schema#"
Node = dict[str, object]


def json_schema() -> Node:
    """The schema of one conf file, keys as a user writes them."""
    whole = _down(Pipeline.model_json_schema(by_alias=True))
    assert isinstance(whole, dict)
    expectation = whole["definitions"]["Expectation"]
    expectation["oneOf"] = [{"required": [name]} for name in Expectation.names()]
    return {"$schema": DRAFT, "title": "Lakeloom pipeline", **whole}


def schema_text() -> str:
    """The same as the text of conf/schema.json."""
    return json.dumps(json_schema(), indent=2) + "\n"


def cases_schema() -> Node:
    """The schema of one file of tests; its rows are those of whatever conf it names."""
    whole = _down(Cases.model_json_schema(by_alias=True))
    assert isinstance(whole, dict)
    return {"$schema": DRAFT, "title": "Lakeloom tests", **whole}


def cases_schema_text() -> str:
    """The same as the text of conf/tests-schema.json."""
    return json.dumps(cases_schema(), indent=2) + "\n"


def _down(node: object, names: bool = False) -> object:
    """One node of 2020-12 as draft 7; `names` where its keys are the user's, not the schema's."""
    if isinstance(node, list):
        return [_down(item) for item in node]
    if not isinstance(node, dict):
        return node.replace("#/$defs/", "#/definitions/") if isinstance(node, str) else node
    left = {k: v for k, v in node.items() if names or k not in ("title", "discriminator")}
    down = {_key(k, names): _down(v, k in ("properties", "$defs", "patternProperties")) for k, v in left.items()}
    if "$ref" in down and len(down) > 1 and not names:
        down["allOf"] = [{"$ref": down.pop("$ref")}]
    if "patternProperties" in down and not names:
        down["additionalProperties"] = False
    return down


def _key(key: str, names: bool) -> str:
    return "definitions" if key == "$defs" and not names else key
