"""`lakeloom quarantine`: what was refused, why, and how it gets in after all."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.terminal import Conf, Format, TargetName, carried_out, checked, err, show_data, target_of

app = typer.Typer(
    help="List, show and replay refused rows.", no_args_is_help=True, pretty_exceptions_enable=False,
    rich_markup_mode=None,
)  # fmt: skip
Stage = Annotated[str, typer.Argument(help="such as tables.flights")]


@app.command("list")
def list_(conf: Conf, target: TargetName = "local", format: Format = "text") -> None:
    """Tables that refused rows, and how many for which reason. No engine is started."""
    from pipelines.show import quarantines

    show_data(format, quarantines(checked(conf), target_of(conf, target)), _list_text)


@app.command()
def show(
    conf: Conf,
    stage: Stage,
    target: TargetName = "local",
    most: Annotated[int, typer.Option(help="rows at most", min=1)] = 20,
    format: Format = "text",
) -> None:
    """Refused rows as they came, each with its reasons, its place and its run. No engine is started."""
    from pipelines.show import refused

    show_data(format, refused(checked(conf), target_of(conf, target), stage, most), _rows_text)


@app.command()
def replay(
    conf: Conf,
    stage: Stage,
    target: TargetName = "local",
    repaired: Annotated[
        Path | None, typer.Option(help="what `show --format json` gave, with `_record` repaired")
    ] = None,
    format: Format = "text",
) -> None:
    """Judge a table's quarantine again, after its expectations changed or with repaired rows; what passes goes in."""
    from pipelines.plan import following
    from pipelines.run.order import Order, Replay
    from pipelines.run.replaying import repairs
    from pipelines.show import unknown

    pipeline, place, rows = checked(conf), target_of(conf, target), repairs(repaired) if repaired else {}
    lost = unknown(pipeline, place, stage, rows)
    if lost:
        err.print(f"{repaired}: passed over, for they do not lie in the quarantine of {stage}: {', '.join(lost)}")
    carried_out(conf, place, Order((stage,), {stage: Replay(rows)}), format)
    behind = following(pipeline, stage)
    if behind:
        err.print(f"not yet seen by {', '.join(behind)}: `lakeloom run {conf}` makes them anew")


def _list_text(found: list[dict[str, Any]]) -> str:
    from pipelines.summary import counted

    lines = [
        "\n".join([f"{q['stage']}: {counted(q['rows'], 'row')}", *[f"  {n:>8,}  {r}" for r, n in q["reasons"].items()]])
        for q in found
    ]
    return "\n".join(lines) or "no row is in quarantine"


def _rows_text(rows: list[dict[str, Any]]) -> str:
    return "\n".join(_row_text(row) for row in rows)


def _row_text(row: dict[str, Any]) -> str:
    return f"{row['_hash']}  {'; '.join(row['_reasons'])}\n  {row['_record']}\n  {row['_file']}, run {row['_run']}"
