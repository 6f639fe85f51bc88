"""A net while it is trained: weights, gradient and moments as one long vector each, and where it stands.

One vector means one message a step between ranks, one array a kind in a
checkpoint, one broadcast. The parameters of the net are views of it.
"""

import hashlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save
from torch import Tensor

from pipelines.deep import exported, pretrained
from pipelines.deep.job import Folder, Job
from pipelines.deep.loader import Block
from pipelines.deep.net import loss, made
from pipelines.errors import DataError

MOMENTS = {"first": "exp_avg", "second": "exp_avg_sq"}  # of Adam, as checkpoints and torch call them
Json = dict[str, Any]


class Trainee:
    """epoch: the one that is trained or comes next; share: how much of it is done; history: of those before."""

    def __init__(self, job: Job) -> None:
        torch.manual_seed(job.seed)
        self.job, self.net = job, made(job.design, job.extensions)
        self.weights, self.slope = _flattened(self.net)
        if job.pretrained:
            _begin(self.net, job)
        self.layers = _layers(self.net)
        options = {"lr": job.spec.learning_rate, "weight_decay": job.spec.weight_decay, "foreach": False}
        self.optimizer = torch.optim.AdamW([self.weights], **options)
        zeros = {name: torch.zeros_like(self.weights.data) for name in MOMENTS.values()}
        self.optimizer.state[self.weights] = {"step": torch.tensor(0.0), **zeros}
        self.epoch, self.share, self.history, self.stopped = 0, 0.0, list[Json](), ""
        self.best, self.best_loss = self.weights.data.clone(), float("inf")
        self.pieces = 1  # into which a step is cut, where it does not fit into memory whole
        self.seconds = {"forward": 0.0, "backward": 0.0}

    def learn(self, rows: Block) -> float:
        """Set the gradient of the mean loss of some rows, and return their loss, summed. What does not fit is halved.

        Errors: the memory's own where one row does not fit.
        """
        while True:
            try:
                return self._learned(rows)
            except (MemoryError, RuntimeError) as error:
                if not full(error) or self.pieces >= len(rows):
                    raise
                self.pieces *= 2

    def _learned(self, rows: Block) -> float:
        self.slope.zero_()
        whole = 0.0
        for part in torch.from_numpy(np.ascontiguousarray(rows)).tensor_split(self.pieces):
            if len(part):
                begun = time.perf_counter()
                found = self._loss(part)
                halfway = time.perf_counter()
                (found / len(rows)).backward()
                self.seconds["forward"] += halfway - begun
                self.seconds["backward"] += time.perf_counter() - halfway
                whole += float(found.detach())
        return whole

    def _loss(self, rows: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.job.spec.precision == "bfloat16"):
            found = self.net(rows[:, :-1])
        return loss(self.job.design, found.float(), rows[:, -1])

    def step(self, progress: float) -> None:
        """Follow the gradient. progress: share of the whole training that is done, from 0 to 1."""
        self.optimizer.param_groups[0]["lr"] = self.job.spec.learning_rate * rate(progress)
        self.optimizer.step()

    def judged(self, rows: Block) -> float:
        """The loss of some rows, summed, without learning of them."""
        self.net.eval()
        with torch.no_grad():
            parts = torch.from_numpy(np.ascontiguousarray(rows)).split(self.job.spec.batch)
            found = sum(float(self._loss(part)) for part in parts)
        self.net.train()
        return found

    def awake(self, rows: Block) -> Tensor:
        """For each hidden unit, in the order of layers: 1 where any of the rows moves it. A team's own net has none."""
        if self.job.design.module:
            return torch.zeros(0).double()
        with torch.no_grad():
            _, hidden = self.net.followed(torch.from_numpy(np.ascontiguousarray(rows))[:, :-1])
        return torch.cat([(layer > 0).any(dim=0).double() for layer in hidden] or [torch.zeros(0).double()])

    def norms(self) -> tuple[float, float, float]:
        """Of the gradient: whole, of the first layer's weights, of the last layer's."""
        ends = (self.layers[0].grad, self.layers[-1].grad)
        return (float(self.slope.norm()), *(float(part.norm()) for part in ends))  # type: ignore[return-value]

    def arrays(self) -> dict[str, Any]:
        """All that a checkpoint has to hold beside the position."""
        state = self.optimizer.state[self.weights]
        moments = {name: state[kind] for name, kind in MOMENTS.items()}
        held = {"weights": self.weights.data, "best": self.best, "step": state["step"].reshape(1), **moments}
        return {name: tensor.numpy().copy() for name, tensor in held.items()}

    def position(self) -> Json:
        """Where it stands."""
        told = {"epoch": self.epoch, "share": self.share, "history": self.history, "stopped": self.stopped}
        return {**told, "best_loss": self.best_loss}

    def restore(self, arrays: Mapping[str, Any], position: Json) -> None:
        """Stand where it stood."""
        state = self.optimizer.state[self.weights]
        with torch.no_grad():
            self.weights.data.copy_(torch.from_numpy(arrays["weights"]))
            for name, kind in MOMENTS.items():
                state[kind].copy_(torch.from_numpy(arrays[name]))
        state["step"] = torch.tensor(float(arrays["step"][0]))
        self.best = torch.from_numpy(arrays["best"].copy())
        self.epoch, self.share, self.stopped = position["epoch"], position["share"], position["stopped"]
        self.history, self.best_loss = list(position["history"]), position["best_loss"]

    def trained(self) -> bytes:
        """The weights by name: those of the last epoch, or of the best one where a patience was given.

        Of a team's own net: an ONNX graph, so that to score it takes neither torch nor their code.
        """
        if self.job.spec.patience is not None:
            self.weights.data.copy_(self.best)
        if self.job.design.module:
            return exported.graph(self.net, self.job.design)
        return save({name: part.detach().numpy().copy() for name, part in self.net.named_parameters()})

    @property
    def mark(self) -> float:
        """A number that ranks with the same weights at the same place share; a thousand of it add up exactly."""
        told = hashlib.sha256(self.weights.data.numpy().tobytes() + f"{self.epoch} {self.share}".encode())
        return float(int.from_bytes(told.digest()[:4]))


