"""The online endpoint: one exported model over HTTP, in a process without Spark, MLflow and pandas.

    python -m pipelines.serve FOLDER --port 8080

Routes: /score (role score), /metadata, /metrics and /openapi.json (any role),
/reload (role admin), /health and /ready (no token). A version is swapped by
one assignment: a request keeps the version with which it began. On SIGTERM no
more connections are taken, and what was begun is answered.
"""

import argparse
import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipelines.errors import LakeloomError, PlatformError, SpecError
from pipelines.openapi import described
from pipelines.replies import MOST_BYTES, Reply, Served, place, too_large
from pipelines.requestlog import EVERY_S, RequestLog

HOST, PORT = "127.0.0.1", 8080
TOKENS = {"score": "LAKELOOM_SCORE_TOKEN", "admin": "LAKELOOM_ADMIN_TOKEN"}  # role -> environment variable
FEWEST_LETTERS = 16  # of a token
BODY_S, DRAIN_S, IDLE_S = 10, 30, 15  # a body has arrived; what was begun is answered; an idle connection is kept
MOST_CONNECTIONS = 1_000
PATIENCE = 4  # times MOST_BYTES of a body that is too large, after which the connection is closed
INLINE = 64  # rows that are scored at once; more of them in a thread, so that others are answered
Fetch = Callable[[], Awaitable[Path]]  # the folder of the version that is to be served
log = logging.getLogger("lakeloom.serve")


@dataclass(frozen=True)
class Settings:
    """Where the endpoint listens, and who may ask."""

    host: str = HOST
    port: int = PORT
    certificate: str = ""  # PEM files
    key: str = ""
    tokens: dict[str, str] = field(default_factory=dict, repr=False)  # role -> token
    poll_s: float = 0  # how often the version is looked up; 0: never
    log_to: str = ""  # folder of the request log
    log_share: float = 0.01  # of the requests
    rival_share: float = 0.0  # of the keys, that another version answers
    explain: int = 0  # contributions in an answer


class Metrics:
    """What /metrics tells."""

    def __init__(self) -> None:
        self.all = CollectorRegistry()
        self.requests = Counter("lakeloom_requests", "replies of /score by status", ["status"], registry=self.all)
        self.rows = Counter("lakeloom_rows", "rows scored, by version", ["version"], registry=self.all)
        self.seconds = Histogram(
            "lakeloom_request_seconds", "from the whole body to the reply", registry=self.all,
            buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0),
        )  # fmt: skip
        self.reloads = Counter("lakeloom_reloads", "looks for another version", ["outcome"], registry=self.all)
        self.dropped = Gauge("lakeloom_log_rows_dropped", "rows that the log had no room for", registry=self.all)
        self.version = Gauge("lakeloom_model_version", "the version that answers", registry=self.all)


