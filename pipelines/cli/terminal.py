"""What all verbs share: consoles, options, a conf and its target, how a failure ends.

Progress goes to stderr, data to stdout; exit codes are those of errors.py.
"""

import atexit
import json
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from pipelines.errors import LakeloomError, SpecError
from pipelines.outline import BEFORE, HANDED_ON, NOT_PROMOTED, NOW, RETRAIN, SAID, WAITING

err = Console(stderr=True, highlight=False, soft_wrap=True)
out = Console(highlight=False, soft_wrap=True)

Conf = Annotated[Path, typer.Argument(help="the conf file, such as conf/flights.yml")]
TargetName = Annotated[str, typer.Option("--target", "-t", help="a file of conf/targets, without .yml")]


def _known(format: str) -> str:
    if format not in ("text", "json"):
        raise SpecError(f"--format {format}: can be text or json")
    return format


Format = Annotated[str, typer.Option("--format", help="text or json", callback=_known)]


def checked(conf: Path) -> Any:
    """A conf, loaded and checked."""
    from pipelines.check import check as check_names
    from pipelines.spec import load_lines

    pipeline, lines = load_lines(conf)
    check_names(pipeline, lines)
    return pipeline


def leave(code: int) -> NoReturn:
    """End the process: threads that are to end have, what waits for the end is called, and nothing is taken apart.

    Threads of Arrow and of delta-rs now and then abort an interpreter that clears away the memory that they use.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter does: pools are told to end, then waited for
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # who listened has gone
            stream.flush()
    os._exit(code)


def guarded(act: Callable[[], Any]) -> int:
    """Run; a deliberate failure is one sentence and its exit code; anything else is our bug: traceback and 70."""
    try:
        code = act()
        return code if isinstance(code, int) else 0
    except LakeloomError as error:
        err.print(f"[red]error:[/red] {escape(str(error))}")
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        err.print("stopped; the same command goes on where it was")
        return 130
    except Exception as error:
        said = getattr(error, "format_message", None)  # wrong usage, as typer's own copy of click has it
        if said:
            err.print(f"[red]error:[/red] {escape(said())}")
            return 2
        err.print_exception()
        err.print("[red]this is a bug of lakeloom[/red]; please report it with the lines above")
        return 70


def target_of(conf: Path, name: str) -> Any:
    """A target, by its name, beside a conf."""
    from pipelines.spec import load_target

    return load_target(conf, name)


def tell(stage: Any, text: str) -> None:
    """One line of progress."""
    err.print(f"[dim]{stage.id:<28}[/dim] {escape(text)}")


def ended(outcome: Any) -> None:
    """How a stage ended."""
    stage = outcome.verdict.stage.id
    if outcome.error:
        err.print(f"[red]{stage:<28} refused[/red]")
    elif outcome.record:
        err.print(f"[green]{stage:<28}[/green] done in {outcome.record.seconds:.1f} s")
    else:
        err.print(f"[dim]{stage:<28} {escape(outcome.verdict.why)}[/dim]")


def show_data(format: str, data: Any, text: Callable[[Any], str]) -> None:
    """Data on stdout, as JSON or as text makes it, to the letter."""
    if format == "json":
        out.print_json(json.dumps(data, default=str))
    else:
        out.print(text(data), markup=False)  # [a-z] in a regex is no colour


def shown(rows: list[dict[str, Any]]) -> list[str]:
    """Rows as lines of text."""
    return [f"  {', '.join(f'{k}={v}' for k, v in row.items())}" for row in rows]


HEARD = ("retrain", "investigate")  # verdicts of a monitor that are worth a letter


def carried_out(conf: Path, place: Any, order: Any, format: str, handed_on: bool = False) -> None:
    """Run what was ordered, stage by stage, and show the summary.

    handed_on: what a task of Airflow's hands on to others is said on one line of stderr.
    Errors: what the first refused stage said; that a version was not promoted only where nothing else is wrong.
    """
    from pipelines.run.pipeline import run
    from pipelines.summary import summary

    pipeline, outcomes = checked(conf), []
    for outcome in run(pipeline, place, order, tell):
        outcomes.append(outcome)
        ended(outcome)
    show_data(format, [_as_json(o) for o in outcomes], lambda _: summary(pipeline, place, str(conf), outcomes))
    if handed_on:
        sys.stderr.write(f"{HANDED_ON}{json.dumps(_handed_on(place, pipeline, outcomes))}\n")
    refused = [o.error for o in outcomes if o.error]
    if refused:
        raise min(refused, key=lambda error: NOT_PROMOTED in str(error))


def _to_retrain(record: Any) -> str:
    """The model that a monitor asks to train again; '' where it does not, and of what is no monitor."""
    decision = record.detail.get("decision", {}) if record and record.stage.startswith("monitors.") else {}
    return str(record.detail["model"]) if decision.get("verdict") == "retrain" else ""


def _handed_on(place: Any, pipeline: Any, outcomes: list[Any]) -> dict[str, dict[str, list[str]]]:
    """What this run asks for, and what the last record of the stages asks for that had nothing to do now."""
    from pipelines.state import History, Warehouse

    history = History.of(Warehouse(place.warehouse, pipeline.pipeline))
    idle = [history.ended(o.verdict.stage.id) for o in outcomes if not o.record]
    return {NOW: _asks([o.record for o in outcomes if o.record]), BEFORE: _asks([r for r in idle if r])}


def _asks(records: list[Any]) -> dict[str, list[str]]:
    """The versions that wait for a person, the models that are to be trained again, and what monitors decided."""
    from pipelines.state import WAITS

    waits = [r.detail[WAITS] for r in records if WAITS in r.detail]
    watched = [r for r in records if r.stage.startswith("monitors.") and "decision" in r.detail]
    decided = {r.stage: r.detail["decision"] for r in watched}
    heard = {stage: d for stage, d in decided.items() if d["verdict"] in HEARD}
    said = [f"{stage}: {d['verdict']}: {'; '.join(d['reasons'])}" for stage, d in heard.items()]
    return {WAITING: waits, RETRAIN: sorted({model for r in records if (model := _to_retrain(r))}), SAID: said}


def _as_json(outcome: Any) -> dict[str, Any]:
    from pipelines.state import WAITS

    record = outcome.record
    kept = (
        {k: getattr(record, k) for k in ("seconds", "published_version", "model_version", "counts", "detail")}
        if record
        else {}
    )
    verdict = outcome.verdict
    return {
        "stage": verdict.stage.id,
        "ran": record is not None,
        "why": verdict.why,
        "error": str(outcome.error or ""),
        **kept,
        "retrain": _to_retrain(record),
        "waits": record.detail.get(WAITS, "") if record else "",  # the version that a person is asked to promote
    }
