"""A project in a folder of its own: a conf, a target, landed files; run by the command line, read without Spark.

What a test expects of a warehouse it reads by delta-rs and SQLite, never by
the code that wrote it. `lakeloom` runs inside this process, so that many runs
share one JVM; `lakeloom_apart` is the command as a user types it.
"""

import hashlib
import io
import os
import signal
import sqlite3
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterable
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import land
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from ruamel.yaml import YAML

from pipelines.cli import app, guarded
from pipelines.state import Intent, Record, Warehouse, dataset

CONF = Path(__file__).parents[2] / "conf" / "flights.yml"
COMMAND = Path(sys.executable).with_name("lakeloom")
LIMIT_S = 300
WHEN_AND_WHERE = (
    "_arrived_at",
    "scored_at",
    "features_version",
    "run",
    "_file",
)  # what differs between two runs by right
TARGET = "{master: 'local[2]', driver_memory: 1g}"


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The last line of stderr where the command failed: one sentence; of a bug of ours all of it."""
        if self.code == 70:
            raise AssertionError(self.err)
        return self.err.splitlines()[-1].removeprefix("error: ") if self.code else ""


@dataclass(frozen=True)
class Project:
    """One conf with one target, `local`; everything it makes lies under root/.lakeloom."""

    root: Path
    name: str

    @property
    def conf(self) -> Path:
        """The conf file."""
        return self.root / "conf" / f"{self.name}.yml"

    @property
    def target(self) -> Path:
        """The target file."""
        return self.root / "conf" / "targets" / "local.yml"

    @property
    def landing(self) -> Path:
        """The landing folder."""
        return self.root / ".lakeloom" / "landing"

    @property
    def warehouse(self) -> Warehouse:
        """Its tables."""
        return Warehouse(str(self.root / ".lakeloom" / "warehouse"), self.name)

    def lakeloom(self, verb: str, *options: str) -> Said:
        """The command in this process and its session; what third parties warn of is not ours to judge."""
        if verb == "run" and "--sample" not in options:
            self._registry()
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = guarded(lambda: app([*verb.split(), str(self.conf), *options], standalone_mode=False))
        return Said(code, out.getvalue(), err.getvalue())

    def _registry(self) -> None:
        """MLflow's tables, empty, where a model is to be trained: to make them costs a run seconds."""
        file = self.root / ".lakeloom" / "mlflow.db"
        if not file.exists() and "\nmodels:" in self.conf.read_text():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_empty_registry())

    def lakeloom_apart(self, verb: str, *options: str, limit_s: float = LIMIT_S, **env: str) -> Said:
        """The command in a process group of its own, which gets SIGKILL after limit_s."""
        return apart([str(COMMAND), *verb.split(), str(self.conf), *options], limit_s, **env)

    def write(self, **tables: Any) -> None:
        """Replace the conf by one of these parts."""
        self.conf.parent.mkdir(parents=True, exist_ok=True)
        YAML().dump({"pipeline": self.name, **tables}, self.conf)

    def change(self, how: Callable[[Any], None]) -> None:
        """Edit the conf as YAML."""
        whole = YAML().load(self.conf)
        how(whole)
        YAML().dump(whole, self.conf)

    def land(self, path: str, content: str | bytes) -> Path:
        """Put a file into the landing folder."""
        file = self.landing / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def rows(self, stage: str, part: str = "") -> list[dict[str, Any]]:
        """The newest version of a table; nothing where there is none."""
        path = Path(self.warehouse.path(stage, part))
        return rows_of(path) if path.exists() else []

    def published(self, stage: str) -> list[dict[str, Any]]:
        """What readers of a table see; nothing before the first publication."""
        versions = [r.published_version for r in self.records(stage) if r.published_version is not None]
        return rows_of(Path(self.warehouse.path(stage)), versions[-1]) if versions else []

    def records(self, stage: str = "") -> list[Record]:
        """Rows of `_runs`, oldest first."""
        return [r for r in self.warehouse.records() if stage in ("", r.stage)]

    def intents(self, stage: str) -> list[Intent]:
        """Rows of `_intents`, oldest first."""
        return [i for i in self.warehouse.intents() if i.stage == stage]

    def models(self) -> tuple[int, dict[str, int]]:
        """How many versions are registered, and where the aliases point."""
        file = self.root / ".lakeloom" / "mlflow.db"
        if not file.exists():
            return 0, {}
        mine = "WHERE name LIKE ?", [f"{self.name}.%"]  # others may share the server
        with closing(sqlite3.connect(file)) as registry:
            versions = registry.execute(f"SELECT count(*) FROM model_versions {mine[0]}", mine[1]).fetchone()[0]
            aliases = registry.execute(f"SELECT alias, version FROM registered_model_aliases {mine[0]}", mine[1])
            return versions, dict(aliases)

    def files(self) -> dict[str, tuple[int, int]]:
        """Every file under the root, with its size and when it was written."""
        found = (p for p in self.root.rglob("*") if p.is_file())
        return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in found}

    def content(self) -> dict[str, tuple[int, str]]:
        """Each table, quarantines included: its rows, and a checksum of what must repeat in any order."""
        root = Path(self.warehouse.root) / self.name
        logs = sorted(p.parent for p in root.glob("*/*/_delta_log"))
        return {str(t.relative_to(root)): checksum(rows_of(t), WHEN_AND_WHERE) for t in logs}

    def unread(self) -> list[str]:
        """Versions of tables and of logs such as _runs that a reader who pinned them could not read: none, ever."""
        root = Path(self.warehouse.root) / self.name
        tables = sorted(p.parent for p in root.rglob("_delta_log") if "_locks" not in p.parts)
        return [f"{t.relative_to(root)}@{v}" for t in tables for v in range(_versions(t)) if not _readable(t, v)]

    def attempts(self) -> list[tuple[object, ...]]:
        """`_runs` without clocks and ids."""
        return sorted(
            (r.stage, r.generation, r.batch, r.status, sorted(r.counts.items()), r.published_version, r.model_version)
            for r in self.records()
        )


