"""A suite of Great Expectations, as its JSON, becomes the `expect:` of a conf; what cannot is named, with the reason.

Nothing of theirs is imported: JSON in, specs out, YAML from those. A spec
refuses what a conf could not say, so nothing is lost in silence. The other
way goes through Great Expectations itself (quality/adapter.py).
"""

import io
import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML

from pipelines.errors import SpecError
from pipelines.spec.expectations import LEFT_OUT, Expectation

META = "lakeloom"  # in an expectation's meta: what only a conf says
UNSAID = frozenset({"batch_id", "result_format", "catch_exceptions", "include_config"})  # how it is asked, and not what
WIDE = 10_000  # letters; a promise stands in one line


def taken(text: str) -> tuple[list[Expectation], list[str]]:
    """The expectations of a suite, and a sentence on each that could not be taken. Errors: SpecError for no suite."""
    try:
        given = json.loads(text)["expectations"]
    except (ValueError, KeyError, TypeError):
        given = None
    if not isinstance(given, list):
        raise SpecError("a suite is a JSON object with a list of `expectations`; this is none")
    found, lost = [], []
    for place, one in enumerate(given):
        try:
            found.append(_expectation(one))
        except SpecError as error:
            lost.append(f"expectations[{place}]: {error}")
    return found, lost


def written(expectations: Sequence[Expectation]) -> str:
    """YAML, as it stands under a table of a conf: `expect:` and a promise each."""
    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style, yaml.width = None, WIDE  # innermost lists and mappings in one line
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump({"expect": [_said(e) for e in expectations]}, text)
    return text.getvalue()


def _said(expectation: Expectation) -> dict[str, Any]:
    whole = json.loads(expectation.model_dump_json(exclude_none=True))
    return {expectation.name: whole[expectation.name], "on_fail": expectation.on_fail}


def _expectation(given: Any) -> Expectation:
    if not isinstance(given, Mapping):
        raise SpecError("is no object with a `type` and `kwargs`")
    name, ours = given.get("type", given.get("expectation_type")), (given.get("meta") or {}).get(META) or {}
    if name not in Expectation.names():
        raise SpecError(_unknown(str(name)))
    severity = {"severity": ours["severity"] if "severity" in ours else given.get("severity")}
    promise = {k: v for k, v in {**_arguments(given.get("kwargs") or {}), **severity}.items() if v is not None}
    try:
        return Expectation.model_validate_json(json.dumps({name: promise, "on_fail": ours.get("on_fail", "warn")}))
    except ValidationError as found:
        first = found.errors(include_url=False)[0]
        raise SpecError(f"{'.'.join(map(str, first['loc'])) or name}: {first['msg']}") from None


def _arguments(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Without how it is asked.

    Great Expectations keeps a condition for Spark as one that it passes through, and a whole number as a float.
    """
    said = {k: _whole(v) for k, v in kwargs.items() if k not in UNSAID}
    parser, condition = said.pop("condition_parser", None), said.get("row_condition")
    if isinstance(condition, Mapping) and condition.get("type") == "pass_through":
        said["row_condition"] = condition = condition.get("pass_through_filter")
    if condition is not None and (parser not in (None, "spark") or not isinstance(condition, str)):
        raise SpecError(f"row_condition: can be SQL of Spark, got {condition!s:.60} for {parser or 'no parser'}")
    return said


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _unknown(name: str) -> str:
    if name in LEFT_OUT:
        return f"{name} is left out: {LEFT_OUT[name]}"
    near = get_close_matches(name, Expectation.names(), 1)
    return f"no expectation '{name}'" + (f"; did you mean '{near[0]}'?" if near else "")
