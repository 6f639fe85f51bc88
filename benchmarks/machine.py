"""The machine as /proc shows it: our process tree, the dead included, and what everyone else did meanwhile.

Linux only, nothing installed. CPU time of a JVM or a Python worker that ended
is not lost: orphans become our children, and who waits for a child inherits
its CPU time.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from pipelines.errors import PlatformError

MOST_OTHERS = 0.10  # share of the machine's CPU that went to processes not ours
MOST_STEAL = 0.05  # share that the host took away
TIMEOUT_S = 1800  # for one process
ORPHANS_S = 30  # a JVM may outlive the Python that started it
PEAK_EVERY_S = 1.0
TAIL_BYTES = 2000
_SPARK_HERE = {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}  # the same workers for every arm
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


@dataclass(frozen=True)
class Noise:
    """What the machine did beside us: shares of all its CPU time; psi is the share of time in which someone waited."""

    others: float
    steal: float
    psi: float
    load: float

    @property
    def loud(self) -> bool:
        """True where a pair cannot be trusted. psi and load are recorded only: our own threads raise both."""
        return self.others > MOST_OTHERS or self.steal > MOST_STEAL


@dataclass(frozen=True)
class Glance:
    """The whole machine at one moment, in seconds since boot; `ours_s` are the CPU-seconds of our tree."""

    at_s: float
    ours_s: float
    busy_s: float
    steal_s: float
    stalled_s: float
    load: float


def glance() -> Glance:
    """Look now."""
    ticks = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(t) / _TICKS_PER_S for t in ticks)
    load = float(Path("/proc/loadavg").read_text().split()[0])
    busy = user + nice + system + irq + softirq
    return Glance(time.monotonic(), tree_cpu_s(), busy, steal, _stalled_s(), load)


def _stalled_s() -> float:
    """Seconds in which some task waited for a CPU; 0 on a kernel that does not say."""
    pressure = Path("/proc/pressure/cpu")
    return int(pressure.read_text().split("total=")[1].split()[0]) / 1e6 if pressure.exists() else 0.0


def noise_between(before: Glance, after: Glance) -> Noise:
    """What happened between two glances, apart from us."""
    elapsed_s = after.at_s - before.at_s
    whole_s = elapsed_s * (os.cpu_count() or 1)
    others_s = (after.busy_s - before.busy_s) - (after.ours_s - before.ours_s)
    return Noise(
        others=max(0.0, others_s / whole_s),
        steal=(after.steal_s - before.steal_s) / whole_s,
        psi=(after.stalled_s - before.stalled_s) / elapsed_s,
        load=after.load,
    )


def run_process(argv: Sequence[str], cwd: Path, log: Path) -> None:
    """Run a command until it and all that it left behind are gone; their CPU time ends up in our tree.

    Errors: PlatformError where it fails (with the log's end), hangs, or leaves a process that does not end.
    """
    _adopt_orphans()
    env = {**os.environ, **_SPARK_HERE}
    with log.open("wb") as out:
        child = subprocess.Popen(argv, cwd=cwd, env=env, stdout=out, stderr=out, start_new_session=True)
    try:
        status = child.wait(TIMEOUT_S)
        _await_orphans(child.pid)
    except subprocess.TimeoutExpired:
        raise PlatformError(f"{argv[0]} did not end within {TIMEOUT_S} s") from None
    finally:
        _kill(child.pid)
    if status:
        tail = log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
        raise PlatformError(f"{' '.join(argv)} ended with {status}; its last words:\n{tail}")


def _adopt_orphans() -> None:
    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise PlatformError("this kernel lets no process adopt orphans, so the CPU time of a dead JVM would be lost")


def _await_orphans(session: int) -> None:
    deadline = time.monotonic() + ORPHANS_S
    while left := _of_session(session):
        for orphan in (p for p in left if p.parent == os.getpid()):
            os.waitpid(orphan.pid, os.WNOHANG)
        if time.monotonic() > deadline:
            raise PlatformError(f"process {left[0].pid} still runs {ORPHANS_S} s after the one that started it")
        time.sleep(0.02)


def _kill(session: int) -> None:
    """Nothing is left after a good run; after a bad one nothing stays."""
    for process in _of_session(session):
        os.kill(process.pid, signal.SIGKILL)


@dataclass(frozen=True)
class _Process:
    pid: int
    parent: int
    session: int
    cpu_s: float  # its own, and of its children that died
    memory_mb: float  # resident


def tree_cpu_s() -> float:
    """CPU-seconds of this process and all its descendants, the living and the dead (10 ms steps)."""
    return sum(p.cpu_s for p in _tree())


class Peak:
    """While it is entered, watches the resident memory of our tree; `mb` is the most that was seen at once."""

    def __init__(self) -> None:
        self.mb = 0.0
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Peak":
        self._watch.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._watch.join()

    def _look(self) -> None:
        while True:
            self.mb = max(self.mb, sum(p.memory_mb for p in _tree()))
            if self._over.wait(PEAK_EVERY_S):
                return


def _tree() -> list[_Process]:
    processes = list(_processes())
    children: dict[int, list[_Process]] = {}
    for process in processes:
        children.setdefault(process.parent, []).append(process)
    tree = [p for p in processes if p.pid == os.getpid()]
    for process in tree:  # grows while we walk it
        tree.extend(children.get(process.pid, []))
    return tree


def _of_session(session: int) -> list[_Process]:
    return [p for p in _processes() if p.session == session]


def _processes() -> Iterator[_Process]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield _parsed(int(entry.name), (entry / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked


def _parsed(pid: int, stat: str) -> _Process:
    """The fields of proc(5), counted after the name, which may itself hold blanks and brackets."""
    fields = stat.rpartition(")")[2].split()
    cpu_s = sum(map(int, fields[11:15])) / _TICKS_PER_S
    return _Process(pid, int(fields[1]), int(fields[3]), cpu_s, int(fields[21]) * _PAGE_MB)
