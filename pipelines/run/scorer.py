"""From a registered version to the one scoring function."""

from collections.abc import Sequence

from pyspark.ml import PipelineModel

from pipelines import evaluate
from pipelines.errors import DataError
from pipelines.registry import Registry, Version
from pipelines.score import Scorer
from pipelines.spec import Pipeline, Target

Loaded = dict[str, tuple[Scorer, Version]]


def champion(pipeline: Pipeline, target: Target, model: str, loaded: Loaded | None = None) -> tuple[Scorer, Version]:
    """The model's champion, verified and loaded; a session must be there. Errors: DataError where there is none.

    loaded: what the caller keeps. The alias is asked each time; a version that is there is not loaded again.
    """
    registry, name, held = Registry(target), f"{pipeline.pipeline}.{model}", {} if loaded is None else loaded
    version = registry.champion(name)
    if version is None:
        raise DataError(f"{model} has no champion: no candidate has passed its gates yet")
    if name not in held or held[name][1] != version:
        feature = pipeline.features[pipeline.models[model].features]
        held[name] = scorer_of(version, registry.load_version(version), feature.keys, feature.as_of_time), version
    return held[name]


def scorer_of(version: Version, fitted: PipelineModel, keys: Sequence[str], as_of_time: str) -> Scorer:
    """The scoring function of a loaded version."""
    return Scorer(fitted, evaluate.restored(version.tags, fitted), version.number, tuple(keys), as_of_time)
