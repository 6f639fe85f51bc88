"""Models in MLflow: log, verify, register, point the aliases. The only import of mlflow.

The order is the promise: the artifact is written and hashed, loaded again and
compared, then registered, and the alias moves last. So `champion` never points
to a model that cannot be loaded. A file is loaded only if its hash is the one
written at training. To list and compare versions takes no Spark: what needs it
imports it when it runs.
"""

import hashlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pipelines import manifest
from pipelines.errors import DataError, PlatformError, SpecError
from pipelines.spec import Target

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow
    from mlflow.entities import Metric, Param
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException

if TYPE_CHECKING:
    from pyspark.ml import PipelineModel
    from pyspark.sql import DataFrame

CHAMPION, CHALLENGER = "champion", "challenger"
CUTOFF = "lakeloom.cutoff"  # tag of a version: no row from then on taught it anything
PARENT = "mlflow.parentRunId"  # the tag by which MLflow nests runs
FILES = "files"  # the artifact of a run that lists its model's files
FOLDER, STAGES = "model", "sparkml"  # the artifact's name in its run; the pipeline's folder in it
GRAPH, GRAPH_TAG = "model.onnx", "lakeloom.onnx"  # the artifact of a run; the tag that holds its SHA-256
EXAMPLE_ROWS = 5
SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Version:
    """A registered model: its number, where its files lie, what was written beside it."""

    name: str
    number: int
    run_id: str
    tags: Mapping[str, str]
    created: datetime = field(compare=False)

    @property
    def logged(self) -> "Logged":
        """Where its files lie, and their hash."""
        return Logged(self.run_id, self.tags["lakeloom.uri"], self.tags["lakeloom.manifest"])


@dataclass(frozen=True)
class Logged:
    """A model in its run, registered or not."""

    run_id: str
    uri: str
    manifest: str


