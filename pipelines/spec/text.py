"""A part of a conf as YAML, as a person would write it: short mappings and lists in one line, keys in their order."""

import io
from typing import Any

from ruamel.yaml import YAML

WIDE = 120


def yaml_text(tree: dict[str, Any]) -> str:
    """YAML 1.2 that `load` reads as the same values."""
    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style, yaml.width = None, WIDE  # innermost lists and mappings in one line
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(tree, text)
    return text.getvalue()
