"""A team's own net: trained by the same loop, given away as a graph that answers without it; what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deep.crews import alone, features, job, together
from pipelines.deep.design import INPUT, OUTPUT
from pipelines.deep.job import Job
from pipelines.errors import SpecError
from pipelines.onnx import Graph

UNTOLD = "which no process tells the others; take a layer without one, such as LayerNorm in place of BatchNorm"


def own(of: Job, name: str = "residual", extensions: tuple[str, ...] = ("deep.own",)) -> Job:
    return replace(of, design=replace(of.design, module=name), extensions=extensions)


def truth(x: np.ndarray, trainee) -> np.ndarray:
    trainee.net.double().eval()
    with torch.no_grad():
        return trainee.net(torch.from_numpy(x.astype(np.float64))).numpy()


@pytest.mark.parametrize("goal", ["binary", "multiclass"])
def test_it_learns_in_step_and_its_graph_answers_as_it_does(tmp_path, goal):
    first, second = together(own(job(tmp_path, goal, epochs=6)), 2)
    x = features(500, seed=8)

    graph = Graph.opened(first.trained())

    assert torch.equal(first.weights, second.weights)
    assert first.history[-1]["loss"] < 0.8 * first.history[0]["loss"] and first.history[-1]["gradient"]["first"] > 0
    found = graph.score({INPUT: x})[OUTPUT]
    assert found == pytest.approx(truth(x, first), abs=1e-8)  # the norm's epsilon is single in ONNX
    assert graph.score({INPUT: x[3:4]})[OUTPUT] == pytest.approx(found[3:4], abs=1e-14)


def test_what_the_runtime_knows_in_single_precision_alone_is_written_so(tmp_path):
    trainee = alone(own(job(tmp_path, epochs=1), "smooth"))
    x = features(100, seed=8)

    graph = Graph.opened(trainee.trained())

    assert graph.inputs[0].type == "tensor(float)"
    assert graph.score({INPUT: x})[OUTPUT] == pytest.approx(truth(x, trainee), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "extensions", "sentence"),
    [
        (
            "plain",
            ("deep.own",),
            "module: plain is in NETS of no extension; there are counted, grown, residual, smooth",
        ),
        ("residual", (), "module: residual is in NETS of no extension; the target names no extensions"),
        ("residual", ("deep.away",), "extensions: deep.away cannot be imported here: No module named 'deep.away'"),
        ("counted", ("deep.own",), f"module: counted has the buffer norm.running_mean, {UNTOLD}"),
    ],
)
def test_what_cannot_train_is_one_sentence(tmp_path, name, extensions, sentence):
    with pytest.raises(SpecError) as caught:
        alone(own(job(tmp_path), name, extensions))

    assert str(caught.value) == sentence
