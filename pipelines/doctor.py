"""What is wrong with this machine, and what to type: Java, jars, versions, disk, memory, places.

It looks and never mends; no JVM session is started and pyspark is not
imported, so it works where Spark does not. To add a check, write a function
from a Target to a Finding and name it in CHECKS.
"""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import file_digest
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from pipelines.spec import Target

JAVA = 17  # the oldest that Spark runs on
PYTHON = ((3, 11), (3, 13))  # from, up to and without
PYSPARK = "4.2.0"
FREE_DISK_GB = 2.0
PYTHON_MEMORY_GB = 1.5  # beside the driver's heap
WAIT_S = 20.0  # for a program or a server to answer
WAIT_NETS_S = 60.0  # for torch to be imported
LOCK = files("pipelines") / "jars.lock"
BOOTSTRAP = "scripts/bootstrap"
BUILT = """
import json
import horovod.torch as hvd

print(json.dumps({"Gloo": bool(hvd.gloo_built()), "NCCL": bool(hvd.nccl_built())}))
"""
INSTALL_JAVA = "sudo apt install openjdk-17-jre-headless"


@dataclass(frozen=True)
class Finding:
    """One look: `found` says what is there; `remedy`, where it is not ok, what to type or to change."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def examine(target: Target) -> tuple[Finding, ...]:
    """Every check against this machine and a target's places, in reading order; changes nothing."""
    return tuple(check(target) for check in CHECKS)


def python(_: Target) -> Finding:
    """The interpreter is one that the lock was made for."""
    here, (oldest, too_new) = sys.version_info[:3], PYTHON
    found = ".".join(map(str, here))
    return _judged("Python", oldest <= here[:2] < too_new, found, f"{BOOTSTRAP}  (it wants Python 3.11 or 3.12)")


def java(_: Target) -> Finding:
    """The Java that Spark would start runs, and is not too old."""
    program = java_program()
    if program is None:
        return Finding("Java", False, "none on PATH and no JAVA_HOME", f"{BOOTSTRAP}, or {INSTALL_JAVA}")
    try:
        said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=WAIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return Finding("Java", False, f"{program} does not run ({_reason(problem)})", f"{BOOTSTRAP}, or {INSTALL_JAVA}")
    if said.returncode != 0:
        words = (said.stderr or said.stdout).strip().splitlines() or ["no words"]
        return Finding("Java", False, f"{program} is broken: {words[0]}", f"{BOOTSTRAP}, or {INSTALL_JAVA}")
    major = java_major(said.stderr + said.stdout)
    found = f"version {major or 'unknown'}, {program}"
    return _judged("Java", major >= JAVA, found, f"{BOOTSTRAP}, or {INSTALL_JAVA}  (it must be {JAVA} or newer)")


def java_home(_: Target) -> Finding:
    """JAVA_HOME, where it is set, is the home of a Java: Spark asks it before PATH."""
    home = os.environ.get("JAVA_HOME", "")
    if not home:
        return Finding("JAVA_HOME", True, "not set; the Java on PATH is taken")
    ok = os.access(Path(home, "bin", "java"), os.X_OK)
    return _judged("JAVA_HOME", ok, home if ok else f"{home} has no bin/java", "unset JAVA_HOME")


def pyspark(_: Target) -> Finding:
    """The one version that the Delta jars were made for; looked up, not imported."""
    try:
        found = version("pyspark")
    except PackageNotFoundError:
        return Finding("pyspark", False, "not installed", BOOTSTRAP)
    return _judged("pyspark", found == PYSPARK, found, f"{BOOTSTRAP}  (it must be {PYSPARK})")


def jars(_: Target) -> Finding:
    """Every jar of jars.lock stands in Spark's folder with its SHA-256."""
    folder = spark_jars()
    if folder is None:
        return Finding("Delta jars", False, "no Spark to hold them", BOOTSTRAP)
    return compared(folder, locked_jars(LOCK.read_text()))


