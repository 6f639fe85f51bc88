"""A version that waits for a person, and one that was refused, in a real Airflow; a stand-in takes spark-submits."""

import os
from pathlib import Path
from typing import Any

import pytest
from cluster.scheduler import Running, running

pytestmark = pytest.mark.airflow
ROOT = Path(__file__).parents[2]

# Writes down what it was asked for; a training ends as its model's name says.
STAND_IN = """#!/usr/bin/env bash
printf '%s ' "$@" >> "$0.calls"; echo >> "$0.calls"
case "$*" in
  *--promote*) ;;
  *models.refused*) echo "error: models.refused: version 2 is not promoted: roc_auc at least 0.9: 0.7" >&2; exit 3 ;;
  *models.late*) printf '    "error": "",\\n    "waits": "late@3"\\n  }\\n]\\n' ;;
esac
"""
CONF = """
pipeline: shop
airflow: {fuse: true, retry_delay: 1 second}
sources:
  days_raw: {kind: files, format: csv, path: days, schema: "day INT, at TIMESTAMP, rides INT, late BOOLEAN"}
tables:
  days: {from: days_raw, keys: [day], event_time: at, select: "SELECT day, at, rides, late FROM days_raw"}
features:
  daily: {spine: days, keys: [day], as_of_time: at, columns: [rides]}
models:
  late: {features: daily, label: late, task: binary, candidates: [{kind: decision_tree}], promotion: by_hand}
  refused: {features: daily, label: late, task: binary, candidates: [{kind: decision_tree}]}
scores:
  each: {model: late, of: daily, mode: batch}
  other: {model: refused, of: daily, mode: batch}
"""
ASKED = "/api/v2/dags/shop/dagRuns/{}/taskInstances/models.late_approval/-1/hitlDetails"


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stand-in was called with, a line each."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "spark-submit").write_text(STAND_IN)
    (folder / "spark-submit").chmod(0o755)
    return folder / "spark-submit.calls"


@pytest.fixture(scope="module")
def shop(calls: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Airflow with the DAG of CONF."""
    home = tmp_path_factory.mktemp("home")
    (home / "conf" / "targets").mkdir(parents=True)
    (home / "conf" / "targets" / "submit.yml").write_text("{master: null, submit: {kind: local}}")
    (home / "pipelines").symlink_to(ROOT / "pipelines")
    (home / "conf" / "shop.yml").write_text(CONF)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{calls.parent}{os.pathsep}{os.environ['PATH']}")
        with running(home, "submit") as airflow:
            airflow.wait(lambda: airflow.ask("/api/v2/dags/shop")["dag_id"] == "shop")
            yield airflow


def answered(shop: Running, calls: Path, option: str) -> tuple[dict[str, str], list[str], str]:
    """One run in which a person chooses an option: task -> state, what promoted, what was asked."""
    calls.unlink(missing_ok=True)
    run = shop.trigger("shop")
    asked = shop.wait(lambda: shop.ask(ASKED.format(run)))

    def over() -> bool:
        """Answer as often as asked: under load Airflow may take a quick answer for a lost task, and try again."""
        if not shop.ask(ASKED.format(run))["response_received"]:
            shop.patch(ASKED.format(run), {"chosen_options": [option], "params_input": {}})
        return shop.ask(f"/api/v2/dags/shop/dagRuns/{run}")["state"] in ("success", "failed")

    shop.wait(over)
    assert shop.ended("shop", run) == "success"
    found = shop.ask(f"/api/v2/dags/shop/dagRuns/{run}/taskInstances")["task_instances"]
    promoted = [line for line in calls.read_text().splitlines() if "--promote" in line]
    return {t["task_id"]: t["state"] for t in found}, promoted, asked["subject"]


def test_an_approved_version_is_promoted_by_who_approved_before_anything_is_scored(shop, calls):
    states, promoted, asked = answered(shop, calls, "Approve")

    assert asked == "Promote late@3?"
    assert states == {
        "tables-features": "success",
        "models.late": "success", "models.late_approval": "success", "models.late_promotion": "success",
        "models.refused": "skipped",  # by its gate
        "scores": "success",
    }  # fmt: skip
    (line,) = promoted
    assert f"jobs/batch.py models.late {shop.home}/conf/shop.yml --target submit --promote late@3 " in line
    assert line.split()[-1] not in ("late@3", "unknown")  # a person's name
    scored = [i for i, made in enumerate(calls.read_text().splitlines()) if "scores.each" in made]
    assert scored and min(scored) > calls.read_text().splitlines().index(line)


def test_a_rejected_version_is_not_promoted_and_scores_go_on(shop, calls):
    states, promoted, _ = answered(shop, calls, "Reject")

    assert promoted == []
    assert (states["models.late_promotion"], states["scores"]) == ("skipped", "success")
