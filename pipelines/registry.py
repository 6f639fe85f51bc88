"""Models in MLflow: log, verify, register, point the alias. The only import of mlflow.

The order is the promise: the artifact is written and hashed, loaded again and
compared, then registered, and the alias moves last. So `champion` never points
to a model that cannot be loaded. A file is loaded only if its hash is the one
written at training.
"""

import hashlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame

from pipelines.errors import DataError, PlatformError
from pipelines.spec import Target

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    import mlflow.spark
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException
    from mlflow.models import infer_signature

CHAMPION = "champion"
FOLDER = "model"  # the artifact's name in its run
EXAMPLE_ROWS = 5


@dataclass(frozen=True)
class Version:
    """A registered model: its number, where its files lie, what was written beside it."""

    name: str
    number: int
    run_id: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Logged:
    """A model in its run, not yet registered."""

    run_id: str
    uri: str
    manifest: str


class Registry:
    """MLflow's tracking server and registry at one address."""

    def __init__(self, target: Target) -> None:
        for name in ("mlflow", "alembic", "py4j"):
            logging.getLogger(name).setLevel(logging.ERROR)
        if target.tracking.startswith("sqlite:///"):
            Path(target.tracking.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(target.tracking)
        mlflow.set_registry_uri(target.tracking)
        self.artifacts = target.artifacts
        try:
            self.client = mlflow.MlflowClient()
            self.client.search_experiments(max_results=1)
        except Exception as found:
            raise PlatformError(f"MLflow at {target.tracking} does not answer: {str(found).splitlines()[0]}") from found

    def champion(self, name: str) -> Version | None:
        """The version that the alias points to; None before the first promotion."""
        try:
            return _version(self.client.get_model_version_by_alias(name, CHAMPION))
        except MlflowException:
            return None

    def tagged(self, name: str, key: str, value: str) -> Version | None:
        """The newest version of a model that carries a tag; None where there is none."""
        found = [_version(v) for v in self.client.search_model_versions(f"name = '{name}'")]
        return max((v for v in found if v.tags.get(key) == value), key=lambda v: v.number, default=None)

    def log(self, experiment: str, fitted: PipelineModel, example: DataFrame, run: Mapping[str, Any]) -> Logged:
        """Write a fitted model into a new MLflow run, with signature, example, parameters and metrics.

        run: 'name', 'params', 'metrics', 'tags', and 'dicts' (artifact name -> JSON value).
        """
        mlflow.set_experiment(experiment_id=self._experiment(experiment))
        rows = example.limit(EXAMPLE_ROWS).toPandas()
        with warnings.catch_warnings(), mlflow.start_run(run_name=run["name"], tags=dict(run["tags"])) as active:
            warnings.simplefilter("ignore")
            mlflow.log_params(dict(run["params"]))
            mlflow.log_metrics(dict(run["metrics"]))
            for name, value in run["dicts"].items():
                mlflow.log_dict(value, f"{name}.json")
            info = mlflow.spark.log_model(
                fitted,
                artifact_path=FOLDER,
                signature=infer_signature(rows),
                input_example=rows,
                pip_requirements=["pyspark", "xgboost-cpu"],
                dfs_tmpdir=str(Path(self.artifacts) / "_tmp"),
            )
        with _fetched(info.model_uri) as folder:
            return Logged(active.info.run_id, info.model_uri, manifest(folder))

    def load(self, uri: str, expected: str) -> PipelineModel:
        """The Spark pipeline at a model URI. Errors: DataError if its files are not those that were logged."""
        with _fetched(uri) as folder:
            found = manifest(folder)
            if found != expected:
                raise DataError(
                    f"model {uri}: its files were changed since training, so it is not loaded: "
                    f"their hash is {found[:12]}, logged was {expected[:12]}"
                )
            return PipelineModel.load(f"file://{folder}/sparkml")

    def load_version(self, version: Version) -> PipelineModel:
        """A registered model, verified."""
        return self.load(version.tags["lakeloom.uri"], version.tags["lakeloom.manifest"])

    def detail(self, version: Version) -> dict[str, Any]:
        """What was written beside a version at its training."""
        found: dict[str, Any] = mlflow.artifacts.load_dict(f"runs:/{version.run_id}/detail.json")
        return found

    def register(self, name: str, logged: Logged, tags: Mapping[str, str]) -> Version:
        """Make a logged model a version of `name`."""
        try:
            self.client.create_registered_model(name)
        except MlflowException as found:
            if found.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        known = {**tags, "lakeloom.uri": logged.uri, "lakeloom.manifest": logged.manifest}
        return _version(self.client.create_model_version(name, logged.uri, logged.run_id, tags=known))

    def promote(self, version: Version) -> None:
        """Point `champion` at a version."""
        self.client.set_registered_model_alias(version.name, CHAMPION, str(version.number))

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        return (
            found.experiment_id if found else self.client.create_experiment(name, Path(self.artifacts, name).as_uri())
        )


@contextmanager
def _fetched(uri: str) -> Iterator[Path]:
    """A copy of a model's files, gone at the end: MLflow would leave one for each load."""
    with TemporaryDirectory(prefix="lakeloom-") as folder:
        yield Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))


def manifest(folder: Path) -> str:
    """SHA-256 over the names and SHA-256 of all files of a model, by name."""
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.endswith(".crc")):
        whole.update(f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def _version(found: ModelVersion) -> Version:
    return Version(found.name, int(found.version), found.run_id or "", dict(found.tags))
