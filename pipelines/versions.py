"""Rows of the same keys over time: of several, which stays, and from when until when. Pure frames.

An *event* is a row of a keyed table, or the deletion of its key. Events are
ordered by the table's `sequence_by`, then by the hash of their content, never
by arrival: any order and any repetition of the same events comes to the same
table.
"""

from collections.abc import Sequence

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from pipelines.spec import HISTORY

FROM, TO = HISTORY  # of a table that keeps its history: [from, to); to is null for the present row
DELETES = "_deletes"  # of an event: true where it deletes its key
STANDS = "_stands"  # of an event: true where it is a row of the table now
GONE = "_gone"  # of a row of `history`: it stands in the table, and another of the same moment takes its place
HASH = "_hash"


def newest(events: DataFrame, keys: Sequence[str], sequence: str | None) -> DataFrame:
    """One event a key, the greatest by sequence and content. Cost: one shuffle by the keys."""
    order = F.struct(*[c for c in (sequence, HASH) if c])
    best = F.max_by(F.struct(*events.columns), order).alias("_best")
    return events.groupBy(*keys).agg(best).select("_best.*")


def history(events: DataFrame, keys: Sequence[str], sequence: str) -> DataFrame:
    """Every row of some keys with its time of validity; events must hold all that is known of these keys.

    Rows in  : events with `_deletes` and `_stands`; sequence is never null.
    Rows out : no deletions; of a key and moment the row of the greatest hash, and as `_gone` what stands in its place.
    Columns  : those of events but `_deletes` and `_stands`, then valid_from, valid_to, `_gone`.
    Cost     : one shuffle by the keys, one sort.
    """
    ordered = Window.partitionBy(*keys).orderBy(sequence, HASH, DELETES, STANDS)
    following = F.lead(sequence).over(ordered)
    last = ~following.eqNullSafe(F.col(sequence))  # of its moment; of the same event twice, the one that stands
    timed = events.withColumns({TO: F.when(last, following), GONE: ~last})
    shown = timed.where(~F.col(DELETES) & (~F.col(GONE) | F.col(STANDS)))
    kept = [c for c in events.columns if c not in (DELETES, STANDS)]
    return shown.select(*kept, F.col(sequence).alias(FROM), TO, GONE)
