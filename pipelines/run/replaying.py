"""Quarantined rows judged again, after a rule changed or as somebody repaired them: a batch that is read from them.

A row keeps the sequence that its source gave it, so it goes where it would
have gone. The quarantine is then what was refused again. The counts of such a
batch are changes: no row came in, and `quarantined` is below zero by as many
as left, so that sums over all batches stay true.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipelines import ingest, log, pii, tables
from pipelines.columns import ddl, ddl_text
from pipelines.drift import DRIFTED
from pipelines.errors import DataError, SpecError
from pipelines.intake import Counted, Reading, brought
from pipelines.landing import wanted
from pipelines.plan import definition, same_rows
from pipelines.quality import fused
from pipelines.run.context import Context
from pipelines.run.order import Replay
from pipelines.spec import Files, Kafka, Source
from pipelines.state import Intent
from pipelines.told import Quality

REPLAY = "quarantine"  # among an intent's inputs: the batch is read from there
MOST_REPAIRED = 1_000  # rows; more are repaired where they come from


def asked(ctx: Context, ask: Replay) -> dict[str, Any]:
    """What is replayed, for the intent. Errors: DataError where there is nothing, or more changed than the rules."""
    version = ctx.warehouse.version(ctx.stage.id, "quarantine")
    rows = log.row_count(ctx.path("quarantine"), version) if version is not None else 0
    last = ctx.history.ended(ctx.stage.id)
    if not rows or last is None:
        raise DataError(f"{ctx.stage.id}: its quarantine is empty; there is nothing to replay")
    if not same_rows(last.definition, definition(ctx.pipeline, ctx.stage), refused=False):
        raise DataError(
            f"{ctx.stage.id}: not only its expectations changed since its last refresh; "
            f"`lakeloom run --full-refresh {ctx.stage.id}` makes it anew from all that its source holds"
        )
    table = ctx.pipeline.tables[ctx.stage.name]
    if ask.repaired and ctx.pipeline.sources[str(table.source)].pii:
        raise SpecError(
            f"{ctx.stage.id}: {table.source} has pii, and a repaired record would be kept as it is written; "
            f"mend it where it comes from, and let it come again"
        )
    columns = brought(ctx.history.taken(ctx.stage.id, str(table.source)))
    return {"upto": version, "rows": rows, "repaired": dict(ask.repaired), **({"added": columns} if columns else {})}


def came_anew(quality: Iterable[Quality], intents: Iterable[Intent]) -> list[Quality]:
    """What was found of promises but by replays, all of whose rows broke one before."""
    replays = {(i.stage, i.generation, i.batch) for i in intents if REPLAY in i.inputs}
    return [q for q in quality if (q.stage, q.generation, q.batch) not in replays]


def reading(ctx: Context, source: Source, intent: Intent) -> Reading:
    """The quarantine as a batch: each record as it came, or as it was repaired."""
    replay = intent.inputs[REPLAY]
    rows = tables.read(ctx.spark, ctx.path("quarantine"), replay["upto"])
    held = _records(rows, pii.kept(source), replay["repaired"], replay.get("added", ()))
    return Reading(held, replay["rows"], lambda _: Counted(replay["rows"]))


def as_changes(counts: dict[str, int]) -> dict[str, int]:
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


def _records(rows: DataFrame, source: Source, repaired: dict[str, str], added: Sequence[str]) -> DataFrame:
    """Each record as its source has it; what drifted is refused again for what it was refused for, until repaired."""
    names, record, new = tuple(ddl(source.ddl)), F.col("_record"), F.lit(None).cast("string")
    if repaired:
        new = F.create_map(*[F.lit(v) for pair in repaired.items() for v in pair])[F.col("_hash")]
    drift = F.get(F.filter(fused.REASONS, lambda reason: reason.startswith(f"{DRIFTED}: ")), F.lit(0))
    torn = F.array_contains(fused.REASONS, fused.MALFORMED) | drift.isNotNull()
    why = _still(source, drift, record)
    held = rows.select(
        "_file",
        F.coalesce(new, record).alias("_record"),
        torn.alias("_torn"),
        F.when(new.isNull(), why).alias(ingest.WHY),
    )
    read = held.select("*", _line(source, added).alias("_line"), _object(source, added).alias("_object"))
    line, whole, torn = F.col("_line"), F.col("_object"), F.col("_torn")
    fields = [F.when(torn, line[n]).otherwise(whole[n]).alias(n) for n in names]
    beside = [whole[n].alias(n) for n in (*source.beside, *added)]
    unread = F.when(torn, line[ingest.CORRUPT]).otherwise(whole[ingest.CORRUPT])
    lost = F.col(ingest.WHY).isNotNull() | (record == pii.REMOVED)
    text = F.when(lost, record).otherwise(unread)
    flat = read.select(*fields, *beside, "_file", ingest.WHY, text.alias(ingest.CORRUPT))
    beyond = ingest.Beyond(added, F.col(ingest.WHY))
    return ingest.shaped(flat, source, F.col("_file"), F.col(ingest.CORRUPT), beyond)


def _still(source: Source, drift: Column, record: Column) -> Column:
    """Why a record that drifted is refused now: a key that a topic's records may lack by now is no reason."""
    if not isinstance(source, Kafka):
        return drift
    keys = wanted(source) if source.on_schema_change == "quarantine" else []
    return F.when(drift.startswith(ingest.LACKS), ingest.lacking(record, keys)).otherwise(drift)


def _line(source: Source, added: Sequence[str]) -> Column:
    """A record that was refused as a whole, read again as its source has it."""
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": ingest.CORRUPT}
    if isinstance(source, Files) and source.format == "csv":
        schema = f"{source.ddl}, {ingest.CORRUPT} STRING"
        return F.from_csv("_record", schema, {**options, "nullValue": source.null, "escape": '"'})
    return F.from_json("_record", _schema(source, added), options)


def _object(source: Source, added: Sequence[str]) -> Column:
    """A record that was read and refused, from the JSON that the quarantine keeps."""
    options = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": ingest.CORRUPT, **ingest.AS_JSON}
    beside = {name: ingest.BESIDE[name] for name in source.beside}
    return F.from_json("_record", _schema(source, added, beside), options)


def _schema(source: Source, added: Sequence[str], beside: Mapping[str, str] | None = None) -> str:
    """Its columns, those beside and those added, and the place for what cannot be read."""
    more = {**(beside or {}), **dict.fromkeys((*added, ingest.CORRUPT), "STRING")}
    return f"{source.ddl}, {ddl_text(more)}"