def compared(folder: Path, locked: Mapping[str, str]) -> Finding:
    """The jars of a folder against file name -> SHA-256."""
    gone = [name for name in locked if not (folder / name).is_file()]
    broken = [name for name, sha in locked.items() if name not in gone and _sha256(folder / name) != sha]
    if gone or broken:
        how = [f"{', '.join(names)} {what}" for names, what in ((gone, "missing"), (broken, "broken")) if names]
        return Finding("Delta jars", False, f"{' and '.join(how)} in {folder}", BOOTSTRAP)
    return Finding("Delta jars", True, f"{len(locked)} of {len(locked)} as locked")


def disk(target: Target) -> Finding:
    """Room for tables and Spark's scratch files where the warehouse lies."""
    if "://" in target.warehouse:
        return Finding("Disk", True, f"{target.warehouse} is not on this machine")
    place = _standing(Path(target.warehouse))
    free = shutil.disk_usage(place).free / 1e9
    advice = f"free some of the disk that holds {place}, or set another `warehouse` in the target"
    return _judged("Disk", free >= FREE_DISK_GB, f"{free:.1f} GB free at {target.warehouse}", advice)


def warehouse(target: Target) -> Finding:
    """The warehouse, or the folder it will be made in, can be written."""
    if "://" in target.warehouse:
        return Finding("Warehouse", True, f"{target.warehouse} is not on this machine")
    place = _standing(Path(target.warehouse))
    ok = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    advice = f"sudo chown $USER {place}, or set another `warehouse` in the target"
    return _judged("Warehouse", ok, f"{target.warehouse}{'' if ok else f': {place} cannot be written'}", advice)


def memory(target: Target) -> Finding:
    """The driver's heap and Python beside it fit into what is free."""
    if target.master is None:
        return Finding("Memory", True, "decided by spark-submit")
    wanted, free = gigabytes(target.driver_memory) + PYTHON_MEMORY_GB, free_memory_gb()
    found = f"{free:.1f} GB free, {wanted:.1f} GB wanted"
    return _judged("Memory", free >= wanted, found, "close something, or set a smaller `driver_memory` in the target")


def landing(target: Target) -> Finding:
    """The folder that files arrive in can be read."""
    if "://" in target.landing:
        return Finding("Landing", True, f"{target.landing} is not on this machine")
    place = Path(target.landing)
    if not place.is_dir():
        return Finding("Landing", False, f"{place} is not a folder", f"mkdir -p {place}, and land files in it")
    ok = os.access(place, os.R_OK | os.X_OK)
    return _judged("Landing", ok, f"{place}{'' if ok else ' cannot be read'}", f"sudo chmod a+rx {place}")


def tracking(target: Target) -> Finding:
    """The MLflow store answers: a SQLite file that can be written, or a server."""
    scheme, _, rest = target.tracking.partition("://")
    if scheme == "sqlite":
        return _sqlite(Path(rest[1:]))
    if scheme in ("http", "https"):
        return _server(target.tracking)
    return Finding("Tracking", True, f"{target.tracking} is not looked at")


def nets(_: Target) -> Finding:
    """What nets are trained with; nothing is wrong without it. Horovod is asked in a process of its own, as Java is."""
    if find_spec("torch") is None:
        return Finding("Nets", True, f"no torch here, so tabular_net does not train; {BOOTSTRAP} deep makes .venv-deep")
    torch = f"torch {version('torch')}"
    if find_spec("horovod") is None:
        return Finding("Nets", True, f"{torch}; Horovod is not built, so launcher: single or torch_distributor")
    return _horovod(f"{torch}, Horovod {version('horovod')}")


def _horovod(found: str) -> Finding:
    """Whether it loads with this torch, and by what its ranks can speak."""
    command = [sys.executable, "-c", BUILT]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_NETS_S, check=True)
    except subprocess.CalledProcessError as problem:
        last = (problem.stderr.strip().splitlines() or ["no words"])[-1]
        anew = f"uv cache clean horovod; rm -r .venv-deep; {BOOTSTRAP} deep  (it is built for one torch)"
        return Finding("Nets", False, f"{found} does not load: {last[:200]}", anew)
    except (OSError, subprocess.TimeoutExpired) as problem:
        return Finding("Nets", True, f"{found}; how it was built is not known ({_reason(problem)})")
    built: dict[str, bool] = json.loads(said.stdout)
    ways = ", ".join(f"{'with' if has else 'without'} {name}" for name, has in built.items())
    return _judged("Nets", built["Gloo"], f"{found} {ways}", f"{BOOTSTRAP} deep  (ranks speak by Gloo)")


