"""A rank's rows: each once an epoch, mixed, the same again from the same seed; what is no number is refused."""

import json
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.writer import WriterProperties

from pipelines import log
from pipelines.deep import planning
from pipelines.deep.loader import Deck, Loader
from pipelines.deep.shards import Group
from pipelines.errors import DataError

ROWS, COLUMNS = 1_000, ("x0", "x1", "y")


def laid(path: Path, rows: int = ROWS, **columns: object) -> str:
    """A table whose first column numbers its rows, in row groups of a hundred."""
    number = np.arange(rows, dtype=np.float32)
    made = {"x0": number, "x1": number * 2, "y": number % 2, **columns}
    table = pa.table({name: pa.array(values, pa.float32()) for name, values in made.items()})
    write_deltalake(str(path), table, writer_properties=WriterProperties(max_row_group_size=100))
    return str(path)


def deck(path: str, every: int = 0, seed: int = 1) -> Deck:
    return Deck(path, 0, COLUMNS, planning.groups(path, 0), every, seed)


def numbers(of: Deck, world: int, epoch: int = 0, batch: int = 64) -> list[np.ndarray]:
    """The row numbers that each rank sees in an epoch, in order."""
    found = []
    for rank in range(world):
        loader = Loader(of, rank, world, batch)
        found.append(np.concatenate([block[:, 0] for block in loader.batches(epoch)]))
        loader.close()
    return found


def test_row_groups_are_planned_from_the_log_and_the_footers(tmp_path):
    groups = planning.groups(laid(tmp_path / "rows"), 0)

    assert [(g.number, g.rows) for g in groups] == [(i, 100) for i in range(10)]
    assert {g.file for g in groups} == set(log.files(str(tmp_path / "rows"), 0))


