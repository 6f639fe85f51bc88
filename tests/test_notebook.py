"""The notebook runs as a script against a warehouse that a small run made, and what it shows is so."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import land
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "flights.py"
COMMAND = Path(sys.executable).with_name("lakeloom")
# Runs the notebook, and says on the last line what it found; an altair chart is checked against its schema by to_dict.
LOOK = """
import json, runpy, sys
found = runpy.run_path(sys.argv[1])
said = {k: found[k].to_dict("list") for k in ("by_origin", "calibration", "by_hour")}
said |= {"checked": found["checked"], "layers": len(found["chart"].to_dict()["layer"])}
sys.stdout.write("\\n" + json.dumps(said, default=float))
"""


def done(*command: str | Path, at: Path) -> str:
    """What a command said on stdout; it has to end well."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return ended.stdout


def thinned(file: Path, keep: int) -> None:
    """The header and every so-manieth line, so that a run takes a minute."""
    header, *lines = file.read_text().splitlines(keepends=True)
    file.write_text(header + "".join(lines[::keep]))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder like a checkout: the flights conf with one small candidate, January landed in part, one run done."""
    at = tmp_path_factory.mktemp("notebook")
    shutil.copytree(ROOT / "conf", at / "conf")
    conf = at / "conf" / "flights.yml"
    small = conf.read_text().replace("rounds: 200", "rounds: 20").replace("min: 0.65", "min: 0.5")
    conf.write_text(small.replace("      - {kind: logistic_regression}\n", ""))
    landing = at / ".lakeloom" / "landing"
    list(land.land(land.feed(), landing, "2013-01"))
    thinned(landing / "flights" / "flights-2013-01.csv", 3)
    done(COMMAND, "run", "conf/flights.yml", at=at)
    return at


@pytest.fixture(scope="module")
def found(place):
    look = place / "look.py"
    look.write_text(LOOK)
    return json.loads(done(sys.executable, look, NOTEBOOK, at=place).splitlines()[-1])


@pytest.mark.spark
def test_the_figures_of_the_notebook_are_those_of_the_files(place, found):
    with (place / ".lakeloom" / "landing" / "flights" / "flights-2013-01.csv").open() as file:
        rows = list(csv.DictReader(file))
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
