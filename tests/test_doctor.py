"""The doctor says what is wrong in one line and what to type."""

import os
import sys
import tomllib
from hashlib import sha256
from pathlib import Path
from subprocess import run

import pytest

from pipelines import doctor
from pipelines.doctor import Finding
from pipelines.spec import Target

JAVA_11 = 'openjdk version "11.0.22" 2024-01-16'
EMPTY_SHA = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # of no bytes at all


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "landing").mkdir()
    return Target(
        warehouse=str(tmp_path / "warehouse"),
        landing=str(tmp_path / "landing"),
        tracking=f"sqlite:///{tmp_path}/mlflow.db",
    )


@pytest.fixture
def java_that(tmp_path, monkeypatch):
    """A JAVA_HOME whose java is the given shell script."""

    def install(script: str) -> str:
        program = tmp_path / "home" / "bin" / "java"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
        return str(program)

    return install


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "jars").mkdir()
    return tmp_path / "jars"


def test_every_check_has_one_finding_of_one_line_and_a_name_of_its_own(target):
    found = doctor.examine(target)

    assert [f.name for f in found] == [
        "Python", "Java", "JAVA_HOME", "pyspark", "Delta jars", "Memory", "Disk", "Warehouse", "Landing", "Tracking",
        "Nets",
    ]  # fmt: skip
    assert all("\n" not in f.found + f.remedy for f in found)


def test_a_check_that_fails_says_what_to_type(target, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    monkeypatch.setenv("SPARK_HOME", "/nowhere")

    failed = [f for f in doctor.examine(target) if not f.ok]

    assert {"Java", "JAVA_HOME", "Delta jars"} <= {f.name for f in failed}
    assert all(f.remedy for f in failed)


def test_looking_changes_nothing(target, tmp_path):
    before = sorted(tmp_path.rglob("*"))

    doctor.examine(target)

    assert sorted(tmp_path.rglob("*")) == before


def test_the_doctor_needs_neither_pyspark_nor_mlflow():
    code = "import pipelines.doctor, sys; sys.exit(any(m in sys.modules for m in ('pyspark', 'mlflow', 'deltalake')))"

    assert run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("words", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "25" 2025-09-16', 25),
        ("Error: could not find libjava.so", 0),
    ],
)
def test_java_says_its_major_version_in_old_and_new_words(words, major):
    assert doctor.java_major(words) == major


def test_java_11_is_too_old(target, java_that):
    program = java_that(f"echo '{JAVA_11}' >&2")

    assert doctor.java(target) == Finding(
        "Java",
        False,
        f"version 11, {program}",
        "scripts/bootstrap, or sudo apt install openjdk-17-jre-headless  (it must be 17 or newer)",
    )


def test_java_17_will_do(target, java_that):
    program = java_that("""echo 'openjdk version "17.0.2" 2022-01-18' >&2""")

    assert doctor.java(target).ok
    assert doctor.java(target).found == f"version 17, {program}"


def test_a_java_that_fails_is_broken_in_its_own_first_words(target, java_that):
    program = java_that("echo 'Error: could not find libjava.so' >&2; echo more >&2; exit 1")

    assert doctor.java(target).found == f"{program} is broken: Error: could not find libjava.so"


def test_a_java_that_is_no_program_does_not_run(target, java_that):
    program = java_that("")
    Path(program).write_bytes(b"\x7fELF broken")

    assert doctor.java(target).found == f"{program} does not run (Exec format error)"


def test_no_java_at_all(target, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")

    assert doctor.java(target).found == "none on PATH and no JAVA_HOME"
    assert doctor.java_home(target).ok


def test_a_java_home_without_java_should_be_unset(target, monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))

    assert doctor.java_home(target) == Finding("JAVA_HOME", False, f"{tmp_path} has no bin/java", "unset JAVA_HOME")


def test_a_lock_is_read_as_file_names_and_hashes():
    lock = f"# said\n{EMPTY_SHA}  org.some:thing_2.13:1.2.0\n"

    assert doctor.locked_jars(lock) == {"thing_2.13-1.2.0.jar": EMPTY_SHA}


def test_a_jar_with_the_locked_hash_is_right(folder):
    (folder / "a.jar").touch()

    assert doctor.compared(folder, {"a.jar": EMPTY_SHA}) == Finding("Delta jars", True, "1 of 1 as locked")


