"""How ranks are started: one process here, Horovod on Spark's executors, or Spark's own TorchDistributor.

Whatever the launcher, ranks run the same loop and say in the job's folder what
came of it; so a launcher brings nothing back, and why it failed is read there.
Nothing here imports torch.
"""

import contextlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from pyspark.sql import SparkSession

from pipelines import errors
from pipelines.deep.job import Folder, Job, Json, finished
from pipelines.errors import LakeloomError, PlatformError, SpecError

BOOTSTRAP = "scripts/bootstrap deep && source .venv-deep/lakeloom.env"
AGAIN = "the next run goes on from the last epoch"
SILENT_S = 4.0  # after which a rank that has said nothing says nothing any more
START_S = 300  # for Spark to give a task to each rank
TRACES = ("error-", "stall-", "rank-")


def launch(job: Job) -> tuple[Json, bytes]:
    """Train, or take what was trained; what is told of it, and the weights.

    Errors: what a rank said; PlatformError where torch or Horovod is not there, or a rank died without a word.
    """
    folder = Folder(job.folder)
    done = finished(folder)
    if done:
        return done
    _refuse_absent(job)
    for name in [n for begin in TRACES for n in folder.names(begin)]:
        folder.remove(name)
    try:
        LAUNCHERS[job.spec.launcher](job)
    except LakeloomError:
        raise
    except Exception as error:  # each launcher has classes of its own
        raise _why(folder, job, error) from error
    done = finished(folder)
    if done is None:
        raise _why(folder, job, None)
    return done


def _refuse_absent(job: Job) -> None:
    """Errors: PlatformError with what to type; SpecError where there are fewer cores than ranks."""
    if find_spec("torch") is None:
        raise PlatformError(
            f"{job.spec.named()} wants torch, and this environment has none; type '{BOOTSTRAP}' and run this again"
        )
    if job.spec.launcher.startswith("horovod") and find_spec("horovod") is None:
        raise PlatformError(
            f"launcher: {job.spec.launcher} wants Horovod, and it was not built here; install g++ and make and type "
            f"'{BOOTSTRAP}', or take launcher: torch_distributor"
        )
    alone = job.spec.launcher == "single"
    cores = 1 if alone else SparkSession.active().sparkContext.defaultParallelism
    if cores < job.spec.processes:
        raise SpecError(
            f"{job.spec.named()}: {job.spec.processes} processes want as many cores of Spark, and it has {cores}"
        )


def _why(folder: Folder, job: Job, error: Exception | None) -> LakeloomError:
    """One sentence of what the ranks have said, else of what the launcher said."""
    for name in folder.names("error-"):
        said = folder.said(name) or {}
        kind = getattr(errors, said.get("kind") or "", PlatformError)
        found: LakeloomError = kind(f"{job.spec.launcher}: {said.get('said')} (rank {said.get('rank')})")
        return found
    stalls = [folder.said(name) or {} for name in folder.names("stall-")]
    if stalls:
        return PlatformError(f"{job.spec.launcher}: {_stalled(folder, stalls)}; {AGAIN}")
    last = (str(error).strip().splitlines() or [""])[-1][:300] if error else "it ended without a word"
    return PlatformError(f"{job.spec.launcher}: a rank died: {last}; {AGAIN}")


def _stalled(folder: Folder, stalls: list[Json]) -> str:
    """Who held up whom: those that no longer say where they are, else those that say it."""
    waiting = {s["rank"]: s for s in stalls}
    told = [folder.said(name) or {} for name in folder.names("rank-")]
    latest = max(s["at"] for s in stalls)
    silent = [t for t in told if t["rank"] not in waiting and latest - t["at"] > SILENT_S]
    first = stalls[0]
    where = f"epoch {first['epoch'] + 1}, step {first['step'] + 1}"
    if silent:
        names = ", ".join(str(t["rank"]) for t in silent)
        waited = f"rank {first['rank']} waited {first['still_s']:.0f} s for it at {where}"
        return f"rank {names} says nothing any more; {waited}"
    return f"rank {first['rank']} made no progress for {first['still_s']:.0f} s ({first['phase']}, {where})"


def _single(job: Job) -> None:
    """A process of its own: what it does to memory or to itself is not done to the driver."""
    command, env = [sys.executable, "-m", "pipelines.deep.rank"], {**os.environ, "PYTHONPATH": _path()}
    done = subprocess.run(command, input=job.text(), env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ChildProcessError(f"it ended with {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}")


def _horovod(job: Job) -> None:
    import horovod.spark

    from pipelines.deep import start

    with _quiet():
        args = (job.text(), "horovod")
        horovod.spark.run(start.rank, args=args, num_proc=job.spec.processes, start_timeout=START_S, verbose=0)


def _elastic(job: Job) -> None:
    import horovod.spark

    from pipelines.deep import start

    number = job.spec.processes
    with _quiet():
        horovod.spark.run_elastic(
            start.rank, args=(job.text(), "horovod_elastic"), num_proc=number, min_num_proc=1, max_num_proc=number,
            start_timeout=START_S, verbose=0,
        )  # fmt: skip


def _distributor(job: Job) -> None:
    from pyspark.ml.torch.distributor import TorchDistributor

    from pipelines.deep import start

    with _quiet():
        distributor = TorchDistributor(num_processes=job.spec.processes, local_mode=False, use_gpu=False)
        distributor.run(start.rank, job.text(), "torch_distributor")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What launchers print is no answer of ours; a thread of Horovod's tells by a traceback that its job ended."""
    hook = threading.excepthook
    threading.excepthook = lambda args: None
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        threading.excepthook = hook


def _path() -> str:
    """What spark-submit has added to the path stands in no variable."""
    return os.pathsep.join(p for p in sys.path if p)


LAUNCHERS: dict[str, Callable[[Job], None]] = {
    "single": _single,
    "horovod": _horovod,
    "horovod_elastic": _elastic,
    "torch_distributor": _distributor,
}
