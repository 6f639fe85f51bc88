"""The direction of imports, and the house limits, read from the source: no module is imported here.

LAYERS lists the modules of the package from the lowest up: one imports only
from the lines above its own, or from its own folder. BARRED says which modules
alone may import a heavy or risky library, at any depth of the file. To add a
module, add its name to a line; to let one use a library, argue for it in the
commit that changes BARRED.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.crash import POINTS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pipelines"

LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(line.split())
    for line in (
        "errors where",
        "spec",
        "columns",
        "promises drift watches trainable holdable tagged derivable extensions",
        "footer packed manifest provenance signature shap told",
        "check plan gates cost profile",
        "crash suggest submit outline lineage layout alerts pii subject",
        "held",
        "state metering log locks landing onnx spark approval operators keyed requestlog",
        "dag deferring",
        "adopt trials aliases spending remote vintage",
        "replies",
        "openapi",
        "tables",
        "versions",
        "deep",
        "ingest staging features snapshots upkeep sample quality models evaluate monitor registry sampler serve plots",
        "tune search score sinks intake",
        "explain",
        "run",
        "card shadows traffic",
        "report gauges summary scaffold doctor show lake cases registered export vitals",
        "cli",
    )
)
_ENGINE = (
    "pii spark metering tables deep ingest staging features versions snapshots upkeep quality models evaluate monitor "
    "registry tune score sinks intake explain run lake cases"
)
BARRED: dict[str, frozenset[str]] = {
    library: frozenset(modules.split())
    for library, modules in {
        "pyspark": _ENGINE,
        "delta": "spark tables",
        "airflow": "approval operators dag",
        "mlflow": "registry",
        "torch": "deep",
        "horovod": "deep",
        "xgboost": "models shap",
        "onnxruntime": "onnx",
        "onnx": "models",
        "great_expectations": "quality",
        "optuna": "sampler",
        "fastapi": "serve",
        "starlette": "serve",
        "uvicorn": "serve",
        "prometheus_client": "serve vitals",
        "sqlglot": "columns",
        "ruamel": "spec",
        "pydantic": "spec",
        "typer": "cli",
        "deltalake": "adopt held state log locks tables show intake run vintage sample",
        "confluent_kafka": "intake",
        "psycopg": "intake",
        "redis": "remote",
    }.items()
}
NAMELESS = {"utils", "util", "common", "core", "helpers", "misc", "base_utils"}

MOST_FUNCTION_LINES = 60
MOST_FILE_LINES = 400
MOST_ARGUMENTS = 6

FILES = sorted(PACKAGE.rglob("*.py"))
OURS = sorted([*FILES, *(ROOT / "jobs").rglob("*.py"), *(ROOT / "scripts").glob("*.py")])


def module(path: Path) -> str:
    """The name in LAYERS: a file's own, or that of the folder it is in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names of all imports, those inside functions too, except under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name is from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imports(node)


def layer(name: str) -> int:
    """Its line in LAYERS; a name that is not there fails with the way out."""
    found = [i for i, names in enumerate(LAYERS) if name in names]
    assert found, (
        f"pipelines/{name} is in no layer: give it a noun of the trade and a line of LAYERS in tests/test_layers.py"
    )
    return found[0]


def upward(name: str, tree: ast.AST) -> list[str]:
    """The imports of module `name` that do not point down."""
    read = [dotted.split(".")[1] for dotted in imports(tree) if dotted.startswith("pipelines.")]
    return [f"{name} -> {other}" for other in read if other != name and layer(other) >= layer(name)]


def barred(name: str, tree: ast.AST) -> list[str]:
    """The libraries that module `name` imports and may not."""
    libraries = {dotted.split(".")[0] for dotted in imports(tree)}
    return [f"{name} -> {x}" for x in sorted(libraries & set(BARRED)) if name not in BARRED[x]]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))


