"""`lakeloom`: the one command. Progress on stderr, data on stdout, exit codes from errors.py.

A verb imports what it needs when it runs, so that --help and check answer at once.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from pipelines.cli import cluster, dag, forget, lineage, model, quarantine, serving, spending, streaming, suite, vintage
from pipelines.cli.cases import carried_out_tests
from pipelines.cli.terminal import (
    Conf,
    Format,
    TargetName,
    carried_out,
    checked,
    err,
    guarded,
    leave,
    out,
    show_data,
    target_of,
)
from pipelines.errors import SpecError

app = typer.Typer(
    help="One YAML file describes a machine-learning pipeline on a lakehouse; lakeloom runs it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(suite.app, name="suite")
app.add_typer(model.app, name="model")
app.add_typer(dag.app, name="dag")


@app.command()
def check(
    conf: Conf,
    tests: Annotated[bool, typer.Option("--tests", help="then run its tests, those of `tests` beside it")] = False,
    only: Annotated[str, typer.Option(help="with --tests: those whose sentence has this text")] = "",
    target: TargetName = "local",
    format: Format = "text",
) -> None:
    """Read a conf and refuse what cannot run: names, columns, types, leaks. An engine is started for --tests alone.

    Exit code 3 if a test fails.
    """
    checked(conf)
    err.print(f"{conf}: no flaw found")
    if tests or only:
        carried_out_tests(conf, target_of(conf, target), only, format)


@app.command()
def plan(
    conf: Conf,
    target: TargetName = "local",
    format: Format = "text",
    full_refresh: Annotated[list[str], typer.Option(help="a stage to make anew")] = [],  # noqa: B006
) -> None:
    """Show which stages would run, and why. No engine is started, nothing is written."""
    from pipelines.run.order import Order
    from pipelines.run.pipeline import planned

    pipeline, place = checked(conf), target_of(conf, target)
    verdicts = planned(pipeline, place, Order.of([], full_refresh))
    lines: list[dict[str, Any]] = [{"stage": v.stage.id, "run": v.run, "why": v.why} for v in verdicts]
    if place.prices:
        from pipelines.deferring import warehouse_of
        from pipelines.spending import predictions
        from pipelines.state import History

        costs = predictions(History.of(warehouse_of(pipeline, place)), verdicts, place.prices)
        lines = [{**line, "usd": costs.get(line["stage"])} for line in lines]
    show_data(format, lines, _plan_text)


@app.command()
def run(
    conf: Conf,
    target: TargetName = "local",
    select: Annotated[
        list[str], typer.Option(help="a stage, or a kind: tables; may stand several times; default: all")
    ] = [],  # noqa: B006
    full_refresh: Annotated[list[str], typer.Option(help="a stage to make anew from all that landed")] = [],  # noqa: B006
    allow_loss: Annotated[
        list[str], typer.Option(help="a table of these that may lose what its source no longer holds")
    ] = [],  # noqa: B006
    sample: Annotated[int, typer.Option(help="try it on so many rows of each source, in a scratch place", min=0)] = 0,
    format: Format = "text",
) -> None:
    """Run every stage that has something to do; a second run adds nothing."""
    from pipelines.run.order import Order

    place = target_of(conf, target)
    if sample:
        from pipelines.sample import sampled

        place = sampled(checked(conf), place, sample)
        err.print(f"a sample of {sample:,} rows of each source, apart from all that is published: {place.warehouse}")
    carried_out(conf, place, Order.of(select, full_refresh, allow_loss), format)


@app.command()
def restore(
    conf: Conf,
    stage: Annotated[str, typer.Argument(help="a table, such as tables.flights")],
    to: Annotated[str, typer.Option(help="the run that published what you want back; `show` lists them")],
    target: TargetName = "local",
    format: Format = "text",
) -> None:
    """Take a table back to what a run published, and make anew what was made from it.

    What its source delivered after that run is new again: mend or remove it before the next run.
    """
    from pipelines.plan import following
    from pipelines.run.order import Order, Restore

    stages = (stage, *following(checked(conf), stage))
    carried_out(conf, target_of(conf, target), Order(stages, {stage: Restore(to)}), format)


@app.command()
def backfill(
    conf: Conf,
    stage: Annotated[str, typer.Argument(help="a table with `from` and event_time, such as tables.flights")],
    from_: Annotated[datetime, typer.Option("--from", help="its event_time is at or after this (UTC)")],
    to: Annotated[datetime, typer.Option(help="and before this")],
    target: TargetName = "local",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be done")] = False,
    format: Format = "text",
) -> None:
    """Make an interval of a table anew from what was taken before, and what follows it from that.

    All other rows stay as they are. It refuses where the source no longer holds a record of the interval.
    """
    from pipelines.plan import following
    from pipelines.run.order import Backfill, Order

    pipeline, place = checked(conf), target_of(conf, target)
    ask = Backfill(from_.replace(tzinfo=UTC), to.replace(tzinfo=UTC))
    order = Order((stage, *following(pipeline, stage)), {stage: ask})
    if dry_run:
        from pipelines.run.pipeline import selected
        from pipelines.run.waiting import interval
        from pipelines.summary import interval_text

        found = next(s for s in selected(pipeline, order) if s.id == stage)
        show_data(format, interval(pipeline, place, found, ask.since, ask.until), interval_text)
    else:
        carried_out(conf, place, order, format)


@app.command()
def upkeep(
    conf: Conf,
    target: TargetName = "local",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be done")] = False,
    format: Format = "text",
) -> None:
    """Make small files into large ones and remove files that no version in use needs; no row changes.

    In use is what is published, what others go on from, and what a registered model learned from.
    """
    from pipelines.run.keeping import keep
    from pipelines.summary import upkeep_text

    pipeline, place = checked(conf), target_of(conf, target)
    lines = []
    for line in keep(pipeline, place, dry_run):
        err.print(f"[dim]{line['table']}[/dim]")
        lines.append(line)
    show_data(format, lines, upkeep_text)


@app.command()
def show(
    conf: Conf,
    stage: Annotated[str, typer.Argument(help="such as tables.flights; none: all stages")] = "",
    target: TargetName = "local",
    format: Format = "text",
    quality: Annotated[bool, typer.Option("--quality", help="each promise of the table over its refreshes")] = False,
) -> None:
    """Show what lies in the warehouse: all stages, or one table with its versions and its quarantine."""
    from pipelines import show as shown
    from pipelines.summary import overview_text, quality_text, table_text

    pipeline, place = checked(conf), target_of(conf, target)
    if quality:
        show_data(format, shown.quality(pipeline, place, stage), quality_text)
    elif stage:
        show_data(format, shown.table(pipeline, place, stage), table_text)
    else:
        show_data(format, shown.overview(pipeline, place), overview_text)


@app.command()
def monitor(
    conf: Conf,
    name: Annotated[str, typer.Argument(help="a monitor; none: all of the conf")] = "",
    target: TargetName = "local",
    format: Format = "text",
) -> None:
    """Show what was found of each window of scores: drift, performance, estimate, and what follows. No engine."""
    from pipelines.show import monitors
    from pipelines.summary import monitor_text

    show_data(format, monitors(checked(conf), target_of(conf, target), name), monitor_text)


@app.command()
def report(
    conf: Conf,
    target: TargetName = "local",
    to: Annotated[Path, typer.Option(help="the file; default: beside the warehouse", show_default=False)] = Path(),
    format: Annotated[str, typer.Option(help="html, or prometheus: gauges for a textfile collector")] = "html",
) -> None:
    """Write one HTML page: graph, quality, metrics, curves, lineage, cost, run times. It needs no network."""
    from pipelines.deferring import warehouse_of
    from pipelines.gauges import prometheus
    from pipelines.report import report as page
    from pipelines.spending import spent

    if format not in ("html", "prometheus"):
        raise SpecError(f"--format {format}: can be html or prometheus")
    pipeline, place = checked(conf), target_of(conf, target)
    suffix = "html" if format == "html" else "prom"
    file = to if to.name else Path(place.warehouse).parent / f"{pipeline.pipeline}.{suffix}"
    file.parent.mkdir(parents=True, exist_ok=True)
    warehouse = warehouse_of(pipeline, place)
    records, quality = warehouse.records(), warehouse.quality()
    costs, budget = (spent(pipeline, place), place.prices.budget_usd) if place.prices else ((), None)
    if suffix == "html":
        text = page(pipeline, records, quality, costs)
    else:
        text = prometheus(pipeline, records, quality, costs, budget)
    written = file.with_name(f".{file.name}.part")  # a collector never reads half of it
    written.write_text(text, encoding="utf-8")
    written.replace(file)
    out.print(str(file))


app.registered_commands += streaming.app.registered_commands
app.command()(suite.validate)
app.command()(vintage.features)
app.command()(model.reproduce)
app.command()(cluster.submit)
app.command()(lineage.lineage)
app.command()(spending.cost)
app.command()(forget.forget)
app.registered_commands += serving.app.registered_commands


@app.command()
def doctor(
    conf: Annotated[Path, typer.Argument(help="a conf file, to find its target")] = Path("conf/flights.yml"),
    target: TargetName = "local",
) -> None:
    """Look at Java, jars, disk, memory and servers; say what is wrong and what to type."""
    from pipelines.doctor import examine

    found = examine(target_of(conf, target))
    for f in found:
        out.print(f"{'ok  ' if f.ok else '[red]FAIL[/red]'}  {f.name:<16} {escape(f.found)}")
        if not f.ok:
            out.print(f"      {'':<16} {escape(f.remedy)}")
    raise typer.Exit(0 if all(f.ok for f in found) else 1)


@app.command()
def init(
    name: Annotated[str, typer.Argument(help="the pipeline's name, snake_case")],
    from_: Annotated[Path, typer.Option("--from", help="a file or folder of csv, json lines, parquet; a Delta table")],
) -> None:
    """Write a commented conf for what lies there to stdout: `lakeloom init sales --from data/ > conf/sales.yml`."""
    from pipelines.scaffold import scaffold

    sys.stdout.write(scaffold(from_, name))


@app.command()
def schema(
    tests: Annotated[bool, typer.Option("--tests", help="that of a file of tests")] = False,
) -> None:
    """Print the JSON Schema of a conf, for editors."""
    from pipelines.spec.schema import cases_schema_text, schema_text

    sys.stdout.write(cases_schema_text() if tests else schema_text())


def run_stages(
    stages: Sequence[str],
    conf: Path,
    target: str,
    anew: Sequence[str] = (),
    between: Sequence[datetime] = (),
    promote: Sequence[str] = (),
) -> int:
    """Stages of a conf in one session, or its upkeep, for jobs/batch.py; returns the exit code.

    anew: stages to make anew. between: since and until (UTC); tables that can be are made anew in that interval alone.
    promote: a version, as late_arrival@3, and by whose word it becomes champion; then nothing else is done.
    """
    if "upkeep" in stages:
        return guarded(lambda: upkeep(conf, target, format="json"))
    made = _promotion if promote else _order
    asked = promote or (stages, anew, between)
    return guarded(lambda: carried_out(conf, target_of(conf, target), made(conf, *asked), "json", handed_on=True))


def _promotion(conf: Path, version: str, who: str) -> Any:
    from pipelines.registered import named
    from pipelines.run.order import Order, Promote

    model, number = named(checked(conf), version)
    if not number.isdigit():
        raise SpecError(f"--promote asks for a version by its number, as {model}@3, got '{version}'")
    stage = f"models.{model}"
    return Order((stage,), {stage: Promote(int(number), who, "approved")})


def _order(conf: Path, stages: Sequence[str], anew: Sequence[str], between: Sequence[datetime]) -> Any:
    from pipelines.run.order import Backfill, Order
    from pipelines.run.pipeline import selected

    order = Order.of(list(stages), list(anew))
    if not between:
        return order
    pipeline, (since, until) = checked(conf), between
    named = [s.id for s in selected(pipeline, order) if s.kind == "tables" and pipeline.tables[s.name].intervals]
    return Order(order.select, {**order.asks, **{stage: Backfill(since, until) for stage in named}})


def main() -> None:
    """Entry point."""
    leave(guarded(lambda: app(standalone_mode=False)))


def _plan_text(verdicts: list[dict[str, Any]]) -> str:
    return "\n".join(f"{'run ' if v['run'] else 'skip'}  {v['stage']:<28} {v['why']}{_about(v)}" for v in verdicts)


def _about(verdict: dict[str, Any]) -> str:
    return f"; about {verdict['usd']:.4f} USD" if verdict.get("usd") is not None else ""
