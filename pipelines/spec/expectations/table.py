"""Promises about the table: its columns, its number of rows, and what a query of it finds."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pipelines.spec.base import Column
from pipelines.spec.expectations.base import Conditional, Counts, Ends, Promise, Tier

SparkType = Literal[
    "BinaryType", "BooleanType", "ByteType", "ShortType", "IntegerType", "LongType", "FloatType", "DoubleType",
    "DecimalType", "StringType", "DateType", "TimestampType", "TimestampNTZType", "ArrayType", "MapType", "StructType",
    "NumericType", "IntegralType", "FractionalType", "AtomicType",
]  # fmt: skip
Names = Annotated[tuple[Column, ...], Field(min_length=1)]


class _Schema(Promise):
    tier: ClassVar[Tier] = "schema"


class RowCountBetween(Counts, Conditional):
    """The table has between min_value and max_value rows."""

    tier: ClassVar[Tier] = "log"


class RowCountEqual(Conditional):
    """The table has this many rows."""

    tier: ClassVar[Tier] = "log"
    value: int = Field(ge=0, lt=2**63)


class ColumnCountBetween(Ends):
    """The table has between min_value and max_value columns."""

    tier: ClassVar[Tier] = "schema"
    min_value: int | None = Field(default=None, ge=0)
    max_value: int | None = Field(default=None, ge=0)


class ColumnCountEqual(_Schema):
    """The table has this many columns."""

    value: int = Field(ge=0)


class ColumnsOrdered(_Schema):
    """The table's columns are these, in this order."""

    column_list: Names


class ColumnsSet(_Schema):
    """The table's columns are these, in any order."""

    column_set: Names
    exact_match: bool | None = Field(default=None, description="false: others may stand beside them")


class ColumnExists(_Schema):
    """The column is there."""

    column: Column
    column_index: int | None = Field(default=None, description="at this place, from 0; negative from the end")


class ColumnType(_Schema):
    """The column has this Spark type, such as IntegerType."""

    column: Column
    type_: SparkType


class ColumnTypeAmong(_Schema):
    """The column has one of these Spark types."""

    column: Column
    type_list: Annotated[tuple[SparkType, ...], Field(min_length=1)]


class UnexpectedRows(Promise):
    """A SELECT over {batch}, the table, finds no row."""

    tier: ClassVar[Tier] = "query"
    unexpected_rows_query: str = Field(min_length=1)
