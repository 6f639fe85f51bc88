"""A conf file is a DAG: its stages, its needs, its schedule; and reading it costs the scheduler little."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.outline import compiled_text
from pipelines.plan import stages
from pipelines.spec import load

pytestmark = pytest.mark.airflow
ROOT = Path(__file__).parents[2]

RIDES = """
pipeline: rides
description: How many ride tomorrow?
schedule: "0 5 * * *"
sources:
  days_raw: {kind: files, format: csv, path: days, schema: "day DATE, rides INT"}
tables:
  totals: {select: SELECT sum(rides) AS rides FROM days}
  days: {from: days_raw, keys: [day], select: "SELECT day, rides FROM days_raw"}
"""


def test_a_conf_is_a_dag_with_a_task_for_each_stage(airflow, home):
    (home / "conf" / "rides.yml").write_text(RIDES)

    found = airflow.ask("bag", LAKELOOM_HOME=str(home))

    assert found["errors"] == {}
    assert found["dags"] == {
        "rides": {
            "schedule": "0 5 * * *",
            "catchup": False,
            "max_active_runs": 1,
            "doc": "How many ride tomorrow?",
            "needs": {"tables.days": [], "tables.totals": ["tables.days"]},
            "docs": {
                "tables.days": "Reads what is new into table `days`, judges it and publishes it.\n\n"
                "Look: `lakeloom show conf/rides.yml tables.days`",
                "tables.totals": "Reads what is new into table `totals`, judges it and publishes it.\n\n"
                "Look: `lakeloom show conf/rides.yml tables.totals`",
            },
            "groups": ["tables"],
            "pools": ["default_pool"],
            "tries": [3],
            "timeouts_s": [21600],
            "params": {"stages": [], "full_refresh": [], "target": "submit"},
            "outlets": {
                "tables.days": ["lakeloom://rides/tables/days"],
                "tables.totals": ["lakeloom://rides/tables/totals"],
            },
        }
    }


def test_a_conf_with_a_schedule_of_upkeep_has_a_second_dag(airflow, home):
    (home / "conf" / "rides.yml").write_text(f'{RIDES}upkeep_schedule: "0 3 * * 0"\n')
    (home / "conf" / "walks.yml").write_text(f"{RIDES}upkeep_schedule: on Sundays\n".replace("rides\n", "walks\n", 1))

    found = airflow.ask("bag", LAKELOOM_HOME=str(home))

    assert found["errors"] == {}
    assert set(found["dags"]) == {"rides", "rides_upkeep", "walks", "walks_upkeep"}
    upkeep = found["dags"]["rides_upkeep"]
    assert (upkeep["schedule"], upkeep["needs"]) == ("0 3 * * 0", {"upkeep": []})
    assert "upkeep_schedule: 'on Sundays' is no cron expression" in found["dags"]["walks_upkeep"]["docs"]["conf"]


def test_the_conf_and_its_target_set_how_a_dag_runs(airflow, home):
    (home / "conf" / "targets").mkdir()
    (home / "conf" / "targets" / "submit.yml").write_text("{master: null, submit: {kind: local, pool: spark}}")
    said = "airflow: {fuse: true, retries: 5, timeout: 2 hours, max_active_runs: 3, start: '2026-03-01'}\n"
    (home / "conf" / "rides.yml").write_text(RIDES + said)
    (home / "conf" / "walks.yml").write_text(
        RIDES.replace("pipeline: rides", "pipeline: walks") + "airflow: {after: [rides.tables.days]}\n"
    )
    (home / "conf" / "runs.yml").write_text(
        RIDES.replace("pipeline: rides", "pipeline: runs").replace('schedule: "0 5 * * *"\n', "")
        + "airflow: {after: [rides.tables.days, walks.tables.totals]}\n"
    )

    found = airflow.ask("bag", LAKELOOM_HOME=str(home))

    assert found["errors"] == {}
    rides, walks, runs = (found["dags"][name] for name in ("rides", "walks", "runs"))
    assert (rides["catchup"], rides["max_active_runs"], rides["pools"]) == (True, 3, ["spark"])
    assert (rides["tries"], rides["timeouts_s"], rides["groups"]) == ([6], [7200], [])
    assert rides["needs"] == {"tables": []}
    assert rides["outlets"]["tables"] == ["lakeloom://rides/tables/days", "lakeloom://rides/tables/totals"]
    assert (walks["schedule"], runs["schedule"]) == ("Asset or 0 5 * * *", "Asset")


def test_compiled_dags_are_the_same_and_no_conf_is_parsed(airflow, home):
    for number in range(50):
        text = RIDES.replace("pipeline: rides", f"pipeline: rides_{number}")
        (home / "conf" / f"rides_{number}.yml").write_text(text)
    before, parsed = (airflow.ask(what, LAKELOOM_HOME=str(home)) for what in ("bag", "parse"))

    (home / "conf" / "dags.json").write_text(compiled_text(home / "conf", "submit"))
    after, read = (airflow.ask(what, LAKELOOM_HOME=str(home)) for what in ("bag", "parse"))

    assert len(after["dags"]) == 50 and after["dags"] == before["dags"]
    readers = {"ruamel", "sqlglot"}
    assert readers <= set(parsed["modules"]) and not readers & set(read["modules"])
    said = f"50 confs: {parsed['seconds']:.2f} s to parse, {read['seconds']:.2f} s as compiled"
    sys.stderr.write(f"\n{said}, beyond importing Airflow itself\n")


def test_the_dags_of_this_checkout_are_its_plans(airflow):
    found = airflow.ask("bag")

    plans = {conf.stem: stages(load(conf)) for conf in (ROOT / "conf").glob("*.yml")}
    assert found["errors"] == {}
    assert {name: dag["needs"] for name, dag in found["dags"].items()} == {
        name: {stage.id: sorted(stage.needs) for stage in plan} for name, plan in plans.items()
    }


def test_a_broken_conf_is_a_dag_that_says_why_and_spares_the_others(airflow, home):
    broken = {
        "key.yml": RIDES.replace("tables:", "tabels:"),
        "schedule.yml": RIDES.replace("0 5 * * *", "every day"),
        "a name.yml": RIDES.replace("FROM days}", "FROM dayz}"),
    }
    for name, text in {"rides.yml": RIDES, **broken}.items():
        (home / "conf" / name).write_text(text.lstrip())

    found = airflow.ask("bag", LAKELOOM_HOME=str(home))

    assert found["errors"] == {}
    assert sorted(found["dags"]) == ["a_name", "key", "rides", "schedule"]
    reasons = {name: dag["docs"].get("conf") for name, dag in found["dags"].items()}
    assert reasons == {
        "a_name": f"{home}/conf/a name.yml:7: tables.totals.select: reads 'dayz', which is no source or table; "
        "did you mean 'days'?",
        "key": f"{home}/conf/key.yml:6: tabels: no such key; did you mean 'tables'?",
        "rides": None,
        "schedule": f"{home}/conf/schedule.yml:3: schedule: 'every day' is no cron expression: "
        "Exactly 5, 6 or 7 columns has to be specified for iterator expression.",
    }


def test_parsing_imports_no_engine(airflow, record_property):
    found = airflow.ask("parse")

    record_property("seconds_beyond_airflow", round(found["seconds"], 3))
    sys.stderr.write(f"\nreading dags/lakeloom.py takes {found['seconds']:.2f} s beyond importing Airflow itself\n")
    engines = {"pyspark", "delta", "deltalake", "pandas", "numpy", "pyarrow", "mlflow", "great_expectations", "sklearn"}
    assert "pipelines" in found["modules"]
    assert engines.isdisjoint(found["modules"])


@pytest.mark.long
def test_the_types_are_those_of_airflow(airflow, tmp_path):
    mypy = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", tmp_path]
    files = [
        *(ROOT / "pipelines" / name for name in ("approval.py", "operators.py", "dag.py")),
        ROOT / "dags" / "lakeloom.py",
    ]

    done = subprocess.run(
        [*mypy, "--python-executable", airflow.python, *files], cwd=ROOT, capture_output=True, text=True, timeout=300
    )

    assert done.returncode == 0, done.stdout + done.stderr
