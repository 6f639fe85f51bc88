"""How ranks speak with each other: the contract of every launcher, in three words.

All that ranks tell each other goes through `mean`: gradients, sums for the
account of an epoch, the question whether they stand at the same place. An
answer has the same bits on every rank.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from torch import Tensor


class Crew(Protocol):
    """The ranks of one training, seen from one of them."""

    rank: int
    size: int

    def mean(self, flat: Tensor) -> None:
        """Replace a tensor by its mean over the ranks. Errors: the launcher's own where a rank is lost."""


class Alone:
    """One process."""

    rank, size = 0, 1

    def mean(self, flat: Tensor) -> None:
        """Nothing to do."""


class Horovod:
    """Ranks that Horovod has started; gradients by Gloo."""

    def __init__(self, hvd: Any) -> None:
        self.hvd, self.rank, self.size = hvd, hvd.rank(), hvd.size()

    def mean(self, flat: Tensor) -> None:
        """By ring allreduce."""
        self.hvd.allreduce_(flat, op=self.hvd.Average, name=f"mean.{flat.dtype}.{flat.numel()}")


class Distributed:
    """Ranks that torchrun has started, in Spark's TorchDistributor; by Gloo as well."""

    def __init__(self, dist: Any) -> None:
        self.dist, self.rank, self.size = dist, dist.get_rank(), dist.get_world_size()

    def mean(self, flat: Tensor) -> None:
        """By allreduce."""
        self.dist.all_reduce(flat)
        flat /= self.size


@contextmanager
def joined(launcher: str) -> Iterator[Crew]:
    """The crew that this process was started into."""
    if launcher == "horovod":
        import horovod.torch as hvd

        hvd.init()
        yield Horovod(hvd)
        hvd.shutdown()  # not after an error: it would wait for ranks that are gone
    elif launcher == "torch_distributor":
        import torch.distributed as dist

        dist.init_process_group("gloo")
        yield Distributed(dist)
        dist.destroy_process_group()
    else:
        yield Alone()
