"""One run at a time for each stage. To acquire and to release are commits; between them a file's heartbeat.

A lock is a Delta table without rows, `_locks/<stage>`; who took it stands in
the commit. Of two runs that take it at once Delta refuses one. A holder that died is recognised by its process
where that can be seen, elsewhere by a heartbeat that stopped. One that was
only paused finds, before it records anything, that the epoch went on; what it
still writes into a table has the transaction id of a batch that is there.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from pipelines import where
from pipelines.errors import ConflictError

BEAT_S, DEAD_S = 5.0, 60.0  # between two heartbeats; without one for so long the holder is taken for dead
TRIES = 10  # where the making of a lock's table by others comes between
RACERS = 50  # runs that may take a lock at the same moment
HOLDER, HEARTBEAT = "holder", "_heartbeat"


@dataclass(frozen=True)
class Holder:
    """Who took a lock: enough to see on its own machine whether it still lives."""

    epoch: int
    run_id: str
    host: str
    pid: int
    born: str  # of the process: a pid may be another's by now
    at: float  # seconds since 1970
    released: bool = False

    @property
    def dead(self) -> bool:
        """True where this machine can see that the process is gone."""
        return self.host == _host() and _born(self.pid) != self.born


@dataclass(frozen=True)
class Lock:
    """A lock as its holder has it; path is the lock's own table, whose commits are the takings and releases."""

    path: str
    holder: Holder

    def confirm(self) -> None:
        """Errors: ConflictError if another run took the lock meanwhile."""
        now = _last(self.path)[1]
        if now is None or now.epoch != self.holder.epoch:
            raise ConflictError(f"{_stage(self.path)}: another run took its lock while this one was paused")


@contextmanager
def held(path: str, run_id: str) -> Iterator[Lock]:
    """The lock of a stage, while the block runs.

    Errors: ConflictError, safe to retry, while another run holds it; also where the block failed after another took it.
    """
    lock = _acquire(path, run_id)
    try:
        with _beating(path):
            yield lock
    except Exception:
        with suppress(DeltaError, OSError):
            lock.confirm()  # who was overtaken says so, whatever it then ran into
        raise
    finally:
        with suppress(DeltaError, ConflictError, OSError):  # another took it over, or there is no disk to say so
            lock.confirm()
            _write(DeltaTable(path), replace(lock.holder, released=True))


def _acquire(path: str, run_id: str) -> Lock:
    for _ in range(TRIES):
        seen, last = _last(path)
        if last and not last.released and not _dead(path, last):
            raise ConflictError(
                f"{_stage(path)}: run {last.run_id} is at it (process {last.pid} on {last.host}); "
                f"try again when it ended"
            )
        pid = os.getpid()
        mine = Holder(last.epoch + 1 if last else 1, run_id, _host(), pid, _born(pid), time.time())
        with suppress(DeltaError):  # another wrote at the same moment
            _write(seen, mine)
        first = next((h for h in reversed(_holders(DeltaTable(path))) if h.epoch == mine.epoch), None)
        if first == mine:
            return Lock(path, mine)
        if first:
            break  # and none where only the making of the table came between
    raise ConflictError(f"{_stage(path)}: another run took it at the same moment; try again when it ended")


def _last(path: str) -> tuple[DeltaTable, Holder | None]:
    """The lock's table as it is now, made if it is not there, and who took or released it last."""
    try:
        table = DeltaTable(path)
    except TableNotFoundError:
        with suppress(DeltaError):  # another made it
            DeltaTable.create(path, pa.schema([("nothing", pa.bool_())]), mode="ignore")
        table = DeltaTable(path)
    return table, next(iter(_holders(table)), None)


def _holders(table: DeltaTable) -> list[Holder]:
    """Those of the last commits, newest first."""
    return [Holder(**json.loads(c[HOLDER])) for c in table.history(RACERS) if HOLDER in c]


def _write(seen: DeltaTable, holder: Holder) -> None:
    """One commit without rows, that fails if another came after the table was seen."""
    said = CommitProperties(
        custom_metadata={HOLDER: json.dumps(asdict(holder))},
        app_transactions=[Transaction("lock", 2 * holder.epoch + holder.released)],
    )
    write_deltalake(seen, pa.schema([("nothing", pa.bool_())]).empty_table(), mode="append", commit_properties=said)


def _stage(path: str) -> str:
    return path.rpartition("/")[2]


def _dead(path: str, holder: Holder) -> bool:
    return holder.dead or time.time() - max(holder.at, _heard(path)) > DEAD_S


@contextmanager
def _beating(path: str) -> Iterator[None]:
    """A thread that writes the heartbeat until the end."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(BEAT_S):
            with suppress(OSError):
                _beat(path)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _beat(path: str) -> None:
    system, place = where.at(f"{path}/{HEARTBEAT}")
    with system.open_output_stream(place) as stream:
        stream.write(b"alive")


def _heard(path: str) -> float:
    """When the heartbeat was last written, in seconds since 1970; 0 for never."""
    system, place = where.at(f"{path}/{HEARTBEAT}")
    found = system.get_file_info(place)
    return found.mtime_ns / 1e9 if found.type == pafs.FileType.File else 0.0


def _host() -> str:
    return socket.gethostname()


def _born(pid: int) -> str:
    """When a process of this machine began, in clock ticks since boot; '' where there is none; '?' without /proc."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state == "Z" else rest[18]
    except OSError:
        return "?" if _runs(pid) else ""


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