class Endpoint:
    """The version that answers, and the routes."""

    def __init__(self, served: Served, fetch: Fetch, settings: Settings, rival: Fetch | None = None) -> None:
        self.served, self.settings, self.metrics = served, settings, Metrics()
        self.draining = False
        self.log = RequestLog(Path(settings.log_to), settings.log_share) if settings.log_to else None
        self._fetch, self._one = fetch, asyncio.Lock()
        self._rival = rival
        self.rival: Served | None = None
        self.metrics.version.set(served.version)

    def app(self) -> Starlette:
        """The routes, and the poll beside them."""
        routes = [
            Route("/score", self._guarded(self._score, "score"), methods=["POST"]),
            Route("/reload", self._guarded(self._reload, "admin"), methods=["POST"]),
            Route("/metadata", self._guarded(self._metadata, "score")),
            Route("/openapi.json", self._guarded(self._openapi, "score")),
            Route("/metrics", self._guarded(self._metrics, "score")),
            Route("/health", self._health),
            Route("/ready", self._ready),
        ]
        return Starlette(routes=routes, lifespan=self._polled)

    def _guarded(self, act: Callable[[Request], Awaitable[Response]], role: str) -> Any:
        """401 without a token of the role; admin may all."""

        async def asked(request: Request) -> Response:
            given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
            allowed = [self.settings.tokens[r].encode() for r in {role, "admin"}]
            if not any([hmac.compare_digest(given, token) for token in allowed]):  # all, so that the time tells nothing
                said = f"{request.url.path} wants a bearer token of the role {role}"
                return JSONResponse({"error": said}, 401, {"WWW-Authenticate": "Bearer"})
            return await act(request)

        return asked

    async def _score(self, request: Request) -> Response:
        try:
            body = await asyncio.wait_for(_body(request), BODY_S)
        except TimeoutError:
            return self._counted(Reply(408, {"error": f"the body did not arrive within {BODY_S} s"}))
        except ClientDisconnect:
            return self._counted(Reply(400, {"error": "the connection was closed before the body had arrived"}))
        if body is None:
            return self._counted(too_large())
        served = self._chosen(body)
        begun, kind = perf_counter(), request.headers.get("content-type", "")
        if body.count(b"{") > INLINE:
            reply = await run_in_threadpool(served.reply, body, kind)
        else:
            reply = served.reply(body, kind)
        self.metrics.seconds.observe(perf_counter() - begun)
        return self._counted(reply)

    def _chosen(self, body: bytes) -> Served:
        """The version that answers; a key is always answered by the same of two."""
        rival = self.rival
        if rival is None or place(body, self.served.metadata.get("keys", ())) >= self.settings.rival_share:
            return self.served
        return rival

    def _counted(self, reply: Reply) -> Response:
        self.metrics.requests.labels(str(reply.status)).inc()
        if reply.given:
            self.metrics.rows.labels(str(reply.body["version"])).inc(len(reply.given))
        if self.log and reply.given:
            signature = self.served.signature
            self.log.add(reply.given, reply.body, (*(f.name for f in signature.features), *signature.beside))
            self.metrics.dropped.set(self.log.dropped)
        headers = {"Connection": "close"} if reply.status in (408, 413) else {}  # what follows is the body's rest
        return JSONResponse(reply.body, reply.status, headers)

    async def _reload(self, request: Request) -> Response:
        before = self.served.version
        try:
            now = await self.reload()
        except LakeloomError as error:
            return JSONResponse({"error": str(error), "version": before}, 503)
        return JSONResponse({"version": now, "changed": now != before})

    async def reload(self) -> int:
        """Look for the version to serve, and serve it; the old one goes on answering until the new one has scored.

        Errors: LakeloomError where it cannot be had; the old one stays.
        """
        async with self._one:
            try:
                found = await self._opened(self._fetch)
            except LakeloomError:
                self.metrics.reloads.labels("failed").inc()
                raise
            await self.beside()
            changed = found.metadata != self.served.metadata
            self.metrics.reloads.labels("changed" if changed else "same").inc()
            self.served = found if changed else self.served
            self.metrics.version.set(self.served.version)
            return self.served.version

    async def _opened(self, fetch: Fetch) -> Served:
        return await run_in_threadpool(Served.opened, await fetch(), self.settings.explain)

    async def beside(self) -> None:
        """The version that answers a share of the keys; none where it cannot be had: all is answered by the other."""
        try:
            self.rival = await self._opened(self._rival) if self._rival else None
        except LakeloomError as error:
            self.rival = None
            log.warning("no version answers beside: %s", error)

    @contextlib.asynccontextmanager
    async def _polled(self, app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._poll())] if self.settings.poll_s else []
        tasks += [asyncio.create_task(self._logged(self.log))] if self.log else []
        yield
        for task in tasks:
            task.cancel()
        if self.log:
            self.log.write()

    async def _logged(self, kept: RequestLog) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await run_in_threadpool(kept.write)
            except OSError as error:
                log.warning("the request log was not written: %s", error)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self.settings.poll_s)
            try:
                await self.reload()
            except LakeloomError as error:
                log.warning("version %d stays: %s", self.served.version, error)

    async def _metadata(self, request: Request) -> Response:
        return JSONResponse({**self.served.metadata, **self.served.signature.as_json()})

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(described(self.served))

    async def _metrics(self, request: Request) -> Response:
        return Response(generate_latest(self.metrics.all), media_type="text/plain; version=0.0.4")

    async def _health(self, request: Request) -> Response:
        return JSONResponse({"alive": True})

    async def _ready(self, request: Request) -> Response:
        return JSONResponse({"ready": not self.draining, "version": self.served.version}, 503 if self.draining else 200)


