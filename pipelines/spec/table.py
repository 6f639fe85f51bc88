"""Tables: Delta tables that we make, and the promises each keeps."""

from typing import Literal

from pydantic import Field, model_validator

from pipelines.spec.base import Column, Name, Spec
from pipelines.spec.expectation import Expectation


class Table(Spec):
    """With `from` a streaming table (each refresh reads only what is new); without, a materialized view."""

    source: Name | None = Field(
        default=None, alias="from", description="the source whose new records each refresh reads"
    )
    keys: tuple[Column, ...] = Field(default=(), description="MERGE on these; without keys: append")
    sequence_by: Column | None = Field(
        default=None,
        description="of two rows with the same keys the greater stays; ties, and its absence, go by content hash",
    )
    stored_as_scd_type: Literal[1] = Field(default=1, description="1 keeps the newest row of a key")
    event_time: Column | None = Field(default=None, description="when the row happened in the world")
    known_at: dict[Column, Column] = Field(
        default={}, description="column -> the timestamp column at which it becomes known; event_time where unstated"
    )
    select: str = Field(description="one SELECT over the source and the pipeline's own tables (Spark SQL)")
    expect: tuple[Expectation, ...] = Field(default=(), description="promises, each with what a breach does")

    @model_validator(mode="after")
    def _coherent(self) -> "Table":
        if self.sequence_by and not self.keys:
            raise ValueError("sequence_by orders rows of the same keys, and there are no keys")
        if self.known_at and not self.event_time:
            raise ValueError("known_at needs event_time: the moment at which the other columns are known")
        if self.source is None and any(e.fused for e in self.expect):
            raise ValueError("a materialized view has no quarantine; on_fail can be warn or fail")
        return self

    def known(self, column: str) -> str | None:
        """The timestamp column at which `column` becomes known; None for a table without time.

        A moment that known_at names (actual_departure) is known at itself unless stated otherwise.
        """
        unstated = column if column in self.known_at.values() else self.event_time
        return self.known_at.get(column, unstated)
