"""Which joined tables may have rows that came late for a feature table: by logs and run records, without a JVM.

A changed row is late if it counts before the newest feature row that is
published. The log tells it of new files by their least values; a commit that
changed or removed rows may always be late. What is late in truth the refresh
finds; where nothing may be, it does not look.
"""

from datetime import datetime, timedelta

from pipelines import log
from pipelines.plan import Stage, definition
from pipelines.spec import Feature, Pipeline, Table
from pipelines.state import History, Warehouse

TRUNCATED = timedelta(milliseconds=1)  # the log's statistics are whole milliseconds


def late(pipeline: Pipeline, warehouse: Warehouse, history: History, stage: Stage) -> dict[str, int]:
    """Joined table -> at most how many late rows it has; those without any left out. {} under `clock: arrival`.

    Cost: the commits of the joined tables since they were last read, and the statistics of the feature table.
    """
    feature, last = pipeline.features[stage.name], history.last(stage.id, "ok")
    if feature.clock == "arrival" or last is None or anew(pipeline, history, stage):
        return {}
    newest, found = horizon(feature, warehouse, history, stage), {}
    for table in feature.joined():
        read, path = last.inputs[f"tables.{table}"]["upto"], warehouse.path(f"tables.{table}")
        upto = history.published(f"tables.{table}")
        known = moments(feature, table, pipeline.tables[table])
        found[table] = log.known_before(path, read, upto if upto is not None else read, known, newest)
    return {table: rows for table, rows in found.items() if rows}


def horizon(feature: Feature, warehouse: Warehouse, history: History, stage: Stage) -> datetime | None:
    """No published feature row is newer (UTC); None where the log does not tell."""
    published = history.published(stage.id)
    newest = warehouse.newest(stage.id, published, feature.as_of_time) if published is not None else None
    return newest + TRUNCATED if newest else None


def anew(pipeline: Pipeline, history: History, stage: Stage) -> bool:
    """True where all feature rows have to be made: none are, their definition changed, or their spine was made anew."""
    last, spine = history.last(stage.id, "ok"), f"tables.{pipeline.features[stage.name].spine}"
    if last is None or last.definition != definition(pipeline, stage):
        return True
    if any(last.inputs.get(t, {}).get("generation", 0) < history.begun(t) for t in stage.needs):
        return True  # of another target's tables
    return bool(last.inputs[spine]["generation"] != history.generation(spine))


def moments(feature: Feature, name: str, table: Table) -> tuple[str, ...]:
    """The columns of a joined table at which its values become known."""
    of_as_of = [c for part in feature.as_of if part.table == name for c in part.columns]
    values = [*of_as_of, *(c for part in feature.windows if part.table == name for c in part.aggregates)]
    return tuple(dict.fromkeys(str(table.known(c)) for c in values))


def words(found: dict[str, int]) -> str:
    """'up to 12 late rows of weather'; '' for none."""
    return "; ".join(f"up to {rows:,} late row{'s' if rows > 1 else ''} of {table}" for table, rows in found.items())
