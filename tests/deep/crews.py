"""A small table as ranks read it, and ranks as threads of one process."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from deltalake.writer import WriterProperties

from pipelines.deep import checkpoint, planning
from pipelines.deep.crew import Alone, Crew
from pipelines.deep.design import Design
from pipelines.deep.job import Folder, Job
from pipelines.deep.loader import Deck, Loader
from pipelines.deep.loop import train
from pipelines.deep.pulse import Pulse
from pipelines.deep.trainee import Trainee
from pipelines.spec.candidate import TabularNet

ROWS, PLACES = 2_000, 4  # two numbers, two categories of 3 and 5 values
KINDS = (0, 3, 0, 5)
SEEDED = threading.Lock()  # threads share the generator that weights are drawn from; processes do not


def features(rows: int = ROWS, seed: int = 7) -> np.ndarray:
    dice = np.random.default_rng(seed)
    a, b = dice.standard_normal((2, rows))
    return np.column_stack([a, dice.integers(0, 3, rows), b, dice.integers(0, 5, rows)]).astype(np.float32)


def truth(x: np.ndarray) -> np.ndarray:
    """What is to be learned: no straight line, and each category counts."""
    return x[:, 0] * x[:, 2] + np.array([-1.0, 0.0, 1.0])[x[:, 1].astype(int)] + 0.3 * x[:, 3] - 0.6


def label(goal: str, x: np.ndarray) -> np.ndarray:
    value = truth(x)
    if goal == "binary":
        return (value > 0).astype(np.float32)
    return np.digitize(value, [-0.7, 0.7]).astype(np.float32) if goal == "multiclass" else value.astype(np.float32)


def job(root: Path, goal: str = "binary", rows: Any = None, **options: Any) -> Job:
    """A table of its own in a folder, and a job over it."""
    x = features()
    table = np.column_stack([x, label(goal, x)]) if rows is None else rows
    names = (*(f"x{i}" for i in range(PLACES)), "y")
    columns = {name: pa.array(table[:, i], pa.float32()) for i, name in enumerate(names)}
    path = str(root / "rows")
    write_deltalake(path, pa.table(columns), writer_properties=WriterProperties(max_row_group_size=300))
    spec = TabularNet(
        kind="tabular_net", **{"hidden": (16, 8), "epochs": 3, "batch": 100, "learning_rate": 0.01, **options}
    )
    outputs = 3 if goal == "multiclass" else 1
    design = Design(goal, (0, 2), ((1, 3), (3, 5)), spec.hidden, outputs, spec.wide, spec.dropout, factors=spec.factors)  # type: ignore[arg-type]
    if spec.sequences:
        places = tuple(tuple(names.index(name) for name in sequence) for sequence in spec.sequences)
        design = replace(design, sequences=places, filters=(spec.filters,))
    every = round(1 / spec.holdout) if spec.holdout else 0
    return Job(Deck(path, 0, names, planning.groups(path, 0), every, 1), design, spec, 1, str(root / "folder"))


class Thread:
    """A rank that is a thread: a sum over all at each meeting, in the order of ranks."""

    def __init__(self, rank: int, held: list[Any], meeting: threading.Barrier) -> None:
        self.rank, self.size, self.held, self.meeting = rank, len(held), held, meeting

    def mean(self, flat: Any) -> None:
        self.held[self.rank] = flat.clone()
        self.meeting.wait(timeout=60)
        whole = sum(self.held[1:], self.held[0].clone()) / self.size
        self.meeting.wait(timeout=60)
        flat.copy_(whole)


def alone(of: Job, upto: int | None = None) -> Trainee:
    """One rank, from the newest checkpoint on; upto: epochs after which the process is gone."""
    return one(of, Alone(), upto)


Spoil = Callable[[Trainee, Loader, int], None]


def late(doing: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    """The same, but slow."""

    def slowly(*given: Any) -> Any:
        time.sleep(seconds)
        return doing(*given)

    return slowly


def one(of: Job, crew: Crew, upto: int | None = None, spoil: Spoil = lambda *_: None) -> Trainee:
    """spoil: is done to a rank before it trains."""
    with SEEDED:
        trainee, folder = Trainee(of), Folder(of.folder)
    if found := checkpoint.newest(folder):
        trainee.restore(*found)
    loader = Loader(of.deck, crew.rank, crew.size, of.batch(crew.size))
    spoil(trainee, loader, crew.rank)

    def kept() -> None:
        if crew.rank == 0:
            checkpoint.keep(folder, trainee.arrays(), trainee.position())
        if upto is not None and trainee.epoch >= upto:
            raise KeyboardInterrupt

    try:
        train(trainee, crew, loader, Pulse(folder, crew.rank, 60), kept, lambda: None)
    except KeyboardInterrupt:
        pass
    finally:
        loader.close()
    return trainee


def together(of: Job, size: int, spoil: Spoil = lambda *_: None) -> list[Trainee]:
    """Some ranks, each in a thread."""
    held: list[Any] = [None] * size
    meeting = threading.Barrier(size)
    found: list[Any] = [None] * size

    def run(rank: int) -> None:
        try:
            found[rank] = one(of, Thread(rank, held, meeting), spoil=spoil)
        except BaseException as error:
            found[rank] = error
            meeting.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in found:
        if isinstance(each, BaseException) and not isinstance(each, threading.BrokenBarrierError):
            raise each
    return found