async def _body(request: Request) -> bytes | None:
    """All of it; None where it is too large: the rest is read, not kept, so that the client hears why."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= MOST_BYTES:
            parts.append(part)
        elif size > PATIENCE * MOST_BYTES:
            break
    return b"".join(parts) if size <= MOST_BYTES else None


class Server(uvicorn.Server):
    """Signals are taken by `_answer`, so that an orderly end has exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


def run(fetch: Fetch, settings: Settings, tell: Callable[[str], None], rival: Fetch | None = None) -> None:
    """Serve until SIGTERM or SIGINT; rival: the version that answers a share of the keys.

    Errors: PlatformError where the port is taken, those of the first version.
    """
    asyncio.run(_answer(fetch, settings, tell, rival))


async def _answer(fetch: Fetch, settings: Settings, tell: Callable[[str], None], rival: Fetch | None) -> None:
    served = await run_in_threadpool(Served.opened, await fetch(), settings.explain)
    endpoint = Endpoint(served, fetch, settings, rival)
    await endpoint.beside()
    server = server_of(endpoint)

    def end() -> None:
        endpoint.draining = server.should_exit = True

    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, end)
    telling = asyncio.create_task(_told(server, endpoint, tell))
    try:
        await server.serve()
    except SystemExit as error:  # uvicorn's way to say that it cannot listen; its log has the reason
        raise PlatformError(f"{settings.host}:{settings.port} cannot be listened on; is the port taken?") from error
    finally:
        telling.cancel()


def server_of(endpoint: Endpoint) -> Server:
    """As its settings say; it takes no signals."""
    settings = endpoint.settings
    return Server(uvicorn.Config(
        endpoint.app(), host=settings.host, port=settings.port, log_level="warning", access_log=False,
        limit_concurrency=MOST_CONNECTIONS, timeout_keep_alive=IDLE_S, timeout_graceful_shutdown=DRAIN_S,
        ssl_certfile=settings.certificate or None, ssl_keyfile=settings.key or None, server_header=False,
    ))  # fmt: skip


def port(server: Server) -> int:
    """At which it listens; it may have been left to the system."""
    found: int = server.servers[0].sockets[0].getsockname()[1]
    return found


async def _told(server: Server, endpoint: Endpoint, tell: Callable[[str], None]) -> None:
    """Say where it listens, once it does."""
    while not server.started:
        await asyncio.sleep(0.02)
    settings, served = endpoint.settings, endpoint.served
    scheme = "https" if settings.certificate else "http"
    tell(f"{served.metadata['model']} version {served.version} at {scheme}://{settings.host}:{port(server)}")


def tokens(folder: Path, tell: Callable[[str], None]) -> dict[str, str]:
    """Role -> token, from the environment; one that is not there is made, and lies in a file that only we can read.

    Errors: SpecError for a token that is too short to be one.
    """
    found = {role: os.environ.get(name, "") for role, name in TOKENS.items()}
    for role, token in found.items():
        if 0 < len(token) < FEWEST_LETTERS:
            raise SpecError(f"{TOKENS[role]} has {len(token)} letters; a token has {FEWEST_LETTERS} or more")
        if not token:
            found[role], file = secrets.token_urlsafe(32), folder / f"{role}.token"
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
                out.write(found[role])
            tell(f"{TOKENS[role]} is not set: a token of the role {role} was made, in {file}")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Serve an exported folder, which holds all that is needed; /reload reads it again."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.serve", description="Serve an exported model.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", default=HOST)
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--log-to", default="")
    parser.add_argument("--log-share", type=float, default=0.01)
    parser.add_argument("--explain", type=int, default=0)
    parser.add_argument("--tls-certificate", default="")
    parser.add_argument("--tls-key", default="")
    asked = parser.parse_args(arguments)

    async def fetch() -> Path:
        return Path(asked.folder)

    with tempfile.TemporaryDirectory(prefix="lakeloom-serve-") as made:
        try:
            known = tokens(Path(made), _say)
            settings = Settings(
                asked.host, asked.port, asked.tls_certificate, asked.tls_key, known, 0, asked.log_to, asked.log_share,
                explain=asked.explain,
            )  # fmt: skip
            run(fetch, settings, _say)
        except LakeloomError as error:
            _say(f"error: {error}")
            return error.exit_code
    return 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
