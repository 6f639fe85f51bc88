"""The stages of a fitted pipeline as Spark has stored them: parameters and tables, read without an engine.

What is read is what was hashed at training, so a graph is made of the files
that any other process would load. The forms are those of Spark 4.2 and XGBoost 3.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.errors import DataError

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Stage:
    """One stage: its class without the package, its parameters with defaults, its folder."""

    kind: str
    params: Mapping[str, Any]
    folder: Path
    said: Mapping[str, Any]  # beside the parameters

    def rows(self, part: str = "data") -> list[dict[str, Any]]:
        """A table of the stage. Errors: DataError where it has none."""
        files = sorted((self.folder / part).glob("part-*.parquet"))
        if not files:
            raise DataError(f"{self.kind} is not stored with {part}")
        found: list[dict[str, Any]] = [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
        return found

    def row(self) -> dict[str, Any]:
        """The one row of its data."""
        return self.rows()[0]

    def text(self, part: str) -> str:
        """Lines of a part, joined: how XGBoost stores a booster."""
        files = sorted((self.folder / part).glob("part-*"))
        return "".join(line for file in files for line in file.read_text(encoding="utf-8").split("\n"))


def stages(folder: Path) -> list[Stage]:
    """Of a pipeline's folder, in their order. Cost: reads a small file of each."""
    found = sorted((folder / "stages").iterdir(), key=lambda path: int(path.name.partition("_")[0]))
    return [_stage(path) for path in found]


def _stage(folder: Path) -> Stage:
    (file,) = (folder / "metadata").glob("part-*")
    said = json.loads(file.read_text(encoding="utf-8"))
    params = {**said.get("defaultParamMap", {}), **said.get("paramMap", {})}
    return Stage(said["class"].rpartition(".")[2], params, folder, said)


def vector(stored: Mapping[str, Any]) -> Vector:
    """Spark's vector, dense (type 1) or sparse."""
    values = np.asarray(stored["values"], dtype=np.float64)
    if stored["type"] == 1:
        return values
    made = np.zeros(stored["size"])
    made[np.asarray(stored["indices"], dtype=np.int64)] = values
    return made


def matrix(stored: Mapping[str, Any]) -> Vector:
    """Spark's matrix, dense (type 1) or sparse by columns; by rows where it is transposed."""
    rows, columns, values = stored["numRows"], stored["numCols"], np.asarray(stored["values"], dtype=np.float64)
    turned = stored["isTransposed"]
    shape = (rows, columns) if turned else (columns, rows)
    if stored["type"] == 1:
        made = values.reshape(shape)
    else:
        made = np.zeros(shape)
        for at, (start, end) in enumerate(pairwise(stored["colPtrs"])):
            made[at, np.asarray(stored["rowIndices"][start:end], dtype=np.int64)] = values[start:end]
    return made if turned else made.T