class Registry:
    """MLflow's tracking server and registry at one address."""

    def __init__(self, target: Target) -> None:
        for name in ("mlflow", "alembic", "py4j"):
            logging.getLogger(name).setLevel(logging.ERROR)
        mlflow.set_tracking_uri(target.tracking)
        mlflow.set_registry_uri(target.tracking)
        self.artifacts = target.artifacts
        try:
            if target.tracking.startswith(SQLITE):
                _make(Path(target.tracking.removeprefix(SQLITE)))
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

    def versions(self, name: str) -> tuple[Version, ...]:
        """All versions of a model, newest first; none where it was never trained."""
        found = [_version(v) for v in self.client.search_model_versions(f"name = '{name}'")]
        return tuple(sorted(found, key=lambda v: -v.number))

    def aliases(self, name: str) -> dict[str, int]:
        """Alias -> the version that it points to."""
        try:
            return {a: int(n) for a, n in self.client.get_registered_model(name).aliases.items()}
        except MlflowException:
            return {}

    def version(self, name: str, which: str) -> Version:
        """A version by its number or alias. Errors: SpecError, saying which there are."""
        aliases, versions = self.aliases(name), self.versions(name)
        found = [v for v in versions if str(v.number) == which or aliases.get(which) == v.number]
        if not found:
            known = [f"{a} ({n})" for a, n in sorted(aliases.items())] + [str(v.number) for v in reversed(versions)]
            raise SpecError(f"{name}: no version '{which}'; there is {', '.join(known) or 'none yet'}")
        return found[0]

    def tagged(self, name: str, key: str, value: str) -> Version | None:
        """The newest version of a model that carries a tag; None where there is none."""
        return next((v for v in self.versions(name) if v.tags.get(key) == value), None)

    def log(self, experiment: str, fitted: "PipelineModel", example: "DataFrame", run: Mapping[str, Any]) -> Logged:
        """Write a fitted model into a new MLflow run, with signature, example, parameters and metrics.

        run: 'name', 'params', 'metrics', 'tags', 'dicts' (artifact name -> JSON value), and 'trials', each to be a run
        within this one: 'name', 'params', 'metrics'.
        """
        import mlflow.spark
        from mlflow.models import infer_signature

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
        self._log_trials(active.info.experiment_id, active.info.run_id, run.get("trials", ()))
        with _fetched(info.model_uri) as folder:
            files = manifest.listed(folder)
        self.keep(active.info.run_id, FILES, files)
        return Logged(active.info.run_id, info.model_uri, manifest.whole(files))

    def keep(self, run_id: str, name: str, value: Mapping[str, Any]) -> None:
        """Write a JSON value beside a run's model, as an artifact of its own."""
        self.client.log_dict(run_id, dict(value), f"{name}.json")

    def load(self, logged: Logged) -> "PipelineModel":
        """The Spark pipeline that was logged. Errors: DataError if its files are not those that were, naming which."""
        from pyspark.ml import PipelineModel

        with self.fetched(logged) as folder:
            return PipelineModel.load(f"file://{folder}/{STAGES}")

    @contextmanager
    def fetched(self, logged: Logged) -> Iterator[Path]:
        """A copy of a model's files, gone at the end. Errors: as `load`."""
        with _fetched(logged.uri) as folder:
            self._refuse_changed(logged, manifest.listed(folder))
            yield folder

    def keep_graph(self, run_id: str, content: bytes) -> str:
        """Write the ONNX graph beside a run's model; returns its SHA-256, which its version is to carry."""
        with TemporaryDirectory(prefix="lakeloom-") as folder:
            file = Path(folder, GRAPH)
            file.write_bytes(content)
            self.client.log_artifact(run_id, str(file))
        return hashlib.sha256(content).hexdigest()

    def graph(self, version: Version) -> bytes | None:
        """The certified graph of a version; None where it has none. Errors: DataError where it was changed."""
        certified = version.tags.get(GRAPH_TAG)
        if certified is None:
            return None
        with _fetched(f"runs:/{version.run_id}/{GRAPH}") as file:
            content = file.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if found != certified:
            name = f"{version.name}@{version.number}"
            raise DataError(f"{name}: its graph is not the certified one: SHA-256 {found[:12]}, not {certified[:12]}")
        return content

    def load_version(self, version: Version) -> "PipelineModel":
        """A registered model, likewise."""
        return self.load(version.logged)

    def files(self, version: Version) -> dict[str, str]:
        """The files of a version and their SHA-256, as they are now. Errors: DataError where one was changed."""
        with _fetched(version.logged.uri) as folder:
            found = manifest.listed(folder)
        self._refuse_changed(version.logged, found)
        return found

    def detail(self, version: Version) -> dict[str, Any]:
        """What was written beside a version at its training."""
        return self.kept(version.run_id, "detail") or {}

    def kept(self, run_id: str, name: str) -> dict[str, Any] | None:
        """A JSON value beside a run's model; None where none was written."""
        try:
            found: dict[str, Any] = mlflow.artifacts.load_dict(f"runs:/{run_id}/{name}.json")
        except (MlflowException, OSError):
            return None
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
        """Point `champion` at a version, which is then no challenger any more."""
        if self.aliases(version.name).get(CHALLENGER) == version.number:
            self.client.delete_registered_model_alias(version.name, CHALLENGER)
        self.client.set_registered_model_alias(version.name, CHAMPION, str(version.number))

    def challenge(self, version: Version) -> None:
        """Point `challenger` at a version."""
        self.client.set_registered_model_alias(version.name, CHALLENGER, str(version.number))

    def _refuse_changed(self, logged: Logged, found: manifest.Files) -> None:
        """Errors: DataError, with the names of files if the list beside them is the one that was hashed."""
        if manifest.whole(found) == logged.manifest:
            return
        listed = self.kept(logged.run_id, FILES) or {}
        known = manifest.whole(listed) == logged.manifest
        unlike = manifest.unlike(listed, found) if known else "a file was changed"
        raise DataError(
            f"model {logged.uri}: its files are not those of its training, so it is not loaded: {unlike} "
            f"(their hash is {manifest.whole(found)[:12]}, logged was {logged.manifest[:12]})"
        )

    def _log_trials(self, experiment: str, parent: str, trials: Sequence[Mapping[str, Any]]) -> None:
        """Each trial as a run within its parent: it shows in MLflow's pages as they show any search."""
        for trial in trials:
            run = self.client.create_run(experiment, run_name=trial["name"], tags={PARENT: parent})
            params = [Param(k, str(v)) for k, v in trial["params"].items()]
            metrics = [Metric(k, v, run.info.start_time, 0) for k, v in trial["metrics"].items()]
            self.client.log_batch(run.info.run_id, metrics=metrics, params=params)
            self.client.set_terminated(run.info.run_id)

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        return (
            found.experiment_id if found else self.client.create_experiment(name, Path(self.artifacts, name).as_uri())
        )


def _make(file: Path) -> None:
    """MLflow's tables, in a file that appears whole: one that a kill leaves half made is never opened again by it."""
    if file.exists():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    mlflow.MlflowClient(f"{SQLITE}{part}").search_experiments(max_results=1)
    with suppress(FileExistsError):  # another process was first
        os.link(part, file)
    part.unlink()


@contextmanager
def _fetched(uri: str) -> Iterator[Path]:
    """A copy of a model's files, gone at the end: MLflow would leave one for each load."""
    with TemporaryDirectory(prefix="lakeloom-") as folder:
        yield Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))


def _version(found: ModelVersion) -> Version:
    created = datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)
    return Version(found.name, int(found.version), found.run_id or "", dict(found.tags), created)
