"""A rank's pulse: where it is, said every few seconds; and the end of a rank that no longer moves.

A rank that is stopped or hangs holds up all others, which wait for its
gradients. Whoever makes no step for too long says so and ends its process, so that the
launcher ends the others; the driver makes one sentence of it.
"""

import os
import threading
import time
from types import TracebackType
from typing import Self

from pipelines.deep.job import Folder

STALLED = 75  # the exit code of a rank that made no progress
EVERY_S = 2.0


class Pulse:
    """Of one rank, while it trains."""

    def __init__(self, folder: Folder, rank: int, stall_s: float) -> None:
        self.folder, self.rank, self.stall_s = folder, rank, stall_s
        self.phase, self.epoch, self.step, self.at = "start", 0, 0, time.monotonic()
        self.over, self.parent = threading.Event(), os.getppid()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def beat(self, phase: str, epoch: int, step: int) -> None:
        """It has come so far."""
        self.phase, self.epoch, self.step, self.at = phase, epoch, step, time.monotonic()

    def __enter__(self) -> Self:
        self._say(f"rank-{self.rank}.json")
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.over.set()

    @property
    def still_s(self) -> float:
        """Since when it made no progress."""
        return time.monotonic() - self.at

    def _watch(self) -> None:
        while not self.over.wait(min(EVERY_S, self.stall_s / 4)):
            if os.getppid() != self.parent:  # the process that wanted the training is gone
                os._exit(STALLED)
            self._say(f"rank-{self.rank}.json")
            if self.still_s > self.stall_s and not self.over.is_set():
                self._say(f"stall-{self.rank}.json")
                os._exit(STALLED)

    def _say(self, name: str) -> None:
        where = {"phase": self.phase, "epoch": self.epoch, "step": self.step}
        self.folder.say(name, {"rank": self.rank, **where, "still_s": round(self.still_s, 1), "at": time.time()})
