"""`lakeloom model`: what was trained, how good it is, and who is champion."""

import getpass
import sys
from math import nan
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.terminal import Conf, Format, TargetName, carried_out, checked, err, show_data, target_of, tell
from pipelines.errors import DataError, SpecError

app = typer.Typer(
    help="List, compare, prove, promote and roll back trained models.", no_args_is_help=True,
    pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
Name = Annotated[str, typer.Argument(metavar="[MODEL][@VERSION]", help="such as late_arrival@3 or @champion")]
Needed = Annotated[str, typer.Argument(metavar="[MODEL]@VERSION", help="such as late_arrival@3 or @challenger")]
Reason = Annotated[str, typer.Option(help="why, for the run record")]
METRICS = 3  # of a line


@app.command("list")
def list_(conf: Conf, model: Name = "", target: TargetName = "local", format: Format = "text") -> None:
    """Every version, newest first: aliases, metrics, gates, what it was trained on. No engine is started."""
    shelves = _shelves(conf, target, model)
    show_data(format, [line for shelf in shelves for line in shelf.lines()], _list_text)


@app.command()
def show(
    conf: Conf,
    model: Name = "",
    target: TargetName = "local",
    conf_only: Annotated[bool, typer.Option("--conf", help="only the conf that makes it again, as YAML")] = False,
    format: Format = "text",
) -> None:
    """One version, the champion if none is named: evidence, inputs, and its files, each checked by SHA-256."""
    shelf, which = _shelf(conf, target, model)
    if conf_only:
        from pipelines.spec.text import yaml_text

        tree = {"models": {shelf.model: shelf.conf(which)}}
        show_data(format, tree, lambda t: yaml_text(t).rstrip())
    else:
        show_data(format, shelf.shown(which), _shown_text)


@app.command()
def compare(
    conf: Conf,
    one: Needed,
    other: Needed,
    target: TargetName = "local",
    log: Annotated[Path | None, typer.Option(help="where `serve --log-to` keeps requests, which both answered")] = None,
    format: Format = "text",
) -> None:
    """Two versions of a model side by side, and whether they were tested on the same rows."""
    shelf, which = _shelf(conf, target, one)
    model, _, versus = other.partition("@")
    if model not in ("", shelf.model):
        raise SpecError(f"compares two versions of one model, got {shelf.model} and {model}")
    show_data(format, shelf.compared(which, versus, log), _compared_text)


@app.command()
def verify(conf: Conf, model: Name = "", target: TargetName = "local", format: Format = "text") -> None:
    """Check a version's files, load it in a clean process, and score its own example as at training.

    Exit code 3 if anything differs.
    """
    shelf, which = _shelf(conf, target, model)
    version = shelf.version(which)
    files = shelf.registry.files(version)
    proof = _proof(shelf, version)
    found = {"version": version.number, "files": len(files), "passed": proof.passed, "why": proof.why}
    show_data(format, {"model": shelf.model, **found}, _verified_text)
    if not proof.passed:
        raise DataError(f"{shelf.name}@{version.number}: {proof.why}")


@app.command()
def promote(
    conf: Conf,
    model: Needed,
    reason: Reason = "",
    yes: Annotated[bool, typer.Option("--yes", help="also where a gate refused it")] = False,
    target: TargetName = "local",
    format: Format = "text",
) -> None:
    """Make a version champion, after it has loaded and scored in a clean process. A run record says who, and why."""
    from pipelines.registered import closed
    from pipelines.run.order import Promote

    shelf, which = _shelf(conf, target, model)
    version, now = shelf.version(which), shelf.registry.champion(shelf.name)
    if now and now.number == version.number:
        err.print(f"{shelf.name}: version {version.number} is champion already; nothing is done")
        return
    shelf.registry.files(version)
    refused = closed(shelf.registry.detail(version))
    if refused and not yes:
        _confirm(f"{shelf.name}@{version.number} was refused: {'; '.join(refused)}")
    _carry_out(conf, shelf, Promote(version.number, _who(), reason), format)


@app.command()
def rollback(
    conf: Conf, model: Name = "", reason: Reason = "", target: TargetName = "local", format: Format = "text"
) -> None:
    """Make the former champion champion again; scores go on with it. Said twice, it goes back once."""
    from pipelines.run.order import Order, Promote

    shelf, _ = _shelf(conf, target, model)
    begun = shelf.begun()
    if begun:
        carried_out(conf, shelf.target, Order((f"models.{shelf.model}",)), format)
    if begun and begun["back"]:
        return  # what was cut off was this
    now, former = shelf.version(""), shelf.former()
    if former is None:
        raise DataError(f"{shelf.name}: version {now.number} is the first champion, there is none to go back to")
    if former == now.number:
        err.print(f"{shelf.name}: it is rolled back to version {former} already; `model promote` names any other")
        return
    _carry_out(conf, shelf, Promote(former, _who(), reason, back=True), format)


def _shelf(conf: Path, target: str, asked: str) -> tuple[Any, str]:
    from pipelines.registered import Shelf, named

    pipeline = checked(conf)
    model, which = named(pipeline, asked)
    return Shelf(pipeline, target_of(conf, target), model), which


def _shelves(conf: Path, target: str, asked: str) -> list[Any]:
    from pipelines.registered import Shelf, named

    pipeline, place = checked(conf), target_of(conf, target)
    models = [named(pipeline, asked)[0]] if asked else list(pipeline.models)
    return [Shelf(pipeline, place, model) for model in models]


def _proof(shelf: Any, version: Any) -> Any:
    from pipelines.run.proving import Asked, prove

    feature = shelf.pipeline.features[shelf.pipeline.models[shelf.model].features]
    return prove(shelf.target, Asked(version.name, version.number, feature.keys, feature.as_of_time))


def _carry_out(conf: Path, shelf: Any, ask: Any, format: str) -> None:
    from pipelines.run.order import Order

    stage = f"models.{shelf.model}"
    carried_out(conf, shelf.target, Order((stage,), {stage: ask}), format)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user that the system has no name for
        return "unknown"


def _confirm(said: str) -> None:
    """Ask at a terminal. Errors: DataError where nobody can answer, or the answer is no."""
    if not sys.stdin.isatty():
        raise DataError(f"{said}; --yes promotes it all the same")
    if not typer.confirm(f"{said}; promote it all the same?", err=True):
        raise DataError(f"{said}; it is not promoted")


def _list_text(lines: list[dict[str, Any]]) -> str:
    return "\n".join(_line_text(line) for line in lines) or "nothing was trained yet; `lakeloom run` does it"


def _line_text(line: dict[str, Any]) -> str:
    test, train, gates = line["test"], line["splits"].get("train", {}), line["gates"]
    names = list(dict.fromkeys(m for m in (line["metric"], *test) if m in test))[:METRICS]
    reads = ", ".join(f"{stage} version {n}" for stage, n in line["reads"].items())
    return "\n".join([
        f"{line['model']}@{line['version']:<4} {', '.join(line['aliases']) or '-':<12} {line['at']}  {line['kind']}",
        f"  {', '.join(f'{m} {_interval(test[m])}' for m in names)}",
        f"  {sum(g['passed'] for g in gates)} of {len(gates)} gates passed; "
        f"trained on {train.get('rows', 0):,} rows to {train.get('to', '')}: {reads}",
        *[f"  closed: {g['gate']}: {g['why']}" for g in line["gates"] if not g["passed"]],
    ])  # fmt: skip


def _interval(found: list[float]) -> str:
    return f"{found[0]:.4f} ({found[1]:.4f} to {found[2]:.4f})"


def _shown_text(found: dict[str, Any]) -> str:
    base = found["detail"].get("baseline", {})
    moves = [f"  {_moved(move)}" for move in found["moves"]] or ["  never"]
    return "\n".join([
        _line_text(found),
        "params", f"  {', '.join(f'{k} {v}' for k, v in found['params'].items())}",
        "metrics, 95 % interval, baseline",
        *[f"  {m:<28}{_interval(v):<30}{base.get(m, nan):.4f}" for m, v in found["test"].items()],
        "gates", *[f"  {'passed' if g['passed'] else 'closed'}  {g['gate']}: {g['why']}" for g in found["gates"]],
        "made with", *[f"  {k:<12}{v}" for k, v in found["made_with"].items()],
        "ONNX graph", f"  {_graph(found['detail'].get('onnx'))}",
        "champion", *moves,
        f"files, each as at its training ({found['sha256'][:12]} over all)",
        *[f"  {digest[:12]}  {name}" for name, digest in found["files"].items()],
    ])  # fmt: skip


def _graph(certificate: dict[str, Any] | None) -> str:
    if not certificate:
        return "none: it was trained before graphs were kept"
    if not certificate["sha256"]:
        return f"none: {certificate['why']}"
    apart = f"{certificate['largest']:.0e} apart at most"
    over = f", {certificate['over_http']:,} of them over HTTP" if certificate.get("over_http") else ""
    return f"{certificate['sha256'][:12]}  certified on {certificate['rows']:,} rows{over}, {apart}"


def _moved(move: dict[str, Any]) -> str:
    from pipelines.aliases import Move

    made = Move(**move)
    return f"{made.at:%Y-%m-%d %H:%M}  {made} (run {made.run})"


def _compared_text(found: dict[str, Any]) -> str:
    one, other = found["versions"]
    heads = [f"{v['model']}@{v['version']} {v['kind']}" for v in (one, other)]
    rows = "the same test rows" if found["same_rows"] else "other test rows, so figures differ for that as well"
    return "\n".join([
        f"{'':<28}{heads[0]:<30}{heads[1]}",
        *[f"{m:<28}{_interval(a):<30}{_interval(b)}" for m, (a, b) in found["metrics"].items()],
        f"judged on {rows}",
        *[_shadow_text(each) for each in found["shadow"]],
        *(_asked_text(found["asked"]) if "asked" in found else []),
    ])  # fmt: skip


def _asked_text(found: dict[str, Any]) -> list[str]:
    one, other = found["versions"]
    decided = sorted({*one["decided"], *other["decided"]})
    shares = [(f"decided {d}", *(f"{v['decided'].get(d, 0):.1%}" for v in (one, other))) for d in decided]
    lines = [
        ("rows (requests)", *(f"{v['rows']:,} ({v['requests']:,})" for v in (one, other))),
        ("mean score", *("-" if v["score"] is None else f"{v['score']:.4f}" for v in (one, other))),
        *shares,
    ]
    apart = "too few rows to say how far mean scores are apart"
    if found["apart"]:
        apart = "mean scores are {:+.4f} apart, 95 % interval {:+.4f} to {:+.4f}".format(*found["apart"])
    return [f"answered over HTTP, from the sample in {found['folder']}", *[f"  {n:<26}{a:<30}{b}" for n, a, b in lines],
            f"  {apart}"]  # fmt: skip


def _shadow_text(found: dict[str, Any]) -> str:
    mean, most = found["score"]["mean"], found["score"]["most"]
    said = f"in the shadow of {found['scores']}: {found['rows']:,} rows"
    said += f", scores {mean:.4f} apart on average, {most:.4f} at most" if mean is not None else ""
    return said + (f"; {found['otherwise']:,} decided otherwise" if found["otherwise"] is not None else "")


def _verified_text(found: dict[str, Any]) -> str:
    said = f"{found['model']}@{found['version']}: {found['files']} files as at training; "
    return said + f"{'scores' if found['passed'] else 'FAILS'} in a clean process: {found['why']}"


def reproduce(conf: Conf, model: Needed, target: TargetName = "local", format: Format = "text") -> None:
    """Train a version once more from the table versions and seeds it was made of, and compare; nothing is registered.

    Exit code 3 if a metric differs.
    """
    from pipelines.plan import Stage
    from pipelines.run.reproducing import reproduce as reproduced

    shelf, which = _shelf(conf, target, model)
    stage, version = Stage("models", shelf.model), shelf.version(which)
    found = reproduced(shelf.pipeline, shelf.target, version, stage, lambda text: tell(stage, text))
    show_data(format, found, _reproduced_text)
    if not found["same"]:
        raise DataError(f"{found['version']}: it was not reproduced")


def _reproduced_text(found: dict[str, Any]) -> str:
    lines = [
        f"  {name:<28}{f['was']:<22}{f['is']:<22}{'same' if f['same'] else 'DIFFERS'}"
        for name, f in found["metrics"].items()
    ]
    other = [f"other {what} than at training" for what in ("code", "packages", "rows") if not found[f"same_{what}"]]
    how = "to the last bit" if found["tolerance"] == 0 else f"within {found['tolerance']:g}"
    ended = f"reproduced {how}" if found["same"] else "NOT reproduced"
    head = f"{'':<30}{'at training':<22}{'now':<22}"
    return "\n".join([f"{found['version']}: {ended}", head.rstrip(), *lines, *other])
