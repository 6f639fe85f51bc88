"""Rows of which no model can be made, through the command: one sentence each, and nothing is registered.

One run meets them all: a model that is refused stops no other.
"""

from dataclasses import dataclass
from typing import Any

import pytest

from e2e.project import Project, Said, project

pytestmark = pytest.mark.spark

ROWS, DAYS = 2_000, 20
LINES = {"orders": range(ROWS), "few": range(3), "spread": range(0, 300, 100)}  # of a day, and of three days
REFUSED = {
    "few": "3 labelled rows on 1 days do not make a training, a validation and a test slice",
    "spread": "3 labelled rows on 3 days do not make a training, a validation and a test slice",
    "unknown": "0 labelled rows on 20 days do not make a training, a validation and a test slice",
    "named": "the label has 1,400 classes among the training rows; the most is 1,000: "
    "is it a number (task: regression), or a key?",
}


@dataclass(frozen=True)
class Story:
    project: Project
    said: Said


def source(name: str, schema: str) -> dict[str, Any]:
    return {"kind": "files", "format": "csv", "path": name, "schema": schema}


def table(name: str) -> dict[str, Any]:
    return {"from": f"{name}_raw", "keys": ["id"], "event_time": "at", "select": f"SELECT * FROM {name}_raw"}


def seen(spine: str, columns: list[str]) -> dict[str, Any]:
    return {"spine": spine, "keys": ["id"], "as_of_time": "at", "columns": columns}


def model(features: str, label: str, task: str = "binary") -> dict[str, Any]:
    linear = {"kind": "logistic_regression", "iterations": 3, "regularization": 0.1}
    return {"features": features, "label": label, "task": task, "candidates": [linear], "gates": []}


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = project(tmp_path_factory.mktemp("bad"), "bad")
    made.write(
        sources={
            **{f"{name}_raw": source(name, "id INT, at TIMESTAMP, x INT, nothing INT, y INT") for name in LINES},
        },
        tables={name: table(name) for name in LINES},
        features={name: seen(name, ["x"]) for name in LINES},
        models={
            "few": model("few", "y = 1"),
            "spread": model("spread", "y = 1"),
            "unknown": model("orders", "nothing = 1"),
            "named": model("orders", "concat('n', id, y)", "multiclass"),
        },
    )
    lines = [f"{i},{day(i)},{i * i % 97},,{int(i % 2 == 0)}" for i in range(ROWS)]
    for name, asked in LINES.items():
        made.land(f"{name}/1.csv", "\n".join(["id,at,x,nothing,y", *(lines[i] for i in asked)]) + "\n")
    return Story(made, made.lakeloom("run"))


def day(number: int) -> str:
    return f"2026-01-{1 + number * DAYS // ROWS:02} 00:00:{number % 60:02}"


@pytest.mark.parametrize("name", REFUSED)
def test_rows_of_which_no_model_can_be_made_are_one_sentence(story, name):
    said = [line.strip() for line in (story.said.out + story.said.err).splitlines()]

    assert [line for line in said if line.endswith(f"models.{name}: {REFUSED[name]}")], said
    assert story.said.code == 3 and "Traceback" not in story.said.err
    assert story.project.models() == (0, {})
