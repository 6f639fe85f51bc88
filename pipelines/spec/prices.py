"""A price sheet: what the people who deploy pay for a unit of each thing that a run uses."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from pipelines.spec.base import Spec

Price = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=9)]
FREE = Decimal(0)


class Prices(Spec):
    """US dollars, or whatever is meant by them; what is left out costs nothing."""

    usd_core_hour: Price = Field(default=FREE, description="of a core that an executor holds, busy or not")
    usd_gib_hour: Price = Field(default=FREE, description="of a GiB of memory that an executor holds")
    usd_gpu_hour: Price = Field(default=FREE, description="of a GPU that the cluster gives an executor")
    usd_gib_read: Price = Field(default=FREE, description="of a GiB that tasks read from storage")
    usd_gib_written: Price = Field(default=FREE, description="of a GiB that is added to tables")
    usd_gib_shuffled: Price = Field(default=FREE, description="of a GiB that executors hand each other")
    usd_gib_month: Price = Field(default=FREE, description="of a GiB that lies in the published tables")
    budget_usd: Price | None = Field(
        default=None, description="a run that would cost more, by what its stages cost before, is refused"
    )
