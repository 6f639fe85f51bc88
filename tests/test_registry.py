"""Models in MLflow: what was logged is what is loaded, and the alias points where it was last put."""

import hashlib
import tempfile
from pathlib import Path

import mlflow
import pytest
from pyspark.ml import Pipeline
from pyspark.ml.feature import SQLTransformer

from pipelines.errors import DataError, PlatformError
from pipelines.registry import Registry, manifest
from pipelines.spec import Target

pytestmark = pytest.mark.spark

RUN = {"name": "late 0.0", "params": {"kind": "none"}, "metrics": {"test_roc_auc": 0.7}, "tags": {"lakeloom.run": "r1"}}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_manifest_is_over_names_and_contents(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "part").write_text("two")
    (tmp_path / "a").write_text("one")
    (tmp_path / ".a.crc").write_text("a checksum of Hadoop's")

    assert manifest(tmp_path) == sha(f"a {sha('one')}\nb/part {sha('two')}\n")


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    root = tmp_path_factory.mktemp("registry")
    return Registry(Target(tracking=f"sqlite:///{root}/db/mlflow.db", artifacts=str(root / "artifacts")))


@pytest.fixture(scope="module")
def fitted(frame):
    doubled = SQLTransformer(statement="SELECT *, 2 * x AS doubled FROM __THIS__")
    return Pipeline(stages=[doubled]).fit(frame([(1.0,)], "x double"))


@pytest.fixture(scope="module")
def logged(registry, fitted, frame):
    return registry.log(
        "flights", fitted, frame([(1.0,), (2.0,)], "x double"), {**RUN, "dicts": {"detail": {"cutoff": 3}}}
    )


def test_what_was_logged_is_what_is_loaded(registry, logged, frame):
    loaded = registry.load(logged.uri, logged.manifest)

    assert {r.x: r.doubled for r in loaded.transform(frame([(3.0,), (-1.5,)], "x double")).collect()} == {
        3: 6,
        -1.5: -3,
    }


def test_loading_a_model_leaves_no_copy_of_it(registry, logged, frame, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    loaded = registry.load(logged.uri, logged.manifest)

    assert list(tmp_path.iterdir()) == []
    assert loaded.transform(frame([(3.0,)], "x double")).first().doubled == 6


def test_the_run_keeps_what_it_was_told(registry, logged):
    run = registry.client.get_run(logged.run_id)

    assert (run.info.run_name, run.data.params, run.data.metrics) == (
        "late 0.0",
        {"kind": "none"},
        {"test_roc_auc": 0.7},
    )
    assert run.data.tags["lakeloom.run"] == "r1"


def test_the_alias_moves_only_when_it_is_told_to(registry, logged):
    first, second = (registry.register("flights.late", logged, {"intent": n}) for n in ("a", "b"))
    assert (first.number, second.number, registry.champion("flights.late")) == (1, 2, None)

    registry.promote(first)
    assert registry.champion("flights.late") == first

    registry.promote(second)
    assert registry.champion("flights.late").number == 2
    assert registry.detail(second) == {"cutoff": 3}


def test_a_version_is_found_by_its_tag(registry, logged):
    versions = [registry.register("flights.tagged", logged, {"intent": n}) for n in ("a", "b", "b")]

    assert registry.tagged("flights.tagged", "intent", "b") == versions[2]
    assert registry.tagged("flights.tagged", "intent", "c") is None
    assert registry.tagged("flights.unknown", "intent", "a") is None


def test_a_model_of_which_one_byte_changed_is_not_loaded(registry, fitted, frame):
    mine = registry.log("flights", fitted, frame([(1.0,)], "x double"), {**RUN, "dicts": {}})
    version = registry.register("flights.broken", mine, {})
    stored = Path(registry.artifacts).rglob(f"{mine.run_id}/**/part-*")
    (part,) = (p for p in stored if not p.name.startswith(".") and "2 * x" in p.read_text())
    part.write_text(part.read_text().replace("2 * x", "3 * x"))

    with pytest.raises(DataError) as caught:
        registry.load_version(version)

    assert str(caught.value) == (
        f"model {mine.uri}: its files were changed since training, so it is not loaded: "
        f"their hash is {manifest(files(mine))[:12]}, logged was {mine.manifest[:12]}"
    )


def files(logged) -> Path:
    """Where they lie once fetched."""
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=logged.uri))


def test_a_broken_store_is_one_sentence(tmp_path):
    store = tmp_path / "mlflow.db"
    store.write_text("not a database, " * 100)

    with pytest.raises(PlatformError) as caught:
        Registry(Target(tracking=f"sqlite:///{store}", artifacts=str(tmp_path)))

    assert str(caught.value).startswith(f"MLflow at sqlite:///{store} does not answer: ")
    assert "\n" not in str(caught.value)