CHECKS: tuple[Callable[[Target], Finding], ...] = (
    python, java, java_home, pyspark, jars, memory, disk, warehouse, landing, tracking, nets,
)  # fmt: skip


def java_program() -> str | None:
    """The `java` that Spark's own scripts would start."""
    home = os.environ.get("JAVA_HOME", "")
    return str(Path(home, "bin", "java")) if home else shutil.which("java")


def java_major(words: str) -> int:
    """What `java -version` said, as 8, 17, 21; 0 where it says none."""
    match = re.search(r'version "(?:1\.)?(\d+)', words)
    return int(match[1]) if match else 0


def spark_jars() -> Path | None:
    """The folder whose jars every Spark process started here sees: SPARK_HOME's, else pyspark's own."""
    if home := os.environ.get("SPARK_HOME"):
        return Path(home, "jars")
    found = find_spec("pyspark")
    return Path(found.origin).parent / "jars" if found and found.origin else None


def locked_jars(lock: str) -> dict[str, str]:
    """File name -> SHA-256; a line of the lock is 'SHA-256  group:artifact:version'."""
    lines = (line.split() for line in lock.splitlines() if line and not line.startswith("#"))
    return {"-".join(coordinate.split(":")[1:]) + ".jar": sha for sha, coordinate in lines}


def gigabytes(size: str) -> float:
    """'512m' -> 0.512; '2g' -> 2.0."""
    return int(size[:-1]) / (1000 if size.endswith("m") else 1)


def free_memory_gb() -> float:
    """What can be had without swapping, the container's limit included."""
    free = [_meminfo(Path("/proc/meminfo").read_text())] if Path("/proc/meminfo").exists() else [_physical()]
    limit, used = (Path("/sys/fs/cgroup", f"memory.{n}") for n in ("max", "current"))
    if limit.exists() and used.exists() and limit.read_text().strip().isdigit():
        free.append(int(limit.read_text()) - int(used.read_text()))
    return min(free) / 1e9


def _judged(name: str, ok: bool, found: str, remedy: str) -> Finding:
    return Finding(name, ok, found, "" if ok else remedy)


def _meminfo(text: str) -> int:
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemAvailable:"))


def _physical() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _sqlite(path: Path) -> Finding:
    place = _standing(path)
    if not os.access(place, os.W_OK):
        return Finding("Tracking", False, f"{place} cannot be written", f"sudo chown $USER {place}")
    if path.is_file():
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=WAIT_S) as store:
                store.execute("PRAGMA schema_version")
        except sqlite3.DatabaseError as problem:
            return Finding("Tracking", False, f"{path}: {problem}", "set another `tracking` in the target")
    return Finding("Tracking", True, f"{path}{'' if path.exists() else ', made by the first run'}")


def _server(uri: str) -> Finding:
    try:
        with urlopen(uri, timeout=WAIT_S):
            return Finding("Tracking", True, uri)
    except HTTPError as problem:  # it answers; what it wants is a matter of credentials
        return _judged("Tracking", problem.code < 500, f"{uri} answers {problem.code}", "look at the server's log")
    except (URLError, OSError) as problem:
        return Finding("Tracking", False, f"{uri} does not answer ({_reason(problem)})", "start the MLflow server")


def _standing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(p for p in (path, *path.absolute().parents) if p.exists())


def _sha256(path: Path) -> str:
    with path.open("rb") as content:
        return file_digest(content, "sha256").hexdigest()


def _reason(problem: BaseException) -> str:
    if isinstance(problem, subprocess.TimeoutExpired):
        return f"no answer in {problem.timeout:.0f} s"
    if isinstance(problem, URLError) and isinstance(problem.reason, OSError):
        return _reason(problem.reason)
    return str(getattr(problem, "strerror", None) or problem)
