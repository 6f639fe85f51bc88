"""The steps of a team's CI run as they stand, and both of its files call nothing else."""

import json
import os
import re
import shutil
from pathlib import Path
from subprocess import CompletedProcess, run

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
CASES = """
pipeline: one
tests:
  - {test: a row stays as it is, given: {rows_raw: [{id: 7}]}, expect: {rows: [{id: 7}]}}
"""
STEPS = ["check", "tests", "plan", "sample", "deploy"]


@pytest.fixture(scope="module")
def lakeloom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout beside the team's: what its CI needs of this one."""
    made = tmp_path_factory.mktemp("lakeloom")
    for name in ("scripts", "pipelines", "jobs", "dags"):
        shutil.copytree(ROOT / name, made / name, ignore=shutil.ignore_patterns(".venv", "__pycache__"))
    for name in ("pyproject.toml", "uv.lock", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, made / name)
    (made / ".venv").symlink_to(ROOT / ".venv")
    (made / "scripts" / "bootstrap").write_text("#!/bin/sh\n")  # it would make the environment this one has already
    return made


@pytest.fixture(scope="module")
def checkout(lakeloom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A team's repository: two confs, and nothing of Lakeloom but a link that these tests find it by."""
    made = tmp_path_factory.mktemp("team")
    (made / ".lakeloom-ci").symlink_to(lakeloom)
    (made / "conf").mkdir()
    (made / "conf" / "targets").symlink_to(ROOT / "conf" / "targets")
    for name in ("one", "two"):
        source = '  rows_raw: {kind: files, format: csv, path: rows, schema: "id INT"}'
        table = "  rows: {from: rows_raw, select: SELECT id FROM rows_raw}"
        (made / "conf" / f"{name}.yml").write_text(f"pipeline: {name}\nsources:\n{source}\ntables:\n{table}\n")
        (made / ".lakeloom" / "landing" / "rows").mkdir(parents=True, exist_ok=True)
    (made / ".lakeloom" / "landing" / "rows" / "1.csv").write_text("id\n1\n")
    (made / "conf" / "tests").mkdir()
    (made / "conf" / "tests" / "one.yml").write_text(CASES)
    for words in ("init -q", "add -A", "-c user.name=t -c user.email=t@t commit -qm first"):
        run(["git", *words.split()], cwd=made, check=True, env=os.environ | {"HOME": str(made)})
    return made


def step(checkout: Path, *words: str) -> CompletedProcess[str]:
    """As the workflow runs it: Lakeloom lies in a folder of the team's checkout."""
    door, team = checkout / ".lakeloom-ci" / "scripts" / "ci", {"LAKELOOM_TEAM": str(checkout)}
    return run([door, *words], cwd="/", env=os.environ | team, capture_output=True, text=True, timeout=300)


def test_each_conf_is_checked_and_the_dags_together(checkout):
    done = step(checkout, "check")

    assert done.returncode == 0, done.stderr
    assert [f"conf/{name}.yml: no flaw found" in done.stderr + done.stdout for name in ("one", "two")] == [True, True]
    assert "conf: 2 DAGs, no flaw found" in done.stderr


def test_one_flaw_fails_the_step_and_hides_no_other(checkout, tmp_path):
    team = tmp_path / "team"
    shutil.copytree(checkout, team, symlinks=True)
    for name, wrong in (("one", "tabels"), ("two", "sauces")):
        conf = team / "conf" / f"{name}.yml"
        conf.write_text(conf.read_text().replace("tables:" if name == "one" else "sources:", f"{wrong}:"))

    done = step(team, "check")

    assert done.returncode == 1
    assert "did you mean 'tables'?" in done.stderr and "did you mean 'sources'?" in done.stderr


def test_a_plan_is_markdown_for_a_comment(checkout):
    done = step(checkout, "plan", "local")

    assert done.returncode == 0, done.stderr
    assert re.findall(r"^### (.*)$", done.stdout, re.M) == ["conf/one.yml on local", "conf/two.yml on local"]
    assert done.stdout.count("```") == 4
    assert len(re.findall(r"^run +tables\.rows +1 new file of rows_raw", done.stdout, re.M)) == 2


@pytest.mark.spark
def test_each_confs_own_tests_are_run_and_one_that_fails_fails_the_step(checkout, tmp_path):
    team = tmp_path / "team"
    shutil.copytree(checkout, team, symlinks=True)

    well = step(team, "tests")
    cases = team / "conf" / "tests" / "one.yml"
    cases.write_text(cases.read_text().replace("rows: [{id: 7}]", "rows: [{id: 8}]"))
    wrong = step(team, "tests")

    assert (well.returncode, wrong.returncode) == (0, 1), well.stderr
    assert "a row stays as it is" in wrong.stdout + wrong.stderr


@pytest.mark.long
@pytest.mark.spark
def test_a_sample_of_each_conf_is_run_and_leaves_the_warehouse_alone(checkout):
    done = step(checkout, "sample", "local")

    assert done.returncode == 0, done.stderr
    assert [f"{name}: 1 of 1 stages ran" in done.stdout for name in ("one", "two")] == [True, True], done.stdout
    assert "tables.rows" in step(checkout, "plan", "local").stdout  # it is still to be done
    assert not (checkout / ".lakeloom" / "warehouse" / "one").exists()


def test_a_release_is_whole_and_the_next_one_takes_its_place_at_once(checkout, tmp_path):
    done = step(checkout, "deploy", "prod", str(tmp_path))
    again = step(checkout, "deploy", "prod", str(tmp_path))

    assert done.returncode == again.returncode == 0, done.stderr + again.stderr
    (release,) = (tmp_path / "releases").iterdir()
    assert (tmp_path / "current").resolve() == release == Path(done.stdout.strip())
    assert {p.name for p in release.iterdir()} == {"conf", "dags", "lakeloom-0.1.0-py3-none-any.whl"}
    compiled = json.loads((release / "conf" / "dags.json").read_text())
    assert ([dag["name"] for dag in compiled["dags"]], compiled["target"]) == (["one", "two"], "prod")


def test_an_unknown_step_is_shown_the_others(checkout):
    done = step(checkout, "chekc")

    assert done.returncode == 2
    assert re.findall(r"scripts/ci ([a-z]+) ", done.stderr) == STEPS


def test_the_workflow_and_the_jenkinsfile_call_the_steps_in_their_order():
    workflow = YAML(typ="safe").load(ROOT / ".github" / "workflows" / "pipelines.yml")
    lines = [s["run"] for s in workflow["jobs"]["pipelines"]["steps"] if "run" in s]
    jenkins = (ROOT / "Jenkinsfile").read_text()

    assert re.findall(r"\$CI (\w+)", "\n".join(lines)) == STEPS
    assert re.findall(r"scripts/ci (\w+)", jenkins) == STEPS
    assert [line for line in lines if not line.startswith("$CI ")] == ['gh pr comment "$REQUEST" --body-file plan.md']
    assert not [line for line in lines if "${{" in line]  # nobody's words become part of a script
