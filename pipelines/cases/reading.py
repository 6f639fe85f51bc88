"""What lies in a test's warehouse beside what the test expects there: both read into the types of the table.

Found rows are read by delta-rs, as `lakeloom show` does; expected ones by
Spark, which takes a written value for a column's type as it takes a source's.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructField, StructType

from pipelines.cases.comparing import Difference, difference
from pipelines.cases.finding import REASONS, Found
from pipelines.errors import SpecError
from pipelines.spec.case import Row
from pipelines.state import dataset

if TYPE_CHECKING:
    from deltalake import DeltaTable


@dataclass(frozen=True)
class Expected:
    """The rows that a test expects of one table."""

    what: str  # 'flights', 'quarantine of flights'
    place: tuple[str, str]  # in the test
    rows: Sequence[Row]
    columns: Mapping[str, str]  # that are compared, as the test names them -> as the table does


def differing(case: Found, expected: Expected, table: "DeltaTable | None", spark: SparkSession) -> Iterator[Difference]:
    """At most one. A table that is not there has no rows. Errors: SpecError for a value that does not fit its column.

    Cost: one Spark job over the expected rows.
    """
    found = _held(table, expected.columns) if table else []
    rows = _typed(case, expected, table, spark) if table and expected.rows else expected.rows
    at, names = case.at(*expected.place), tuple(expected.columns)
    made = difference(expected.what, at, names, _in_order(rows), _in_order(found), case.case.tolerance)
    yield from [made] if made else []


def own(table: "DeltaTable") -> tuple[str, ...]:
    """The columns that the conf made."""
    return tuple(f.name for f in table.schema().fields if not f.name.startswith("_"))


def _held(table: "DeltaTable", columns: Mapping[str, str]) -> list[Row]:
    read = dataset(table).to_table(columns=list(columns.values()))
    rows: list[Row] = read.rename_columns(list(columns)).to_pylist()
    return rows


def _in_order(rows: Sequence[Row]) -> list[Row]:
    """A row is refused for all its reasons at once."""
    return [{c: sorted(v, key=str) if c == REASONS and isinstance(v, list) else v for c, v in r.items()} for r in rows]


def _typed(case: Found, expected: Expected, table: "DeltaTable", spark: SparkSession) -> list[Row]:
    made = StructType.fromJson(json.loads(table.schema().to_json()))
    schema = StructType([StructField(name, made[column].dataType) for name, column in expected.columns.items()])
    lines = spark.createDataFrame([(json.dumps(row),) for row in expected.rows], "line STRING")
    typed: list[Row] = lines.select(F.from_json("line", schema).alias("row")).select("row.*").toArrow().to_pylist()
    for i, (written, read) in enumerate(zip(expected.rows, typed, strict=True)):
        for column in [c for c in written if not _taken(written[c], read[c])]:
            place, kind = (*expected.place, i, column), schema[column].dataType.simpleString().upper()
            said = f"is {kind} in the table, got {json.dumps(written[column])}"
            raise SpecError(f"{case.at(*place)}: {'.'.join(map(str, (*case.place, *place)))}: {said}")
    return typed


def _taken(written: object, read: object) -> bool:
    """False where a value was lost on the way, or rounded."""
    if written is None or read is None:
        return written is read
    return not isinstance(read, Decimal) or Decimal(str(written)) == read
