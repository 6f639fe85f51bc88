"""b10: how long an answer takes, asked at a steady rate: `python -m benchmarks.b10_online [--rate R] [--seconds S]`.

No contest of CPU-seconds but of latency, open loop: requests have moments of
their own, whether or not those before were answered, and the clock of each
starts at its moment; so a server that stalls pays for all that waited. One row
of 16 numbers and a model of 100 trees (b08's). Servers have one process; the
other core is the client's. `constant` is a server of the same kind that reads
nothing and answers the same text: what the wire and the framework cost. Last,
another version takes the place of the one that answers, once a second: a reply
that is no 200, or that names neither of them, counts as failed.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import perf_counter, sleep
from typing import Annotated, Any

import numpy as np
import psutil
import typer

from benchmarks.b08_scoring import NAMES, trained
from benchmarks.project import sessions
from pipelines.export import write

TOKEN, CONNECTIONS, START_S, SLOW, SWAPPED = "a-token-of-a-benchmark", 32, 120, 20, 200
VERSIONS = (1, 2)
CONSTANT = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
async def score(request):
    await request.body()
    return JSONResponse({"answer": {"score": 0.5, "predicted": True}})
uvicorn.run(Starlette(routes=[Route("/score", score, methods=["POST"])]), port=int(sys.argv[1]), log_level="warning")
"""


@dataclass(frozen=True)
class Server:
    """One way to answer: how it is started on a port, where it is asked, with what."""

    name: str
    command: Sequence[str]
    path: str
    body: bytes
    rate: int  # requests a second
    moved: Path | None = None  # the folder that it serves, where others take its place; they lie beside it


@dataclass(frozen=True)
class Found:
    """Latencies in ms from the moment that a request was due; CPU of the server for each request in ms."""

    server: Server
    latencies: Any
    failed: int
    cpu_ms: float

    def line(self) -> str:
        """A row of the table."""
        shown = " | ".join(f"{np.percentile(self.latencies, p):.2f}" for p in (50, 99, 99.9))
        asked = f"{len(self.latencies):,} at {self.server.rate}/s"
        return f"| {self.server.name} | {asked} | {shown} | {self.failed} | {self.cpu_ms:.2f} |"


def measured(server: Server, seconds: int) -> Found:
    """Start it, warm it up, ask it for some seconds."""
    with serving(server) as (port, process), moving(server.moved, port) if server.moved else nullcontext():
        asyncio.run(asked(server, port, 3))
        before = _cpu_s(process)
        latencies, failed = asyncio.run(asked(server, port, seconds))
        used = _cpu_s(process) - before
    return Found(server, np.array(latencies) * 1_000, failed, 1_000 * used / max(len(latencies), 1))


def _cpu_s(process: int) -> float:
    """Of a process and its living children."""
    whole = psutil.Process(process)
    return sum(sum(p.cpu_times()[:2]) for p in (whole, *whole.children(recursive=True)))


async def asked(server: Server, port: int, seconds: int) -> tuple[list[float], int]:
    """Latencies of all requests, and how many were not answered with 200."""
    free: asyncio.Queue[Any] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    head = f"POST {server.path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {TOKEN}\r\nContent-Length: {len(server.body)}\r\n\r\n"
    begun, taken = perf_counter() + 0.1, list[tuple[float, bool]]()

    async def one(due: float) -> None:
        reader, writer = await free.get()
        writer.write(head.encode() + server.body)
        said = (await reader.readuntil(b"\r\n\r\n")).lower()
        answer = await reader.readexactly(int(said.split(b"content-length:")[1].split(b"\r\n")[0]))
        latency, good = perf_counter() - due, said.startswith(b"http/1.1 200")
        taken.append((latency, good and (not server.moved or json.loads(answer).get("version") in VERSIONS)))
        free.put_nowait((reader, writer))

    tasks = []
    for number in range(server.rate * seconds):
        due = begun + number / server.rate
        await asyncio.sleep(max(0.0, due - perf_counter()))
        tasks.append(asyncio.create_task(one(due)))
    await asyncio.gather(*tasks)
    return [latency for latency, _ in taken], sum(not good for _, good in taken)


