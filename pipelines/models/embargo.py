"""What is learned was known when the next slice begins.

A label that lies ahead is known one horizon after its row. Rows at the end of
the training slice would teach a model what happened while it is validated, and
those at the end of validation choose by what happened while it is judged. They
are left out, so each slice is asked of a model as the world will ask it.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines.errors import DataError
from pipelines.models.splits import Slices
from pipelines.spec import length_words


def embargoed(slices: Slices, time: str, horizon: timedelta) -> Slices:
    """Without the rows whose label became known after the next slice had begun. Cost: two small aggregates.

    Errors: DataError where a slice is shorter than the horizon.
    """
    begun = datetime.fromisoformat(slices.summary["validate"]["from"]).replace(tzinfo=UTC)
    summary = dict(slices.summary)
    kept = {}
    for name, end in (("train", begun), ("validate", slices.cutoff)):
        rows = getattr(slices, name)
        kept[name] = rows.where(F.col(time) + F.lit(horizon) <= F.lit(end))
        summary[name] = _counted(kept[name], name, time, horizon)
    return replace(slices, train=kept["train"], validate=kept["validate"], summary=summary)


def _counted(rows: DataFrame, name: str, time: str, horizon: timedelta) -> dict[str, Any]:
    day = F.to_date(time)
    found: Any = rows.agg(F.count("*").alias("rows"), F.min(day).alias("from"), F.max(day).alias("to")).first()
    if not found["rows"]:
        raise DataError(
            f"the slice to {name} is shorter than the horizon, {length_words(horizon)}; land more, or forecast less far"
        )
    return {"rows": found["rows"], "from": str(found["from"]), "to": str(found["to"])}
