"""From a registered version to the one scoring function."""

from collections.abc import Sequence

from pyspark.ml import PipelineModel

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
    return scorer_of(version, registry.load_version(version), feature.keys, feature.as_of_time), version


def scorer_of(version: Version, fitted: PipelineModel, keys: Sequence[str], as_of_time: str) -> Scorer:
    """The scoring function of a loaded version."""
    return Scorer(fitted, evaluate.restored(version.tags, fitted), version.number, tuple(keys), as_of_time)
