"""A classifier of pictures: scikit-learn's 1,797 handwritten digits as PNG files in a table, from landing to scores."""

import io
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from e2e.project import Project, Said, project
from PIL import Image
from sklearn.datasets import load_digits

from pipelines.deep.design import Design, outputs
from pipelines.deep.net import Net

pytestmark = pytest.mark.spark

SCHEMA = "sheet STRING, written_at TIMESTAMP, picture BINARY, digit INT"
NET = {
    "kind": "image_net", "feature": "picture", "size": 8, "filters": [16, 32], "hidden": [64], "epochs": 20,
    "batch": 64, "learning_rate": 0.005, "launcher": "single",
}  # fmt: skip


def png(pixels: np.ndarray) -> bytes:
    into = io.BytesIO()
    Image.fromarray((pixels * 15).astype(np.uint8)).save(into, "PNG")
    return into.getvalue()


def digits(root: Path, **net: Any) -> Project:
    """Every thousandth second a sheet; one has no picture, one a torn file. Three days, so that each is of a slice."""
    made, found = project(root, "digits"), load_digits()
    pictures: list[bytes | None] = [png(image) for image in found.images]
    pictures[-2:] = [None, b"torn"]
    begun, count = datetime(2026, 1, 1), len(pictures)
    columns = {
        "sheet": [f"s{i}" for i in range(count)],
        "written_at": [begun + timedelta(minutes=10 * i) for i in range(count)],
        "picture": pictures,
        "digit": pa.array(found.target, pa.int32()),
    }
    into = io.BytesIO()
    pq.write_table(pa.table(columns), into)
    made.land("sheets/1.parquet", into.getvalue())
    table = {"from": "sheets_raw", "keys": ["sheet"], "event_time": "written_at", "select": "SELECT * FROM sheets_raw"}
    model = {"features": "sheets_seen", "label": "CAST(digit AS STRING)", "task": "multiclass"}
    feature = {"spine": "sheets", "keys": ["sheet"], "as_of_time": "written_at", "columns": ["picture"]}
    made.write(
        sources={"sheets_raw": {"kind": "files", "format": "parquet", "path": "sheets", "schema": SCHEMA}},
        tables={"sheets": table},
        features={"sheets_seen": feature},
        models={"digit": {**model, "candidates": [{**NET, **net}], "gates": [{"metric": "accuracy", "min": 0.8}]}},
        scores={"daily": {"model": "digit", "of": "sheets_seen", "mode": "batch"}},
    )
    return made


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Said]:
    made = digits(tmp_path_factory.mktemp("digits"))
    return made, made.lakeloom("run")


def test_a_table_of_pictures_is_learned_and_admitted(story):
    made, said = story

    assert said.error == ""
    assert made.models() == (1, {"champion": 1})
    (record,) = made.records("models.digit")
    assert record.detail["test"]["accuracy"][0] > 0.85
    assert record.detail["onnx"]["why"] == "a net of pictures has no node in a graph: it reads files, not numbers"


def test_scores_name_the_digit_and_a_torn_file_has_one_like_a_missing_picture(story):
    made, _ = story

    scores = {row["sheet"]: row for row in made.rows("scores.daily")}

    target = enumerate(load_digits().target[:-2])
    right = [scores[f"s{i}"]["predicted"] == str(digit) for i, digit in target if f"s{i}" in scores]
    assert len(right) > 200 and np.mean(right) > 0.85  # of the days behind the cutoff
    last = [(scores[f"s{i}"]["predicted"], scores[f"s{i}"]["score"]) for i in (1_795, 1_796)]
    assert last[0] == last[1]


@pytest.mark.parametrize("channels", [1, 3])
def test_numpy_sees_pictures_as_torch_does(channels):
    design = Design("multiclass", (), (), (8,), 4, picture=(channels, 13, 10), filters=(5, 6))
    torch.manual_seed(1)
    net = Net(design).eval()
    weights = {name: part.detach().numpy() for name, part in net.named_parameters()}
    x = np.random.default_rng(2).random((300, design.width)).astype(np.float32)

    with torch.no_grad():
        expected = net(torch.from_numpy(x)).numpy()

    assert {name: part.shape for name, part in weights.items()} == design.weights
    assert outputs(design, weights, x) == pytest.approx(expected, abs=2e-6)
