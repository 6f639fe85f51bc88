"""A team's own net as an ONNX graph: once it is trained, neither torch nor their code is needed any more.

In double precision, so that a row has the same answer in whatever batch it
comes; in single where the runtime knows an operator only so. The graph is held
against the net before it is given away.
"""

import io
import warnings

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.deep.design import INPUT, OUTPUT, Design
from pipelines.errors import DataError, LakeloomError, SpecError
from pipelines.onnx import OPSET, Graph

ROWS = 64  # by which it is held against the net
APART = 1e-4  # of single precision


def graph(net: nn.Module, design: Design) -> bytes:
    """Of a trained net. Errors: SpecError naming what cannot be exported."""
    net.eval()
    for kind in (torch.float64, torch.float32):
        try:
            found = _exported(net.to(kind), _rows(design).to(kind))
            _refuse_unlike(net, found, _rows(design).to(kind))
        except LakeloomError:
            if kind == torch.float32:
                raise
            continue
        return found
    raise AssertionError


def _rows(design: Design) -> Tensor:
    """By chance: numbers around 0, categories among their values."""
    dice = np.random.default_rng(1)
    made = dice.standard_normal((ROWS, design.width))
    for place, values in design.categories:
        made[:, place] = dice.integers(0, values, ROWS)
    return torch.from_numpy(made)


def _exported(net: nn.Module, rows: Tensor) -> bytes:
    into = io.BytesIO()
    names = {
        "input_names": [INPUT],
        "output_names": [OUTPUT],
        "dynamic_axes": {INPUT: {0: "rows"}, OUTPUT: {0: "rows"}},
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(net, (rows,), into, opset_version=OPSET, dynamo=False, **names)
    except Exception as error:  # each kind of operator has an error of its own
        raise SpecError(
            f"the net cannot be written as an ONNX graph: {(str(error).splitlines() or [''])[0][:300]}"
        ) from error
    return into.getvalue()


def _refuse_unlike(net: nn.Module, found: bytes, rows: Tensor) -> None:
    """Errors: DataError where graph and net differ by more than precision."""
    with torch.no_grad():
        expected = net(rows).numpy()
    actual = Graph.opened(found).score({INPUT: rows.numpy()})[OUTPUT]
    if not np.allclose(actual, expected, rtol=APART, atol=APART):
        raise DataError(f"the ONNX graph of the net answers {np.abs(actual - expected).max():.2g} apart from the net")
