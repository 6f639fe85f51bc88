"""The net as torch trains it: embeddings and layers with ReLU between them, and a straight line and pairs of features
beside it where asked; filters of sequences, and of pictures, before the layers.

The names of its weights are those that design.py reads. It knows nothing of
rows, ranks or Spark. A team's own takes its place by the same contract: made
of a Design, from vectors to outputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from pipelines.deep.design import SIDE, Design
from pipelines.errors import SpecError
from pipelines.extensions import named

UNWEIGHTED = 0.05  # spread of embeddings at the start


class Net(nn.Module):  # type: ignore[misc]  # where torch is not installed it has no type
    """float32 (rows, places of the vector) -> (rows, outputs)."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.design = design
        self.embeddings = nn.ModuleList(nn.Embedding(values, width) for values, width in design.embeddings)
        self.filters = nn.ModuleList(nn.Conv2d(inputs, made, SIDE, padding=1) for inputs, made in design.kernels)
        self.layers = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in design.layers)
        if design.wide:
            self.line = nn.Linear(len(design.numbers), design.outputs, bias=False)
            self.steps = nn.ModuleList(nn.Embedding(values, design.outputs) for _, values in design.categories)
        if design.sequences:
            self.glance = nn.Linear(len(design.glances[0]), *design.filters)
        if design.factors:
            self.slopes = nn.Linear(len(design.numbers), design.factors, bias=False)
            self.factors = nn.ModuleList(nn.Embedding(values, design.factors) for _, values in design.categories)
            self.pairs = nn.Linear(design.factors, design.outputs, bias=False)
        self.apply(_begin)
        if design.factors:  # as small as those of categories: great ones drown what pairs of these have to learn
            nn.init.normal_(self.slopes.weight, std=UNWEIGHTED)

    def forward(self, vector: Tensor) -> Tensor:
        """The outputs of the last layer."""
        return self.followed(vector)[0]

    def followed(self, vector: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The outputs, and what each hidden layer gave."""
        if self.design.picture:
            return self._layered(self._filtered(vector))
        numbers = vector[:, list(self.design.numbers)]
        kinds = [vector[:, at].long().clamp(0, values - 1) for at, values in self.design.categories]
        embedded = [table(kind) for table, kind in zip(self.embeddings, kinds, strict=True)]
        read = [self._read(vector)] if self.design.sequences else []
        found, hidden = self._layered(torch.cat([numbers, *embedded, *read], dim=1))
        if self.design.wide:
            found = found + self.line(numbers)
            for table, kind in zip(self.steps, kinds, strict=True):
                found = found + table(kind)
        if self.design.factors:
            found = found + self._paired(numbers, kinds)
        return found, hidden

    def _read(self, vector: Tensor) -> Tensor:
        """Of the sequences what each filter finds: the most over all three neighbouring steps, and the last."""
        found = fn.relu(self.glance(vector[:, torch.tensor(self.design.glances)]))
        return torch.cat([found.amax(dim=1), found[:, -1]], dim=1)

    def _paired(self, numbers: Tensor, kinds: Sequence[Tensor]) -> Tensor:
        """What all pairs of features add; design.py has the source."""
        looked = [table(kind) for table, kind in zip(self.factors, kinds, strict=True)]
        whole = sum(looked, self.slopes(numbers))
        squares = sum((each**2 for each in looked), fn.linear(numbers**2, self.slopes.weight**2))
        found: Tensor = self.pairs((whole**2 - squares) / 2)
        return found

    def _filtered(self, vector: Tensor) -> Tensor:
        """Pictures step by step, and what the last one makes of them side by side."""
        assert self.design.picture
        found = vector.reshape(-1, *self.design.picture)
        for step in self.filters:
            found = fn.max_pool2d(fn.relu(step(found)), 2)
        return found.flatten(1)

    def _layered(self, found: Tensor) -> tuple[Tensor, list[Tensor]]:
        hidden: list[Tensor] = []
        for layer in self.layers[:-1]:
            hidden.append(fn.relu(layer(found)))
            found = fn.dropout(hidden[-1], self.design.dropout, self.training)
        return self.layers[-1](found), hidden


def made(design: Design, extensions: Sequence[str]) -> nn.Module:
    """The net of a design: ours, or a team's own by its name in NETS of a module that the target names.

    Errors: SpecError where there is none of that name, or where it has more than weights to be kept in step.
    """
    if not design.module:
        return Net(design)
    net: nn.Module = named("NETS", ("module", design.module), extensions)(design)
    kept = [name for name, _ in net.named_buffers()]
    if kept:
        raise SpecError(
            f"module: {design.module} has the buffer {kept[0]}, which no process tells the others; "
            "take a layer without one, such as LayerNorm in place of BatchNorm"
        )
    return net


def _begin(part: nn.Module) -> None:
    """He's start for layers (He and others 2015), a little noise for embeddings."""
    if isinstance(part, nn.Linear | nn.Conv2d):
        nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        if part.bias is not None:
            nn.init.zeros_(part.bias)
    elif isinstance(part, nn.Embedding):
        nn.init.normal_(part.weight, std=UNWEIGHTED)


def loss(design: Design, found: Tensor, label: Tensor) -> Tensor:
    """Summed over rows: log loss of classes, squared error of a number (in units of its spread)."""
    if design.goal == "multiclass":
        return fn.cross_entropy(found, label.long(), reduction="sum")
    if design.goal == "binary":
        return fn.binary_cross_entropy_with_logits(found[:, 0], label, reduction="sum")
    return fn.mse_loss(found[:, 0], label, reduction="sum")
