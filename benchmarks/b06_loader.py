"""b06: rows of a Parquet table as batches of a rank: our loader against petastorm's two for torch.

A hundred columns of single precision, three epochs, shuffled, each arm a process of its own. Its floor is the same
process without a row: imports are no part of a loader. petastorm wants packages of 2022, so its Python is another:
LAKELOOM_PETASTORM names it (peers/petastorm.txt says what it holds); without, only the control is run.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import WriterProperties, write_deltalake

from benchmarks.measure import Answer, Arm, Contest

COLUMNS, GROUP_ROWS, BATCH, EPOCHS = 100, 20_000, 1_024, 3
SEED = 6
PEERS = Path(__file__).with_name("peers")
PETASTORM = os.environ.get("LAKELOOM_PETASTORM", "")


@dataclass(frozen=True)
class Profile:
    """How many rows, and of petastorm's row by row loader, which takes minutes, how many epochs are no more."""

    rows: int
    pairs: int


PROFILES = {"quick": Profile(100_000, pairs=2), "full": Profile(400_000, pairs=5)}


@dataclass
class Entrant:
    """One loader, as a command that prints how many rows it saw and the sum of their numbers."""

    name: str
    command: tuple[str, ...]
    folder: Path
    rows: int
    said: str = ""

    def arm(self) -> Arm:
        """As it is measured; its floor sees no row."""
        floor = Arm(f"{self.name}, no rows", lambda: None, lambda: self._act(0), lambda: Answer(0, "0"))
        return Arm(self.name, lambda: None, lambda: self._act(EPOCHS), self._answer, floor)

    def _act(self, epochs: int) -> None:
        asked = [*self.command, str(self.folder), str(epochs), str(BATCH)]
        done = subprocess.run(asked, capture_output=True, text=True, check=True)
        self.said = done.stdout.splitlines()[-1]

    def _answer(self) -> Answer:
        found = json.loads(self.said)
        return Answer(found["rows"], str(found["sum"]))


def contests(profile: str, scratch: Path) -> Iterator[Contest]:
    """One size."""
    asked = PROFILES[profile]
    folder = made(scratch / "rows", asked.rows)
    ours = Entrant("ours", (sys.executable, str(PEERS / "own_loader.py")), folder, asked.rows).arm()
    peers = [
        Entrant(name, (PETASTORM, str(PEERS / "petastorm_loader.py"), name), folder, asked.rows).arm()
        for name in ("batched", "rows")
        if PETASTORM
    ]
    yield Contest("b06", f"{asked.rows:,} x {COLUMNS}", ours, tuple(peers), asked.pairs, 1, asked.pairs)


def made(folder: Path, rows: int) -> Path:
    """The table; its first column numbers the rows."""
    dice = np.random.default_rng(SEED)
    columns = {"x0": pa.array(np.arange(rows, dtype=np.float32))}
    columns |= {f"x{i}": pa.array(dice.standard_normal(rows, np.float32)) for i in range(1, COLUMNS)}
    write_deltalake(str(folder), pa.table(columns), writer_properties=WriterProperties(max_row_group_size=GROUP_ROWS))
    return folder
