"""The wheel is all that a cluster needs: the package, the jobs, the lock of the jars; nothing else."""

import shutil
import sys
from importlib.metadata import entry_points
from pathlib import Path
from subprocess import run
from zipfile import ZipFile

import pytest

from pipelines import extensions, provenance

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> ZipFile:
    uv, out = shutil.which("uv"), tmp_path_factory.mktemp("dist")
    assert uv, "uv is on PATH after `source .venv/lakeloom.env`"
    made = run([uv, "build", "--wheel", "--quiet", "--out-dir", out, ROOT], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return ZipFile(next(out.glob("*.whl")))


def test_the_wheel_ships_the_package_and_the_jobs_and_nothing_else(wheel):
    assert {name.split("/")[0] for name in wheel.namelist()} == {"pipelines", "jobs", "lakeloom-0.1.0.dist-info"}


def test_the_wheel_ships_every_file_of_both_folders(wheel):
    files = (path for folder in ("pipelines", "jobs") for path in (ROOT / folder).rglob("*") if path.is_file())
    tree = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}

    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == tree
    assert "pipelines/jars.lock" in tree


def test_the_wheel_ships_the_licence(wheel):
    shipped = wheel.read("lakeloom-0.1.0.dist-info/licenses/LICENSE").decode()

    assert "Apache License" in shipped and "END OF TERMS AND CONDITIONS" in shipped


def test_the_wheel_has_the_command_and_its_module(wheel):
    assert "lakeloom = pipelines.cli:main" in wheel.read("lakeloom-0.1.0.dist-info/entry_points.txt").decode()
    assert "pipelines/cli/verbs.py" in wheel.namelist()


def test_the_installed_command_is_the_same(wheel):
    (command,) = entry_points(group="console_scripts", name="lakeloom")

    assert command.value == "pipelines.cli:main"


def test_the_wheel_alone_can_be_imported(wheel, tmp_path):
    """As on a cluster: the wheel on the path, no checkout."""
    path = f"import sys; sys.path.insert(0, {wheel.filename!r})"
    code = "import jobs, pipelines.doctor as d; print(jobs.__file__, d.__file__, d.LOCK.read_text().count('io.delta:'))"

    done = run([sys.executable, "-c", f"{path}; {code}"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.stdout.split() == [f"{wheel.filename}/jobs/__init__.py", f"{wheel.filename}/pipelines/doctor.py", "5"]


def test_code_in_a_wheel_has_the_hash_of_the_same_code_in_a_folder(wheel, tmp_path):
    """A package and a module; as on YARN, where a model that was trained says what it was trained with."""
    path = f"import sys; sys.path.insert(0, {wheel.filename!r})"
    told = "print(provenance.code(), *extensions.code(('jobs', 'pipelines.errors')).values())"
    code = f"{path}; from pipelines import extensions, provenance; {told}"

    done = run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    hashes = extensions.code(("jobs", "pipelines.errors")).values()
    assert done.stdout.split() == [provenance.code(), *hashes], done.stderr


def test_java_finds_how_to_log_in_a_wheel(wheel, tmp_path):
    path = f"import sys; sys.path.insert(0, {wheel.filename!r})"
    code = f"{path}; from pipelines.spark import java_logging; print(java_logging())"

    done = run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.stdout.strip() == f"jar:{Path(wheel.filename).as_uri()}!/pipelines/log4j2.properties", done.stderr
    assert "pipelines/log4j2.properties" in wheel.namelist()
