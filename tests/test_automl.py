"""The conf that chooses for itself is the conf itself, but for what is searched."""

import subprocess
import sys
from pathlib import Path

from pipelines.check import check
from pipelines.spec import load, load_lines

ROOT = Path(__file__).parents[1]


def test_only_candidates_and_their_search_differ(tmp_path):
    conf, made = ROOT / "conf" / "flights.yml", tmp_path / "flights_auto.yml"

    subprocess.run([sys.executable, ROOT / "scripts" / "automl.py", conf, made, "--minutes", "2.5"], check=True)

    check(*load_lines(made))
    before, after = load(conf), load(made)
    model = after.models["late_arrival"]
    assert [c.kind for c in model.candidates] == ["logistic_regression", "random_forest", "xgboost"] and model.searched
    assert (model.search.budget_minutes, model.search.metric) == (2.5, before.models["late_arrival"].search.metric)
    same = {"candidates": model.candidates, "search": model.search}
    models = {"late_arrival": before.models["late_arrival"].model_copy(update=same)}
    assert before.model_copy(update={"models": models}) == after
    changed = set(made.read_text().splitlines()) - set(conf.read_text().splitlines())
    assert len(changed) < 8  # as it was written, comments and all
