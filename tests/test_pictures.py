"""Pictures as numbers: decoded to the pixel, refused where they are none; the filters of a net by numpy."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from PIL import Image

from pipelines.deep import planning
from pipelines.deep.design import Design, outputs
from pipelines.deep.loader import Deck, Loader
from pipelines.deep.pictures import decoded, seen
from pipelines.errors import DataError

GREY = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)
BLACK = [0.0] * 6


def file(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    into = io.BytesIO()
    Image.fromarray(pixels).save(into, kind)
    return into.getvalue()


def test_a_picture_is_its_pixels_row_by_row():
    assert decoded(file(GREY), (1, 2, 3)).tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])


def test_colours_stand_one_channel_after_the_other():
    red_then_blue = np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)

    assert decoded(file(red_then_blue), (3, 1, 2)).tolist() == [1, 0, 0, 0, 0, 1]


def test_another_size_is_brought_to_the_nets():
    even = np.full((10, 20, 3), 51, np.uint8)

    assert decoded(file(even, "JPEG"), (1, 4, 4)) == pytest.approx(np.full(16, 0.2), abs=0.01)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no PNG or JPEG that can be read: "),
        (b"GIF89a, so they say", "no PNG or JPEG that can be read: "),
        (file(GREY, "GIF"), "no PNG or JPEG that can be read: "),
        (file(GREY)[:40], "no PNG or JPEG that can be read: "),
    ],
)
def test_what_is_no_picture_says_so_and_scores_as_black(content, why):
    with pytest.raises(ValueError, match=f"^{why}"):
        decoded(content, (1, 2, 3))

    assert seen([content, None, file(GREY)], (1, 2, 3))[:2].tolist() == [BLACK, BLACK]


def test_a_bomb_is_not_unpacked(monkeypatch):
    monkeypatch.setattr("pipelines.deep.pictures.MOST_PIXELS", 5)

    with pytest.raises(ValueError, match="3 x 2 pixels are more than 5"):
        decoded(file(GREY), (1, 2, 3))


def deck(path: Path, pictures: list[bytes | None]) -> Deck:
    labels = pa.array(np.arange(len(pictures)), pa.float32())
    write_deltalake(str(path), pa.table({"x": pa.array(pictures, pa.binary()), "y": labels}))
    return Deck(str(path), 0, ("x", "y"), planning.groups(str(path), 0), 0, 1, (1, 2, 3))


def test_a_rank_decodes_its_own_pictures(tmp_path):
    of = deck(tmp_path / "rows", [file(GREY + i) for i in range(3)] + [None])
    loader = Loader(of, 0, 1, 8)

    (block,) = loader.batches(0)
    loader.close()

    rows = block[np.argsort(block[:, -1])]
    assert block.shape == (4, 7) and of.width == 7 and Deck.of(of.as_json()) == of
    assert rows[1, :-1] == pytest.approx((GREY + 1).reshape(-1) / 255) and rows[3].tolist() == [*BLACK, 3.0]


def test_a_file_that_is_no_picture_is_named_where_it_would_train(tmp_path):
    loader = Loader(deck(tmp_path / "rows", [file(GREY), b"torn"]), 0, 1, 8)

    with pytest.raises(DataError, match=r"^part-.*: row 1 of row group 0 is no PNG or JPEG that can be read: "):
        list(loader.batches(0))
    loader.close()


def test_filters_look_at_neighbours_and_keep_the_most_of_four():
    # one filter that adds a pixel to the one on its right, then the most of each 2 x 2; the last row and column are cut
    weights = {
        "filters.0.weight": np.zeros((1, 1, 3, 3), np.float32), "filters.0.bias": np.array([-0.5], np.float32),
        "layers.0.weight": np.array([[1, 10]], np.float32), "layers.0.bias": np.array([0.25], np.float32),
    }  # fmt: skip
    weights["filters.0.weight"][0, 0, 1, 1:] = 1
    design = Design("regression", (), (), (), 1, picture=(1, 3, 5), filters=(1,))
    picture = np.array([[[1, 2, 3, 4, 9], [0, 0, 5, 0, 9], [7, 7, 7, 7, 7]]], np.float32)

    found = outputs(design, weights, picture.reshape(1, -1))

    # sums less a half: 2.5 4.5 6.5 12.5 / -0.5 4.5 4.5 8.5 -> the most of the first four 4.5, of the next 12.5
    assert {name: weight.shape for name, weight in weights.items()} == design.weights
    assert found.tolist() == [[4.5 + 125 + 0.25]]
