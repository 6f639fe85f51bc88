"""Models in MLflow: what was logged is what is loaded, and the alias points where it was last put."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import mlflow
import pytest
from pyspark.ml import Pipeline
from pyspark.ml.feature import SQLTransformer

from pipelines import manifest
from pipelines.errors import DataError, PlatformError, SpecError
from pipelines.registry import Registry
from pipelines.spec import Target

pytestmark = pytest.mark.spark

RUN = {"name": "late 0.0", "params": {"kind": "none"}, "metrics": {"test_roc_auc": 0.7}, "tags": {"lakeloom.run": "r1"}}


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
    loaded = registry.load(logged)

    assert {r.x: r.doubled for r in loaded.transform(frame([(3.0,), (-1.5,)], "x double")).collect()} == {
        3: 6,
        -1.5: -3,
    }


def test_loading_a_model_leaves_no_copy_of_it(registry, logged, frame, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    loaded = registry.load(logged)

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


def test_a_challenger_that_becomes_champion_challenges_no_more(registry, logged):
    first, second = (registry.register("flights.duel", logged, {}) for _ in range(2))
    registry.promote(first)
    registry.challenge(second)
    assert registry.aliases("flights.duel") == {"champion": 1, "challenger": 2}

    registry.promote(second)
    assert registry.aliases("flights.duel") == {"champion": 2}

    registry.challenge(first)
    registry.promote(second)
    assert registry.aliases("flights.duel") == {"champion": 2, "challenger": 1}


def test_a_version_is_found_by_number_or_alias_and_a_wrong_one_is_told_which_there_are(registry, logged):
    first, second = (registry.register("flights.named", logged, {}) for _ in range(2))
    registry.promote(first)

    assert registry.version("flights.named", "2") == second
    assert registry.version("flights.named", "champion") == first
    with pytest.raises(SpecError) as caught:
        registry.version("flights.named", "challenger")
    assert str(caught.value) == "flights.named: no version 'challenger'; there is champion (1), 1, 2"
    with pytest.raises(SpecError) as caught:
        registry.version("flights.nobody", "1")
    assert str(caught.value) == "flights.nobody: no version '1'; there is none yet"


def test_each_trial_is_a_run_within_that_of_its_model(registry, fitted, frame):
    trials = [{"name": f"trial {n}", "params": {"depth": n}, "metrics": {"validate_f1": n / 10}} for n in (1, 2)]

    logged = registry.log("nested", fitted, frame([(1.0,)], "x double"), {**RUN, "dicts": {}, "trials": trials})

    (experiment,) = (e for e in registry.client.search_experiments() if e.name == "nested")
    runs = registry.client.search_runs([experiment.experiment_id], f"tags.mlflow.parentRunId = '{logged.run_id}'")
    assert {r.info.run_name: (r.data.params, r.data.metrics, r.info.status) for r in runs} == {
        "trial 1": ({"depth": "1"}, {"validate_f1": 0.1}, "FINISHED"),
        "trial 2": ({"depth": "2"}, {"validate_f1": 0.2}, "FINISHED"),
    }


def test_what_was_never_kept_is_none(registry, logged):
    assert registry.kept(logged.run_id, "nothing") is None


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

    now = manifest.listed(files(mine))
    (name,) = (n for n in now if n.endswith(part.name))
    assert str(caught.value) == (
        f"model {mine.uri}: its files are not those of its training, so it is not loaded: {name} was changed "
        f"(their hash is {manifest.whole(now)[:12]}, logged was {mine.manifest[:12]})"
    )
    with pytest.raises(DataError, match=f"{name} was changed"):
        registry.files(version)


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


CUT_OFF = """
import os, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from pipelines.registry import Registry
from pipelines.spec import Target

@event.listens_for(Engine, "before_cursor_execute")
def cut(connection, cursor, statement, *rest):
    if "INTO _alembic_tmp_" in statement:
        os.kill(os.getpid(), signal.SIGKILL)

Registry(Target(tracking=sys.argv[1]))
"""


def test_a_process_that_is_killed_while_mlflow_makes_its_tables_leaves_none_half_made(tmp_path):
    place = f"sqlite:///{tmp_path}/db/mlflow.db"
    killed = subprocess.run([sys.executable, "-c", CUT_OFF, place], check=False)

    registry = Registry(Target(tracking=place, artifacts=str(tmp_path / "artifacts")))

    assert killed.returncode == -signal.SIGKILL
    assert registry.champion("p.late") is None and registry.versions("p.late") == ()
