"""Tables: Delta tables that we make, and the promises each keeps."""

from typing import Literal

from pydantic import Field, model_validator

from pipelines.spec.base import Column, Length, Name, Spec
from pipelines.spec.expectations import Expectation

HISTORY = ("valid_from", "valid_to")  # added by stored_as_scd_type: 2; valid_to is null for the present row


OnBreach = Literal["warn", "fail"]


class Freshness(Spec):
    """The newest row is no older than `within` when a batch begins."""

    within: Length = Field(description="by event_time; by the arrival of a row where a table has none")
    on_fail: OnBreach = Field(default="warn", description="what a breach does")


class Volume(Spec):
    """A refresh applies about as many rows as those before it."""

    min: float | None = Field(default=None, ge=0, description="times the median, at least")
    max: float | None = Field(default=None, gt=0, description="times the median, at most")
    over: int = Field(default=7, ge=3, le=1000, description="of this many refreshes before it; not judged until then")
    on_fail: OnBreach = Field(default="warn", description="what a breach does")

    @model_validator(mode="after")
    def _a_range(self) -> "Volume":
        if self.min is None and self.max is None:
            raise ValueError("needs min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"nothing lies between {self.min:g} and {self.max:g}")
        return self


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
    stored_as_scd_type: Literal[1, 2] = Field(
        default=1, description="1 keeps the newest row of a key; 2 keeps all, from `valid_from` until `valid_to`"
    )
    apply_as_deletes: str | None = Field(
        default=None, description="condition over the select's columns: such a record deletes its key"
    )
    snapshots: bool = Field(
        default=False,
        description="each value of `sequence_by` is a whole state of the source: a key that is missing was deleted",
    )
    event_time: Column | None = Field(default=None, description="when the row happened in the world")
    known_at: dict[Column, Column] = Field(
        default={}, description="column -> the timestamp column at which it becomes known; event_time where unstated"
    )
    select: str = Field(description="one SELECT over the source and the pipeline's own tables (Spark SQL)")
    expect: tuple[Expectation, ...] = Field(default=(), description="promises, each with what a breach does")
    freshness: Freshness | None = Field(default=None, description="how old the newest row may be")
    volume: Volume | None = Field(default=None, description="how many rows a refresh may bring")
    validated: bool = Field(
        default=False,
        alias="validate",
        description="Great Expectations too judges a version before it is published",
    )

    @model_validator(mode="after")
    def _coherent(self) -> "Table":
        if self.sequence_by and not self.keys:
            raise ValueError("sequence_by orders rows of the same keys, and there are no keys")
        if self.sequence_by is None and self.ordered:
            what = "stored_as_scd_type: 2" if self.stored_as_scd_type == 2 else "apply_as_deletes"
            what = "snapshots: true" if self.snapshots else what
            raise ValueError(f"{what} needs keys and sequence_by, which order the events of a key")
        if self.snapshots and self.apply_as_deletes:
            raise ValueError("snapshots say what was deleted by what they lack; apply_as_deletes is for events")
        if self.source is None and self.keys:
            raise ValueError("a materialized view is made whole; keys are for a table with `from`")
        if self.known_at and not self.event_time:
            raise ValueError("known_at needs event_time: the moment at which the other columns are known")
        if self.source is None and any(e.fused for e in self.expect):
            raise ValueError("a materialized view has no quarantine; on_fail can be warn or fail")
        if self.validated and not self.expect:
            raise ValueError("validate: true judges what expect promises, and it promises nothing")
        if self.source is None and self.freshness and not self.event_time:
            raise ValueError("freshness of a materialized view needs event_time; its rows do not arrive")
        return self

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns without which a row has no place: its keys, and where order decides more, its sequence."""
        moment = [self.sequence_by] if self.ordered and self.sequence_by else []
        return tuple(dict.fromkeys((*self.keys, *moment)))

    @property
    def ordered(self) -> bool:
        """Whether the order of a key's events decides more than which row is the newest."""
        return bool(self.apply_as_deletes) or self.stored_as_scd_type == 2 or self.snapshots

    @property
    def intervals(self) -> bool:
        """Whether an interval of it can be made anew: its rows follow from no others, and have a time."""
        return bool(self.source and self.event_time) and self.stored_as_scd_type == 1 and not self.snapshots

    def known(self, column: str) -> str | None:
        """The timestamp column at which `column` becomes known; None for a table without time.

        A moment that known_at names (actual_departure) is known at itself unless stated otherwise.
        """
        ended = self.stored_as_scd_type == 2 and column == HISTORY[1]  # by a later event, known at that event
        unstated = column if ended or column in self.known_at.values() else self.event_time
        return self.known_at.get(column, unstated)
