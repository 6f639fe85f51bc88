"""A team's own nets, as a target's `extensions` name them: NETS, from a name to what makes a net of a Design."""

import torch
from torch import Tensor, nn

from pipelines.deep.design import Design


class Residual(nn.Module):
    """Categories one-hot, then two layers with a way around the second."""

    def __init__(self, design: Design) -> None:
        super().__init__()
        self.design = design
        wide = len(design.numbers) + sum(values for _, values in design.categories)
        self.enter, self.norm = nn.Linear(wide, design.hidden[0]), nn.LayerNorm(design.hidden[0])
        self.turn, self.leave = (
            nn.Linear(design.hidden[0], design.hidden[0]),
            nn.Linear(design.hidden[0], design.outputs),
        )

    def forward(self, vector: Tensor) -> Tensor:
        kinds = [
            nn.functional.one_hot(vector[:, at].long().clamp(0, values - 1), values).to(vector.dtype)
            for at, values in self.design.categories
        ]
        seen = torch.relu(self.enter(torch.cat([vector[:, list(self.design.numbers)], *kinds], dim=1)))
        return self.leave(seen + torch.relu(self.turn(self.norm(seen))))


class Smooth(Residual):
    """With an activation that the runtime knows in single precision alone."""

    def forward(self, vector: Tensor) -> Tensor:
        return nn.functional.gelu(super().forward(vector))


class Counted(Residual):
    """With a number beside its weights."""

    def __init__(self, design: Design) -> None:
        super().__init__(design)
        self.norm = nn.BatchNorm1d(design.hidden[0])


class Grown(Residual):
    """Of which one layer may begin with what others have learned."""

    BACKBONE = ("turn.",)


WEIGHTS: dict[str, str] = {}  # tests place files here
NETS = {"grown": Grown, "residual": Residual, "smooth": Smooth, "counted": Counted}
