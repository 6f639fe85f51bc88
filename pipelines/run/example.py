"""The example of a model: a few feature rows, and the score rows that it answered at training.

Both are kept as JSON beside the model, with the rows' schema, so that any later
process can ask the same and compare.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from pipelines.registry import Registry, Version
from pipelines.run.scorer import scorer_of

NAME, ROWS = "example", 5  # the artifact; how many rows of the test slice
THEN = datetime(1970, 1, 1, tzinfo=UTC)
UNLIKE = ("model_version", "scored_at")  # of a score row: who answered and when, which is no part of the answer
Json = dict[str, Any]


def made(rows: DataFrame, fitted: PipelineModel, version: Version, keys: Sequence[str], as_of_time: str) -> Json:
    """An example of feature rows; version: as it will be registered. Cost: two small jobs."""
    lines = [r.row for r in rows.limit(ROWS).select(F.to_json(F.struct("*")).alias("row")).collect()]
    example = {"schema": rows.schema.jsonValue(), "rows": lines}
    return {**example, "answers": _answers(_frame(example), fitted, version, keys, as_of_time)}


def answered(registry: Registry, version: Version, keys: Sequence[str], as_of_time: str) -> list[Json]:
    """What a version answers now. Errors: DataError where its files were changed."""
    stored = registry.kept(version.run_id, NAME)
    assert stored is not None
    return _answers(_frame(stored), registry.load_version(version), version, keys, as_of_time)


def _frame(example: Json) -> DataFrame:
    """The rows in their order, in the session at hand."""
    lines = SparkSession.active().createDataFrame([(line,) for line in example["rows"]], "line string")
    schema = StructType.fromJson(example["schema"])
    return lines.select(F.from_json("line", schema, {"mode": "FAILFAST"}).alias("row")).select("row.*")


def _answers(
    rows: DataFrame, fitted: PipelineModel, version: Version, keys: Sequence[str], as_of_time: str
) -> list[Json]:
    scored = scorer_of(version, fitted, keys, as_of_time).score(rows, THEN).drop(*UNLIKE)
    return [json.loads(r.row) for r in scored.select(F.to_json(F.struct("*")).alias("row")).collect()]
