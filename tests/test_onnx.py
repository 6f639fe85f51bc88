"""One graph: opened by its hash, scored over numpy and Arrow; times counted as Python's calendar counts them."""

import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from online import graph
from onnx import TensorProto, helper, numpy_helper

from pipelines.columns import trees
from pipelines.errors import DataError, PlatformError
from pipelines.models.graphs.draft import Draft, Tensor
from pipelines.models.graphs.expressions import compiled
from pipelines.onnx import Graph
from pipelines.signature import NO_TIME

COLUMNS = {"wind": [12.5, float("nan")], "carrier": ["UA", "ZZ"], "sent": [0, NO_TIME]}


@pytest.fixture(scope="module")
def opened():
    return Graph.opened(graph())


def test_a_graph_names_what_it_reads_and_what_it_answers(opened):
    assert [(p.name, p.type, p.places) for p in (*opened.inputs, *opened.outputs)] == [
        ("wind", "tensor(double)", 0), ("carrier", "tensor(string)", 0), ("sent", "tensor(int64)", 0),
        ("score", "tensor(double)", 0), ("predicted", "tensor(bool)", 0),
    ]  # fmt: skip


def test_columns_are_scored_row_by_row(opened):
    found = opened.score(COLUMNS)

    # logistic of -1 + 1.25 + 1, and of -1 + nothing
    assert found["score"] == pytest.approx([1 / (1 + np.exp(-1.25)), 1 / (1 + np.exp(1))], abs=1e-15)
    assert found["predicted"].tolist() == [True, False]


def test_arrow_columns_are_scored_as_numpys_are(opened):
    table = pa.table({
        "wind": pa.array([12.5, None]), "carrier": pa.array(["UA", None]),
        "sent": pa.array([datetime(1970, 1, 1, tzinfo=UTC), None], pa.timestamp("us", "UTC")), "more": pa.array([1, 2]),
    })  # fmt: skip

    found = opened.score_table(table, ["score"])

    assert found["score"].to_pylist() == opened.score(COLUMNS)["score"].tolist()


def test_a_graph_of_another_hash_is_not_opened():
    content = graph()
    right = hashlib.sha256(content).hexdigest()

    assert Graph.opened(content, right).sha256 == right
    with pytest.raises(DataError, match=f"SHA-256 {right[:12]}, not 000000000000$"):
        Graph.opened(content, "0" * 64)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"wind": [1.0]}, "the graph reads carrier, sent, got wind"),
        ({**COLUMNS, "wind": [1.0]},
         "columns of one batch have as many rows each, got {'wind': 1, 'carrier': 2, 'sent': 2}"),
        ({**COLUMNS, "wind": ["x", "y"]}, "column wind is tensor(double) in the graph, got ['x', 'y']"),
    ],
)  # fmt: skip
def test_columns_that_do_not_fit_are_refused(opened, columns, sentence):
    with pytest.raises(DataError) as found:
        opened.score(columns)

    assert str(found.value) == sentence


def test_what_is_no_graph_is_said(tmp_path):
    with pytest.raises(PlatformError, match="onnxruntime does not open the graph: "):
        Graph.opened(b"no graph")
    with pytest.raises(PlatformError, match=r"missing\.onnx: there is no graph to read: No such file or directory"):
        Graph.opened(tmp_path / "missing.onnx")


def test_parts_of_a_time_are_those_of_the_calendar():
    # from the year 1 to 9999, and about every end of a year and of February in two spans of 400 years
    days = [datetime(y, m, d, 23, 59, 59, 999_999, UTC) for y in range(1600, 2401, 1) for m, d in ((2, 28), (12, 31))]
    moments = [d + timedelta(microseconds=k) for d in days for k in (0, 1, 86_400 * 10**6)]
    moments += [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)]
    draft = Draft()
    names = ("hour", "minute", "weekday", "dayofyear", "month")
    made = trees(f"SELECT *, {', '.join(f'{name}(`t`) AS {name}' for name in names)} FROM x")
    content = draft.finished({name: compiled(draft, made[name]) for name in names}, {})
    epoch = datetime(1970, 1, 1, tzinfo=UTC)

    times = [(m - epoch) // timedelta(microseconds=1) for m in moments]
    found = Graph.opened(content).score({"t": np.array([*times, NO_TIME])})

    rows = [tuple(int(found[name][i]) for name in names) for i in range(len(moments))]
    assert rows == [(m.hour, m.minute, m.weekday(), m.timetuple().tm_yday, m.month) for m in moments]
    assert all(np.isnan(found[name][-1]) for name in names)


def doubled(opset: int = 21) -> bytes:
    """A graph that is not ours: of each row of a matrix its double, in single precision; names as ours have them."""
    made = helper.make_node("Mul", ["x", "constant_0"], ["y"], name="mul_0")
    two = numpy_helper.from_array(np.array(2.0, np.float32), "constant_0")
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", "y")]
    graph = helper.make_graph([made], "own", ports[:1], ports[1:], [two])
    content: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)]).SerializeToString()
    return content


def test_a_graph_within_another_answers_as_it_does_alone():
    draft = Draft()
    column = draft.matrix(draft.feature("wind", "number"))
    both = draft.op(
        "Concat", column, draft.op("Mul", column, draft.constant(3.0)), made=Tensor("", "double", 2), axis=1
    )

    found = draft.within(doubled(), {"x": both}, "y", Tensor("", "", 2))

    graph = Graph.opened(draft.finished({"score": found}, {}))
    assert graph.score({"wind": [1.0, 2.5]})["score"].tolist() == [[2.0, 6.0], [5.0, 15.0]]


def test_a_graph_of_other_operators_is_not_taken_in():
    draft = Draft()

    with pytest.raises(DataError, match=r"^a graph of opset 15 does not fit into one of 21$"):
        draft.within(doubled(opset=15), {"x": draft.matrix(draft.feature("wind", "number"))}, "y", Tensor(""))