def test_a_missing_jar_and_one_with_another_hash_are_named(folder):
    (folder / "b.jar").write_text("x")

    actual = doctor.compared(folder, {"a.jar": EMPTY_SHA, "b.jar": EMPTY_SHA})

    assert actual == Finding("Delta jars", False, f"a.jar missing and b.jar broken in {folder}", "scripts/bootstrap")


def test_the_shipped_lock_names_the_delta_of_the_pinned_spark():
    locked = doctor.locked_jars(doctor.LOCK.read_text())

    assert "delta-spark_4.2_2.13-4.4.0.jar" in locked
    assert "delta-storage-4.4.0.jar" in locked
    assert {len(sha) for sha in locked.values()} == {len(sha256().hexdigest())}


def test_the_pins_are_those_of_pyproject():
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]

    assert f"pyspark=={doctor.PYSPARK}" in project["dependencies"]
    assert project["requires-python"] == ">=3.11,<3.13"
    assert doctor.PYTHON == ((3, 11), (3, 13))


def test_memory_is_the_heap_and_python_beside_it(target):
    huge = target.model_copy(update={"driver_memory": "9000g"})

    assert doctor.memory(huge).found.endswith(" GB free, 9001.5 GB wanted")  # 1.5 GB for Python
    assert not doctor.memory(huge).ok


def test_memory_under_spark_submit_is_its_own_matter(target):
    assert doctor.memory(target.model_copy(update={"master": None})).ok


def test_sizes_are_read_in_both_units():
    assert (doctor.gigabytes("512m"), doctor.gigabytes("2g")) == (0.512, 2.0)


def test_places_elsewhere_are_not_looked_at(target):
    far = target.model_copy(update={"warehouse": "s3a://lake/w", "landing": "s3a://lake/l", "tracking": "databricks"})

    assert all(check(far).ok for check in (doctor.disk, doctor.warehouse, doctor.landing, doctor.tracking))


def test_a_landing_folder_that_is_not_there(target):
    away = target.model_copy(update={"landing": target.landing + "/away"})

    assert doctor.landing(away) == Finding(
        "Landing",
        False,
        f"{target.landing}/away is not a folder",
        f"mkdir -p {target.landing}/away, and land files in it",
    )


def test_a_warehouse_under_a_file_cannot_be_written(target, tmp_path):
    (tmp_path / "file").touch()
    away = target.model_copy(update={"warehouse": f"{tmp_path}/file/warehouse"})

    assert doctor.warehouse(away).found == f"{tmp_path}/file/warehouse: {tmp_path}/file cannot be written"


def test_a_tracking_store_that_is_no_database(target, tmp_path):
    (tmp_path / "mlflow.db").write_text("this is no database, and it is longer than a header of a hundred bytes " * 2)

    assert doctor.tracking(target).found == f"{tmp_path}/mlflow.db: file is not a database"


def test_a_tracking_server_that_is_down(target):
    down = target.model_copy(update={"tracking": "http://127.0.0.1:9"})  # the discard port: nobody listens

    assert doctor.tracking(down) == Finding(
        "Tracking", False, "http://127.0.0.1:9 does not answer (Connection refused)", "start the MLflow server"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_tracking_store_in_a_folder_that_cannot_be_written(target, tmp_path):
    tmp_path.chmod(0o500)

    assert doctor.tracking(target).found == f"{tmp_path} cannot be written"


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Stand-ins for torch 9.0 and Horovod 8.0, the latter with the given module."""

    def install(module: str) -> None:
        for name, number in (("torch", "9.0"), ("horovod", "8.0")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").touch()
            (tmp_path / f"{name}-{number}.dist-info").mkdir()
            (tmp_path / f"{name}-{number}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {number}\n")
        (tmp_path / "horovod" / "torch.py").write_text(module)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return install


@pytest.mark.parametrize(
    ("module", "ok", "found"),
    [
        ("gloo_built = lambda: True\nnccl_built = lambda: 0", True, "with Gloo, without NCCL"),
        ("gloo_built = lambda: True\nnccl_built = lambda: 21805", True, "with Gloo, with NCCL"),
        ("gloo_built = lambda: False\nnccl_built = lambda: 0", False, "without Gloo, without NCCL"),
        (
            "raise ImportError('undefined symbol: _ZN3c10')",
            False,
            "does not load: ImportError: undefined symbol: _ZN3c10",
        ),
    ],
)
def test_horovod_is_named_with_how_it_was_built(target, built, module, ok, found):
    built(module)

    finding = doctor.nets(target)

    assert (finding.ok, finding.found) == (ok, f"torch 9.0, Horovod 8.0 {found}")
    assert ok or "scripts/bootstrap deep" in finding.remedy
