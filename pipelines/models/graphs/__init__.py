"""A stored pipeline as one ONNX graph, preparation and all, in doubles.

drawn.py       the whole: stages in, a graph and its signature out
preparing.py   stages of the preparation; expressions.py, their SQL
learning.py    learners; trees.py, the trees of several; nets.py, nets
answering.py   what a task answers
stored.py      the files that Spark has written of each stage
draft.py       the graph while it is drawn
weights.py     the graph with weights of 8 bits
"""

from pipelines.models.graphs.draft import with_said
from pipelines.models.graphs.drawn import Drawn, drawn
from pipelines.models.graphs.weights import quantised

__all__ = ["Drawn", "drawn", "quantised", "with_said"]
