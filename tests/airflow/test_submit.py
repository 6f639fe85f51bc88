"""A task is one spark-submit, and its exit code decides about another try; here a stand-in takes the call."""

import json
import subprocess
from pathlib import Path

import pytest

from pipelines.spec import load_target
from pipelines.state import Warehouse

pytestmark = pytest.mark.airflow

# Writes down how it was called, and ends with the number in the stage's name.
STAND_IN = """#!/usr/bin/env bash
if [[ "$*" =~ tables\\.apart_([0-9]+) ]]; then  # as of a driver in YARN
  echo "Application report for application_17_0042 (state: FINISHED)" >&2
  echo "diagnostics: User application exited with status ${BASH_REMATCH[1]}" >&2
  exit 1
fi
[[ "$*" =~ tables\\.ends_([0-9]+) ]]
above=("$OPENLINEAGE_PARENT_ID" "$OPENLINEAGE_ROOT_PARENT_ID")
printf '%s\\n' "PYSPARK_PYTHON=$PYSPARK_PYTHON" "${above[@]}" "$@" > "$0.${BASH_REMATCH[0]}"
echo "error: what ends_${BASH_REMATCH[1]} said" >&2
exit "${BASH_REMATCH[1]}"
"""
ROOT = Path(__file__).parents[2]
CODES, APART = (0, 1, 2, 3, 4, 70), (1, 3)
PROVIDER = (  # Airflow's own of OpenLineage, and what of it Airflow has not
    "apache-airflow-providers-openlineage==2.20.3", "openlineage-python==1.54.0",
    "openlineage-integration-common==1.54.0", "openlineage-sql==1.54.0", "httpx2==2.16.2", "httpcore2==2.16.2",
)  # fmt: skip
NAMES = (*(f"ends_{code}" for code in CODES), *(f"apart_{code}" for code in APART))


@pytest.fixture
def ends(home: Path) -> Path:
    source = '  ones: {kind: files, format: csv, path: ones, schema: "one INT"}'
    tables = [f"  {name}: {{from: ones, select: SELECT one FROM ones}}" for name in NAMES]
    (home / "conf" / "targets").mkdir()
    (home / "conf" / "targets" / "submit.yml").write_text("{master: null}")
    conf = home / "conf" / "ends.yml"
    conf.write_text("\n".join(["pipeline: ends", "sources:", source, "tables:", *tables]))
    return conf


@pytest.fixture
def submit(tmp_path: Path) -> Path:
    stand_in = tmp_path / "spark-submit"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    return stand_in


def test_only_what_a_retry_can_mend_is_tried_again(airflow, home, ends, submit):
    found = airflow.ask("run", "ends", LAKELOOM_HOME=str(home), LAKELOOM_SPARK_SUBMIT=str(submit))

    assert found["state"] == "failed"
    assert found["tasks"] == {
        "tables.ends_0": ["success", 1],
        "tables.ends_1": ["failed", 3],  # the platform
        "tables.ends_2": ["failed", 1],  # the conf
        "tables.ends_3": ["failed", 1],  # the data
        "tables.ends_4": ["failed", 3],  # another writer
        "tables.ends_70": ["failed", 1],  # our bug
        "tables.apart_1": ["failed", 3],
        "tables.apart_3": ["failed", 1],  # where spark-submit's own code was 1
    }
    python, task, run, *rest = Path(f"{submit}.tables.ends_0").read_text().splitlines()
    assert [python, task.rpartition("/")[0], run.rpartition("/")[0], *rest] == [
        f"PYSPARK_PYTHON={ROOT}/.venv/bin/python",
        *("airflow/ends.tables.ends_0", "airflow/ends"),
        *("--master", "local[2]", "--name", "lakeloom ends tables.ends_0"),
        *(f"{ROOT}/jobs/batch.py", "tables.ends_0", str(ends), "--target", "submit"),
    ]

    assert "tables.ends_3 cannot be mended by a retry: what ends_3 said" in found["log"]
    assert "tables.apart_3 cannot be mended by a retry: the stages ended in the cluster: yarn logs" in found["log"]
    assert "ends tables.ends_1 failed in run" in found["log"] and "tables.ends_1: what ends_1 said" in found["log"]


