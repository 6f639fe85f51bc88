"""How Airflow runs a conf's DAG: what `schedule` does not say."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pipelines.spec.base import Length, Spec

ASSET = r"^[a-z][a-z0-9_]{0,62}\.(tables|features|models|scores)\.[a-z][a-z0-9_]{0,62}$"
Asset = Annotated[str, Field(pattern=ASSET)]

Email = Annotated[str, Field(pattern=r"^[^@\s<>,;\"]{1,64}@[A-Za-z0-9.-]{1,255}$")]


def _day(text: str) -> str:
    try:
        datetime.strptime(text, "%Y-%m-%d")
    except ValueError:
        raise ValueError(f"should be a day such as 2026-03-01, got '{text}'") from None
    return text


class Airflow(Spec):
    """Everything has a default that fits; without the block, those hold."""

    after: tuple[Asset, ...] = Field(
        default=(), description="what of other pipelines, once all is published anew, starts a run: shop.tables.orders"
    )
    fuse: Literal["all"] | bool = Field(
        default=False,
        description="true: one spark-submit for tables and features, one for scores and monitors, a model has its own; "
        "all: one for everything, of the size that the largest of its work needs",
    )
    start: Annotated[str, AfterValidator(_day)] | None = Field(
        default=None, description="from this day (UTC) on every interval gets a run; null: only the newest"
    )
    retries: int = Field(default=2, ge=0, le=20, description="where another try can help")
    retry_delay: Length = Field(
        default=timedelta(minutes=1), description="before another try", json_schema_extra={"default": "1 minute"}
    )
    timeout: Length = Field(
        default=timedelta(hours=6), description="of one spark-submit", json_schema_extra={"default": "6 hours"}
    )
    email: tuple[Email, ...] = Field(
        default=(),
        description="who is written to when a task has failed for good, or a monitor says `retrain` or `investigate`",
    )
    deadline: Length | None = Field(
        default=None,
        description="who is in `email` is also written to when a run is not done this long after it was queued",
    )
    max_active_runs: int = Field(default=1, ge=1, le=16, description="of the DAG at a time")

    @model_validator(mode="after")
    def _told_to_someone(self) -> "Airflow":
        if self.deadline and not self.email:
            raise ValueError("deadline: somebody has to be told; name them in `email`")
        return self

    @property
    def since(self) -> datetime | None:
        """`start` as a moment."""
        return datetime.strptime(self.start, "%Y-%m-%d").replace(tzinfo=UTC) if self.start else None
