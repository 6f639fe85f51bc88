"""The endpoint itself, asked over HTTP on loopback: what a certificate says of a graph holds for a client, too.

It runs in a thread of this process, with a token that nobody else has, until
the block ends.
"""

import http.client
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from pipelines.errors import PlatformError
from pipelines.replies import Served
from pipelines.serve import HOST, TOKENS, Endpoint, Settings, port, server_of

LIMIT_S = 60
Post = Callable[[bytes], tuple[int, bytes]]


@contextmanager
def listening(served: Served) -> Iterator[Post]:
    """Gives what posts a body to /score: status and body of the reply. Errors: PlatformError where nothing listens."""
    token = secrets.token_urlsafe(32)
    server = server_of(Endpoint(served, _other, Settings(port=0, tokens=dict.fromkeys(TOKENS, token))))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + LIMIT_S
    try:
        while not server.started:
            if not thread.is_alive() or time.monotonic() > until:
                raise PlatformError(f"{HOST} cannot be listened on")
            thread.join(0.01)
        yield partial(_posted, port(server), token)
    finally:
        server.should_exit = True
        thread.join(LIMIT_S)  # a training does not wait for ever


async def _other() -> Path:
    raise PlatformError("there is no other version")


def _posted(at: int, token: str, body: bytes) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection(HOST, at, timeout=LIMIT_S)) as connection:
        try:
            connection.request("POST", "/score", body, headers)
            reply = connection.getresponse()
            return reply.status, reply.read()
        except OSError as error:
            raise PlatformError(f"the endpoint does not answer: {error}") from error
