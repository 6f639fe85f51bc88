"""`lakeloom`: the one command. Progress on stderr, data on stdout, exit codes from errors.py.

A verb imports what it needs when it runs, so that --help and check answer at once.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from pipelines.errors import LakeloomError, SpecError

app = typer.Typer(
    help="One YAML file describes a machine-learning pipeline on a lakehouse; lakeloom runs it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
err = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, soft_wrap=True)

Conf = Annotated[Path, typer.Argument(help="the conf file, such as conf/flights.yml")]
TargetName = Annotated[str, typer.Option("--target", "-t", help="a file of conf/targets, without .yml")]
Format = Annotated[str, typer.Option("--format", help="text or json")]


@app.command()
def check(conf: Conf) -> None:
    """Read a conf and refuse what cannot run: names, columns, types, leaks. No engine is started."""
    checked(conf)
    err.print(f"{conf}: no flaw found")


@app.command()
def plan(conf: Conf, target: TargetName = "local", format: Format = "text", full_refresh: Annotated[list[str], typer.Option(help="a stage to make anew")] = []) -> None:  # noqa: B006
    """Show which stages would run, and why. No engine is started, nothing is written."""
    from pipelines.run.pipeline import Order, planned

    pipeline, place = checked(conf), _target(conf, target)
    verdicts = planned(pipeline, place, Order(full_refresh=tuple(full_refresh)))
    _show(format, [{"stage": v.stage.id, "run": v.run, "why": v.why} for v in verdicts], _plan_text)


@app.command()
def run(
    conf: Conf,
    target: TargetName = "local",
    select: Annotated[list[str], typer.Option(help="a stage; may stand several times; default: all")] = [],  # noqa: B006
    full_refresh: Annotated[list[str], typer.Option(help="a stage to make anew from all that landed")] = [],  # noqa: B006
    format: Format = "text",
) -> None:
    """Run every stage that has something to do; a second run adds nothing."""
    from pipelines.run.pipeline import Order
    from pipelines.run.pipeline import run as run_stages
    from pipelines.summary import summary

    pipeline, place = checked(conf), _target(conf, target)
    outcomes = []
    for outcome in run_stages(pipeline, place, Order(tuple(select), tuple(full_refresh)), _tell):
        outcomes.append(outcome)
        _ended(outcome)
    _show(format, [_as_json(o) for o in outcomes], lambda _: summary(pipeline, place, str(conf), outcomes))
    refused = [o.error for o in outcomes if o.error]
    if refused:
        raise refused[0]


def checked(conf: Path) -> Any:
    """A conf, loaded and checked."""
    from pipelines.check import check as check_names
    from pipelines.spec import load_lines

    pipeline, lines = load_lines(conf)
    check_names(pipeline, lines)
    return pipeline


def main() -> None:
    """Entry point: a deliberate failure is one sentence and its exit code; anything else is our bug, 70."""
    try:
        app(standalone_mode=False)
    except LakeloomError as error:
        err.print(f"[red]error:[/red] {escape(str(error))}")
        sys.exit(error.exit_code)
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        if hasattr(error, "format_message"):  # click: wrong usage
            err.print(f"[red]error:[/red] {escape(error.format_message())}")
            sys.exit(2)
        err.print_exception()
        err.print("[red]this is a bug of lakeloom[/red]; please report it with the lines above")
        sys.exit(70)


def _target(conf: Path, name: str) -> Any:
    from pipelines.spec import load_target

    return load_target(conf, name)


def _tell(stage: Any, text: str) -> None:
    err.print(f"[dim]{stage.id:<28}[/dim] {escape(text)}")


def _ended(outcome: Any) -> None:
    stage = outcome.verdict.stage.id
    if outcome.error:
        err.print(f"[red]{stage:<28} refused[/red]")
    elif outcome.record:
        err.print(f"[green]{stage:<28}[/green] done in {outcome.record.seconds:.1f} s")
    else:
        err.print(f"[dim]{stage:<28} {escape(outcome.verdict.why)}[/dim]")


def _as_json(outcome: Any) -> dict[str, Any]:
    record = outcome.record
    kept = {k: getattr(record, k) for k in ("seconds", "published_version", "model_version", "counts", "detail")} if record else {}
    verdict = outcome.verdict
    return {"stage": verdict.stage.id, "ran": record is not None, "why": verdict.why, "error": str(outcome.error or ""), **kept}


def _show(format: str, data: Any, text: Callable[[Any], str]) -> None:
    if format not in ("text", "json"):
        raise SpecError(f"--format {format}: can be text or json")
    print_ = out.print_json if format == "json" else out.print
    print_(json.dumps(data) if format == "json" else text(data))


def _plan_text(verdicts: list[dict[str, Any]]) -> str:
    return "\n".join(f"{'run ' if v['run'] else 'skip'}  {v['stage']:<28} {escape(v['why'])}" for v in verdicts)
