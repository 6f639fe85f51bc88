"""Numbers of the past that a net reads in order: by numpy, as a graph, and what of them a conf may ask."""

import json

import numpy as np
import pytest

from pipelines.deep.design import Design, outputs
from pipelines.models.graphs import nets
from pipelines.models.graphs.draft import Draft, Tensor
from pipelines.onnx import Graph
from pipelines.spec.candidate import TabularNet
from pipelines.spec.task import FEATURES


def test_a_filter_sees_three_neighbours_and_keeps_the_most_and_the_last():
    # the filter: what comes last less what comes first, and a half; steps 1 4 2 9: 2 - 1, 9 - 4
    design = Design("regression", (), (), (1,), 1, sequences=((3, 0, 1, 2),), filters=(1,))
    weights = {name: np.zeros(shape, np.float32) for name, shape in design.weights.items()}
    weights |= {"glance.weight": np.array([[-1, 0, 1]], np.float32), "glance.bias": np.array([0.5], np.float32)}
    weights |= {"layers.0.weight": np.array([[1, 10]], np.float32), "layers.1.weight": np.array([[1]], np.float32)}

    falling, rising = outputs(design, weights, np.array([[4.0, 2, 0, 9], [4.0, 2, 9, 1]]))

    assert design.glances == ((3, 0, 1), (0, 1, 2))
    assert rising.tolist() == [5.5 + 10 * 5.5]
    assert falling.tolist() == [0.0]  # 2 - 9 and 0 - 4, and nothing is below 0


def test_sequences_are_seen_side_by_side():
    design = Design("binary", (0, 1, 2, 3, 4, 5), (), (4,), 1, sequences=((0, 1, 2), (3, 4, 5)), filters=(7,))

    assert design.glances == ((0, 3, 1, 4, 2, 5),)
    assert design.weights["glance.weight"] == (7, 6) and design.layers[0] == (6 + 14, 4)
    assert Design.of(json.loads(json.dumps(design.as_json()))) == design


def test_a_graph_reads_as_numpy_does():
    design = Design(
        "multiclass", (0, 2, 3, 4), ((1, 3),), (6,), 3, sequences=((0, 2, 3, 4), (4, 3, 2, 0)), filters=(5,)
    )
    dice = np.random.default_rng(3)
    weights = {name: dice.standard_normal(shape).astype(np.float32) for name, shape in design.weights.items()}
    x = np.column_stack([dice.standard_normal(50), dice.integers(0, 3, 50), *dice.standard_normal((3, 50))])
    draft = Draft()
    columns = [draft.matrix(draft.feature(f"x{i}", "number")) for i in range(5)]
    draft.offers(FEATURES, lambda: draft.op("Concat", *columns, made=Tensor("", "double", 5), axis=1))

    made = Graph.opened(draft.finished({"found": nets._outputs(draft, design, weights)}, {}))

    found = made.score({f"x{i}": x[:, i] for i in range(5)})["found"]
    assert found == pytest.approx(outputs(design, weights, x), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sequences": [["a", "b"]]}, "at least 3 items"),
        ({"sequences": [["a", "b", "c"], ["a", "b", "c", "d"]]}, "one has 3 steps, another 4; each needs as many"),
        ({"sequences": [["a", "b", "c"]], "module": "residual"}, "sequences is of the net that comes with Lakeloom"),
    ],
)
def test_sequences_have_as_many_steps_and_are_of_our_own_net(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        TabularNet(kind="tabular_net", **options)