def _flattened(net: torch.nn.Module) -> tuple[torch.nn.Parameter, Tensor]:
    """All parameters as one, and their gradients; the net's own become views."""
    parts = list(net.parameters())
    flat = torch.nn.Parameter(torch.cat([part.detach().reshape(-1) for part in parts]))
    slope = torch.zeros_like(flat.data)
    flat.grad, at = slope, 0
    for part in parts:
        place = slice(at, at + part.numel())
        part.data, part.grad = flat.data[place].view_as(part), slope[place].view_as(part)
        at += part.numel()
    return flat, slope


def _begin(net: torch.nn.Module, job: Job) -> None:
    """Give a net the backbone that was learned elsewhere: filters of ours, what BACKBONE of a team's own names.

    Errors: DataError where the file is not the one that the driver read, or does not fit.
    """
    content, name = Folder(job.folder).read(pretrained.FILE) or b"", str(job.spec.pretrained)
    if hashlib.sha256(content).hexdigest() != job.pretrained:
        raise DataError(f"pretrained: the file of {name} is not the one that the driver read")
    begins = tuple(getattr(net, "BACKBONE", ("",))) if job.design.module else pretrained.OURS
    parts = {each: part for each, part in net.named_parameters() if each.startswith(begins)}
    found = pretrained.fitting(name, content, {each: tuple(part.shape) for each, part in parts.items()})
    with torch.no_grad():
        for each, part in parts.items():
            part.copy_(torch.from_numpy(found[each]))


def _layers(net: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The weights of its layers, the first one first: of a team's own net all that have two sides."""
    ours = getattr(net, "layers", None)
    if isinstance(ours, torch.nn.ModuleList) and all(hasattr(layer, "weight") for layer in ours):
        return [layer.weight for layer in ours]
    return [part for part in net.parameters() if part.dim() > 1] or list(net.parameters())


WARM = 0.05  # of a training: so long the rate rises


def rate(progress: float) -> float:
    """Share of the learning rate: it rises, then falls along a cosine (Loshchilov and Hutter 2017)."""
    if progress < WARM:
        return (progress + WARM / 10) / (WARM * 1.1)
    return 0.5 * (1 + float(np.cos(np.pi * min(1.0, (progress - WARM) / (1 - WARM)))))


def full(error: BaseException) -> bool:
    """True where it says that memory does not suffice."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said
