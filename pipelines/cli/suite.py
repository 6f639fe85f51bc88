"""`lakeloom validate` and `lakeloom suite`: Great Expectations itself on what was published, and its suites as JSON."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from pipelines.cli.terminal import Conf, Format, TargetName, checked, err, show_data, target_of
from pipelines.errors import DataError, SpecError

app = typer.Typer(
    help="Take expectations to Great Expectations and back.", no_args_is_help=True, pretty_exceptions_enable=False,
    rich_markup_mode=None,
)  # fmt: skip


@app.command()
def export(conf: Conf, stage: Annotated[str, typer.Argument(help="such as tables.flights")]) -> None:
    """Print a table's expectations as a suite of Great Expectations, in JSON."""
    from pipelines.quality.adapter import exported

    suites = {f"tables.{name}": table.expect for name, table in checked(conf).tables.items()}
    if stage not in suites:
        raise SpecError(f"no table '{stage}'; there is {', '.join(suites)}")
    suite = exported(stage.partition(".")[2], suites[stage])
    sys.stdout.write(json.dumps(suite, indent=2, ensure_ascii=False) + "\n")


@app.command("import")
def import_(file: Annotated[Path, typer.Argument(help="a suite of Great Expectations, in JSON")]) -> None:
    """Print a suite as the `expect:` of a table; what a conf cannot say is listed on stderr, with the reason."""
    from pipelines.spec.suite import taken, written

    try:
        found, lost = taken(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{file}: byte {error.start} is not UTF-8") from None
    sys.stdout.write(written(found))
    for sentence in lost:
        err.print(f"[red]not taken:[/red] {escape(f'{file}: {sentence}')}")
    if lost:
        raise SpecError(f"{file}: {len(lost)} of {len(found) + len(lost)} expectations were not taken")


def validate(
    conf: Conf,
    stages: Annotated[
        list[str] | None, typer.Argument(metavar="TABLE", help="such as tables.flights; default: all that promise")
    ] = None,
    target: TargetName = "local",
    to: Annotated[
        Path, typer.Option(help="folder of the Data Docs; default: beside the warehouse", show_default=False)
    ] = Path(),
    format: Format = "text",
) -> None:
    """Let Great Expectations itself judge what is published, each table by its whole suite, and render its Data Docs.

    Several scans of each table. Exit code 3 if a promise that fails is broken.
    """
    from pipelines.run.validating import docs
    from pipelines.run.validating import validate as validated

    pipeline, place = checked(conf), target_of(conf, target)
    folder = to if to.name else docs(place, pipeline.pipeline)
    found = validated(pipeline, place, stages or [], folder)
    show_data(format, [v.as_json() for v in found], lambda _: "\n".join(_line(v) for v in found))
    err.print(f"Data Docs: {escape(str(folder / 'index.html'))}")
    refused = [f"{v.stage}: {j.label}: observed {j.observed}" for v in found for j in v.broken if j.on_fail == "fail"]
    if refused:
        raise DataError("; ".join(refused))


def _line(found: Any) -> str:
    held = len(found.found) - len(found.broken)
    broken = "".join(f"; {j.on_fail}: {j.label}: {j.observed}" for j in found.broken)
    left = "".join(f"; not on Spark: {label}" for label in found.left_out)
    return f"{found.stage:<28} version {found.version}: {held} of {len(found.found)} hold{broken}{left}"
