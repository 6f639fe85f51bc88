"""A search killed by SIGKILL between two trials: the next run goes on with what was kept, and forgets it then."""

from signal import SIGKILL

import pytest

from e2e.parcels import parcels
from pipelines.crash import VARIABLE

pytestmark = pytest.mark.spark

BOOST = {"kind": "xgboost", "rounds": 3, "depth": [2, 4]}


def test_a_search_killed_between_two_trials_is_not_begun_anew(spark, tmp_path):
    project = parcels(tmp_path, candidates=[BOOST], search={"trials": 3})
    plan = project.lakeloom("plan").out
    killed = project.lakeloom_apart("run", **{VARIABLE: "between trials @ models.late"})
    kept = sorted(p.name for p in project.root.rglob("_trials/**/*.json"))

    again = project.lakeloom("run")

    assert "never ran; at most 3 trials of 1 candidate\n" in plan
    assert (killed.code, kept) == (-SIGKILL, ["0-0.json"])
    assert again.error == ""
    assert [line.split(maxsplit=1)[1] for line in again.err.splitlines() if "xgboost" in line][:3] == [
        "tried xgboost before (1 of 3)",
        "fits xgboost (2 of 3)",
        "fits xgboost (3 of 3)",
    ]
    (record,) = project.records("models.late")
    assert sorted(t["number"] for t in record.detail["candidates"]) == [0, 1, 2]
    assert list(project.root.rglob("_trials/**/*.json")) == []
    assert project.models() == (1, {"champion": 1})
