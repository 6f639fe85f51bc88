"""Alerts: what somebody should hear of without looking, and where it is said."""

from typing import Literal

from pydantic import Field

from pipelines.spec.base import Spec
from pipelines.spec.connection import Secret

Event = Literal["retrain", "investigate", "unchecked", "refused"]


class Alerts(Spec):
    """A webhook that takes `{"text": ...}`, as Slack's do; one that does not answer is asked again by the next run."""

    url: Secret = Field(description="`${env:NAME}`: the address is the secret of a webhook")
    on: tuple[Event, ...] = Field(
        default=("retrain", "investigate", "unchecked", "refused"),
        min_length=1,
        description="what a monitor decides, and a stage that was refused by its promises or gates",
    )

    @property
    def variable(self) -> str:
        """The environment variable that the address is in."""
        return self.url.removeprefix("${env:").removesuffix("}")
