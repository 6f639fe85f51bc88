"""What a version would have answered at a moment: its answers to the features as they were published by then.

Nothing is published: no table, no intent, no record.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
from pyspark.sql import DataFrame

from pipelines import tables
from pipelines.deferring import warehouse_of
from pipelines.errors import DataError, SpecError
from pipelines.run.scorer import registered
from pipelines.run.waiting import champion
from pipelines.spark import session
from pipelines.spec import Pipeline, Target
from pipelines.state import History
from pipelines.vintage import Vintage, moment_of, refuse_filled, vintage

MOST_ROWS = 20  # shown


@dataclass(frozen=True)
class Asked:
    """Which scores, as of when (a timestamp, or the id of a run), by which version ('': the champion of then)."""

    name: str
    as_of: str
    which: str = ""
    to: Path | None = None  # a new folder for all rows, as Parquet


def hindsight(pipeline: Pipeline, target: Target, asked: Asked) -> dict[str, Any]:
    """Who answered what, and the first rows, or all in a folder. Cost: one pass of the model over that version.

    Errors: SpecError for unknown scores, moment or version; DataError where nothing was published by then.
    """
    if asked.name not in pipeline.scores:
        raise SpecError(f"no scores '{asked.name}'; there is {', '.join(pipeline.scores) or 'none in this conf'}")
    if asked.to:
        refuse_filled(asked.to)
    score = pipeline.scores[asked.name]
    found = vintage(pipeline, target, score.of, asked.as_of)
    number = asked.which or str(_champion(pipeline, target, score.model, asked.as_of))
    with session(target, f"{pipeline.pipeline} {asked.name} as of {asked.as_of}") as spark:
        scorer = registered(pipeline, target, score.model, number, {})
        path = warehouse_of(pipeline, target).path(found.stage)
        rows = tables.read(spark, path, found.table.version())
        scored = scorer.score(rows, found.record.ended_at, score.explain)
        return {**_said(asked.name, found), "model_version": scorer.model_version, **_rows(scored, asked.to)}


def _champion(pipeline: Pipeline, target: Target, model: str, as_of: str) -> int:
    """The version that was promoted last by then."""
    history = History.of(warehouse_of(pipeline, target))
    by = moment_of(history, as_of)
    number = champion(history.by(by), f"models.{model}")
    if number is None:
        raise DataError(f"{model} had no champion by {by:%Y-%m-%d %H:%M:%S} UTC; name a version: --version")
    return number


def _said(name: str, found: Vintage) -> dict[str, Any]:
    """Which features: of which version, published when."""
    whole = found.summary()
    return {"stage": f"scores.{name}", "features": found.stage, "features_version": whole["version"],
            "published_at": whole["published_at"], "run": whole["run"]}  # fmt: skip


def _rows(scored: DataFrame, to: Path | None) -> dict[str, Any]:
    if to is None:
        return {"first_rows": [row.asDict(recursive=True) for row in scored.limit(MOST_ROWS).collect()]}
    scored.write.mode("append").parquet(to.absolute().as_uri())
    return {"rows": pads.dataset(to, format="parquet").count_rows(), "first_rows": []}
