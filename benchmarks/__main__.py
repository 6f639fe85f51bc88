"""`python -m benchmarks run [--profile quick|full] [--only b11a,b01] [--json out.json]`: measure, print one table.

Exit 3 where two answers differ or ours falls below a bound of targets.toml;
progress on stderr, the tables (Markdown) on stdout, all samples in the JSON.
"""

import json
import platform
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import typer

from benchmarks.measure import Contest, Pair, Ratio, Verdict, added, growth, run_pairs, verdict
from pipelines.errors import DataError, LakeloomError, SpecError

MODULES = {
    "b01": "benchmarks.b01_cold_start",
    "b02": "benchmarks.b02_quality",
    "b03": "benchmarks.b03_increments",
    "b04": "benchmarks.b04_asof",
    "b05": "benchmarks.b05_training",
    "b06": "benchmarks.b06_loader",
    "b08": "benchmarks.b08_scoring",
    "b11a": "benchmarks.b11a_end_to_end",
    "b13": "benchmarks.b13_monitoring",
}
TARGETS = Path(__file__).with_name("targets.toml")
CONTROL = "ours (A/A)"
HEAD = "| bench | size | peer | CPU: peer / ours | wall: peer / ours | ours: wall, CPU, memory | pairs |"
GROWTH_HEAD = "| bench | series | arm | exponent of CPU over rows |"
app = typer.Typer(add_completion=False)


@dataclass(frozen=True)
class Part:
    """How much of a benchmark is asked for."""

    profile: str
    size: str = ""
    peer: str = ""
    pairs: int = 0

    def cut(self, contest: Contest) -> Contest:
        """The same contest with the peers asked for; with so many pairs, one control at least, one discarded run."""
        contest = replace(contest, peers=tuple(p for p in contest.peers if self.peer in p.name))
        if not self.pairs:
            return contest
        control, warmups = max(1, self.pairs - 1), min(1, contest.warmups)
        return replace(contest, pairs=self.pairs, control_pairs=control, warmups=warmups)


@dataclass(frozen=True)
class Result:
    """One line of the table: ours against one peer on one size."""

    bench: str
    size: str
    peer: str
    pairs: Sequence[Pair]
    verdict: Verdict
    series: str = ""
    rows: int = 0

    @property
    def key(self) -> str:
        """Its name in targets.toml."""
        return f"{self.bench}/{self.size}/{self.peer}"


@app.callback()
def _face() -> None:
    """Benchmarks: ours against what a user would write instead."""


