"""`lakeloom features`: a feature table as it was."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.terminal import Conf, Format, TargetName, checked, err, show_data, shown, target_of

MOST_ROWS = 20  # shown


def features(
    conf: Conf,
    name: Annotated[str, typer.Argument(help="a feature table, such as departures")],
    as_of: Annotated[str, typer.Option("--as-of", help="a timestamp (UTC unless it says so), or the id of a run")],
    target: TargetName = "local",
    to: Annotated[Path | None, typer.Option(help="write all rows as Parquet into this new folder")] = None,
    format: Format = "text",
) -> None:
    """Show a feature table as it was published by then, or write it. No engine is started."""
    from pipelines.vintage import vintage

    found = vintage(checked(conf), target_of(conf, target), name, as_of)
    if to:
        found.write(to)
        err.print(f"written to {to}")
    show_data(format, {**found.summary(), "first_rows": [] if to else found.head(MOST_ROWS)}, _text)


def _text(found: dict[str, Any]) -> str:
    from pipelines.summary import counted

    read = ", ".join(f"{table} at version {version}" for table, version in found["read"].items())
    return "\n".join([
        f"{found['stage']}: {counted(found['rows'], 'row')}, version {found['version']}",
        f"published {found['published_at']} by run {found['run']}",
        f"made of {read}",
        *shown(found["first_rows"]),
    ])  # fmt: skip
