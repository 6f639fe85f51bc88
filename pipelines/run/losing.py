"""What a full refresh would lose: rows that stand in the table and that its source no longer holds.

Files and topics know what they gave. A database, and a Delta table of others,
do not: they are read once more, and compared with what stands, before
anything is written down. A row is known again by its key; in a table without
keys and in a history, where each record is a row, by its record's hash; and
where the source's schema is another than it was, rows are counted.
"""

from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines import ingest, tables
from pipelines.errors import DataError
from pipelines.intake import KINDS
from pipelines.intake.base import Asked, counted
from pipelines.run.context import Context
from pipelines.run.selecting import of_source
from pipelines.spec import Delta, Jdbc, Table
from pipelines.versions import HASH


def lost(ctx: Context, table: Table, asked: Asked, inputs: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """How many rows would be lost, for the batch: {"lost": {"rows": 3}}, or nothing.

    Cost  : one pass over the source, and a join with the table's keys or hashes.
    Errors: DataError where rows would be lost and the order does not allow it.
    """
    version = ctx.published(ctx.stage.id)
    if not (asked.anew and asked.taken and isinstance(asked.source, Jdbc | Delta)) or version is None:
        return {}
    stood, by = tables.read(ctx.spark, ctx.path(), version), _by(table, asked, inputs[asked.name])
    with KINDS[asked.source.kind].reading(asked, ctx.spark, inputs[asked.name]) as reading:
        again = of_source(ctx, table, inputs, reading.frame, ctx.started_at)
        rows = _short(stood, again.withColumn(HASH, F.col(ingest.ROW)["hash"]), by)
    if rows and not asked.allow_loss:
        raise DataError(
            f"{asked.stage}: a full refresh would lose {counted(rows, 'row')} that {asked.name} no longer holds; "
            f"let them go by `--allow-loss {asked.stage}`"
        )
    return {"lost": {"rows": rows}} if rows else {}


def _by(table: Table, asked: Asked, batch: Mapping[str, Any]) -> tuple[str, ...]:
    """The columns by which a row is known again; none where they do not say the same as before."""
    shapes = {(b.get("shape"), b.get("key")) for b in (*asked.taken, batch)}
    if len(shapes) > 1:
        return ()
    return tuple(table.keys) if table.keys and table.stored_as_scd_type == 1 else (HASH,)


def _short(stood: DataFrame, again: DataFrame, by: tuple[str, ...]) -> int:
    """Rows that stood and do not come again, each as often as it stood."""
    if not by:
        return max(0, stood.count() - again.count())
    held = again.groupBy(*by).agg(F.count("*").alias("_again"))
    each = stood.groupBy(*by).agg(F.count("*").alias("_rows")).join(held, list(by), "left")
    (row,) = each.agg(F.sum(_missing()).alias("rows")).collect()
    return int(row.rows or 0)


def _missing() -> Column:
    return F.greatest(F.col("_rows") - F.coalesce("_again", F.lit(0)), F.lit(0))
