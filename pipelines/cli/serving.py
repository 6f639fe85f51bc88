"""`lakeloom export` and `lakeloom serve`: a certified version as files, and over HTTP. No engine."""

from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from pipelines.cli import model
from pipelines.cli.terminal import Conf, TargetName, checked, err, target_of, tell
from pipelines.errors import DataError, PlatformError, SpecError
from pipelines.keyed import FILE, REMOTE
from pipelines.spec import METRICS

app = typer.Typer()
Redis = Annotated[bool, typer.Option("--redis", help="with --lookup: held in Redis, at LAKELOOM_REDIS_URL")]
Quantised = Annotated[
    float | None,
    typer.Option(help="weights of 8 bits; refused where the metric loses a greater share", min=0, max=1),
]
Lookup = Annotated[bool, typer.Option("--lookup", help="with features by key, so that a request may name keys alone")]


@app.command()
def export(
    conf: Conf,
    name: model.Name,
    to: Annotated[Path, typer.Option(help="a new folder")],
    format: Annotated[str, typer.Option(help="onnx: graph and metadata; lambda: a zip; docker: a context")] = "onnx",
    lookup: Lookup = False,
    redis: Redis = False,
    quantised: Quantised = None,
    target: TargetName = "local",
) -> None:
    """Write a version's certified ONNX graph with all that is needed to answer with it. No engine is started.

    With --quantised Spark answers the test slice by both graphs; exit code 3 if too much is lost.
    """
    from pipelines.export import FORMATS, write
    from pipelines.registered import Shelf, named

    if format not in FORMATS:
        raise SpecError(f"--format is {', '.join(FORMATS)}, got {format}")
    if lookup and format != "onnx":
        raise SpecError(f"--lookup goes with --format onnx, got {format}")
    _refuse_redis(lookup, redis)
    pipeline, place = checked(conf), target_of(conf, target)
    asked, which = named(pipeline, name)
    shelf = Shelf(pipeline, place, asked)
    content, told = shelf.exported(which)
    if quantised is not None:
        content, told["quantised"] = _quantised(shelf, which, content, quantised)
    with TemporaryDirectory(prefix="lakeloom-export-") as folder:
        beside, file = {}, Path(folder, REMOTE if redis else FILE)
        if lookup:
            told["lookup"] = shelf.keyed(which, file)
            beside = {file.name: file.read_bytes()}
        files = write(to, format, content, told, beside)
    err.print(f"{told['model']} version {told['version']}: {', '.join(files)} in {to}")
    if lookup and not redis and not to.resolve().is_relative_to(place.exports):
        err.print(f"it lies outside {place.exports}, the target's `exports`, so `lakeloom forget` will not find it")


def _quantised(shelf: Any, which: str, full: bytes, allowed: float) -> tuple[bytes, dict[str, Any]]:
    """The graph with weights of 8 bits, and what it costs, which is said. Errors: DataError where that is too much."""
    from pipelines.models import graphs
    from pipelines.plan import Stage
    from pipelines.run.quantising import Pair, cost, refuse_loss

    stage, version = Stage("models", shelf.model), shelf.version(which)
    try:
        small = graphs.quantised(full)
    except DataError as error:
        raise DataError(f"{version.name}@{version.number}: {error}") from error
    pair = Pair(full, small)
    found = cost(shelf.pipeline, shelf.target, version, stage, pair, lambda text: tell(stage, text))
    _say(_cost_text(found))
    refuse_loss(version, found, allowed)
    return small, {**found, "allowed": allowed}


def _cost_text(found: dict[str, Any]) -> str:
    (was, now), sizes = found["metrics"][found["metric"]], found["bytes"]
    apart = "{largest:.1g} apart at most, {mean:.1g} on average".format(**found)
    return (
        f"weights of 8 bits: {sizes['full']:,} bytes become {sizes['quantised']:,}; on {found['rows']:,} rows "
        f"{METRICS[found['metric']].words} {was:.4f} becomes {now:.4f}, scores are {apart}, "
        f"{found['otherwise']:,} decided otherwise"
    )


@app.command()
def serve(
    conf: Conf,
    name: model.Name = "",
    target: TargetName = "local",
    host: Annotated[str, typer.Option(help="the address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free", min=0, max=65535)] = 8080,
    lookup: Lookup = False,
    redis: Redis = False,
    poll_seconds: Annotated[float, typer.Option(help="how often the alias is looked up; 0: never", min=0)] = 60,
    challenger_share: Annotated[float, typer.Option(help="of the keys, that the challenger answers", min=0, max=1)] = 0,
    explain: Annotated[int, typer.Option(help="features with what they add to an answer; 0: none", min=0)] = 0,
    log_to: Annotated[str, typer.Option(help="folder for a sample of requests, as JSON lines")] = "",
    log_share: Annotated[float, typer.Option(help="of the requests", min=0, max=1)] = 0.01,
    tls_certificate: Annotated[str, typer.Option(help="PEM file; with --tls-key")] = "",
    tls_key: Annotated[str, typer.Option(help="PEM file")] = "",
) -> None:
    """Answer over HTTP with a version's certified graph; the champion, and its successors, if none is named.

    Tokens come from LAKELOOM_SCORE_TOKEN and LAKELOOM_ADMIN_TOKEN, else they are made. No engine is started.
    """
    try:
        from pipelines.cli.fetching import fetcher
        from pipelines.serve import Settings, run, tokens
    except ModuleNotFoundError as lacking:
        raise PlatformError(f"{lacking.name} is not there; type: scripts/bootstrap demo serve") from lacking
    if bool(tls_certificate) != bool(tls_key):
        raise SpecError("--tls-certificate and --tls-key go together")
    _refuse_redis(lookup, redis)
    with TemporaryDirectory(prefix="lakeloom-serve-") as folder:
        known = tokens(Path(folder), _say)
        how = tls_certificate, tls_key, known, poll_seconds, log_to, log_share, challenger_share, explain
        more, (asked, _, which) = (
            ["--target", target, *(["--lookup"] if lookup else []), *(["--redis"] if redis else [])],
            name.partition("@"),
        )
        champion, challenger = (
            fetcher(Path(folder, alias), ["export", str(conf), f"{asked}@{alias}", *more])
            for alias in (which or "champion", "challenger")
        )
        run(champion, Settings(host, port, *how), _say, challenger if challenger_share else None)


def _refuse_redis(lookup: bool, redis: bool) -> None:
    if redis and not lookup:
        raise SpecError("--redis goes with --lookup")
    if redis and not find_spec("redis"):
        raise PlatformError("redis is not there; type: scripts/bootstrap demo serve")


def _say(text: str) -> None:
    err.print(text, markup=False, soft_wrap=True, highlight=False)
