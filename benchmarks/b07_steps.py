"""b07: where the time of a training goes, by launcher: `python -m benchmarks.b07_steps [--rows N] [--trials K]`.

No contest, for nobody else's loop is measured: one net over the same rows by `single`, and by `horovod` and
`torch_distributor` with two ranks of one core each, in the environment of nets. Of each trial: the wall time of the
whole launch, how much of it lies outside the epochs, milliseconds a step, and shares of the time of the epochs after
the first, which decodes. What a rank spends in the allreduce beyond the quickest rank is waiting for others.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer
from deltalake import WriterProperties, write_deltalake

from pipelines.deep import planning
from pipelines.deep.design import Design
from pipelines.deep.job import Job
from pipelines.deep.launch import launch
from pipelines.deep.loader import Deck
from pipelines.spark import session
from pipelines.spec import Target
from pipelines.spec.candidate import TabularNet

NUMBERS, CATEGORIES, VALUES = 40, 4, 100
CREWS = (("single", 1), ("horovod", 2), ("torch_distributor", 2))
PHASES = ("load", "forward", "backward", "allreduce", "wait", "update")
HEAD = ("launcher", "launch", "outside epochs", "step", *PHASES, "busy")


@dataclass(frozen=True)
class Trial:
    """One training."""

    wall_s: float
    outside_s: float
    step_ms: float
    shares: dict[str, float]
    busy: float


def job(root: Path, rows: int) -> Job:
    """Rows with something to learn, and a net over them."""
    dice = np.random.default_rng(7)
    x = dice.standard_normal((rows, NUMBERS), np.float32)
    kinds = dice.integers(0, VALUES, (rows, CATEGORIES)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] + kinds[:, 0] / VALUES > 0.5).astype(np.float32)
    table = np.column_stack([x, kinds, y])
    names = (*(f"x{i}" for i in range(NUMBERS + CATEGORIES)), "y")
    columns = {name: pa.array(table[:, i]) for i, name in enumerate(names)}
    path = str(root / "rows")
    write_deltalake(path, pa.table(columns), writer_properties=WriterProperties(max_row_group_size=20_000))
    spec = TabularNet(kind="tabular_net", hidden=(256, 128), epochs=4, batch=2_048)
    design = Design("binary", tuple(range(NUMBERS)), tuple((NUMBERS + i, VALUES) for i in range(CATEGORIES)),
                    spec.hidden, 1)  # fmt: skip
    return Job(Deck(path, 0, names, planning.groups(path, 0), 20, 1), design, spec, 1, str(root / "folder"))


def tried(of: Job, launcher: str, ranks: int) -> Trial:
    """One training, whose rows are there already."""
    with TemporaryDirectory(prefix="lakeloom-b07-") as folder:
        spec = of.spec.model_copy(update={"launcher": launcher, "processes": ranks})
        begun = perf_counter()
        told, _ = launch(replace(of, spec=spec, folder=folder))
        wall_s = perf_counter() - begun
    epochs: Sequence[dict[str, Any]] = told["epochs"]
    later = epochs[1:]
    seconds = sum(e["seconds"] for e in later)
    shares = {phase: sum(e["profile"][phase] for e in later) / seconds for phase in PHASES}
    step_ms = 1_000 * seconds / (len(later) * told["steps"])
    busy = median(e["busy"] for e in later)
    return Trial(wall_s, wall_s - sum(e["seconds"] for e in epochs), step_ms, shares, busy)


def line(name: str, trials: Sequence[Trial]) -> str:
    """Medians, and the range of the first three."""
    spans = [[getattr(t, f) for t in trials] for f in ("wall_s", "outside_s", "step_ms")]
    units = ("s", "s", "ms")
    cells = [f"{median(v):.1f} {u} ({min(v):.1f} to {max(v):.1f})" for v, u in zip(spans, units, strict=True)]
    cells += [f"{median(t.shares[phase] for t in trials):.1%}" for phase in PHASES]
    return f"| {name} | {' | '.join(cells)} | {median(t.busy for t in trials):.1%} |"


def main(
    rows: Annotated[int, typer.Option(help="of the table")] = 200_000,
    trials: Annotated[int, typer.Option(help="of each launcher, in turn")] = 3,
) -> None:
    """Train, print one Markdown table."""
    found: dict[str, list[Trial]] = {launcher: [] for launcher, _ in CREWS}
    with TemporaryDirectory(prefix="lakeloom-b07-") as root, session(Target(master="local[2]"), "b07"):
        of = job(Path(root), rows)
        for number in range(trials):
            for launcher, ranks in CREWS if number % 2 == 0 else CREWS[::-1]:
                found[launcher].append(tried(of, launcher, ranks))
                last = found[launcher][-1]
                typer.echo(
                    f"{launcher} {number + 1}/{trials}: {last.wall_s:.1f} s, step {last.step_ms:.1f} ms", err=True
                )
    typer.echo("\n".join([f"| {' | '.join(HEAD)} |", "| --- " * len(HEAD) + "|"]))
    for launcher, ranks in CREWS:
        typer.echo(line(f"{launcher}, {ranks}", found[launcher]))


if __name__ == "__main__":
    typer.run(main)
