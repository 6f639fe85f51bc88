"""What waits for a person, what a monitor asks for, what comes late, in a real Airflow; a stand-in takes submits."""

import os
from pathlib import Path
from typing import Any

import psutil
import pytest
from cluster.scheduler import Running, running
from ports import free_port

pytestmark = pytest.mark.airflow
ROOT = Path(__file__).parents[2]

# Writes down what it was asked for; a training ends as its model's name says.
STAND_IN = """#!/usr/bin/env bash
printf '%s ' "$@" >> "$0.calls"; echo >> "$0.calls"
handed() {
  said='{"now": {"waiting": [], "retrain": [%s], "said": [%s]}, "before": {"waiting": [%s], "retrain": [], "said": []}}'
  printf "lakeloom: $said\\n" "$2" "$3" "$1" >&2
}
case "$*" in
  *--promote*) ;;
  *models.refused*monitors.*) handed '' '"plain"' '"monitors.watch: retrain: May: {{ 6 * 7 }} < 50"'
    echo "error: models.refused: version 2 is not promoted: roc_auc at least 0.9: 0.7" >&2; exit 3 ;;
  *models.refused*) echo "error: models.refused: version 2 is not promoted: roc_auc at least 0.9: 0.7" >&2; exit 3 ;;
  *monitors.*) seq 40; handed '' "$(cat "$0.retrain")" ;;
  *late_runs.yml*) sleep 30 ;;
  *stuck.yml*) exec sleep 611 ;;
  *models.late*) [ -e "$0.lost" ] && { rm "$0.lost"; exit 1; }; seq 40; handed '"late@3"' '' ;;
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
  plain: {features: daily, label: late, task: binary, candidates: [{kind: decision_tree}]}
scores:
  each: {model: late, of: daily, mode: batch}
  other: {model: refused, of: daily, mode: batch}
  more: {model: plain, of: daily, mode: batch}
monitors:
  watch: {scores: more, retrain: {cooldown: 30 days}}
"""
PAGES = {"LAKELOOM_REPORTS": "http://reports:8000/", "LAKELOOM_MLFLOW": "http://mlflow:5000"}
BY_HAND = ", promotion: by_hand"
SLOW = """
pipeline: late_runs
airflow: {email: [team@example.org], deadline: 1 second}
sources: {days_raw: {kind: files, format: csv, path: days, schema: "day INT"}}
tables: {days: {from: days_raw, select: "SELECT day FROM days_raw"}}
"""
STUCK = """
pipeline: stuck
airflow: {timeout: 5 seconds, retries: 1, retry_delay: 1 second}
sources: {days_raw: {kind: files, format: csv, path: days, schema: "day INT"}}
tables: {days: {from: days_raw, select: "SELECT day FROM days_raw"}}
"""
FOLLOWS = """
pipeline: follows
airflow: {after: [shop.tables.days]}
sources: {days_raw: {kind: files, format: csv, path: days, schema: "day INT"}}
tables: {days: {from: days_raw, select: "SELECT day FROM days_raw"}}
"""
PAST = """
pipeline: past
schedule: "0 5 * * *"
sources: {days_raw: {kind: files, format: csv, path: days, schema: "day INT, at TIMESTAMP"}}
tables: {days: {from: days_raw, keys: [day], event_time: at, select: "SELECT day, at FROM days_raw"}}
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
def shop(calls: Path, post: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Airflow with the DAG of CONF."""
    home = tmp_path_factory.mktemp("home")
    (home / "conf" / "targets").mkdir(parents=True)
    (home / "conf" / "targets" / "submit.yml").write_text("{master: null, namespace: team, submit: {kind: local}}")
    (home / "pipelines").symlink_to(ROOT / "pipelines")
    (home / "conf" / "shop.yml").write_text(CONF)
    whole = CONF.replace("pipeline: shop", "pipeline: whole").replace(BY_HAND, "")
    whole = whole.replace("fuse: true", "fuse: all, email: [team@example.org]")
    (home / "conf" / "whole.yml").write_text(whole)
    (home / "conf" / "late_runs.yml").write_text(SLOW)
    (home / "conf" / "stuck.yml").write_text(STUCK)
    (home / "conf" / "targets" / "branch.yml").write_text("{master: null, submit: {kind: local}}")
    (home / "conf" / "past.yml").write_text(PAST)
    (home / "conf" / "follows.yml").write_text(FOLLOWS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{calls.parent}{os.pathsep}{os.environ['PATH']}")
        with running(home, "submit", **triggerer(post)) as airflow:
            airflow.wait(lambda: airflow.ask("/api/v2/dags/shop")["dag_id"] == "shop")
            yield airflow


def triggerer(post: Any) -> dict[str, str]:
    """Where pages are, where letters go, and a port of its own for the part that sends those about deadlines."""
    return {
        **PAGES,
        "AIRFLOW_CONN_SMTP_DEFAULT": post[1],
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
    }


def answered(shop: Running, calls: Path, option: str) -> tuple[dict[str, str], list[str], str]:
    """One run in which a person chooses an option: task -> state, what promoted, what was asked."""
    calls.unlink(missing_ok=True)
    calls.with_suffix(".lost").touch()  # the first try ends after the training, and before it can say so
    calls.with_suffix(".retrain").write_text('"plain"' if option == "Approve" else "")
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
    assert links(shop, run, "models.plain") == {
        "Report": "http://reports:8000/shop.html", "Run records": "http://reports:8000/shop.html#runs",
        "MLflow": "http://mlflow:5000/#/models/team.shop.plain"
    }  # fmt: skip
    assert not links(shop, run, "tables-features")["MLflow"]
    return {t["task_id"]: t["state"] for t in found}, promoted, asked["subject"]


def links(shop: Running, run: str, task: str) -> dict[str, str]:
    found: dict[str, str] = shop.ask(f"/api/v2/dags/shop/dagRuns/{run}/taskInstances/{task}/links")["extra_links"]
    return found


def test_an_approved_version_is_promoted_by_who_approved_before_anything_is_scored(shop, calls):
    states, promoted, asked = answered(shop, calls, "Approve")

    assert asked == "Promote late@3?"
    assert states == {
        "tables-features": "success",
        "models.late": "success", "models.late_approval": "success", "models.late_promotion": "success",
        "models.refused": "skipped",  # by its gate
        "models.plain": "success",
        "scores-monitors": "success",
        "models.plain_retraining": "success",
    }  # fmt: skip
    (line,) = promoted
    assert f"jobs/batch.py models.late {shop.home}/conf/shop.yml --target submit --promote late@3 " in line
    assert line.split()[-1] not in ("late@3", "unknown")  # a person's name
    made = calls.read_text().splitlines()
    assert [i for i, line in enumerate(made) if "batch.py models.plain " in line][-1] == len(
        made
    ) - 1  # as was asked for
    scored = [i for i, made in enumerate(calls.read_text().splitlines()) if "scores.each" in made]
    assert scored and min(scored) > calls.read_text().splitlines().index(line)


def test_a_rejected_version_is_not_promoted_and_scores_go_on(shop, calls):
    states, promoted, _ = answered(shop, calls, "Reject")

    assert promoted == []
    assert (states["models.late_promotion"], states["scores-monitors"]) == ("skipped", "success")
    assert states["models.plain_retraining"] == "skipped"  # no monitor asks
    assert calls.read_text().count("batch.py models.plain ") == 1


def test_where_all_is_one_task_a_refused_version_hides_nothing_of_what_was_done(shop, calls, post):
    shop.wait(lambda: shop.ask("/api/v2/dags/whole")["dag_id"] == "whole")
    calls.unlink(missing_ok=True)

    run = shop.trigger("whole")

    assert shop.ended("whole", run) == "success"
    found = shop.ask(f"/api/v2/dags/whole/dagRuns/{run}/taskInstances")["task_instances"]
    whole = "tables-features-models-scores-monitors"
    assert {t["task_id"]: t["state"] for t in found} == {whole: "success", "models.plain_retraining": "success"}
    assert "version 2 is not promoted" in shop.said("whole", run)
    assert sum("whole.yml" in line for line in calls.read_text().splitlines()) == 2
    (letter,) = [letter for _, letter in post[0] if letter["subject"].startswith("whole: ")]
    assert letter["subject"] == "whole: monitors.watch wants to be looked at"
    assert "retrain: May: &#123;&#123; 6 * 7 }} &lt; 50" in letter.get_body(("html",)).get_content()


def test_a_dag_follows_a_table_of_another_and_not_one_of_another_target(shop):
    shop.wait(lambda: shop.ask("/api/v2/dags/follows")["dag_id"] == "follows")

    branch, own = (shop.trigger("shop", stages=["tables"], target=target) for target in ("branch", "submit"))

    assert [shop.ended("shop", run) for run in (branch, own)] == ["success", "success"]
    shop.wait(lambda: own in followed(shop))
    assert branch not in followed(shop)  # which ended first: a DAG has one run at a time


def followed(shop: Running) -> list[str]:
    """The runs whose tables began a run of the other DAG."""
    path = "/api/v2/dags/follows/dagRuns"
    runs = [run["dag_run_id"] for run in shop.ask(path)["dag_runs"]]
    found = [shop.ask(f"{path}/{run}/upstreamAssetEvents")["asset_events"] for run in runs]
    return [event["source_run_id"] for events in found for event in events]


def test_who_is_named_is_written_to_when_a_run_is_not_done_in_time(shop, post):
    letters, _ = post
    shop.start("triggerer")

    run = shop.trigger("late_runs")

    shop.wait(lambda: [each for each in letters if "late_runs" in each[1]["subject"]])
    (to, letter) = next(each for each in letters if "late_runs" in each[1]["subject"])
    assert (to, letter["subject"]) == (["team@example.org"], "late_runs: a run is not done 0:00:01 after it was queued")
    assert run in letter.get_body(("html",)).get_content()
    assert shop.ended("late_runs", run) == "success"  # late, and no failure


def test_what_takes_too_long_is_ended_and_fails(shop):
    run = shop.trigger("stuck")

    assert shop.ended("stuck", run) == "failed"
    assert shop.tries("stuck", run) == {"tables.days": 2}
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "611"]]
    said = "tables.days: not done within 0:00:05 (airflow: timeout of the conf), so it was ended"
    assert f"stuck tables.days failed in run {run}: {said}" in shop.said("stuck", run)


def test_a_backfill_makes_each_interval_anew(shop, calls):
    days = [f"2026-03-0{n}T05:00:00+00:00" for n in (1, 2, 3)]
    calls.unlink(missing_ok=True)

    asked = {"dag_id": "past", "from_date": days[0], "to_date": days[1], "max_active_runs": 1, "dag_run_conf": {}}
    made = shop.wait(lambda: shop.ask("/api/v2/backfills", asked))  # 503 while SQLite is locked

    shop.wait(lambda: shop.ask(f"/api/v2/backfills/{made['id']}")["completed_at"])
    lines = [line for line in calls.read_text().splitlines() if "/conf/past.yml" in line and "--between" in line]
    assert sorted(line.split()[-2:] for line in lines) == [days[:2], days[1:]]