@app.command()
def run(
    profile: Annotated[Literal["quick", "full"], typer.Option(help="how many pairs, which peers")] = "quick",
    only: Annotated[str, typer.Option(help="benchmarks by name, with commas")] = ",".join(MODULES),
    size: Annotated[str, typer.Option(help="only sizes whose name has this in it")] = "",
    peer: Annotated[str, typer.Option(help="only peers whose name has this in it")] = "",
    pairs: Annotated[int, typer.Option(min=0, help="of each peer, and a control less; 0: as the profile has it")] = 0,
    json_: Annotated[Path | None, typer.Option("--json", help="where all samples go")] = None,
) -> None:
    """Measure, print the table, exit 3 below a bound."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no arm is left running
    results: list[Result] = []
    try:
        for name in only.split(","):
            results.extend(_measured(name, Part(profile, size, peer, pairs)))
        typer.echo(table(results))
        if grown := exponents(results):
            typer.echo("\n" + growth_table(grown))
        bounds = tomllib.loads(TARGETS.read_text())
        if breaches := [*below(results, bounds), *above(grown, bounds)]:
            raise DataError("\n".join(breaches))
    except LakeloomError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    finally:
        if json_:
            json_.write_text(json.dumps(_document(results), indent=1))


def _measured(name: str, part: Part) -> Iterator[Result]:
    if name not in MODULES:
        raise SpecError(f"--only {name}: no such benchmark; there is {', '.join(MODULES)}")
    with TemporaryDirectory(prefix=f"lakeloom-{name}-") as scratch:
        for contest in import_module(MODULES[name]).contests(part.profile, Path(scratch)):
            if part.size in contest.size:
                yield from _fought(part.cut(contest))


def _fought(contest: Contest) -> Iterator[Result]:
    rivals = [(CONTROL, contest.ours, contest.control_pairs), *((p.name, p, contest.pairs) for p in contest.peers)]
    for name, rival, count in rivals:
        pairs = []
        for pair in run_pairs(contest.ours, rival, count, contest.warmups):
            pairs.append(pair)
            typer.echo(f"{contest.bench} {contest.size} {name} {len(pairs)}/{count}: {_told(pair)}", err=True)
        yield Result(contest.bench, contest.size, name, pairs, verdict(pairs), contest.series, contest.rows)
        if more := added(pairs):
            yield Result(contest.bench, contest.size, f"{name}, added", more, verdict(more))


def _told(pair: Pair) -> str:
    each = ", ".join(f"{s.arm} {s.wall_s:.1f} s, CPU {s.cpu_s:.1f} s" for s in (pair.ours, pair.peer))
    return f"{each}; others {pair.noise.others:.0%}, steal {pair.noise.steal:.0%}{', loud' if pair.noise.loud else ''}"


def table(results: Sequence[Result]) -> str:
    """The results as Markdown; no ratio where too many pairs were disturbed."""
    return "\n".join([HEAD, "|" + " --- |" * HEAD.count(" | ") + " --- |", *map(_line, results)])


def _line(result: Result) -> str:
    v = result.verdict
    pairs = f"{v.pairs - v.dropped} of {v.pairs}"
    cells = [result.bench, result.size, result.peer, _shown(v.cpu), _shown(v.wall), _ours(result.pairs), pairs]
    return f"| {' | '.join(cells)} |"


def exponents(results: Sequence[Result]) -> dict[str, Ratio]:
    """bench/series/arm -> the exponent of its CPU-seconds over the rows of the series; disturbed pairs left out."""
    costs: dict[str, dict[int, list[float]]] = {}
    for result in (r for r in results if r.series):
        for pair in (p for p in result.pairs if not p.noise.loud):
            for arm, sample in (("ours", pair.ours), (result.peer, pair.peer)):
                of_arm = costs.setdefault(f"{result.bench}/{result.series}/{arm}", {})
                of_arm.setdefault(result.rows, []).append(sample.cpu_s)
    found = {key: growth(by_rows) for key, by_rows in costs.items() if not key.endswith(CONTROL)}
    return {key: ratio for key, ratio in found.items() if ratio}


def growth_table(grown: Mapping[str, Ratio]) -> str:
    """The exponents as Markdown."""
    lines = [f"| {key.replace('/', ' | ')} | {_shown(ratio)} |" for key, ratio in grown.items()]
    return "\n".join([GROWTH_HEAD, "| --- | --- | --- | --- |", *lines])


def above(grown: Mapping[str, Ratio], bounds: dict[str, dict[str, float]]) -> Iterator[str]:
    """One sentence for each exponent that is greater than its bound."""
    for key in grown.keys() & bounds.keys():
        if grown[key].median > bounds[key]["most"]:
            yield f"{key}: its exponent {grown[key].median:.2f} is above its bound {bounds[key]['most']}"


def _shown(ratio: Ratio | None) -> str:
    return f"**{ratio.median:.2f}** ({ratio.low:.2f} to {ratio.high:.2f})" if ratio else "no verdict: disturbed"


def _ours(pairs: Sequence[Pair]) -> str:
    wall_s, cpu_s, memory_mb = _typical(pairs)
    return f"{wall_s:.1f} s, {cpu_s:.1f} s, {memory_mb:,.0f} MB"


def _typical(pairs: Sequence[Pair]) -> tuple[float, float, float]:
    """Median wall and CPU seconds, and the greatest memory, of ours."""
    ours = [p.ours for p in pairs]
    return median(s.wall_s for s in ours), median(s.cpu_s for s in ours), max(s.memory_mb for s in ours)


def below(results: Sequence[Result], bounds: dict[str, dict[str, float]]) -> Iterator[str]:
    """One sentence for each bound that does not hold; a result without a verdict breaks none."""
    for result in (r for r in results if r.verdict.cpu and r.key in bounds):
        bound, (wall_s, _, memory_mb) = bounds[result.key], _typical(result.pairs)
        ratio = result.verdict.cpu.median if result.verdict.cpu else 0.0
        if ratio < bound["regression"]:
            yield f"{result.key}: CPU ratio {ratio:.2f} is below its bound {bound['regression']}"
        if wall_s > bound.get("wall_s", wall_s):
            yield f"{result.key}: ours took {wall_s:.0f} s, more than {bound['wall_s']:.0f} s"
        if memory_mb > bound.get("memory_mb", memory_mb):
            yield f"{result.key}: ours held {memory_mb:.0f} MB, more than {bound['memory_mb']:.0f} MB"


def _document(results: Sequence[Result]) -> dict[str, object]:
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    packages = ("pyspark", "delta-spark", "great-expectations", "mlflow", "xgboost-cpu")
    return {
        "git_sha": git.stdout.strip(),
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "results": [asdict(r) for r in results],
        "exponents": {key: asdict(ratio) for key, ratio in exponents(results).items()},
    }


if __name__ == "__main__":
    sys.exit(app(prog_name="python -m benchmarks"))
