"""A trained net exported with weights of 8 bits: what it costs is said, kept beside the graph, and has a limit."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from online import serving

from e2e.project import Project, Said, project
from pipelines.onnx import Graph
from pipelines.signature import SAID

pytestmark = pytest.mark.spark

NAMES = [f"x{place}" for place in range(4)]
COLUMNS = ", ".join(NAMES)


@dataclass(frozen=True)
class Story:
    """A net that was exported whole, quantised, and quantised with nothing to lose."""

    project: Project
    whole: Path
    quantised: Path
    said: Said


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    made, out = project(tmp_path_factory.mktemp("nets"), "nets"), tmp_path_factory.mktemp("exported")
    dice, lines = random.Random(5), [f"id,at,{','.join(NAMES)},yes"]
    for number in range(600):
        xs = [dice.random() for _ in NAMES]
        at = f"2026-01-{1 + number // 24:02} {number % 24:02}:00:00"
        lines.append(f"{number},{at},{','.join(map(str, xs))},{int(xs[0] * xs[1] + 0.1 * dice.random() > 0.3)}")
    made.land("raw/rows.csv", "\n".join(lines) + "\n")
    numbers = ", ".join(f"{name} DOUBLE" for name in NAMES)
    made.write(
        sources={"raw": {"kind": "files", "format": "csv", "path": "raw",
                         "schema": f"id INT, at TIMESTAMP, {numbers}, yes INT"}},
        tables={"rows": {"from": "raw", "keys": ["id"], "event_time": "at", "select": "SELECT * FROM raw"}},
        features={"known": {"spine": "rows", "keys": ["id"], "as_of_time": "at", "columns": NAMES}},
        models={"net": {"features": "known", "label": "yes", "task": "binary", "gates": [],
                        "candidates": [{"kind": "mlp", "hidden": [40, 40], "iterations": 10}]}},
    )  # fmt: skip
    assert made.lakeloom("run").error == ""
    assert made.lakeloom("export", "net", "--to", str(out / "whole")).error == ""
    said = made.lakeloom("export", "net", "--quantised", "0.05", "--to", str(out / "quantised"))
    return Story(made, out / "whole", out / "quantised", said)


def test_what_it_costs_is_said_and_stands_beside_the_graph(story):
    assert story.said.error == ""
    whole, found = (json.loads((f / "metadata.json").read_text()) for f in (story.whole, story.quantised))
    cost = found["quantised"]
    (record,) = story.project.records("models.net")

    assert cost["of"] == whole["sha256"] != found["sha256"]
    assert cost["rows"] == record.detail["splits"]["test"]["rows"]
    tested = {name: value[0] for name, value in record.detail["test"].items()}
    assert {name: pair[0] for name, pair in cost["metrics"].items()} == pytest.approx(tested)
    assert 0 < cost["mean"] < cost["largest"] < 0.05 and cost["lost"] <= cost["allowed"] == 0.05
    sizes = [(f / "model.onnx").stat().st_size for f in (story.whole, story.quantised)]
    assert list(cost["bytes"].values()) == sizes and sizes[1] < sizes[0] - 6 * 1600
    was, now = cost["metrics"]["average_precision"]
    assert f"on {cost['rows']} rows average precision {was:.4f} becomes {now:.4f}, scores are" in story.said.err


def test_a_quantised_graph_is_served_as_any_other(story):
    row = json.loads((story.quantised / "metadata.json").read_text())["example"]
    graphs = [Graph.opened(folder / "model.onnx") for folder in (story.whole, story.quantised)]
    assert graphs[0].said[SAID] == graphs[1].said[SAID]

    with serving(["-m", "pipelines.serve", str(story.quantised)]) as running:
        status, reply = running.score(row)

    whole, quantised = (graph.score({k: [v] for k, v in row.items()})["score"][0] for graph in graphs)
    assert (status, reply["answer"]["score"]) == (200, quantised)
    assert 0 < abs(whole - quantised) < 0.05


def test_a_loss_beyond_the_limit_is_refused_and_nothing_is_written(story, monkeypatch, tmp_path):
    monkeypatch.setattr("pipelines.models.graphs.weights.GREATEST", 1)  # weights of less than two bits

    said = story.project.lakeloom("export", "net", "--quantised", "0", "--to", str(tmp_path / "none"))

    assert said.code == 3
    assert said.error.startswith("nets.net@1: quantised its average precision goes from ")
    assert said.error.endswith("and --quantised 0 allows a loss of 0.00%; allow more, or export it as it is")
    assert not (tmp_path / "none").exists()
