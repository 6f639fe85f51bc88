"""Sources: what arrives. Each kind says where it lies and how it is read, never when.

What a source says of its pace (how much a batch takes, how far it looks back)
decides nothing about the rows that a table ends with: it can be changed
without making the table anew.
"""

from datetime import timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from pipelines.spec.base import Column, Name, Spec, length_of

FOLDER = r"^[A-Za-z0-9_=-]+([./][A-Za-z0-9_=-]+)*/?$"
Folder = Annotated[str, Field(pattern=FOLDER)]
Overlap = Annotated[
    timedelta | int,
    BeforeValidator(lambda given: _overlap_of(given)),
    PlainSerializer(
        lambda o: f"{int(o.total_seconds())} seconds" if isinstance(o, timedelta) else o, return_type=str | int
    ),
    WithJsonSchema({"type": ["string", "integer"], "minimum": 0, "examples": ["10 minutes", 1000]}),
]


def _overlap_of(given: object) -> timedelta | int:
    """'10 minutes', or a number that is not negative."""
    if isinstance(given, int) and not isinstance(given, bool):
        if given < 0:
            raise ValueError(f"should be 0 or more, got {given}")
        return given
    return length_of(given)


Guard = Literal["tokenize", "mask", "redact"]
Pii = Annotated[
    dict[Column, Guard],
    Field(
        description="column -> what becomes of persons' data in it before anything of a row is written: a keyed hash "
        "(the same for the same value, so that joins hold), letters as x and digits as 9, or null"
    ),
]


class Files(Spec):
    """A folder that files arrive in; each file is read once, known by its content."""

    kind: Literal["files"]
    format: Literal["csv", "json", "parquet"] = Field(description="csv has a header line; json is one object a line")
    path: Folder = Field(description="folder under the target's `landing` root; no '..', no hidden folder")
    ddl: str = Field(alias="schema", description="columns as Spark DDL: 'year INT, origin STRING'")
    pii: Pii = Field(default={})
    null: str = Field(default="", description="the text that stands for a missing value (csv)")
    on_schema_change: Literal["fail", "add_columns", "quarantine"] = Field(
        default="fail",
        description="a file whose columns are not the schema's stops the table, brings its new columns as text, or "
        "is refused row by row; keys beyond the schema (json) are ignored, added or refused; order is no change",
    )
    optional: tuple[str, ...] = Field(
        default=(), description="json: columns that a file may lack altogether, and which are null then"
    )
    most_files: int | None = Field(
        default=None, gt=0, description="a batch takes no more, those that were written first; the next goes on"
    )
    pace: ClassVar[frozenset[str]] = frozenset({"on_schema_change", "optional", "most_files"})

    @model_validator(mode="after")
    def _of_json(self) -> "Files":
        if self.optional and self.format != "json":
            raise ValueError(f"optional is of json, whose records may leave keys out; {self.format} names its columns")
        return self

    @property
    def beside(self) -> tuple[str, ...]:
        """Columns that a select may read beside those of the schema."""
        return ()


class Kafka(Spec):
    """A topic, from its earliest record on; each record is read once, known by its partition and offset."""

    kind: Literal["kafka"]
    connection: Name = Field(description="a `kind: kafka` connection of the target, which names the brokers")
    topic: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,249}$", description="its name")
    format: Literal["json"] = Field(default="json", description="a record's value is one JSON object")
    ddl: str = Field(alias="schema", description="columns of the value as Spark DDL: 'id INT, at TIMESTAMP'")
    pii: Pii = Field(default={})
    on_schema_change: Literal["fail", "add_columns", "quarantine"] = Field(
        default="fail",
        description="a key beyond the schema is ignored, becomes a column of text, or its record is refused; a key "
        "that its newest records lack stops the table, or each record without it is refused",
    )
    optional: tuple[str, ...] = Field(default=(), description="columns that records may lack, and which are null then")
    most_records: int | None = Field(default=None, gt=0, description="a batch takes no more; the next goes on")
    expired: Literal["refuse", "skip"] = Field(
        default="refuse", description="records that the topic dropped before they were read: stop, or count and go on"
    )
    pace: ClassVar[frozenset[str]] = frozenset({"on_schema_change", "optional", "most_records", "expired"})

    @property
    def beside(self) -> tuple[str, ...]:
        """Where a record stood; the key as text."""
        return "kafka_key", "kafka_partition", "kafka_offset", "kafka_timestamp"


class Jdbc(Spec):
    """A table of a database; each refresh reads the rows whose `increment_by` is greater than the greatest read."""

    kind: Literal["jdbc"]
    connection: Name = Field(description="a `kind: postgres` connection of the target")
    table: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}\.[A-Za-z_][A-Za-z0-9_]{0,62}$", description="schema.table"
    )
    increment_by: Column = Field(description="an integer, date or timestamp that only rises as rows are written")
    overlap: Overlap = Field(
        default=0,
        description="what lies this far behind the greatest value read is read again, for rows committed late: "
        "a length such as `10 minutes`, or a number",
    )
    ddl: str = Field(alias="schema", description="columns as Spark DDL; `increment_by` is one of them")
    pii: Pii = Field(default={})
    pace: ClassVar[frozenset[str]] = frozenset({"overlap"})

    @property
    def beside(self) -> tuple[str, ...]:
        """None."""
        return ()


class Delta(Spec):
    """A Delta table that others write; each refresh reads the versions committed since the last."""

    kind: Literal["delta"]
    path: Folder = Field(description="its folder under the target's `landing` root; no '..', no hidden folder")
    read: Literal["rows", "changes"] = Field(
        default="rows", description="rows of a table that is only appended to, or every change from its change feed"
    )
    ddl: str = Field(alias="schema", description="the columns that are read, as Spark DDL")
    pii: Pii = Field(default={})
    most_records: int | None = Field(
        default=None,
        gt=0,
        description="a batch takes no more, but one version at least; the next goes on; the first takes all",
    )
    pace: ClassVar[frozenset[str]] = frozenset({"most_records"})

    @property
    def beside(self) -> tuple[str, ...]:
        """What happened to a row (insert, update_preimage, update_postimage, delete), and in which version."""
        return ("change_type", "commit_version") if self.read == "changes" else ()


Source = Annotated[Files | Kafka | Jdbc | Delta, Field(discriminator="kind")]