def test_a_version_is_pinned(tmp_path):
    path = laid(tmp_path / "rows")
    write_deltalake(path, pa.table({name: pa.array([5.0], pa.float32()) for name in COLUMNS}), mode="append")

    assert (len(planning.groups(path, 0)), len(planning.groups(path, 1))) == (10, 11)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_each_row_comes_once_an_epoch_whole_and_mixed(tmp_path, world):
    of = deck(laid(tmp_path / "rows"))

    found = np.concatenate(numbers(of, world))

    assert sorted(found) == list(range(ROWS))
    assert np.abs(np.diff(found)).mean() > 50  # in order it would be 1


Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def vector(rows: list[int]) -> dict[str, object]:
    """A deletion vector within the log. Source: Delta's protocol (a 64-bit Roaring bitmap, of one 16-bit array)."""
    array = struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16) + struct.pack(f"<{len(rows)}H", *rows)
    whole = struct.pack("<IQI", 1681511377, 1, 0) + array
    words = struct.iter_unpack(">I", whole + bytes(-len(whole) % 4))
    text = "".join(Z85[word // 85**k % 85] for (word,) in words for k in (4, 3, 2, 1, 0))
    return {"storageType": "i", "pathOrInlineDv": text, "sizeInBytes": len(whole), "cardinality": len(rows)}


def deleted(path: str, rows: list[int]) -> None:
    """Version 1 of a table of one file: without some rows, which stay in the file."""
    log_of = Path(path) / "_delta_log"
    actions = [json.loads(line) for line in (log_of / f"{0:020}.json").read_text().splitlines()]
    (add,) = (action["add"] for action in actions if "add" in action)
    has = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    made = [
        {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **has}},
        {"remove": {"path": add["path"], "dataChange": True, "deletionTimestamp": 1}},
        {"add": {**add, "deletionVector": vector(rows)}},
    ]
    (log_of / f"{1:020}.json").write_text("\n".join(map(json.dumps, made)))


@pytest.mark.parametrize("world", [1, 2])
def test_rows_that_a_deletion_vector_took_away_are_not_seen(tmp_path, world):
    path, gone = laid(tmp_path / "rows"), [0, 7, 99, 100, *range(300, 400), 999]
    deleted(path, gone)
    of = Deck(path, 1, COLUMNS, planning.groups(path, 1), 0, 1)

    found = numbers(of, world)

    assert sorted(np.concatenate(found)) == [row for row in range(ROWS) if row not in gone]
    assert of.rows == ROWS - len(gone) and max(map(len, found)) - min(map(len, found)) <= 1


def test_all_columns_of_a_row_stay_together(tmp_path):
    loader = Loader(deck(laid(tmp_path / "rows")), 0, 1, 64)

    for block in loader.batches(0):
        assert block.dtype == np.float32 and (block[:, 1] == 2 * block[:, 0]).all()
    loader.close()


def test_the_same_epoch_is_the_same_again_and_the_next_is_another(tmp_path):
    of = deck(laid(tmp_path / "rows"))

    (first,), (again,), (next_,) = numbers(of, 1), numbers(of, 1), numbers(of, 1, epoch=1)

    assert (first == again).all() and not (first == next_).all()


def test_rows_kept_out_never_train_and_are_looked_at_once(tmp_path):
    of = deck(laid(tmp_path / "rows"), every=20)

    trained = np.concatenate(numbers(of, 3))
    held = []
    for rank in range(3):
        loader = Loader(of, rank, 3, 64)
        held.append(loader.held()[:, 0])
        loader.close()

    assert len(trained) == 950 and sorted(np.concatenate([trained, *held])) == list(range(ROWS))


def test_a_row_group_is_decoded_once_for_all_epochs(tmp_path):
    loader = Loader(deck(laid(tmp_path / "rows")), 0, 2, 64)

    for epoch in range(3):
        assert sum(map(len, loader.batches(epoch))) == 500
    assert 500 <= loader.decoded <= 600  # and the group that it shares with the other rank
    loader.close()
    assert not loader.folder.exists()


def test_an_epoch_can_be_entered_in_its_middle(tmp_path):
    loader = Loader(deck(laid(tmp_path / "rows")), 0, 1, 100)

    whole, rest = (list(loader.batches(2, skip)) for skip in (0, 7))

    assert len(rest) == 3 and all((a == b).all() for a, b in zip(whole[7:], rest, strict=True))
    loader.close()


def test_a_rank_without_rows_has_the_steps_of_the_others_with_nothing_in_them(tmp_path):
    of = deck(laid(tmp_path / "rows", rows=2))

    found = [np.concatenate([b for b in Loader(of, rank, 4, 64).batches(0)]) for rank in range(4)]

    assert sorted(map(len, found)) == [0, 0, 1, 1]
    assert [Loader(of, rank, 4, 64).steps for rank in range(4)] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([None] * 3 + [0.0] * 7, "column x1 has 3 nulls; a net wants numbers"),
        ([float("nan")] + [0.0] * 9, "column x1 has a value that is no finite number in single precision"),
        ([float("inf")] + [0.0] * 9, "column x1 has a value that is no finite number in single precision"),
    ],
)
def test_what_is_no_number_is_refused_with_its_column(tmp_path, values, sentence):
    of = deck(laid(tmp_path / "rows", rows=10, x1=values))
    loader = Loader(of, 0, 1, 64)

    with pytest.raises(DataError) as caught:
        list(loader.batches(0))

    assert str(caught.value) == f"{of.groups[0].file}: {sentence}"
    loader.close()


def test_a_file_that_is_not_as_planned_is_refused(tmp_path):
    of = deck(laid(tmp_path / "rows", rows=10))
    other = Deck(of.path, 0, COLUMNS, (Group(of.groups[0].file, 0, 11),), 0, 1)
    loader = Loader(other, 0, 1, 64)

    with pytest.raises(DataError, match="row group 0 has 10 rows, planned were 11"):
        list(loader.batches(0))
    loader.close()


def test_who_stops_taking_ends_the_thread_that_reads_ahead(tmp_path):
    import threading

    loader = Loader(deck(laid(tmp_path / "rows")), 0, 1, 1)
    before = threading.active_count()
    blocks = loader.batches(0)
    next(blocks)
    blocks.close()

    for thread in threading.enumerate():
        if thread is not threading.current_thread() and "_fill" in thread.name:
            thread.join(timeout=5)
    assert threading.active_count() <= before
    loader.close()


def test_a_deck_survives_being_sent(tmp_path):
    import json

    of = deck(laid(tmp_path / "rows"), every=20)

    assert Deck.of(json.loads(json.dumps(of.as_json()))) == of
    assert DeltaTable(of.path).version() == 0
