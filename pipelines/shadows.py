"""Two versions that answered the same rows, one in the other's shadow: how far their answers are apart. No engine."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.spec import Pipeline
from pipelines.spec.task import PREDICTED, SCORE
from pipelines.state import SHADOW, Warehouse, dataset

OTHER = "_other"  # after a column: of the second version


def apart(warehouse: Warehouse, pipeline: Pipeline, name: str, versions: tuple[int, int]) -> dict[str, Any] | None:
    """Of the rows that both answered in one batch; None where there are none. Cost: reads both tables.

    rows; score: mean and most of the distance of scores, where both are numbers; otherwise: rows with another decision.
    """
    one, other = versions
    both = [_paired(warehouse, pipeline, name, pair) for pair in ((one, other), (other, one))]
    there = [found for found in both if found is not None and found.num_rows]
    if not there:
        return None
    rows = pa.concat_tables(there, promote_options="default")
    distance = pc.drop_null(pc.abs(pc.subtract(rows[SCORE], rows[SCORE + OTHER])))
    decided = PREDICTED in rows.column_names
    return {
        "scores": name,
        "rows": rows.num_rows,
        "score": {"mean": pc.mean(distance).as_py(), "most": pc.max(distance).as_py()},
        "otherwise": pc.sum(pc.not_equal(rows[PREDICTED], rows[PREDICTED + OTHER])).as_py() if decided else None,
    }


def _paired(warehouse: Warehouse, pipeline: Pipeline, name: str, versions: tuple[int, int]) -> pa.Table | None:
    """Rows of the first version, as published, with the answers of the second, in its shadow."""
    feature = pipeline.features[pipeline.scores[name].of]
    published, beside = (
        _answers(warehouse, f"scores.{name}", p, v) for p, v in zip(("", SHADOW), versions, strict=True)
    )
    if published is None or beside is None:
        return None
    on = [*feature.keys, feature.as_of_time, "scored_at"]
    kept = [*on, *(c for c in (SCORE, PREDICTED) if c in published.column_names)]
    return published.select(kept).join(beside.select(kept), on, join_type="inner", right_suffix=OTHER)


def _answers(warehouse: Warehouse, stage: str, part: str, version: int) -> pa.Table | None:
    table = warehouse.delta(stage, part)
    return dataset(table).to_table(filter=pc.field("model_version") == version) if table else None
