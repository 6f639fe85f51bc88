"""One ONNX graph, scored over named columns: what the certificate, the endpoint and nets share. No Spark, no JVM.

A graph has an input for each column that it reads and an output for each
answer; each is a vector of rows, or a matrix of rows and places. It is opened
from bytes, so it can name no other file, and where a hash is known it is
compared before anything is parsed. One thread: who wants more opens more
processes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipelines.errors import DataError, PlatformError
from pipelines.shap import CONTRIBUTIONS, FEATURE, PART, VECTOR, Shap
from pipelines.signature import NO_TIME

if TYPE_CHECKING:
    import pyarrow as pa

TYPES: dict[str, Any] = {  # of a tensor -> of a column
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
OPSET = 21  # of the operators of every graph of ours
GIVEN = "__given_"  # before the name of a column as it enters a graph
HIDDEN = "__"  # before the name of an output that is given only where it is asked for
ERRORS_ONLY = 3  # of onnxruntime's log: its warnings are about its own speed
Column = NDArray[Any]


@dataclass(frozen=True)
class Port:
    """An input or output: its name, the type of its tensor, and how many places a row has; 0: one, as a vector."""

    name: str
    type: str
    places: int = 0

    def column(self, values: Any) -> Column:
        """Values as the tensor wants them. Errors: DataError where they are of another type or shape."""
        try:
            made = np.asarray(values).astype(TYPES[self.type], copy=False)
            return made.reshape(len(made), -1) if self.places else made.reshape(len(made))
        except (TypeError, ValueError) as found:
            raise DataError(f"column {self.name} is {self.type} in the graph, got {str(values)[:60]}") from found


@dataclass(frozen=True)
class Graph:
    """An opened graph. `said` is what its maker wrote into it, by name."""

    sha256: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    said: Mapping[str, str]
    session: Any = field(repr=False, compare=False)

    @classmethod
    def opened(cls, source: bytes | Path, sha256: str = "") -> "Graph":
        """From bytes or a file. Errors: DataError where the hash is another, PlatformError where it cannot be read."""
        content = source if isinstance(source, bytes) else _read(source)
        found = hashlib.sha256(content).hexdigest()
        if sha256 and found != sha256:
            raise DataError(f"the graph is not the one that was certified: SHA-256 {found[:12]}, not {sha256[:12]}")
        try:
            session = onnxruntime.InferenceSession(content, _options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # each of the runtime's errors is a class of its own, under Exception
            raise PlatformError(f"onnxruntime does not open the graph: {_first(error)}") from error
        inputs, answers = (tuple(map(_port, ports)) for ports in (session.get_inputs(), session.get_outputs()))
        outputs = tuple(port for port in answers if not port.name.startswith(HIDDEN))
        return cls(found, inputs, outputs, dict(session.get_modelmeta().custom_metadata_map), session)

    @property
    def explains(self) -> bool:
        """True where it gives the vector that its learner reads."""
        return any(port.name == VECTOR for port in self.session.get_outputs())

    def score(self, columns: Mapping[str, Any], wanted: Sequence[str] = ()) -> dict[str, Column]:
        """Answers by name, all or those wanted, a row for each row. Columns that it does not read are passed over.

        Errors: DataError for a column that lacks, is of another type, or has other rows than the first.
        """
        lacking = [port.name for port in self.inputs if port.name not in columns]
        if lacking:
            raise DataError(f"the graph reads {', '.join(lacking)}, got {', '.join(columns) or 'no column'}")
        feeds = {port.name: port.column(columns[port.name]) for port in self.inputs}
        lengths = {name: len(column) for name, column in feeds.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"columns of one batch have as many rows each, got {lengths}")
        names = list(wanted) or [port.name for port in self.outputs]
        try:
            return dict(zip(names, self.session.run(names, feeds), strict=True))
        except Exception as error:  # as above
            raise DataError(f"the graph does not score: {_first(error)}") from error

    def score_table(self, table: "pa.Table", wanted: Sequence[str] = ()) -> "pa.Table":
        """The same of Arrow columns. A list of fixed size is a row of places; missing: NaN, NO_TIME, an empty text."""
        import pyarrow as pa

        there = [port for port in self.inputs if port.name in table.column_names]
        found = self.score({port.name: _numpy(table[port.name], port) for port in there}, wanted)
        return pa.table({name: _arrow(values) for name, values in found.items()})


def scored(
    content: bytes, batches: "Iterable[pa.RecordBatch]", kept: Sequence[str], answers: Sequence[str], most: int = 0
) -> "Iterator[pa.RecordBatch]":
    """Of each Arrow batch the columns to keep, and answers; what a graph reads stands under GIVEN and its name.

    most: so many contributions stand beside an answer. For a Python worker of Spark, which is to import little.
    """
    import pyarrow as pa

    graph = _opened(content)
    wanted = (*answers, VECTOR) if most else answers
    for batch in (b for b in batches if b.num_rows):
        names = [name for name in batch.schema.names if name.startswith(GIVEN)]
        asked = pa.table([batch[name] for name in names], [name.removeprefix(GIVEN) for name in names])
        found = graph.score_table(asked, wanted)
        columns = [*(batch[name] for name in kept), *(found[name].combine_chunks() for name in answers)]
        if most:
            columns.append(_contributed(found[VECTOR], _told(content), most))
        yield pa.record_batch(columns, [*kept, *answers, *([CONTRIBUTIONS] if most else [])])


@lru_cache(maxsize=4)
def _opened(content: bytes) -> Graph:
    """Once in a process, which serves many tasks."""
    return Graph.opened(content)


@lru_cache(maxsize=4)
def _told(content: bytes) -> Shap:
    found = Shap.said_by(_opened(content).said)
    assert found is not None  # or nobody asks
    return found


def _contributed(vectors: "pa.ChunkedArray", of: Shap, most: int) -> "pa.Array":
    import pyarrow as pa

    whole = vectors.combine_chunks()
    places = np.asarray(whole.flatten(), dtype=np.float64).reshape(len(whole), -1)
    part = pa.struct([(FEATURE, pa.string()), (PART, pa.float64())])
    return pa.array(of.of(places).top(most), pa.list_(part))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PlatformError(f"{path}: there is no graph to read: {error.strerror}") from error


def _options() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # weights of 8 bits are unfolded once
    return options


def _port(found: Any) -> Port:
    if found.type not in TYPES:
        raise PlatformError(f"the graph has {found.name} of {found.type}; known are {', '.join(TYPES)}")
    wide = found.shape[1] if len(found.shape) > 1 else 0
    return Port(found.name, found.type, wide if isinstance(wide, int) else -1)


def _numpy(column: "pa.ChunkedArray", port: Port) -> Column:
    import pyarrow as pa

    whole = column.combine_chunks()
    if pa.types.is_fixed_size_list(whole.type):
        return np.asarray(whole.flatten()).reshape(len(whole), -1)
    if port.type == "tensor(string)":
        return np.array(whole.cast(pa.string()).fill_null("").to_pylist(), dtype=np.object_)
    if port.type == "tensor(int64)":
        return np.asarray((whole.cast(pa.timestamp("us")) if pa.types.is_temporal(whole.type) else whole)
                          .cast(pa.int64()).fill_null(NO_TIME))  # fmt: skip
    return np.asarray(whole.cast(pa.float64()).to_numpy(zero_copy_only=False))


def _arrow(values: Column) -> "pa.Array":
    import pyarrow as pa

    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
