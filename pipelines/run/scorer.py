"""From a registered version to the one scoring function."""

from pipelines import evaluate
from pipelines.errors import DataError
from pipelines.registry import Registry, Version
from pipelines.score import Scorer
from pipelines.spec import Pipeline, Target


def champion(pipeline: Pipeline, target: Target, model: str) -> tuple[Scorer, Version]:
    """The model's champion, verified and loaded; a session must be there. Errors: DataError where there is none."""
    registry, name = Registry(target), f"{pipeline.pipeline}.{model}"
    version = registry.champion(name)
    if version is None:
        raise DataError(f"{model} has no champion: no candidate has passed its gates yet")
    feature = pipeline.features[pipeline.models[model].features]
    fitted = registry.load_version(version)
    task = evaluate.restored(version.tags, fitted)
    return Scorer(fitted, task, version.number, feature.keys, feature.as_of_time), version