def calls(tree: ast.AST) -> set[str]:
    """What is called, as 'print' for a name and '.getOrCreate' for a method."""
    called = [n.func for n in ast.walk(tree) if isinstance(n, ast.Call)]
    names = {f.id for f in called if isinstance(f, ast.Name)}
    return names | {f".{f.attr}" for f in called if isinstance(f, ast.Attribute)}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    if path == PACKAGE / "__init__.py":
        assert list(imports(parsed(path))) == []
        return

    assert upward(module(path), parsed(path)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_library_stays_where_it_belongs(path):
    assert barred(module(path), parsed(path)) == []


@pytest.mark.parametrize("path", OURS, ids=lambda p: str(p.relative_to(ROOT)))
def test_house_limits(path):
    tree = parsed(path)

    long = [f.name for f in functions(tree) if (f.end_lineno or 0) - f.lineno + 1 > MOST_FUNCTION_LINES]
    wide = [f.name for f in functions(tree) if _width(f) > MOST_ARGUMENTS]
    assert long == [], f"functions over {MOST_FUNCTION_LINES} lines"
    assert wide == [], f"functions with over {MOST_ARGUMENTS} arguments"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_FILE_LINES
    assert "print" not in calls(tree)
    assert ".getOrCreate" not in calls(tree) or path == PACKAGE / "spark.py"


def _width(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Arguments that a caller thinks of; the options of a command line are not."""
    if any("command" in ast.unparse(d) for d in function.decorator_list):
        return 0
    a = function.args
    names = [x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


@pytest.mark.parametrize("path", OURS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_says_what_it_is_for(path):
    assert path.name == "__init__.py" or ast.get_docstring(parsed(path))


def test_no_module_is_a_drawer():
    assert not {p.stem for p in OURS} & NAMELESS
    assert not {p.parent.name for p in OURS} & NAMELESS


def test_a_module_has_one_layer():
    names = [name for names in LAYERS for name in names]
    assert len(names) == len(set(names))


def test_every_layer_is_a_module():
    assert {name for names in LAYERS for name in names} == {module(p) for p in FILES} - {"__init__"}


def test_every_point_at_which_a_run_can_be_killed_is_tried_by_a_test():
    files = (path for kind in ("crash", "e2e") for path in (ROOT / "tests" / kind).glob("test_*.py"))
    tests = "\n".join(path.read_text() for path in files)

    assert [point for point in POINTS if f'"{point}' not in tests] == []


def test_the_map_names_every_module():
    rows = [r for r in (ROOT / "docs/architecture.md").read_text(encoding="utf-8").splitlines() if r.startswith("| ")]
    named = {name.rstrip("/") for row in rows for name in re.findall(r"`([a-z_]+/?)`", row.split("|")[2])}

    assert named == {name for names in LAYERS for name in names}


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("plan", "from pipelines.run import tables", ["plan -> run"]),
        ("plan", "from pipelines.check import check", ["plan -> check"]),
        ("plan", "def f():\n    import pipelines.spark", ["plan -> spark"]),
        ("plan", "from pipelines.columns import relations\nfrom pipelines import errors", []),
        ("run", "from pipelines.run.tables import refresh", []),
    ],
)
def test_an_import_that_points_up_or_aside_is_seen(name, source, expected):
    assert upward(name, ast.parse(source)) == expected


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("dag", "from pyspark.sql import DataFrame", ["dag -> pyspark"]),
        ("check", "def f():\n    import mlflow", ["check -> mlflow"]),
        ("tables", "import pyspark", []),
        ("plan", "if TYPE_CHECKING:\n    import pyspark", []),
    ],
)
def test_a_barred_library_is_seen(name, source, expected):
    assert barred(name, ast.parse(source)) == expected


def test_an_unknown_module_is_shown_the_way_out():
    with pytest.raises(AssertionError, match=r"pipelines/stuff is in no layer: .* LAYERS in tests/test_layers\.py"):
        layer("stuff")
