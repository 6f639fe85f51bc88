"""From a registered version to the one scoring function."""

from collections.abc import Sequence
from dataclasses import replace

from pyspark.ml import PipelineModel

from pipelines import evaluate
from pipelines.errors import DataError
from pipelines.registry import CHALLENGER, CHAMPION, Registry, Version
from pipelines.run.certifying import Certificate
from pipelines.score import Scorer, by_graph, by_pipeline, graphed
from pipelines.spec import Pipeline, Target

Loaded = dict[tuple[str, str], tuple[Scorer, Version]]  # by model and alias


def champion(pipeline: Pipeline, target: Target, model: str, loaded: Loaded | None = None) -> tuple[Scorer, Version]:
    """The model's champion, verified and loaded; a session must be there. Errors: DataError where there is none.

    loaded: what the caller keeps. The alias is asked each time; a version that is there is not loaded again.
    """
    registry, held = Registry(target), {} if loaded is None else loaded
    version = registry.champion(target.registered(pipeline.pipeline, model))
    if version is None:
        raise DataError(f"{model} has no champion: no candidate has passed its gates yet")
    return _loaded(pipeline, registry, (model, CHAMPION), version, held)


def challenger(pipeline: Pipeline, target: Target, model: str, loaded: Loaded) -> tuple[Scorer, Version] | None:
    """The model's challenger, likewise; None where there is none."""
    registry, name = Registry(target), target.registered(pipeline.pipeline, model)
    number = registry.aliases(name).get(CHALLENGER)
    if number is None:
        return None
    return _loaded(pipeline, registry, (model, CHALLENGER), registry.version(name, str(number)), loaded)


def registered(pipeline: Pipeline, target: Target, model: str, which: str, loaded: Loaded) -> Scorer:
    """One version of the model, by number or alias. Errors: SpecError for an unknown one, DataError if damaged."""
    registry = Registry(target)
    version = registry.version(target.registered(pipeline.pipeline, model), which)
    return _loaded(pipeline, registry, (model, which), version, loaded)[0]


def _loaded(
    pipeline: Pipeline, registry: Registry, who: tuple[str, str], version: Version, loaded: Loaded
) -> tuple[Scorer, Version]:
    if who not in loaded or loaded[who][1] != version:
        feature = pipeline.features[pipeline.models[who[0]].features]
        loaded[who] = _scorer(registry, version, feature.keys, feature.as_of_time), version
    return loaded[who]


def _scorer(registry: Registry, version: Version, keys: Sequence[str], as_of_time: str) -> Scorer:
    """By its graph, where that was certified and its task has no need of Spark's model; else by Spark's model."""
    task = graphed(version.tags)
    content = registry.graph(version) if task and _answers_as_spark(registry, version) else None
    if task is None or content is None:
        by_spark = scorer_of(version, registry.load_version(version), keys, as_of_time)
        return replace(by_spark, features=_learned(registry, version))
    return Scorer(by_graph(content), task, version.number, tuple(keys), as_of_time, _learned(registry, version))


def _learned(registry: Registry, version: Version) -> tuple[str, ...]:
    return tuple(registry.detail(version).get("features", ()))


def _answers_as_spark(registry: Registry, version: Version) -> bool:
    """What its certificate says; a version that a person made champion against it is not asked by its graph."""
    said = registry.detail(version).get("onnx") or {}
    return bool(said.get("sha256")) and Certificate(**said).passed


def scorer_of(version: Version, fitted: PipelineModel, keys: Sequence[str], as_of_time: str) -> Scorer:
    """The scoring function of a version as Spark answers."""
    task = evaluate.restored(version.tags, fitted)
    return Scorer(by_pipeline(fitted, task), task, version.number, tuple(keys), as_of_time)
