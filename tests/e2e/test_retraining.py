"""The loop closed: what drifted is seen, trained upon, gated, promoted; and what comes next is answered by it.

From May on x says the opposite of what it said before. In April one row of nine breaks a promise, and nothing drifts.
"""

import json
import re
from typing import Any

import pytest

from e2e.project import TARGET, project
from e2e.test_monitors import CONF, PERIOD, land, month, window

pytestmark = pytest.mark.spark

NAMED = {"expect_column_values_to_match_regex": {"column": "id", "regex": "^[0-9]"}, "on_fail": "quarantine"}
ASKED = {
    **CONF,
    "tables": {"orders": {**CONF["tables"]["orders"], "expect": [NAMED]}},
    "monitors": {"watch": {"scores": "daily", "rows": 50, "retrain": {"cooldown": "7 days", "budget_usd": "0.000001"}}},
}
MANY = 4_000  # rows of the month of the turn, so that what is new weighs more than what was


def test_a_model_that_was_retrained_as_its_monitor_asked_wins_and_answers_what_comes(spark, tmp_path):
    made, said = project(tmp_path, "shop"), list[tuple[int, str]]()
    made.write(**ASKED)
    made.target.write_text(TARGET.replace("}", ", prices: {usd_core_hour: 1}}"))

    def run(*months: tuple[int, bool, int]) -> Any:
        for number, flipped, rows in months:
            land(made, str(number), month(number, flipped, rows))
        plan = {p["stage"]: p["why"] for p in json.loads(made.lakeloom("plan", "--format", "json").out)}
        done = made.lakeloom("run")
        said.append((done.code, done.error))
        return plan

    run((1, False, 300), (2, False, 300), (3, False, 300))
    land(made, "unnamed", [{**row, "id": "?"} for row in month(4)[:40]])
    run((4, False, 300))
    run((5, True, MANY), (6, True, 200))
    dear = json.loads(made.lakeloom("plan", "--format", "json").out)
    made.change(lambda conf: conf["monitors"]["watch"]["retrain"].update(budget_usd="10"))
    run()
    asked = run()
    run((7, True, 300), (8, True, 2))
    quiet = json.loads(made.lakeloom("plan", "--format", "json").out)

    trained = [(r.detail["version"], r.status) for r in made.records("models.returns")]
    by_month = {PERIOD.format(n): {r["model_version"] for r in made.rows("scores.daily") if r["at"].month == n}
                for n in (5, 7)}  # fmt: skip
    shown = json.loads(made.lakeloom("monitor", "--format", "json").out)
    assert said == [(0, "")] * 6
    assert asked["models.returns"].startswith("watch asks to retrain: May 2024: roc_auc 0.")
    assert trained == [(1, "ok"), (2, "ok")] and made.models()[1]["champion"] == 2
    assert by_month == {PERIOD.format(5): {1}, PERIOD.format(7): {2}}
    calm, unnamed, refused, turned, _ = (r.detail["decision"] for r in made.records("monitors.watch"))
    told = "of tables.orders 11.8% of the rows break 'id: match regex (regex ^[0-9])', 0.0% before"
    assert (calm["verdict"], unnamed["verdict"], unnamed["reasons"][0]) == ("wait", "investigate", told)
    assert (turned["verdict"], turned["broken"]) == ("retrain", [])
    usd = r"May 2024: a training would cost about 0\.\d{4} USD, budget_usd is 0\.000001"
    assert refused["verdict"] == "investigate" and re.fullmatch(usd, refused["reasons"][0])
    assert refused["reasons"][1] == turned["reasons"][0].removeprefix("May 2024: ")
    assert not [p for p in dear if p["stage"] == "models.returns" and p["run"]]
    may, july = window(shown, 5), window(shown, 7)
    assert may["verdict"] == "retrain" and may["performance"]["true"][0] < 0.4
    assert july["verdict"] != "retrain" and july["performance"]["true"][0] > 0.7
    assert not [p for p in quiet if p["stage"] == "models.returns" and p["run"]]
