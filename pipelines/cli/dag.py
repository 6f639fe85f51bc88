"""`lakeloom dag compile | lint`: the DAGs of a folder of confs, before Airflow sees them; neither needs Airflow."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.terminal import err, out
from pipelines.errors import SpecError

app = typer.Typer(help="The DAGs that Airflow makes of a folder of confs.", no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(help="the folder of confs", exists=True, file_okay=False)]
Target = Annotated[str, typer.Option("--target", "-t", help="a file of its targets/, without .yml")]


@app.command()
def compile(folder: Folder = Path("conf"), target: Target = "submit") -> None:
    """Write FOLDER/dags.json, which Airflow reads in place of the confs: importing fifty of them costs next to nothing.

    A conf that changed since is read itself, so that an old file is slow, never wrong.
    """
    from pipelines.outline import COMPILED, compiled_text

    text = compiled_text(folder, target)
    (folder / COMPILED).write_text(text, encoding="utf-8")
    out.print(str(folder / COMPILED))


@app.command()
def lint(folder: Folder = Path("conf"), target: Target = "submit") -> None:
    """Say what is wrong with the DAGs, one by one and together: confs, schedules, names, what starts what."""
    from pipelines.outline import flaws, outlines

    found = outlines(folder, target)
    said = list(flaws(found))
    if said:
        raise SpecError("\n".join(said))
    err.print(f"{folder}: {len(found)} DAG{'s' * (len(found) != 1)}, no flaw found")
