"""One rank of a training, however it was started; also the process of `launcher: single`: a job on stdin.

It goes on from the newest checkpoint, says why it breaks off before it does, and
rank 0 alone writes what came of it.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import torch

from pipelines.deep import checkpoint, rules, sidecar
from pipelines.deep.crew import Crew, Horovod, joined
from pipelines.deep.job import Folder, Job, finish
from pipelines.deep.loader import Loader
from pipelines.deep.loop import train
from pipelines.deep.pulse import Pulse
from pipelines.deep.trainee import Trainee
from pipelines.errors import LakeloomError

KILL, KILLED = "kill.json", "killed"  # for tests: a signal that a rank sends itself at a step, once


def work(text: str, launcher: str) -> None:
    """Train with the others. Errors: as of the loop; said in the job's folder first."""
    job = _begun(text)
    with joined(launcher) as crew:
        trainee = Trainee(job)
        found = checkpoint.newest(Folder(job.folder))
        if found:
            trainee.restore(*found)
        _trained(trainee, crew, lambda: None)


def work_elastic(text: str) -> None:
    """Train with as many others as there are: who is lost is done without, who comes gets the state of the others."""
    import horovod.torch as hvd

    job = _begun(text)
    hvd.init()
    trainee = Trainee(job)
    found = checkpoint.newest(Folder(job.folder))
    if found:
        trainee.restore(*found)
    state = hvd.elastic.TorchState(arrays=trainee.arrays(), position=trainee.position())

    @hvd.elastic.run  # type: ignore[untyped-decorator]  # Horovod ships no types
    def go(state: Any) -> None:
        trainee.restore(state.arrays, state.position)

        def commit() -> None:
            state.arrays, state.position = trainee.arrays(), trainee.position()
            state.commit()

        _trained(trainee, Horovod(hvd), commit)

    go(state)


def _begun(text: str) -> Job:
    job = Job.of(text)
    torch.set_num_threads(job.spec.threads)
    torch.use_deterministic_algorithms(True)
    sidecar.beside(Folder(job.folder))
    return job


def _trained(trainee: Trainee, crew: Crew, commit: Callable[[], None]) -> None:
    """Until the end. What breaks off says why; a crew that is to be made anew (Horovod's own errors) is no end."""
    job, folder = trainee.job, Folder(trainee.job.folder)
    loader = Loader(job.deck, crew.rank, crew.size, job.batch(crew.size))

    def kept() -> None:
        if crew.rank == 0:
            checkpoint.keep(folder, trainee.arrays(), trainee.position())
        commit()

    try:
        with Pulse(folder, crew.rank, job.spec.stall_s) as pulse:
            train(trainee, crew, loader, _tried(pulse, folder), kept, commit)
        if crew.rank == 0:
            finish(folder, trainee.trained(), _told(trainee, crew, loader))
    except Exception as error:
        if type(error).__name__ not in ("HorovodInternalError", "HostsUpdatedInterrupt"):
            _say(folder, crew.rank, error)
        raise
    finally:
        loader.close()


def _told(trainee: Trainee, crew: Crew, loader: Loader) -> dict[str, Any]:
    """What the run record and the report say of a training."""
    told = {"epochs": trainee.history, "ailments": rules.ailments(trainee.history), "stopped": trainee.stopped}
    return {**told, "ranks": crew.size, "steps": loader.steps, "rows": trainee.job.deck.rows}


def _say(folder: Folder, rank: int, error: Exception) -> None:
    """As a file: a process of its own cannot raise it where it would be heard."""
    known = isinstance(error, LakeloomError)
    first = (str(error).splitlines() or [""])[0]
    said = first if known else f"{type(error).__name__}: {first[:300]}"
    folder.say(f"error-{rank}.json", {"rank": rank, "kind": type(error).__name__ if known else "", "said": said})


def _tried(pulse: Pulse, folder: Folder) -> Pulse:
    """For tests: the rank sends itself a signal at a place of its training."""
    asked = folder.said(KILL)
    if asked is None or folder.read(KILLED) is not None:
        return pulse
    beat = pulse.beat

    def beaten(phase: str, epoch: int, step: int) -> None:
        beat(phase, epoch, step)
        here = {"rank": pulse.rank, "epoch": epoch, "step": step}
        if phase == "allreduce" and here.items() <= asked.items() and folder.read(KILLED) is None:
            folder.write(KILLED, str(os.getpid()).encode())
            os.kill(os.getpid(), signal.Signals[asked["signal"]])

    pulse.beat = beaten  # type: ignore[method-assign]  # the one place that is not the product's
    return pulse


if __name__ == "__main__":
    work(sys.stdin.read(), "single")
