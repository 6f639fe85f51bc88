"""From a registered version to the one scoring function."""

from pipelines.errors import DataError
from pipelines.models.base import Inputs
from pipelines.registry import Registry, Version
from pipelines.run.context import Context
from pipelines.score import Scorer


def champion(ctx: Context, model: str) -> tuple[Scorer, Version]:
    """The model's champion, verified and loaded. Errors: DataError where there is none."""
    registry, name = Registry(ctx.target), f"{ctx.pipeline.pipeline}.{model}"
    version = registry.champion(name)
    if version is None:
        raise DataError(f"{ctx.stage.id} needs a champion of {model}, and no candidate has passed its gates yet")
    feature = ctx.pipeline.features[ctx.pipeline.models[model].features]
    fitted = registry.load_version(version)
    threshold = float(version.tags["lakeloom.threshold"])
    return Scorer(fitted, inputs_of(version), version.number, threshold, feature.keys, feature.as_of_time), version


def inputs_of(version: Version) -> Inputs:
    """The feature columns that a version was trained on, by preparation."""

    def names(tag: str) -> tuple[str, ...]:
        return tuple(n for n in version.tags[tag].split(",") if n)

    return Inputs(names("lakeloom.categories"), names("lakeloom.numbers"))
