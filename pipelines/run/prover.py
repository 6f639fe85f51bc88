"""A clean Python process that stands by: it starts once, and answers what it is asked, a line at a time.

Its Java and its imports cost 10 to 20 s of two cores, a question then one or
two; so it is begun while there is other work, and serves every model of a
command or a notebook. It never trains. It ends with the process that began it,
or when nothing was asked for IDLE_S.
"""

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from pipelines.errors import PlatformError

IDLE_S = 120
CHUNK = 65_536
INHERITED = ("PYSPARK_GATEWAY_PORT", "PYSPARK_GATEWAY_SECRET", "PYSPARK_SUBMIT_ARGS")  # would lead to our own Java


@dataclass
class Standing:
    """The process, and how often it was asked; settings: what it was begun with, its first line."""

    settings: str
    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    asked: int = 0


_standing: list[Standing] = []  # one at most
_one = threading.Lock()  # asks at a time


def begin(module: str, settings: str) -> None:
    """Start it, where none stands by with these settings; another is ended. Does not wait."""
    if _standing and _standing[0].settings == settings and _standing[0].process.poll() is None:
        return
    end()
    errors, pipe, command = TemporaryFile(), subprocess.PIPE, [sys.executable, "-m", module]
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, env=environment(), bufsize=0)
    _standing.append(Standing(settings, process, errors))
    _tell(process, settings)


def ask(question: str, limit_s: float) -> str:
    """What it answers; one that fails is ended. Errors: TimeoutError, PlatformError where it has ended."""
    with _one:
        held = _standing[0]
        held.asked += 1
        try:
            _tell(held.process, question)
            answer = _answer(held, limit_s)
        except BaseException:  # an answer that still came would be taken for that of the next question
            end()
            raise
    return answer


def used() -> bool:
    """Whether it was asked anything before."""
    return bool(_standing and _standing[0].asked)


def end() -> None:
    """End it, where it stands by. Its Java ends with it."""
    for held in _standing:
        held.process.kill()
        held.process.communicate()
        held.errors.close()
    _standing.clear()


def questions() -> Iterator[str]:
    """In the process itself: what comes, line by line, until its parent has ended or asks no more."""
    with os.fdopen(0, "rb", buffering=0, closefd=False) as asked:  # what a buffer held, select would not see
        while select.select([asked], [], [], IDLE_S)[0] and (line := asked.readline()):
            yield line.decode()


def answers() -> IO[str]:
    """In the process itself: where its answers go. What a library prints goes to stderr from now on."""
    apart = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return apart


def environment() -> dict[str, str]:
    """Of the clean process: it imports what this one does, and finds Spark.

    A container of YARN's has no SPARK_HOME, and pyspark as a zip without Java's part before that of its environment.
    """
    clean = {k: v for k, v in os.environ.items() if k not in INHERITED}
    clean["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)  # what spark-submit has added is in no variable
    homes = [home for p in sys.path if (home := Path(p, "pyspark")).joinpath("bin", "spark-submit").exists()]
    return {**({"SPARK_HOME": str(homes[0])} if homes else {}), **clean}


def _tell(process: subprocess.Popen[bytes], line: str) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has ended, which the one who waits for its answer will see
        process.stdin.write(f"{line}\n".encode())


def _answer(held: Standing, limit_s: float) -> str:
    pipe, said, until = held.process.stdout, b"", time.monotonic() + limit_s
    assert pipe is not None
    while not said.endswith(b"\n"):
        if not select.select([pipe], [], [], max(0.0, until - time.monotonic()))[0]:
            raise TimeoutError
        part = os.read(pipe.fileno(), CHUNK)
        if not part:
            raise PlatformError(f"a clean process {_died(held)}")
        said += part
    return said.decode()


def _died(held: Standing) -> str:
    code = held.process.wait()
    held.errors.seek(0)
    said = held.errors.read().decode(errors="replace").splitlines()
    last = next((line.strip() for line in reversed(said) if line.strip()), "said nothing")
    return f"ended with {code}: {last[:300]}"
