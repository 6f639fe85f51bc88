"""Whole states of a source, one after another, as the changes between them. Pure frames.

A *snapshot* is all rows of one value of the table's `sequence_by`. A key that
is missing in the next one was deleted; a row that was refused says that its
key is there, and no more.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from pipelines.versions import DELETES, HASH, STANDS

PLACE = "_place"  # of a row: 0 in the newest snapshot before, 1, 2 ... in those that follow it
KNOWN = "_known"  # of a row: false where it was refused, so that only its key is known
MOST = 1_000  # snapshots of a batch


def placed(rows: DataFrame, sequence: str, before: str | None, snapshots: Sequence[str]) -> DataFrame:
    """Rows with their place; those of snapshots older than `before` are left out. Values are those cast to text."""
    texts = ([] if before is None else [(before, 0)]) + [(text, i) for i, text in enumerate(snapshots, 1)]
    places = F.create_map(*[F.lit(part) for pair in texts for part in pair]) if texts else F.lit(None)
    found = rows.withColumn(PLACE, places[F.col(sequence).cast("string")])
    return found.where(F.col(PLACE).isNotNull())


def changes(rows: DataFrame, keys: Sequence[str], sequence: str, snapshots: Sequence[str], whole: bool) -> DataFrame:
    """The rows that came or changed, and a deletion of each key in the first snapshot that lacks it.

    rows : with `_place`, `_known`, `_stands` (a row of the table now, at place 0); at most one other a key and place.
    whole: all keys of these snapshots are known; if not, nothing is deleted, and the next snapshot tells.
    Out  : the columns of rows but `_place` and `_known`, with `_deletes`; a deletion has keys, sequence and an empty
           hash, all else null.
    Cost : one shuffle by the keys, two sorts.
    """
    ordered = Window.partitionBy(*keys).orderBy(PLACE, F.desc(STANDS))
    apart = (F.col(PLACE) - F.lag(PLACE).over(ordered) > 1) & F.lit(whole)
    spans = rows.withColumn("_span", F.sum(F.coalesce(apart, F.lit(False)).cast("int")).over(ordered))
    span = Window.partitionBy(*keys, "_span").orderBy(PLACE, F.desc(STANDS))
    content = F.when(F.col(KNOWN), F.struct(*_content(rows, sequence)))
    before = F.last(content, ignorenulls=True).over(span.rowsBetween(Window.unboundedPreceding, -1))
    told = F.max(KNOWN).over(Window.partitionBy(*keys, "_span"))
    following = F.lead(PLACE).over(ordered)
    ends = (F.col(PLACE) < len(snapshots)) & (following.isNull() | (following > F.col(PLACE) + 1)) & F.lit(whole)
    seen = spans.withColumns(
        {"_came": F.col(KNOWN) & ~F.col(STANDS) & ~content.eqNullSafe(before), "_ends": ends & told}
    )
    came = seen.where("_came").withColumn(DELETES, F.lit(False))
    kept = [c for c in came.columns if c not in (PLACE, KNOWN, "_span", "_came", "_ends")]
    return came.select(kept).unionByName(_deletions(seen.where("_ends"), keys, sequence, snapshots).select(kept))


def _content(rows: DataFrame, sequence: str) -> list[str]:
    """What a row says, whenever and from wherever it came."""
    return [f"`{c}`" for c in rows.columns if c != sequence and not c.startswith("_")]


def _deletions(ended: DataFrame, keys: Sequence[str], sequence: str, snapshots: Sequence[str]) -> DataFrame:
    kinds = {f.name: f.dataType for f in ended.schema}
    lacking: Column = F.element_at(F.array(*[F.lit(s) for s in snapshots] or [F.lit(None)]), F.col(PLACE) + 1)
    said = {sequence: lacking.cast(kinds[sequence]), HASH: F.lit(""), DELETES: F.lit(True), STANDS: F.lit(False)}
    kept = {k: F.col(f"`{k}`") for k in (*keys, "_arrived_at")}
    nothing = {name: F.lit(None).cast(kind) for name, kind in kinds.items()}
    return ended.select(*[column.alias(name) for name, column in {**nothing, **kept, **said}.items()])
