"""`lakeloom submit` to a real YARN, the driver in the cluster: conf/ and the package get there as archives."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.parcels import parcels
from e2e.project import Project, Said, project

from cluster.yarn import LOCK, ROOT, Yarn, running

pytestmark = [pytest.mark.spark, pytest.mark.cluster]

LIMIT_S = 400  # an application, on a busy machine
RIDES = """
pipeline: rides
sources:
  days_raw: {kind: files, format: csv, path: days, schema: "day INT, rides INT"}
tables:
  days:
    from: days_raw
    keys: [day]
    select: "SELECT day, rides FROM days_raw"
    expect:
      - expect_column_values_to_be_between: {column: rides, min_value: 0}
        on_fail: fail
"""
SENTENCE = "tables.days: version 1 is not published: rides: be between (min_value 0.0): observed 1 of 3 rows unexpected"
TARGET = """
master: null
warehouse: {root}/.lakeloom/warehouse
landing: {root}/.lakeloom/landing
tracking: sqlite:///{root}/.lakeloom/mlflow.db
artifacts: {root}/.lakeloom/models
submit:
  kind: yarn
  conf_folder: conf
  python: {python}
  py_files: [{wheel}]
  archives: ["{root}/conf.zip#conf"]
  sizes:
    etl: {{driver_memory: 1g, executor_memory: 700m, executor_cores: 1, executors: 1}}
    train: {{driver_memory: 1g, executor_memory: 700m, executor_cores: 1, executors: 1}}
spark:
  spark.yarn.jars: local:{spark}/jars/*
  spark.yarn.stagingDir: file://{root}/staging
  spark.driver.defaultJavaOptions: "-XX:TieredStopAtLevel=1"
  spark.executor.defaultJavaOptions: "-XX:TieredStopAtLevel=1"
"""


@pytest.fixture(scope="module")
def yarn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yarn]:
    with running(tmp_path_factory.mktemp("yarn")) as made:
        yield made


@pytest.fixture
def rides(tmp_path: Path) -> Project:
    """A conf with a good file."""
    made = project(tmp_path, "rides")
    made.conf.write_text(RIDES)
    made.land("days/1.csv", "day,rides\n1,10\n2,20\n")
    return delivered(made)


def delivered(made: Project) -> Project:
    """A project with a target that is YARN; beside it the wheel and conf/, as a deployment packs them."""
    root = made.root
    target = TARGET.format(root=root, wheel=wheel(root), python=sys.executable, spark=os.environ["SPARK_HOME"])
    (root / "conf" / "targets" / "yarn.yml").write_text(target)
    shutil.make_archive(str(root / "conf"), "zip", root / "conf")
    return made


def wheel(folder: Path) -> Path:
    subprocess.run([str(shutil.which("uv")), "build", "--wheel", "--quiet", "--out-dir", folder, ROOT], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As scripts/pack makes it, of this checkout's locks."""
    folder = tmp_path_factory.mktemp("packed")
    subprocess.run([ROOT / "scripts" / "pack", folder], check=True, timeout=LIMIT_S)
    return folder


def submit(made: Project, yarn: Yarn, *stages: str) -> Said:
    env = {"HADOOP_CONF_DIR": str(yarn.conf), "SPARK_LOCAL_IP": "127.0.0.1"}
    return made.lakeloom_apart("submit", *(stages or ["tables"]), "--target", "yarn", limit_s=LIMIT_S, **env)


def test_the_servers_are_of_the_version_of_sparks_own_client_jars():
    (client,) = Path(os.environ["SPARK_HOME"], "jars").glob("hadoop-client-api-*.jar")
    version = client.stem.removeprefix("hadoop-client-api-")

    assert f":hadoop-client-minicluster:{version}\n" in LOCK.read_text()


def test_stages_run_in_a_real_yarn_and_end_as_they_would_here(yarn, rides):
    good, done = submit(rides, yarn), yarn.newest()
    rides.land("days/2.csv", "day,rides\n3,-30\n")
    bad, refused = submit(rides, yarn), yarn.newest()

    said = yarn.said(done["id"])
    assert good.code == 0, good.err + said
    assert (done["state"], done["finalStatus"]) == ("FINISHED", "SUCCEEDED")
    assert "_000002/stderr" in said and "Running task" in said  # an executor of its own, where the rows were read
    assert [(r["day"], r["rides"]) for r in rides.published("tables.days")] == [(1, 10), (2, 20)]

    assert bad.code == 3, bad.err + yarn.said(refused["id"])
    assert (refused["state"], refused["finalStatus"]) == ("FINISHED", "FAILED")
    assert yarn.attempts(refused["id"]) == 1
    assert bad.err.splitlines()[-1].endswith(f"yarn logs -applicationId {refused['id']}, or lakeloom show")
    assert SENTENCE in yarn.said(refused["id"]) and rides.records()[-1].error == SENTENCE


@pytest.mark.long
def test_a_model_is_trained_proven_and_answers_there_as_it_does_here(yarn, tmp_path):
    here, there = parcels(tmp_path / "here"), delivered(parcels(tmp_path / "there"))
    assert here.lakeloom_apart("run", limit_s=LIMIT_S).error == ""

    done = submit(there, yarn, "tables", "features", "models", "scores")

    assert done.code == 0, done.err + yarn.said(yarn.newest()["id"])
    assert there.models() == here.models() == (1, {"champion": 1})
    (record,) = there.records("models.late")
    assert "loads and scores in a clean process" in {g["gate"] for g in record.detail["gates"] if g["passed"]}
    scored = [{r["parcel"]: r["score"] for r in made.published("scores.daily")} for made in (here, there)]
    assert len(scored[0]) > 100 and scored[1] == pytest.approx(scored[0], abs=1e-9)


@pytest.mark.long
def test_the_locked_environment_travels_as_an_archive(yarn, rides, packed):
    target = rides.root / "conf" / "targets" / "yarn.yml"
    text = target.read_text().replace(sys.executable, "./environment/bin/python")
    text = text.replace("  archives: [", f'  archives: ["{packed}/environment.tar.gz#environment", ')
    target.write_text(text.replace("  conf_folder", f"  application: {packed}/batch.py\n  conf_folder"))

    done = submit(rides, yarn)

    said = yarn.said(yarn.newest()["id"])
    assert done.code == 0, done.err + said
    assert sorted((r["day"], r["rides"]) for r in rides.published("tables.days")) == [(1, 10), (2, 20)]
    assert {p.name for p in packed.iterdir()} >= {"environment.tar.gz", "conf.zip", "batch.py", "stream.py"}