@contextmanager
def serving(server: Server) -> Iterator[tuple[int, int]]:
    """Its port and its process, once it takes connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    known = {**os.environ, "LAKELOOM_SCORE_TOKEN": TOKEN, "LAKELOOM_ADMIN_TOKEN": TOKEN * 2}
    command = [word.replace("PORT", str(port)) for word in server.command]
    process = subprocess.Popen(command, env=known, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limit = perf_counter() + START_S
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if perf_counter() > limit or process.poll() is not None:
                    raise
                sleep(0.2)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(START_S)


@contextmanager
def moving(served: Path, port: int) -> Iterator[None]:
    """Once a second the other version takes the place of the one in a folder, and its server is told to look."""
    over, moves, begun = Event(), list[int](), perf_counter()

    def move() -> None:
        for version in cycle(reversed(VERSIONS)):
            if over.wait(1):
                return
            shutil.copytree(_version(served, version), served, dirs_exist_ok=True)
            asked = urllib.request.Request(f"http://127.0.0.1:{port}/reload", method="POST")
            asked.add_header("Authorization", f"Bearer {TOKEN * 2}")
            with urllib.request.urlopen(asked, timeout=START_S) as reply:
                assert json.load(reply) == {"version": version, "changed": True}
            moves.append(version)

    mover = Thread(target=move)
    mover.start()
    try:
        yield
    finally:
        over.set()
        mover.join()
    assert len(moves) > (perf_counter() - begun) / 2, f"its version moved {len(moves)} times only"


def _version(served: Path, version: int) -> Path:
    return served.with_name(f"{served.name}-{version}")


def servers(scratch: Path, graph: bytes, rate: int) -> list[Server]:
    """Ours, the constant, MLflow's; ours once more at the rate that MLflow's can bear, and while its version moves."""
    row = dict(zip(NAMES, np.random.default_rng(1).normal(size=len(NAMES)).round(6).tolist(), strict=True))
    served = scratch / "exported"
    for version in VERSIONS:
        told: Mapping[str, Any] = {"model": "b10.yes", "version": version, "certificate": {}, "rows": [row]}
        write(_version(served, version), "onnx", graph, told)
    shutil.copytree(_version(served, 1), served)
    ours = [sys.executable, "-m", "pipelines.serve", str(served), "--port", "PORT"]
    mlflow = [str(Path(sys.executable).parent / "mlflow"), "models", "serve", "-m", str(scratch / "mlflow")]
    mlflow += ["--env-manager", "local", "-p", "PORT", "-w", "1"]
    split = json.dumps({"dataframe_split": {"columns": list(NAMES), "data": [list(row.values())]}}).encode()
    body = json.dumps(row).encode()
    return [
        Server("constant", [sys.executable, "-c", CONSTANT, "PORT"], "/score", body, rate),
        Server("ours", ours, "/score", body, rate),
        Server("ours", ours, "/score", body, SLOW),
        Server("mlflow models serve", mlflow, "/invocations", split, SLOW),
        Server("ours, its version moved each second", ours, "/score", body, SWAPPED, served),
    ]


def main(rate: Annotated[int, typer.Option(min=1)] = 500, seconds: Annotated[int, typer.Option(min=1)] = 30) -> None:
    """Measure each server in turn, print one table."""
    with TemporaryDirectory(prefix="lakeloom-b10-") as folder:
        with sessions("b10") as spark:
            graph = trained(spark, Path(folder))
        typer.echo("| server | requests | p50 ms | p99 ms | p99.9 ms | failed | CPU ms a request |")
        typer.echo("| --- | --- | --- | --- | --- | --- | --- |")
        for server in servers(Path(folder), graph, rate):
            typer.echo(measured(server, seconds).line())


if __name__ == "__main__":
    typer.run(main)
