"""Nets that begin with what others have learned: on real digits, in step, and only where it fits."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from deltalake import write_deltalake
from safetensors.numpy import load, save
from sklearn.datasets import load_digits

from deep.crews import alone, job, together
from deep.test_digits import png
from pipelines.deep import planning, pretrained
from pipelines.deep.design import Design
from pipelines.deep.job import Folder, Job
from pipelines.deep.loader import Deck
from pipelines.deep.trainee import Trainee
from pipelines.errors import DataError
from pipelines.spec.candidate import ImageNet

torch.set_num_threads(1)
SHAPE, FILTERS = (1, 8, 8), (8, 16)


def pictured(root: Path, rows: slice, epochs: int, hidden: int = 32) -> Job:
    """Some of scikit-learn's digits, as ranks read them."""
    found = load_digits()
    pictures = pa.array([png(image) for image in found.images[rows]], pa.binary())
    write_deltalake(str(root / "rows"), pa.table({"x": pictures, "y": pa.array(found.target[rows], pa.float32())}))
    path, options = str(root / "rows"), {"epochs": epochs, "batch": 64, "learning_rate": 0.01, "holdout": 0.0}
    spec = ImageNet(kind="image_net", feature="picture", size=8, filters=FILTERS, hidden=(hidden,), **options)
    design = Design("multiclass", (), (), (hidden,), 10, picture=SHAPE, filters=FILTERS, feature="picture")
    deck = Deck(path, 0, ("x", "y"), planning.groups(path, 0), 0, 1, SHAPE)
    return Job(deck, design, spec, 1, str(root / "folder"))


def begun(of: Job, content: bytes, name: str = "digits") -> Job:
    """As the driver lays it down."""
    Folder(of.folder).write(pretrained.FILE, content)
    spec = of.spec.model_copy(update={"pretrained": name})
    return replace(of, spec=spec, pretrained=hashlib.sha256(content).hexdigest())


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A net of other layers, over the first twelve hundred digits."""
    return alone(pictured(tmp_path_factory.mktemp("taught"), slice(1_200), 8, hidden=24)).trained()


def test_filters_begin_as_they_were_taught_and_go_on_learning(tmp_path, taught):
    of, held = begun(pictured(tmp_path, slice(1_200, 1_400), 4), taught), load(taught)
    first = Trainee(of).net

    done = alone(of)

    assert all((first.filters[i].weight.detach().numpy() == held[f"filters.{i}.weight"]).all() for i in range(2))
    assert all((done.net.filters[i].weight.detach().numpy() != held[f"filters.{i}.weight"]).any() for i in range(2))
    assert done.history[-1]["loss"] < 0.7 * done.history[0]["loss"]


def test_ranks_begin_and_end_with_the_same_bits_and_a_checkpoint_outlives_the_start(tmp_path, taught):
    of = begun(pictured(tmp_path / "a", slice(400), 3), taught)
    first, second = together(of, 2)
    cut = begun(pictured(tmp_path / "b", slice(400), 3), taught)
    alone(cut, upto=1)

    whole, resumed = alone(begun(pictured(tmp_path / "c", slice(400), 3), taught)), alone(cut)

    assert torch.equal(first.weights, second.weights) and torch.equal(whole.weights, resumed.weights)


def test_filters_of_another_net_are_refused(tmp_path, taught):
    of = pictured(tmp_path, slice(100), 1)
    design = replace(of.design, picture=(3, 8, 8))

    with pytest.raises(DataError) as caught:
        Trainee(begun(replace(of, design=design), taught))

    assert str(caught.value) == (
        "pretrained: filters.0.weight is 8 x 1 x 3 x 3 in digits, and this net wants 8 x 3 x 3 x 3"
    )


def test_another_file_than_the_driver_read_is_refused(tmp_path, taught):
    of = begun(pictured(tmp_path, slice(100), 1), taught)
    Folder(of.folder).write(pretrained.FILE, taught[:-1] + b"x")

    with pytest.raises(DataError, match=r"^pretrained: the file of digits is not the one that the driver read$"):
        Trainee(of)


@pytest.mark.parametrize("module", ["residual", "grown"])
def test_of_a_teams_own_net_all_begins_so_or_what_it_calls_its_backbone(tmp_path, module):
    of = job(tmp_path)
    of = replace(of, design=replace(of.design, module=module), extensions=("deep.own",))
    plain = Trainee(of).net
    held = {name: np.full(tuple(part.shape), 0.5, np.float32) for name, part in plain.named_parameters()}

    found = dict(Trainee(begun(of, save(held))).net.named_parameters())

    same = {name for name, part in found.items() if (part.detach().numpy() == 0.5).all()}
    assert same == ({"turn.weight", "turn.bias"} if module == "grown" else set(held))
