"""The rows of one rank: read from Parquet by row group, mixed within a pool, a batch at a time, one thread ahead.

A row group is decoded once: column by column into a block of single precision
that was allocated before, which is then kept on this machine's disk and mapped
from there in every later epoch. No pandas, no Python object for a row.
"""

import math
import queue
import shutil
import tempfile
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines import log, where
from pipelines.deep import shards
from pipelines.deep.pictures import Shape, decoded
from pipelines.deep.shards import Group, Part, Parts
from pipelines.errors import DataError

POOL_ROWS = 262_144  # mixed with each other
AHEAD = 4  # batches that wait for their step
MOST_HELD = 50_000  # rows that a rank keeps out of training and looks at after each epoch
Block = NDArray[np.float32]


@dataclass(frozen=True)
class Deck:
    """The rows that are dealt: a version of a Delta table of floats, its row groups, and which rows do not train.

    columns: in the order of the vector, the label last; or a column of pictures and the label. every: each so-many-th
    row of a row group is kept out of training; 0: none.
    """

    path: str
    version: int
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    every: int
    seed: int
    picture: Shape | None = None

    @property
    def width(self) -> int:
        """Numbers of a row, the label included."""
        return math.prod(self.picture) + 1 if self.picture else len(self.columns)

    @property
    def rows(self) -> int:
        """All of them."""
        return sum(group.rows for group in self.groups)

    def dealt(self, world: int) -> tuple[Parts, ...]:
        """The parts of each rank."""
        return shards.deal(self.groups, world, self.seed, self.version)

    def as_json(self) -> dict[str, Any]:
        """To be sent to ranks."""
        return asdict(self)

    @classmethod
    def of(cls, told: dict[str, Any]) -> "Deck":
        """What was sent."""
        groups = tuple(Group(**group) for group in told["groups"])
        picture = tuple(told["picture"]) if told["picture"] else None
        return cls(**{**told, "columns": tuple(told["columns"]), "groups": groups, "picture": picture})


