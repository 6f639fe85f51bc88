"""From a YAML file to a frozen spec, and from a mistake to its file, line and a suggestion.

YAML 1.2 by ruamel (no `no` = false), then strict pydantic, so that a text is
never taken for a number. Nothing in the file is executed or interpolated.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import Node

from pipelines.errors import SpecError
from pipelines.spec.base import COLUMN, NAME, Spec
from pipelines.spec.case import Cases
from pipelines.spec.lineage import LineageFile
from pipelines.spec.pipeline import Pipeline
from pipelines.spec.source import FOLDER
from pipelines.spec.target import Target

S = TypeVar("S", bound=Spec)
Path_ = tuple[str | int, ...]

MOST_BYTES = 64_000  # a conf is written by hand; this many are read in about a second
DEEPEST = 12  # levels of nesting
LONGEST = 60  # letters of a wrong value that a message repeats
MOST_ERRORS = 10
_KINDS = {"array": "a list", "object": "a mapping of keys", "string": "text", "integer": "a whole number"}
_SHAPES = {
    NAME: "should be a name in snake_case, such as late_arrival",
    COLUMN: "should be a column's name: letters, digits and _",
    FOLDER: "should be a folder under the landing root, such as landing/flights; no '..', no '/' before it",
}
_WORDING: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (  # as the library says it -> as YAML has it
    (r"input should be (?:a valid|an) (array|object|string|integer)", lambda m: f"should be {_KINDS[m[1]]}"),
    (r"(?:tuple|list|dictionary) should have at least 1 item.*", lambda _: "is empty; it needs at least one"),
    (r"string should match pattern '(.*)'", lambda m: _SHAPES.get(m[1], f"should match {m[1]}")),
    (r"input should be a valid ", lambda _: "should be a "),
    (r"^input should", lambda _: "should"),
)


class Lines:
    """Where in a file each key stands: `at(('tables', 'flights', 'keys'))` -> 'conf/flights.yml:14'."""

    def __init__(self, file: str, tree: object) -> None:
        self.file, self.tree = file, tree

    def at(self, path: Iterable[str | int]) -> str:
        """'file:line' of the deepest known part of path (1-based)."""
        node, line = self.tree, 1
        for part in path:
            try:
                line = node.lc.key(part)[0] + 1 if isinstance(node, Mapping) else node.lc.item(part)[0] + 1  # type: ignore[attr-defined]
                node = node[part]  # type: ignore[index]
            except (KeyError, IndexError, TypeError, AttributeError):
                break
        return f"{self.file}:{line}"


def load(path: Path) -> Pipeline:
    """One conf file as a Pipeline. Errors: SpecError, one sentence a line, each with file:line."""
    return load_lines(path)[0]


def load_lines(path: Path) -> tuple[Pipeline, Lines]:
    """The same, with the map from keys to lines, for those who check further."""
    return _load(path, Pipeline)


def load_cases(path: Path) -> tuple[Cases, Lines]:
    """A file of tests, likewise; the conf that it tests is not looked at."""
    return _load(path, Cases)


def load_target(conf: Path, name: str = "local") -> Target:
    """The target `name` beside a conf: conf/targets/<name>.yml; every path in it made absolute.

    Without a file, `local` is the embedded default. What it defers to is, from here on, that target's warehouse.
    Errors: SpecError.
    """
    target, lines = _target(conf, name)
    if target.defer_to is None:
        return target
    lender = _target(conf, target.defer_to)[0]
    wrong = _no_lender(target, lender)
    if wrong:
        raise SpecError(f"{lines.at(('defer_to',))}: defer_to: '{target.defer_to}' {wrong}")
    return target.model_copy(update={"defer_to": lender.warehouse})


def _no_lender(target: Target, lender: Target) -> str:
    """Why a target cannot defer to another; '' where it can."""
    if lender.defer_to:
        return "defers to another itself; name that one"
    apart = () if target.namespace != lender.namespace else ("tracking",)
    for key in ("warehouse", *apart, "artifacts"):
        one, other = (getattr(t, key).removeprefix("file://").rstrip("/") for t in (target, lender))
        if one == other:
            own = "a `namespace` or its own" if key == "tracking" else "its own"
            return f"has the same {key}: what runs here would be written there; give this target {own}"
    return ""


def _target(conf: Path, name: str) -> tuple[Target, Lines]:
    path = conf.parent / "targets" / f"{name}.yml"
    if path.exists():
        target, lines = _load(path, Target)
    elif name == "local":
        target, lines = Target(), Lines(str(path), {})
    else:
        have = sorted(p.stem for p in path.parent.glob("*.yml")) or ["local"]
        raise SpecError(f"target '{name}': no file {path}; there is {', '.join(have)}")
    return _rooted(target, conf.absolute().parent.parent), lines


def _rooted(target: Target, root: Path) -> Target:
    places = {k: _absolute(getattr(target, k), root) for k in ("warehouse", "landing", "artifacts", "exports")}
    scheme, _, rest = target.tracking.partition(":///")
    tracking = f"{scheme}:///{_absolute(rest, root)}" if scheme == "sqlite" else target.tracking
    if isinstance(target.lineage, LineageFile):
        path = _absolute(target.lineage.path, root)
        target = target.model_copy(update={"lineage": target.lineage.model_copy(update={"path": path})})
    return target.model_copy(update={**places, "tracking": tracking})


def _absolute(place: str, root: Path) -> str:
    return place if "://" in place else str((root / place).resolve())


def _load(path: Path, kind: type[S]) -> tuple[S, Lines]:
    tree = _parse(path)
    lines = Lines(str(path), tree)
    try:
        return kind.model_validate_json(json.dumps(tree)), lines
    except ValidationError as found:
        errors = [_sentence(e, kind, lines) for e in found.errors(include_url=False)[:MOST_ERRORS]]
        raise SpecError("\n".join(dict.fromkeys(errors))) from None
    except TypeError:
        raise SpecError(f"{path}: a key is a list or a mapping; a key is a word") from None


def _parse(path: Path) -> object:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SpecError(f"{path}: {path.stat().st_size} bytes; a conf has at most {MOST_BYTES}")
        text = path.read_text(encoding="utf-8")
        tree = _yaml().load(text)
    except FileNotFoundError:
        near = sorted(str(p) for p in path.parent.glob("*.yml"))
        raise SpecError(f"{path}: no such file; there is {', '.join(near) or 'no .yml beside it'}") from None
    except UnicodeDecodeError as found:
        raise SpecError(f"{path}: byte {found.start} is not UTF-8") from None
    except MarkedYAMLError as found:
        line = found.problem_mark.line + 1 if found.problem_mark else 1
        problem = re.sub(
            r"found duplicate key (\S+) .*", r"key \1 stands twice", (found.problem or "no YAML").splitlines()[0]
        )
        raise SpecError(f"{path}:{line}: cannot be read: {problem}") from None
    except (YAMLError, RecursionError, ValueError, OSError) as found:
        raise SpecError(f"{path}: cannot be read: {str(found).partition(';')[0]}") from None
    if not isinstance(tree, Mapping):
        raise SpecError(f"{path}: holds no mapping of keys; start with 'pipeline: name'")
    return tree


def _yaml() -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.Composer, yaml.Constructor = _Plain, _AsWritten
    return yaml


class _AsWritten(RoundTripConstructor):
    """YAML 1.2 has no dates: 2013-01-01 is a text."""


_AsWritten.add_constructor("tag:yaml.org,2002:timestamp", RoundTripConstructor.construct_yaml_str)


class _Plain(Composer):
    """Anchors can make a small file huge, and tags can name Python objects; a conf needs neither."""

    levels = 0

    def compose_node(self, parent: Node | None, index: object) -> Node | None:
        """One node of the tree; the only place that every node passes."""
        event = self.parser.peek_event()
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) or getattr(event, "ctag", None):
            raise ComposerError(None, None, "anchors, aliases and tags are not used in a conf", event.start_mark)
        if self.levels > DEEPEST:
            raise ComposerError(None, None, f"nested deeper than {DEEPEST} levels", event.start_mark)
        self.levels += 1
        node: Node | None = super().compose_node(parent, index)
        self.levels -= 1
        return node


def _sentence(error: Mapping[str, object], kind: type[BaseModel], lines: Lines) -> str:
    place = _written(error["loc"], lines.tree)  # type: ignore[arg-type]
    where, shown = lines.at(place), ".".join(map(str, place))
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "union_tag_invalid":
        return _no_such_kind(where, shown, error["ctx"])  # type: ignore[arg-type]
    if error["type"] == "extra_forbidden":
        return f"{where}: {shown}: no such key{_suggestion(place, kind)}"
    if error["type"] == "json_invalid":
        return f"{lines.file}: a text holds half of a surrogate pair, which is no character"
    if error["type"] == "missing":
        return f"{where}: {shown}: missing"
    message = _plain(message[:1].lower() + message[1:])
    got = error.get("input")
    tail = f", got {got!r:.{LONGEST}}" if isinstance(got, str | int | float | bool) and "got" not in message else ""
    return f"{where}: {shown + ': ' if shown else ''}{message}{tail}"


def _plain(message: str) -> str:
    for pattern, words in _WORDING:
        message = re.sub(pattern, words, message)
    return message


def _no_such_kind(where: str, shown: str, found: Mapping[str, str]) -> str:
    kinds = [kind.strip("' ") for kind in found["expected_tags"].split(",")]
    near = get_close_matches(found["tag"], kinds, n=1, cutoff=0.5)
    tail = f"did you mean '{near[0]}'?" if near else f"there is {', '.join(kinds)}"
    return f"{where}: {shown}.kind: no kind '{found['tag']:.{LONGEST}}'; {tail}"


def _written(location: Path_, tree: object) -> Path_:
    """Without what pydantic adds to a location and the file has not: the tag of a union, the mark of a key."""
    node, place = tree, []
    for part in location:
        if part == "[key]" or (isinstance(node, Mapping) and part not in node and part == node.get("kind")):
            continue
        place.append(part)
        try:
            node = node[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            node = None
    return tuple(place)


def _suggestion(place: Path_, kind: type[BaseModel]) -> str:
    known = _fields_at(place[:-1], kind.model_json_schema(by_alias=True))
    near = get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; there is {', '.join(sorted(known))}" if known else ""


def _fields_at(path: Path_, schema: dict[str, object]) -> list[str]:
    """The keys that the schema allows at path, over all branches of a union."""
    nodes: list[dict[str, object]] = [schema]
    for part in path:
        nodes = [child for n in nodes for child in _children(_resolve(n, schema), part)]
    return sorted({k for n in nodes for r in _resolve(n, schema) for k in r.get("properties", {})})  # type: ignore[attr-defined]


def _resolve(node: dict[str, object], schema: dict[str, object]) -> list[dict[str, object]]:
    if "$ref" in node:
        name = str(node["$ref"]).rsplit("/", 1)[1]
        return _resolve(schema["$defs"][name], schema)  # type: ignore[index]
    branches = [b for k in ("anyOf", "oneOf") for b in node.get(k, [])]  # type: ignore[attr-defined]
    return [r for b in branches for r in _resolve(b, schema)] if branches else [node]


def _children(nodes: list[dict[str, object]], part: str | int) -> list[dict[str, object]]:
    if isinstance(part, int):
        return [n["items"] for n in nodes if "items" in n]  # type: ignore[misc]
    named = [n["properties"][part] for n in nodes if part in n.get("properties", {})]  # type: ignore[index, operator]
    by_pattern = [child for n in nodes for child in n.get("patternProperties", {}).values()]  # type: ignore[attr-defined]
    return named or by_pattern
