"""`lakeloom score`: tables, features and scores brought up to date, once or for ever."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Annotated, Any

import typer

from pipelines.cli.terminal import (
    Conf,
    Format,
    TargetName,
    checked,
    ended,
    err,
    guarded,
    show_data,
    shown,
    target_of,
    tell,
)
from pipelines.errors import PlatformError, SpecError

app = typer.Typer()
Scores = Annotated[str, typer.Argument(metavar="NAME", help="one of the conf's scores, such as late_arrival_live")]


@dataclass
class Sum:
    """What all rounds came to."""

    rounds: int = 0
    rows_in: int = 0
    scored: int = 0
    versions: set[int] = field(default_factory=set)

    def add(self, found: Any) -> None:
        """One more round; one that did nothing is none."""
        self.rounds += bool(found.records)
        self.rows_in += found.rows_in
        self.scored += found.scored
        scores = (r for r in found.records if r.counts.get("scored"))
        self.versions |= {r.detail["model_version"] for r in scores}

    def as_json(self) -> dict[str, Any]:
        """For stdout."""
        return {**vars(self), "versions": sorted(self.versions)}


@app.command()
def score(
    conf: Conf,
    name: Scores,
    target: TargetName = "local",
    continuous: Annotated[bool, typer.Option("--continuous", help="go on until SIGTERM")] = False,
    metrics_port: Annotated[
        int | None, typer.Option(help="where Prometheus reads, on loopback; 0: any that is free", min=0, max=65535)
    ] = None,
    as_of: Annotated[
        str, typer.Option("--as-of", help="publish nothing: what was answered to the features of then; a time or a run")
    ] = "",
    version: Annotated[str, typer.Option(help="with --as-of: by this version, not the champion of then")] = "",
    to: Annotated[Path | None, typer.Option(help="with --as-of: all rows as Parquet into this new folder")] = None,
    format: Format = "text",
) -> None:
    """Score what is new of one of the conf's scores, with the tables and features it stands on; train nothing.

    Batch after batch until nothing is left. --continuous waits for more, tries again what was refused or did not
    answer, and takes over the champion's successors; on SIGTERM it ends the batch that it is at, with exit code 0.
    --as-of looks back: what that version says, or would have said, of the features as they were published by then.
    """
    if as_of:
        return _looked_back(conf, target, (name, as_of, version, to), continuous, format)
    if version or to:
        raise SpecError("--version and --to go with --as-of")
    from pipelines.run.streaming import Pace, rounds

    done, error = Sum(), None
    with _until_terminated() as stop, _watched(metrics_port) as watch:
        for found in rounds(checked(conf), target_of(conf, target), name, tell, Pace(continuous, stop)):
            done.add(found)
            watch(found)
            _said(found)
            error = found.error
    show_data(format, done.as_json(), _text)
    if error and not continuous:
        raise error


def _looked_back(
    conf: Path, target: str, asked: tuple[str, str, str, Path | None], continuous: bool, format: str
) -> None:
    from pipelines.run.hindsight import Asked, hindsight

    if continuous:
        raise SpecError("--as-of looks back, --continuous goes on: one of them")
    found = hindsight(checked(conf), target_of(conf, target), Asked(*asked))
    if asked[-1]:
        err.print(f"written to {asked[-1]}")
    show_data(format, found, _then)


def _then(found: dict[str, Any]) -> str:
    made = f"{found['features']} version {found['features_version']}, published {found['published_at']}"
    return "\n".join([
        f"{found['stage']} by version {found['model_version']}, of {made} by run {found['run']}",
        *([f"{found['rows']:,} rows"] if "rows" in found else []),
        *shown(found["first_rows"]),
    ])  # fmt: skip


@contextmanager
def _watched(port: int | None) -> Iterator[Callable[[Any], None]]:
    """What each round is told to; nobody, where no port is named."""
    if port is None:
        yield lambda _: None
        return
    try:
        from pipelines.vitals import served
    except ModuleNotFoundError as lacking:
        raise PlatformError(f"{lacking.name} is not there; type: scripts/bootstrap demo serve") from lacking
    with served(port) as (vitals, at):
        err.print(f"metrics at http://127.0.0.1:{at}/metrics", markup=False)
        yield vitals.add


def _said(found: Any) -> None:
    """What a round did; nothing of what it had not to do."""
    for outcome in found.outcomes:
        if outcome.record or outcome.error:
            ended(outcome)
    if found.error:
        err.print(f"{found.error}", markup=False)


def _text(done: dict[str, Any]) -> str:
    by = ", ".join(map(str, done["versions"]))
    return f"{done['scored']:,} rows scored in {done['rounds']:,} rounds" + (f", by version {by}" if by else "")


@contextmanager
def _until_terminated() -> Iterator[Event]:
    """Set by SIGTERM."""
    stop = Event()
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)
        if stop.is_set():
            err.print("told to stop; the batch that it was at is done")


def stream(name: str, conf: Path, target: str, metrics_port: int | None) -> int:
    """A loop until SIGTERM, for jobs/stream.py; returns the exit code."""
    return guarded(lambda: score(conf, name, target, True, metrics_port, format="json"))