class Loader:
    """One rank's rows. Close it: it has a folder on this machine's disk."""

    def __init__(self, deck: Deck, rank: int, world: int, batch: int) -> None:
        dealt = deck.dealt(world)
        self.deck, self.parts = deck, dealt[rank]
        self.rows = shards.trained(self.parts, deck.every)
        self.steps = shards.steps(dealt, deck.every, batch)
        self.folder = Path(tempfile.mkdtemp(prefix="lakeloom-rows-"))
        self.decoded = 0  # rows that were read from Parquet
        self.names = {group: f"{i}.npy" for i, group in enumerate(deck.groups)}
        self.system, self.place = where.at(deck.path)

    def close(self) -> None:
        """Remove what was decoded."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def batches(self, epoch: int, skip: int = 0) -> Generator[Block]:
        """The steps of an epoch from `skip` on: blocks of shape (rows, columns), made one thread ahead."""
        ready: queue.Queue[Block | BaseException | None] = queue.Queue(AHEAD)
        over = threading.Event()
        threading.Thread(target=self._fill, args=(ready, over, epoch, skip), daemon=True).start()
        try:
            while (made := ready.get()) is not None:
                if isinstance(made, BaseException):
                    raise made
                yield made
        finally:
            over.set()
            while not ready.empty():
                ready.get_nowait()

    def held(self) -> Block:
        """The rows of this rank that do not train, the first of them where they are many."""
        if not self.deck.every:
            return np.empty((0, self.deck.width), np.float32)
        found, rows = [], 0
        for part in self.parts:
            found.append(self._rows(part)[_kept_out(part, self.deck.every)])
            rows += len(found[-1])
            if rows >= MOST_HELD:
                break
        return np.concatenate([*found, np.empty((0, self.deck.width), np.float32)])[:MOST_HELD]

    def _fill(self, ready: Any, over: threading.Event, epoch: int, skip: int) -> None:
        try:
            for made in self._cut(epoch, skip):
                _put(ready, made, over)
                if over.is_set():
                    return
            _put(ready, None, over)
        except BaseException as error:  # is raised where the batch would have been taken
            _put(ready, error, over)

    def _cut(self, epoch: int, skip: int) -> Iterator[Block]:
        """Mixed pools, cut into steps; what is over in one pool begins the next."""
        pools, rest = self._pools(epoch), np.empty((0, self.deck.width), np.float32)
        for number, size in enumerate(shards.sizes(self.rows, self.steps)):
            while len(rest) < size:
                rest = np.concatenate([rest, next(pools)])
            made, rest = rest[:size], rest[size:]
            if number >= skip:
                yield made

    def _pools(self, epoch: int) -> Iterator[Block]:
        dice = np.random.default_rng([self.deck.seed, epoch, 1])
        for pool in _pooled(shards.ordered(self.parts, self.deck.seed, epoch)):
            blocks = [self._rows(part) for part in pool]
            chosen = [~_kept_out(part, self.deck.every) for part in pool]
            mixed = np.concatenate([block[keep] for block, keep in zip(blocks, chosen, strict=True)])
            yield mixed[dice.permutation(len(mixed))]

    def _rows(self, part: Part) -> Block:
        whole = self._group(part.group)
        return whole[part.first : part.first + part.rows]

    def _group(self, group: Group) -> Block:
        """A row group from this machine's disk; decoded, and laid there, the first time."""
        at = self.folder / self.names[group]
        if not at.exists():
            part = at.with_suffix(".part")
            with part.open("wb") as stream:
                np.save(stream, self._decode(group))
            part.rename(at)
            self.decoded += group.rows
        found: Block = np.load(at, mmap_mode="r")
        return found

    def _decode(self, group: Group) -> Block:
        """Column by column into one block. Errors: DataError for what no net can learn: nulls, NaN, infinity."""
        table = self._living(group, self._read(group))
        block = np.empty((group.rows, self.deck.width), np.float32)
        pictures = self.deck.columns[:1] if self.deck.picture else ()
        for name in pictures:
            block[:, :-1] = self._pictures(group, table.column(name))
        for place, name in enumerate(
            self.deck.columns[len(pictures) :], self.deck.width - len(self.deck.columns) + len(pictures)
        ):
            column = table.column(name)
            if column.null_count:
                raise DataError(f"{group.file}: column {name} has {column.null_count} nulls; a net wants numbers")
            block[:, place] = column.to_numpy()
            if not np.isfinite(block[:, place]).all():
                raise DataError(f"{group.file}: column {name} has a value that is no finite number in single precision")
        return block

    def _pictures(self, group: Group, column: pa.ChunkedArray) -> Block:
        """Errors: DataError for one that is no picture."""
        assert self.deck.picture
        made = np.empty((len(column), self.deck.width - 1), np.float32)
        for row, content in enumerate(column):
            try:
                made[row] = decoded(content.as_py(), self.deck.picture)
            except ValueError as error:
                raise DataError(f"{group.file}: row {row} of row group {group.number} is {error}") from error
        return made

    def _read(self, group: Group) -> pa.Table:
        with self.system.open_input_file(f"{self.place}/{group.file}") as stream:
            table = pq.ParquetFile(stream).read_row_group(group.number, list(self.deck.columns), use_threads=False)
        if table.num_rows != group.rows + group.gone:
            planned = group.rows + group.gone
            raise DataError(f"{group.file}: row group {group.number} has {table.num_rows} rows, planned were {planned}")
        return table

    def _living(self, group: Group, table: pa.Table) -> pa.Table:
        """Without the rows that are deleted."""
        if not group.gone:
            return table
        here = self.deleted[group.file] - group.first
        kept = np.ones(table.num_rows, np.bool_)
        kept[here[(here >= 0) & (here < len(kept))]] = False
        return table.filter(pa.array(kept))

    @cached_property
    def deleted(self) -> dict[str, NDArray[np.int64]]:
        """Of each file the rows that a deletion vector took away."""
        return log.deleted(self.deck.path, self.deck.version)


def _put(ready: Any, made: Any, over: threading.Event) -> None:
    """Wait for room, unless nobody takes any more."""
    while not over.is_set():
        try:
            ready.put(made, timeout=0.5)
            return
        except queue.Full:
            continue


def _pooled(parts: Parts) -> Iterator[Sequence[Part]]:
    pool: list[Part] = []
    for part in parts:
        pool.append(part)
        if sum(each.rows for each in pool) >= POOL_ROWS:
            yield pool
            pool = []
    if pool:
        yield pool


def _kept_out(part: Part, every: int) -> NDArray[np.bool_]:
    """True for the rows of a part that do not train."""
    places = np.arange(part.first, part.first + part.rows)
    return places % every == every - 1 if every else np.zeros(part.rows, np.bool_)