def _versions(table: Path) -> int:
    return int(DeltaTable(table).version()) + 1


def _readable(table: Path, version: int) -> bool:
    """Whether all its files are there, and hold as many rows as the log says of them."""
    try:
        return len(rows_of(table, version)) == DeltaTable(table, version=version).count()
    except (OSError, DeltaError, pa.ArrowException):
        return False


def apart(command: list[str], limit_s: float, **env: str) -> Said:
    """A command in a process group of its own, which gets SIGKILL after limit_s."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=os.environ | env, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
    return Said(process.returncode, out, err)


def rows_of(table: Path, version: int | None = None) -> list[dict[str, Any]]:
    """A version of a Delta table; the newest, if none is named."""
    rows: list[dict[str, Any]] = dataset(DeltaTable(table, version=version)).to_table().to_pylist()
    return rows


def checksum(rows: list[dict[str, Any]], left_out: Iterable[str] = ()) -> tuple[int, str]:
    """(rows, hash); repr writes a float in full, so equal hashes are equal bits."""
    lines = sorted(repr(sorted((k, v) for k, v in row.items() if k not in left_out)) for row in rows)
    return len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@cache
def _empty_registry() -> bytes:
    """As the product makes it."""
    from pipelines.registry import Registry
    from pipelines.spec import Target

    with TemporaryDirectory() as folder:
        Registry(Target(tracking=f"sqlite:///{folder}/mlflow.db", artifacts=folder))
        return Path(folder, "mlflow.db").read_bytes()


def project(root: Path, name: str) -> Project:
    """An empty project; its conf is to be written."""
    made = Project(root, name)
    (root / "conf" / "targets").mkdir(parents=True, exist_ok=True)
    made.target.write_text(TARGET)
    made.landing.mkdir(parents=True, exist_ok=True)
    return made


def flights(root: Path, candidates: Iterable[dict[str, Any]] = ()) -> Project:
    """The product's own conf, with candidates that are quick to train and gates that a few days can pass."""
    made = project(root, "flights")
    made.conf.write_bytes(CONF.read_bytes())

    def small(conf: Any) -> None:
        model = conf["models"]["late_arrival"]
        model["candidates"] = list(candidates) or [{"kind": "logistic_regression", "iterations": 5}]
        model["gates"] = [{"metric": "roc_auc", "min": 0.5}, {"metric": "roc_auc", "versus": "champion"}]
        model["slices"] = ["origin"]

    made.change(small)
    return made


def land_flights(made: Project, months: Iterable[int], days: Iterable[int]) -> None:
    """Land some days of some months: lines byte for byte as they are in the package."""
    for name in land.ONCE:
        if not (made.landing / name).exists():
            made.land(f"{name}/{name}.csv", _feed(name)[""])
    for name in land.MONTHLY:
        for month in months:
            whole = _feed(name)[f"2013-{month:02}"]
            made.land(f"{name}/{name}-2013-{month:02}.csv", _cut(whole, set(days)))


def _feed(name: str) -> dict[str, bytes]:
    """Month -> file; a table that lands once stands under ''."""
    if name not in _FEED:
        _FEED[name] = _unpacked(name)
    return _FEED[name]


_FEED: dict[str, dict[str, bytes]] = {}


def _unpacked(name: str) -> dict[str, bytes]:

    with TemporaryDirectory() as folder:
        landed = [path for path, _ in land.land(land.feed(), Path(folder), "2013-12")]
        for path in landed:
            key = path.stem.partition("-")[2]
            _FEED.setdefault(path.parent.name, {})[key] = path.read_bytes()
    return _FEED[name]


def _cut(whole: bytes, days: set[int]) -> bytes:
    header, *lines = whole.splitlines(keepends=True)
    at = header.strip().split(b",").index(b"day")
    return header + b"".join(line for line in lines if int(line.split(b",")[at]) in days)
