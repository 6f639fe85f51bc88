"""The notebook runs as a script against a warehouse that a small run made, and what it shows is so."""

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from e2e.project import LIMIT_S

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "flights.py"
# Runs the notebook, and says on the last line what it found; an altair chart is checked against its schema by to_dict.
LOOK = """
import json, runpy, sys
found = runpy.run_path(sys.argv[1])
said = {k: found[k].to_dict("list") for k in ("by_origin", "calibration", "by_hour")}
said |= {"checked": found["checked"], "layers": len(found["chart"].to_dict()["layer"])}
sys.stdout.write("\\n" + json.dumps(said, default=float))
"""


@pytest.fixture(scope="module")
def found(flown, tmp_path_factory: pytest.TempPathFactory):
    look = tmp_path_factory.mktemp("look") / "look.py"
    look.write_text(LOOK)
    ended = subprocess.run(
        [sys.executable, look, NOTEBOOK],
        cwd=flown.root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.spark
def test_the_figures_of_the_notebook_are_those_of_the_files(flown, found):
    files = sorted((flown.landing / "flights").glob("*.csv"))
    rows = [row for file in files for row in csv.DictReader(file.read_text().splitlines())]
    arrived = [row for row in rows if row["arr_delay"] != "NA"]
    late = Counter(row["origin"] for row in arrived if int(row["arr_delay"]) >= 15)
    flights, known = (Counter(row["origin"] for row in part) for part in (rows, arrived))

    by_origin = found["by_origin"]

    assert by_origin["origin"] == ["EWR", "JFK", "LGA"]
    assert by_origin["flights"] == [flights[origin] for origin in by_origin["origin"]]
    assert by_origin["arrived"] == [known[origin] for origin in by_origin["origin"]]
    shares = [late[origin] / known[origin] for origin in by_origin["origin"]]
    assert by_origin["share_late"] == pytest.approx(shares, abs=0.0005)
    assert sum(found["calibration"]["flights"]) == sum(found["by_hour"]["flights"]) > 0
    assert found["layers"] == 2


@pytest.mark.spark
def test_the_model_of_the_notebook_gives_the_published_scores_again(found):
    assert found["checked"]["scores"] == found["checked"]["made by the champion"] > 0
    assert found["checked"]["largest difference"] == 0


def test_the_notebook_is_percent_format_and_starts_with_what_it_is_for():
    cells = NOTEBOOK.read_text().split("# %%")

    assert NOTEBOOK.read_text().startswith("# ---\n# jupyter:")
    assert cells[1].startswith(" [markdown]\n# # ")
    assert len(cells) > 8
