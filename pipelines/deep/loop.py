"""The one training loop: every launcher ends here.

A step: rows, gradient of their mean loss, its mean over the ranks, the step.
After an epoch each rank's sums become one account, from which all ranks draw
the same conclusions: whether a rule stops the training, whether it was the best epoch.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from statistics import median
from typing import Any

import numpy as np
import torch

from pipelines.deep import rules
from pipelines.deep.crew import Crew
from pipelines.deep.loader import Block, Loader
from pipelines.deep.pulse import Pulse
from pipelines.deep.trainee import Trainee
from pipelines.errors import DataError

COMMIT_STEPS = 50  # between two moments to which a crew that loses a rank goes back
LOOK_STEPS = 10  # between two looks at the norms of gradients
PARTS = 20  # of an epoch, of which each has a loss of its own
PHASES = ("load", "forward", "backward", "allreduce", "update")


class Account:
    """What one rank sees of an epoch."""

    def __init__(self, trainee: Trainee) -> None:
        self.begun = time.perf_counter()
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.loss, self.rows, self.left_out = 0.0, 0, 0
        self.course = np.zeros((PARTS, 2))  # loss, summed, and rows
        self.norms: list[tuple[float, float, float]] = []
        self.classes = np.zeros(max(trainee.job.design.outputs, 2) if trainee.job.design.goal != "regression" else 0)
        self.awake = torch.zeros(0 if trainee.job.design.module else sum(trainee.job.design.hidden)).double()
        trainee.seconds = {"forward": 0.0, "backward": 0.0}

    def timed(self, blocks: Iterator[Block]) -> Iterator[Block]:
        """The blocks, with the time that was waited for them."""
        while True:
            begun = time.perf_counter()
            block = next(blocks, None)
            self.seconds["load"] += time.perf_counter() - begun
            if block is None:
                return
            yield block

    def count(self, rows: Block) -> None:
        """The labels of some rows. Errors: DataError for one that is no class."""
        self.rows += len(rows)
        if len(self.classes) and len(rows):
            low, high = rows[:, -1].min(), rows[:, -1].max()
            if low < 0 or high >= len(self.classes):
                odd = low if low < 0 else high
                raise DataError(f"a label is {odd:g}, and the net has the classes 0 to {len(self.classes) - 1}")
            self.classes += np.bincount(rows[:, -1].astype(np.int64), minlength=len(self.classes))


def train(
    trainee: Trainee, crew: Crew, loader: Loader, pulse: Pulse, kept: Callable[[], None], commit: Callable[[], None]
) -> None:
    """Until the last epoch, or until a rule of `stop_on` or the patience ends it.

    kept: is called on every rank after each epoch; commit: at places within one to which a crew can go back.
    Errors: DataError where a label or a gradient cannot be learned from.
    """
    held = loader.held()
    _together(trainee, crew)
    while trainee.epoch < trainee.job.spec.epochs and not trainee.stopped:
        account = _epoch(trainee, crew, loader, pulse, commit)
        pulse.beat("account", trainee.epoch, loader.steps)
        trainee.history.append(_summed(account, trainee, crew, held))
        trainee.epoch, trainee.share = trainee.epoch + 1, 0.0
        _conclude(trainee)
        kept()


def _together(trainee: Trainee, crew: Crew) -> None:
    """Errors: DataError where ranks do not begin with the same weights, at the same place."""
    mark = torch.tensor([trainee.mark], dtype=torch.float64)
    crew.mean(mark)
    if float(mark) != trainee.mark:
        raise DataError(
            f"rank {crew.rank} does not begin where the others do; is the warehouse one that all machines see?"
        )


def _epoch(trainee: Trainee, crew: Crew, loader: Loader, pulse: Pulse, commit: Callable[[], None]) -> Account:
    account, spec, epoch = Account(trainee), trainee.job.spec, trainee.epoch
    torch.manual_seed(int(np.random.SeedSequence([trainee.job.seed, epoch, crew.rank]).generate_state(1)[0]))
    start = round(trainee.share * loader.steps)
    with closing(loader.batches(epoch, start)) as blocks:
        for number, rows in enumerate(account.timed(blocks), start):
            pulse.beat("compute", epoch, number)
            account.count(rows)
            found = trainee.learn(rows)
            account.loss += found
            account.course[number * PARTS // loader.steps] += found, len(rows)
            pulse.beat("allreduce", epoch, number)
            begun = time.perf_counter()
            _mean(trainee, crew, spec.compression == "fp16")
            shared = time.perf_counter()
            _step(trainee, account, number, (epoch + number / loader.steps) / spec.epochs)
            account.seconds["allreduce"] += shared - begun
            account.seconds["update"] += time.perf_counter() - shared
            trainee.share = (number + 1) / loader.steps
            if number == start:
                account.awake = trainee.awake(rows) if len(rows) else account.awake
            if (number + 1) % COMMIT_STEPS == 0:
                commit()
            pulse.beat("load", epoch, number)
    account.seconds |= trainee.seconds
    return account


def _mean(trainee: Trainee, crew: Crew, halved: bool) -> None:
    """The gradient becomes its mean over the ranks; halved: sent with 16 bits a number."""
    if crew.size == 1:
        return
    if not halved:
        crew.mean(trainee.slope)
        return
    sent = trainee.slope.half()
    crew.mean(sent)
    trainee.slope.copy_(sent)


def _step(trainee: Trainee, account: Account, number: int, progress: float) -> None:
    """A step that is no number is left out, on every rank alike; with `stop_on: [not_finite]` it ends the training."""
    if math.isfinite(float(trainee.slope.sum())):
        if number % LOOK_STEPS == 0:
            account.norms.append(trainee.norms())
        trainee.step(progress)
        return
    account.left_out += 1
    if "not_finite" in trainee.job.spec.stop_on:
        raise DataError(
            f"step {number + 1} of epoch {trainee.epoch + 1}: the gradient is NaN or infinite; "
            "a smaller learning_rate, or scaled features, may help"
        )


def _summed(account: Account, trainee: Trainee, crew: Crew, held: Block) -> dict[str, Any]:
    """One account of all ranks."""
    own = [account.loss, account.rows, trainee.judged(held), len(held), account.left_out]
    parts = [own, account.classes, account.course.reshape(-1), account.awake.numpy()]
    whole = torch.from_numpy(np.concatenate(parts))
    crew.mean(whole)
    ends = np.cumsum([len(part) for part in parts])[:-1]
    found, classes, course, awake = np.split((whole * crew.size).numpy(), ends)
    seconds = time.perf_counter() - account.begun
    table = torch.zeros(crew.size, len(PHASES) + 3, dtype=torch.float64)
    spent = [*(account.seconds[p] for p in PHASES), seconds, account.rows, trainee.pieces]
    table[crew.rank] = torch.tensor(spent, dtype=torch.float64)
    crew.mean(table)
    return {
        "loss": float(found[0] / max(found[1], 1)),
        "held_loss": float(found[2] / found[3]) if found[3] else None,
        "course": [float(loss / rows) if rows else None for loss, rows in course.reshape(-1, 2)],
        "left_out": round(found[4] / crew.size),
        "classes": [round(n) for n in classes],
        "units": len(awake),
        "dead": int((awake == 0).sum()),
        "gradient": _gradient(account),
        **_times((table * crew.size).numpy()),
    }


def _gradient(account: Account) -> dict[str, float]:
    """Norms over the steps that were looked at."""
    norms = account.norms or [(0.0, 0.0, 0.0)]
    whole, first, last = (median(column) for column in zip(*norms, strict=True))
    return {"median": whole, "most": max(n[0] for n in norms), "first": first, "last": last}


def _times(table: Any) -> dict[str, Any]:
    """Mean seconds a phase; of the allreduce, what each rank spends beyond the quickest is waiting for others."""
    seconds = {phase: table[:, i] for i, phase in enumerate(PHASES)}
    quickest = seconds["allreduce"].min()
    profile = {phase: float(column.mean()) for phase, column in seconds.items()}
    profile |= {"wait": float((seconds["allreduce"] - quickest).mean()), "allreduce": float(quickest)}
    work = seconds["load"] + seconds["forward"] + seconds["backward"] + seconds["update"]
    busy = (work - seconds["load"]).sum() / table[:, len(PHASES)].sum()
    return {
        "seconds": float(table[:, len(PHASES)].mean()),
        "profile": profile,
        "busy": float(busy),
        "work_s": [float(w) for w in work],
        "rows": [round(n) for n in table[:, len(PHASES) + 1]],
        "pieces": [round(n) for n in table[:, len(PHASES) + 2]],
    }


def _conclude(trainee: Trainee) -> None:
    """What all ranks draw from the same account."""
    spec, last = trainee.job.spec, trainee.history[-1]
    judged = last["loss"] if last["held_loss"] is None else last["held_loss"]
    if judged < trainee.best_loss:
        trainee.best_loss, trainee.best = judged, trainee.weights.data.clone()
        last["best"] = True
    for found in rules.examined(trainee.history):
        if found.rule in spec.stop_on:
            trainee.stopped = f"{found.rule}: {found.why}"
    since = len(trainee.history) - max(i for i, e in enumerate(trainee.history, 1) if e.get("best") or i == 1)
    if spec.patience is not None and since >= spec.patience:
        trainee.stopped = f"patience: no better epoch for {since}"
