"""Which features the answers of a version hang on, in its training slice and in windows of what it scored.

SHAP values of a bounded sample, the same rows each time. A version that was trained before its places were written
down, and a learner that has no such values, are passed over and said.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame

from pipelines.errors import DataError
from pipelines.explain import sampled
from pipelines.models.base import Block
from pipelines.models.contributions import contributions
from pipelines.monitor.attribution import Weights, compared
from pipelines.registry import Registry
from pipelines.run.context import Context

Rows = Callable[[int | None], DataFrame]  # the start of a window -> its feature rows; None: the training slice


@dataclass(frozen=True)
class Attributed:
    """A version that can be asked: its model, and what stands where in its vector."""

    fitted: PipelineModel
    blocks: tuple[Block, ...]
    keys: tuple[str, ...]
    most: int  # rows of a sample
    scratch: str  # a folder that all machines see

    @classmethod
    def of(cls, ctx: Context, model: str, number: int, most: int, scratch: str) -> "Attributed | None":
        """None where its training did not say what stands where. Cost: loads the model."""
        registry = Registry(ctx.target)
        try:
            version = registry.version(ctx.target.registered(ctx.pipeline.pipeline, model), str(number))
            places = registry.detail(version).get("blocks", ())
            fitted = registry.load_version(version) if places else None
        except DataError as error:
            ctx.tell(str(error))
            return None
        if fitted is None:
            return None
        feature = ctx.pipeline.features[ctx.pipeline.models[model].features]
        return cls(fitted, tuple(Block(name, name, width) for name, width in places), feature.keys, most, scratch)

    def weights(self, rows: DataFrame) -> Weights | None:
        """Mean size of each feature's part. Cost: counts the rows; a sample comes to the driver."""
        count = rows.count()
        some = sampled(rows, self.keys, self.most / count if count else 1.0)
        found = contributions(self.fitted, self.blocks, some, self.most, self.scratch) if count else None
        return dict(found[0].mean_size) if found else None


def attributed(ctx: Context, asked: Attributed | None, rows: Rows, windows: Collection[int]) -> dict[int, Any]:
    """The start of each window -> how what its answers hang on compares with the training slice."""
    before = asked.weights(rows(None)) if asked else None
    if asked is None or before is None:
        ctx.tell("what its answers hang on cannot be told of this model")
        return {}
    found = {start: asked.weights(rows(start)) for start in sorted(windows)}
    return {start: compared(before, weights) for start, weights in found.items() if weights is not None}
