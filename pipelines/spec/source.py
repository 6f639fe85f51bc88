"""Sources: what arrives. Each kind says where it lies and how it is read, never when."""

from typing import Literal

from pydantic import Field

from pipelines.spec.base import Spec


class Files(Spec):
    """A folder that files arrive in; each file is read once, known by its content."""

    kind: Literal["files"]
    format: Literal["csv", "json", "parquet"] = Field(description="csv has a header line; json is one object a line")
    path: str = Field(
        description="folder under the target's `landing` root; no '..', no hidden folder",
        pattern=r"^[A-Za-z0-9_=-]+([./][A-Za-z0-9_=-]+)*/?$",
    )
    ddl: str = Field(alias="schema", description="columns as Spark DDL: 'year INT, origin STRING'")
    null: str = Field(default="", description="the text that stands for a missing value (csv)")


Source = Files
