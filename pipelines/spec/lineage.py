"""Where OpenLineage events go: a file, or a server that takes them."""

from typing import Annotated, Literal

from pydantic import Field

from pipelines.spec.base import Spec
from pipelines.spec.connection import Secret


class LineageFile(Spec):
    """JSON lines, appended."""

    kind: Literal["file"]
    path: str = Field(description="the file; relative to the folder that holds `conf/`")


class LineageHttp(Spec):
    """A server that takes one event a request, such as Marquez; one that does not answer is told of, and run past."""

    kind: Literal["http"]
    url: str = Field(pattern=r"^https?://[^\s@]+$", description="such as https://marquez.example.com/api/v1/lineage")
    token: Secret | None = Field(default=None, description="`${env:NAME}`: sent as a bearer token")

    @property
    def variable(self) -> str:
        """The environment variable that the token is in."""
        return (self.token or "").removeprefix("${env:").removesuffix("}")


Lineage = Annotated[LineageFile | LineageHttp, Field(discriminator="kind")]
