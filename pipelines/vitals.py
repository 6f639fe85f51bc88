"""What a loop of scores tells Prometheus: how much comes, how long a batch takes, how far behind it is.

The page is on loopback, for an agent on the same machine, and has no token: it
tells numbers, and names of sources and stages. The same stands in `_runs`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from pipelines.errors import PlatformError

if TYPE_CHECKING:
    from pipelines.run.streaming import Round

HOST = "127.0.0.1"
SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 300)


class Vitals:
    """Counts of rounds, as they come."""

    def __init__(self) -> None:
        self.all = CollectorRegistry()
        self.rounds = Counter("lakeloom_rounds", "rounds by what came of them", ["outcome"], registry=self.all)
        self.rows_in = Counter("lakeloom_rows_in", "rows that came from sources", registry=self.all)
        self.scored = Counter("lakeloom_rows_scored", "rows scored", registry=self.all)
        self.seconds = Histogram(
            "lakeloom_batch_seconds", "a stage's batch, from its lock to its record", ["stage"], registry=self.all,
            buckets=SECONDS,
        )  # fmt: skip
        self.behind = Gauge(
            "lakeloom_behind", "records, files or versions left to the next batch", ["source"], registry=self.all
        )
        self.version = Gauge("lakeloom_model_version", "the version of the last scores", registry=self.all)

    def add(self, found: "Round") -> None:
        """One more round."""
        self.rounds.labels("troubled" if found.error else "idle" if found.idle else "worked").inc()
        self.rows_in.inc(found.rows_in)
        self.scored.inc(found.scored)
        for record in found.records:
            self.seconds.labels(record.stage).observe(record.seconds)
            if "model_version" in record.detail:
                self.version.set(record.detail["model_version"])
        for source, left in found.behind.items():
            self.behind.labels(source).set(left)


@contextmanager
def served(port: int) -> Iterator[tuple[Vitals, int]]:
    """Vitals, and the port on which they can be read while the block runs; 0: any that is free.

    Errors: PlatformError where the port is taken.
    """
    vitals = Vitals()
    try:
        server, thread = start_http_server(port, HOST, vitals.all)
    except OSError as error:
        raise PlatformError(f"{HOST}:{port} cannot be listened on: {error.strerror}; name another port") from error
    try:
        yield vitals, int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
