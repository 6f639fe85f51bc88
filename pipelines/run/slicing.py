"""Scores by slice, counted with those of their window in one pass: a slice is a column of the model's and a value.

Each row stands once for the whole and once for each slice that it is in, in a window of its own: the start of the
window, times SPAN, and the number of the slice. So whatever counts windows counts slices. Only values that a version
was judged by on its test slice are slices: another one has nothing to be held against.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines.monitor.counting import PART, Counts
from pipelines.monitor.tallies import BY, SCORE
from pipelines.monitor.trained import Slice

SPAN = 1 << 12  # more than there are slices
MISSING = "(missing)"  # as the evaluation calls it
Found = Mapping[tuple[Any, int], Counts]  # start of a window, model version -> counts
Place = tuple[str, Any, int]  # column of a tally, start of a window, model version


@dataclass(frozen=True)
class Slices:
    """Numbered from 1, as they stand; 0 is the whole."""

    known: tuple[Slice, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(dict.fromkeys(column for column, _ in self.known))

    def spread(self, rows: DataFrame) -> DataFrame:
        """Each row once for the whole and once for each slice that it is in, which PART says."""
        if not self.known:
            return rows
        parts = F.array(F.lit(0), *map(self._number, self.columns))
        return rows.withColumn(PART, F.explode(parts)).where(F.col(PART).isNotNull())  # array_compact is interpreted

    def _number(self, column: str) -> Column:
        mine = {i: value for i, (c, value) in enumerate(self.known, 1) if c == column}
        value = F.coalesce(F.col(column).cast("string"), F.lit(MISSING))
        place = F.array_position(F.array(*map(F.lit, mine.values())), value).cast("int")
        return F.get(F.array(*map(F.lit, mine)), place - 1)

    def window(self, start: Column) -> Column:
        """Of a row that was spread."""
        return start * SPAN + F.col(PART) if self.known else start

    def apart(self, found: Found) -> dict[Place, Counts]:
        """Counts of the whole; and of each column those by value, none where a window has no such row."""
        if not self.known:
            return {(SCORE, start, version): counts for (start, version), counts in found.items()}
        split = {(*divmod(window, SPAN), version): counts for (window, version), counts in found.items()}
        whole = {(start, version): counts for (start, part, version), counts in split.items() if not part}
        sliced: dict[Place, Counts] = {(BY + c, *key): {} for c in self.columns for key in whole}
        for (start, part, version), counts in split.items():
            if part:
                column, value = self.known[part - 1]
                sliced[BY + column, start, version][value] = counts
        return {(SCORE, *key): counts for key, counts in whole.items()} | sliced
