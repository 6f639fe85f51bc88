"""Make a materialized view: whole, or by adding new rows to the groups of the version before.

Which of the two, waiting.added decides, before the intent, from the select and
the log of what it reads; the intent fixes it with all versions.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from pipelines import tables
from pipelines.columns import Additive, additive, replace_now
from pipelines.log import Commit
from pipelines.run.context import Context
from pipelines.run.selecting import plain, selected, sides
from pipelines.spec import Table
from pipelines.state import ADDED, Intent


def make(ctx: Context, table: Table, intent: Intent) -> Commit:
    """One commit. Cost: one query over all rows that the view reads, or over the new ones and its own groups."""
    select, transaction = replace_now(table.select, intent.now), ctx.transaction(intent, "view")
    if ADDED in intent.inputs:
        return tables.overwrite(_added(ctx, select, intent), ctx.path(), transaction)
    return tables.overwrite(selected(ctx.spark, select, sides(ctx, intent.inputs)), ctx.path(), transaction)


def _added(ctx: Context, select: str, intent: Intent) -> DataFrame:
    groups, onto = additive(select), intent.inputs[ADDED]
    assert isinstance(groups, Additive)
    read = f"tables.{groups.relation}"
    new = tables.changes(ctx.spark, ctx.warehouse.path(read), onto["after"], intent.inputs[read]["upto"])
    ctx.tell(f"adds what {groups.relation} gained after version {onto['after']}")
    found = selected(ctx.spark, select, {groups.relation: plain(new)})
    return combined(tables.read(ctx.spark, ctx.path(), onto["base"]), found, groups)


def combined(before: DataFrame, new: DataFrame, groups: Additive) -> DataFrame:
    """Groups of two sets of rows as those of both, in the columns and types of `before`. Cost: one shuffle of groups.

    A sum of floating point numbers may differ from one made whole in its last digits, as it does from run to run.
    """
    values = [F.expr(f"{how}(`{name}`)").alias(name) for name, how in groups.combined.items()]
    made = before.unionByName(new).groupBy(*[F.col(f"`{k}`") for k in groups.keys]).agg(*values or [F.lit(1)])
    return made.select(*[F.col(f"`{f.name}`").cast(f.dataType) for f in before.schema])
