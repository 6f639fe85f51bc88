"""What is made of what: of a conf a graph, of a run record an OpenLineage event. No engine, and nothing is guessed.

graph.py    stages and columns, and what each is made of; upstream and downstream
events.py   a run record as a pair of OpenLineage events. Pure
sending.py  events to a file or to a server; what cannot be sent is told, and breaks nothing
"""

from pipelines.lineage.events import Parent, Told, events
from pipelines.lineage.graph import Graph, graph
from pipelines.lineage.sending import send

__all__ = ["Graph", "Parent", "Told", "events", "graph", "send"]
