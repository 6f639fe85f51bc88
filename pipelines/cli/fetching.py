"""The version to serve, exported by a process of its own: that one may import MLflow, the endpoint never does."""

import asyncio
import os
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pipelines.errors import ConflictError, DataError, PlatformError, SpecError
from pipelines.serve import TOKENS

LOOK_UP_S = 120  # MLflow takes seconds; under load a machine takes its time


def fetcher(folder: Path, command: list[str]) -> Callable[[], Awaitable[Path]]:
    """Each call exports into a folder of its own, in a process that may import MLflow; ours never does.

    The folder before it goes: who still answers by its files has them open.
    """
    made = 0

    async def fetch() -> Path:
        nonlocal made
        made += 1
        to = folder / f"version-{made}"
        asked = [sys.executable, "-m", "pipelines.cli", *command, "--to", str(to)]
        child = await asyncio.create_subprocess_exec(
            *asked, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=_environment()
        )
        try:
            _, said = await asyncio.wait_for(child.communicate(), LOOK_UP_S)
        except TimeoutError:
            child.kill()
            raise PlatformError(f"the version was not found within {LOOK_UP_S} s") from None
        if child.returncode:
            raise _error(child.returncode, said.decode())
        for former in (each for each in folder.glob("version-*") if each != to):  # may hold who is forgotten by now
            shutil.rmtree(former, ignore_errors=True)
        return to

    return fetch


def _environment() -> dict[str, str]:
    """Without the tokens, which are nobody else's, and wide enough for a sentence on one line."""
    return {k: v for k, v in os.environ.items() if k not in TOKENS.values()} | {"COLUMNS": "2000"}


def _error(code: int, said: str) -> Any:
    """What the other process ended with, as ours."""
    kinds: dict[int, Any] = {kind.exit_code: kind for kind in (SpecError, DataError, ConflictError)}
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
    return kinds.get(code, PlatformError)(last.removeprefix("error: "))
