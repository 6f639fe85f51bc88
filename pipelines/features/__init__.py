"""Feature tables: as-of joins and windows over the past, one shuffle of the spine for each set of keys.

past.py builds them, parts.py says which rows of a table become known when,
late.py finds the rows that a change elsewhere reaches, cut.py what has to be
read for some of them. Frames in, frames out; nothing here acts.
"""

from pipelines.features.cut import spans, within_reach
from pipelines.features.late import frontier, touched
from pipelines.features.parts import read_of
from pipelines.features.past import build

__all__ = ["build", "frontier", "read_of", "spans", "touched", "within_reach"]
