"""Quarantined rows judged again, after a rule changed or as somebody repaired them: a batch that is read from them.

A row keeps the sequence that its source gave it, so it goes where it would
have gone. The quarantine is then what was refused again. The counts of such a
batch are changes: no row came in, and `quarantined` is below zero by as many
as left, so that sums over all batches stay true.
"""

import json
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines import ingest, log, tables
from pipelines.columns import ddl
from pipelines.errors import DataError, SpecError
from pipelines.intake import Counted, Reading
from pipelines.plan import definition, same_rows
from pipelines.quality import fused
from pipelines.run.context import Context
from pipelines.run.order import Replay
from pipelines.spec import Files, Source
from pipelines.state import Intent

REPLAY = "quarantine"  # among an intent's inputs: the batch is read from there
MOST_REPAIRED = 1_000  # rows; more are repaired where they come from


def asked(ctx: Context, ask: Replay) -> dict[str, Any]:
    """What is replayed, for the intent. Errors: DataError where there is nothing, or more changed than the rules."""
    version = ctx.warehouse.version(ctx.stage.id, "quarantine")
    rows = log.row_count(ctx.path("quarantine"), version) if version is not None else 0
    last = ctx.history.last(ctx.stage.id)
    if not rows or last is None:
        raise DataError(f"{ctx.stage.id}: its quarantine is empty; there is nothing to replay")
    if not same_rows(last.definition, definition(ctx.pipeline, ctx.stage), refused=False):
        raise DataError(
            f"{ctx.stage.id}: not only its expectations changed since its last refresh; "
            f"`lakeloom run --full-refresh {ctx.stage.id}` makes it anew from all that its source holds"
        )
    return {"upto": version, "rows": rows, "repaired": dict(ask.repaired)}


def reading(ctx: Context, source: Source, intent: Intent) -> Reading:
    """The quarantine as a batch: each record as it came, or as it was repaired."""
    replay = intent.inputs[REPLAY]
    rows = tables.read(ctx.spark, ctx.path("quarantine"), replay["upto"])
    return Reading(_records(rows, source, replay["repaired"]), replay["rows"], lambda _: Counted(replay["rows"]))


def settled(counts: dict[str, int]) -> dict[str, int]:
    """The counts of a batch as changes, if it was read from the quarantine."""
    return {**counts, "rows_in": 0, "quarantined": counts["quarantined"] - counts["rows_in"]}


def repairs(file: Path) -> dict[str, str]:
    """Objects with `_hash` and `_record`, a list as `quarantine show --format json` has it or one a line.

    Returns record by hash. Errors: SpecError.
    """
    try:
        text = file.read_text(encoding="utf-8")
        rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(x) for x in text.splitlines() if x]
        found = {str(row["_hash"]): str(row["_record"]) for row in rows}
    except OSError as error:
        raise SpecError(f"{file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        why = f"an object has no {error}" if isinstance(error, KeyError) else str(error)
        raise SpecError(f"{file}: repaired rows are JSON objects with _hash and _record; {why}") from None
    if len(found) > MOST_REPAIRED:
        raise SpecError(f"{file}: {len(found)} repaired rows; the most is {MOST_REPAIRED}; land the others again")
    return found


def _records(rows: DataFrame, source: Source, repaired: dict[str, str]) -> DataFrame:
    names = tuple(ddl(source.ddl))
    record = F.col("_record")
    if repaired:
        new = F.create_map(*[F.lit(v) for pair in repaired.items() for v in pair])
        record = F.coalesce(new[F.col("_hash")], record)
    torn = F.array_contains(fused.REASONS, fused.MALFORMED)
    held = rows.select("_file", record.alias("_record"), torn.alias("_torn"))
    read = held.select("_file", "_torn", _line(source).alias("_line"), _object(source).alias("_object"))
    fields = [F.when(F.col("_torn"), F.col("_line")[n]).otherwise(F.col("_object")[n]).alias(n) for n in names]
    beside = [F.col("_object")[n].alias(n) for n in source.beside]
    text = F.when(F.col("_torn"), F.col("_line")[ingest.CORRUPT]).otherwise(F.col("_object")[ingest.CORRUPT])
    flat = read.select(*fields, *beside, "_file", text.alias(ingest.CORRUPT))
    return ingest.shaped(flat, names, F.col("_file"), F.col(ingest.CORRUPT), source.beside)


def _line(source: Source) -> Column:
    """A record that could not be read, read again as its source has it."""
    schema = f"{source.ddl}, {ingest.CORRUPT} STRING"
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": ingest.CORRUPT}
    if isinstance(source, Files) and source.format == "csv":
        return F.from_csv("_record", schema, {**options, "nullValue": source.null, "escape": '"'})
    return F.from_json("_record", schema, options)


def _object(source: Source) -> Column:
    """A record that was read and refused, from the JSON that the quarantine keeps."""
    beside = "".join(f", {name} {ingest.BESIDE[name]}" for name in source.beside)
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": ingest.CORRUPT, **ingest.AS_JSON}
    return F.from_json("_record", f"{source.ddl}{beside}, {ingest.CORRUPT} STRING", options)