def test_spark_itself_takes_the_call_and_its_rows_are_published(airflow, home, ends):
    landed = Path(load_target(ends, "submit").landing) / "ones" / "0.csv"
    landed.parent.mkdir(parents=True)
    landed.write_text("one\n1\n2\n")

    found = airflow.ask("run", "ends", json.dumps({"stages": ["tables.ends_0"]}), LAKELOOM_HOME=str(home))

    assert found["tasks"]["tables.ends_0"] == ["success", 1], found["log"][-6000:]
    (record,) = Warehouse(load_target(ends, "submit").warehouse, "ends").records()
    assert (record.stage, record.status, record.counts["applied"]) == ("tables.ends_0", "ok", 2)


def test_a_run_can_be_asked_for_stages_and_for_them_anew(airflow, home, ends, submit):
    asked = {"stages": ["tables.ends_0"], "full_refresh": ["tables.ends_0"], "target": "cluster"}
    (home / "conf" / "targets" / "cluster.yml").write_text(
        "{master: null, submit: {kind: standalone, master: 'spark://m:7077', python: /opt/python}}"
    )

    found = airflow.ask("run", "ends", json.dumps(asked), LAKELOOM_HOME=str(home), LAKELOOM_SPARK_SUBMIT=str(submit))

    assert found["tasks"] == {
        "tables.ends_0": ["success", 1], **{f"tables.{name}": ["skipped", 1] for name in NAMES[1:]}
    }  # fmt: skip
    said = Path(f"{submit}.tables.ends_0").read_text().splitlines()[3:]
    assert said[:2] == ["--master", "spark://m:7077"] and said[-9:-7] == ["--deploy-mode", "client"]
    assert {"spark.executor.memory=4g", "spark.pyspark.python=/opt/python"} <= set(said)
    assert said[-7:] == [
        f"{ROOT}/jobs/batch.py", "tables.ends_0", str(ends), "--target", "cluster", "--full-refresh", "tables.ends_0"
    ]  # fmt: skip


def test_lineage_hangs_below_the_runs_that_airflow_itself_tells_of(airflow, home, ends, submit, tmp_path):
    """With Airflow's own OpenLineage provider beside the environment, as a team may have it."""
    install = ("uv", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "more"))
    subprocess.run([*install, "--python", airflow.python, *PROVIDER], check=True, timeout=300)
    told = tmp_path / "told"
    transport = {"type": "file", "log_file_path": str(told), "append": True}

    airflow.ask(
        "run", "ends", json.dumps({"stages": ["tables.ends_0"]}), LAKELOOM_HOME=str(home),
        LAKELOOM_SPARK_SUBMIT=str(submit), PYTHONPATH=str(tmp_path / "more"),
        AIRFLOW__OPENLINEAGE__TRANSPORT=json.dumps(transport),
    )  # fmt: skip

    events = [json.loads(line) for line in told.read_text().splitlines()]
    names = {f"{e['job']['namespace']}/{e['job']['name']}/{e['run']['runId']}" for e in events}
    _, task, run, *_ = Path(f"{submit}.tables.ends_0").read_text().splitlines()
    assert task.startswith("default/ends.tables.ends_0/") and run.startswith("default/ends/")
    assert {task, run} <= names


def test_who_is_named_is_written_to_once_a_task_has_failed_for_good(airflow, home, ends, submit, post):
    letters, connection = post
    ends.write_text(ends.read_text() + "\nairflow: {email: [team@example.org]}\n")
    asked = {"stages": ["tables.ends_0", "tables.ends_1", "tables.ends_3"]}

    places = {"LAKELOOM_HOME": str(home), "LAKELOOM_SPARK_SUBMIT": str(submit)}
    airflow.ask("run", "ends", json.dumps(asked), AIRFLOW_CONN_SMTP_DEFAULT=connection, **places)

    assert [to for to, _ in letters] == [["team@example.org"]] * 2
    said = {letter["subject"]: letter.get_body(("html",)).get_content() for _, letter in letters}
    assert set(said) == {"ends: tables.ends_1 failed", "ends: tables.ends_3 failed"}
    assert "tables.ends_3 cannot be mended by a retry: what ends_3 said" in said["ends: tables.ends_3 failed"]


def test_a_machine_without_spark_submit_is_told_so_once(airflow, home, ends):
    found = airflow.ask("run", "ends", LAKELOOM_HOME=str(home), LAKELOOM_SPARK_SUBMIT="/nowhere/spark-submit")

    assert found["tasks"] == {f"tables.{name}": ["failed", 1] for name in NAMES}
    assert "no /nowhere/spark-submit on PATH; set PATH or LAKELOOM_SPARK_SUBMIT" in found["log"]
