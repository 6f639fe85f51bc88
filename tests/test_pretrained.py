"""Weights that a net begins with: named by the conf, placed by extensions, and refused where they do not fit."""

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from pipelines.deep.pretrained import fitting, opened
from pipelines.errors import DataError, SpecError
from pipelines.spec.candidate import ImageNet, TabularNet

HELD = {"filters.0.weight": np.ones((4, 1, 3, 3), np.float64), "filters.0.bias": np.zeros(4, np.float16)}
SHAPES = {"filters.0.weight": (4, 1, 3, 3), "filters.0.bias": (4,)}


@pytest.fixture
def extension(tmp_path, monkeypatch):
    """A module that names files."""

    def made(**weights: Path | str) -> tuple[str, ...]:
        (tmp_path / "weighed.py").write_text(f"WEIGHTS = { {name: str(path) for name, path in weights.items()}!r}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "weighed", raising=False)
        return ("weighed",)

    return made


def test_a_name_leads_to_the_file_that_those_who_deploy_have_placed(tmp_path, extension):
    (tmp_path / "a.safetensors").write_bytes(save(HELD))

    assert opened("digits", extension(digits=tmp_path / "a.safetensors")) == save(HELD)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("letters", "pretrained: letters is in WEIGHTS of no extension; there are digits, gone"),
        ("gone", "pretrained: the file of gone in WEIGHTS cannot be read: No such file or directory"),
    ],
)
def test_a_name_without_a_file_is_one_sentence(tmp_path, extension, name, sentence):
    with pytest.raises(SpecError) as caught:
        opened(name, extension(digits="/etc/hostname", gone=tmp_path / "gone"))

    assert str(caught.value) == sentence


@pytest.mark.parametrize("name", ["/etc/passwd", "../a.safetensors", "file:///etc/passwd", "a.safetensors"])
def test_a_conf_can_name_no_file(name):
    with pytest.raises(ValueError, match="pretrained"):
        ImageNet(kind="image_net", feature="photo", pretrained=name)


def test_a_net_over_columns_begins_with_nothing_that_another_table_taught():
    with pytest.raises(ValueError, match="pretrained is for a `module` of your own, or for image_net"):
        TabularNet(kind="tabular_net", pretrained="digits")

    assert TabularNet(kind="tabular_net", module="residual", pretrained="digits").foreign
    assert ImageNet(kind="image_net", feature="photo", pretrained="digits").foreign


def test_what_fits_is_taken_in_single_precision_and_the_rest_passed_over():
    found = fitting("digits", save({**HELD, "layers.0.weight": np.ones((3, 3), np.float32)}), SHAPES)

    assert {name: (array.shape, str(array.dtype)) for name, array in found.items()} == {
        "filters.0.weight": ((4, 1, 3, 3), "float32"), "filters.0.bias": ((4,), "float32"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        ({**HELD, "filters.0.weight": np.ones((4, 3, 3, 3), np.float32)},
         "filters.0.weight is 4 x 3 x 3 x 3 in digits, and this net wants 4 x 1 x 3 x 3"),
        ({**HELD, "filters.0.bias": np.array(1.0)}, "filters.0.bias is one number in digits, and this net wants 4"),
        ({f"stem.{i}": np.ones(1) for i in range(5)},
         "digits has no filters.0.weight; it has stem.0, stem.1, stem.2 and 2 more"),
        ({}, "digits has no filters.0.weight; it has no array at all"),
        ({**HELD, "filters.0.bias": np.full(4, np.nan)},
         "filters.0.bias of digits has a value that is no finite number"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(held, sentence):
    with pytest.raises(DataError) as caught:
        fitting("digits", save(held), SHAPES)

    assert str(caught.value) == f"pretrained: {sentence}"


def test_a_pickle_is_not_opened():
    import pickle

    with pytest.raises(DataError, match=r"^pretrained: digits is no safetensors file of float numbers: "):
        fitting("digits", pickle.dumps(HELD), SHAPES)
