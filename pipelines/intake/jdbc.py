"""A table of a PostgreSQL database as a source: each batch is a range of a column that only rises.

The upper bound is fixed in the intent. What is read is one snapshot of the
database: a connection that stays open exports it, counts the rows in it, and
Spark's own connections read in it. So the count is exact while others write.
A batch whose staging was complete is never read a second time, because a
database, other than a file or a topic, may have changed meanwhile.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any

from pipelines.columns import ddl
from pipelines.errors import DataError, PlatformError, SpecError
from pipelines.intake.base import Asked, Counted, Reading, counted, losses, shape
from pipelines.intake.servers import WAIT_S, connection, missing, secret
from pipelines.spec import Jdbc, Postgres
from pipelines.state import Json

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

FETCH = 10_000  # rows a round trip
WHOLE = ("smallint", "integer", "bigint")
TIMES = ("date", "timestamp without time zone", "timestamp with time zone")


def news(asked: Asked) -> str:
    """'12 new rows of orders_raw'. Cost: two counts by the increment; quick where it has an index."""
    with _connected(asked) as database:
        last = asked.taken[-1] if asked.taken and not asked.anew else {}
        kind = _kind(asked, database)
        new = _count(asked, database, _between(asked, kind, last.get("upto"), None))
        if new or last.get("upto") is None:
            return f"{counted(new, 'new row')} of {asked.name}" if new else ""
        tail = _count(asked, database, _tail(asked, kind, last["upto"]))
    late = tail != last["tail"]
    return (
        f"what lies behind the last row of {asked.name} changed from {last['tail']:,} to {tail:,} rows" if late else ""
    )


def take(asked: Asked) -> dict[str, Json]:
    """The range up to the greatest value there is. Errors: DataError where a row has none."""
    last = asked.taken[-1]["upto"] if asked.taken and not asked.anew else None
    with _connected(asked) as database:
        kind = _kind(asked, database)
        _refuse_null(asked, database)
        (upto,) = _row(database, f"SELECT max({_increment(asked)})::text FROM {_relation(asked)}")
        upto = last if upto is None else upto
        tail = _count(asked, database, _tail(asked, kind, upto)) if upto is not None else 0
    overlap = _source(asked).model_dump()["overlap"]
    return {
        "after": last,
        "upto": upto,
        "overlap": overlap,
        "type": kind,
        "tail": tail,
        "shape": shape(_source(asked)),
        "behind": 0,
    }


def stands(asked: Asked, batch: Json) -> bool:
    """True: a range is read as it is found."""
    return True


def again(asked: Asked) -> dict[str, Json]:
    """All rows up to the last that was taken, as the database has them now."""
    return {**asked.taken[-1], "after": None}


@contextmanager
def reading(asked: Asked, spark: "SparkSession", batch: Json) -> Iterator[Reading]:
    """The rows of the range in one snapshot, and their count in the same."""
    after, upto = batch["after"], batch["upto"]
    rows = _between(asked, batch["type"], after, upto, batch["overlap"]) if upto is not None else "false"
    with _connected(asked) as database:
        (snapshot,) = _row(database, "SELECT pg_export_snapshot()")
        count = _count(asked, database, rows)
        yield Reading(_frame(asked, spark, rows, str(snapshot)), count, lambda _: Counted(count, 0, losses(batch)))


def _source(asked: Asked) -> Jdbc:
    assert isinstance(asked.source, Jdbc)
    return asked.source


def _relation(asked: Asked) -> str:
    return ".".join(f'"{part}"' for part in _source(asked).table.split("."))


def _increment(asked: Asked) -> str:
    return f'"{_source(asked).increment_by}"'


@contextmanager
def _connected(asked: Asked) -> Iterator[Any]:
    """A connection in one read-only snapshot. Errors: PlatformError, in which no secret stands."""
    try:
        import psycopg
    except ImportError:
        raise missing("postgres", "psycopg") from None
    source = _source(asked)
    place = connection(asked, source.connection, Postgres)
    user, password = secret(source.connection, place.user), secret(source.connection, place.password)
    try:
        with psycopg.connect(
            place.url,
            user=user,
            password=password,
            sslmode=place.tls,
            connect_timeout=WAIT_S,
            application_name="lakeloom",
        ) as database:
            database.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            database.read_only = True
            database.execute("SET LOCAL TIME ZONE 'UTC'")
            database.execute("SET LOCAL datestyle TO 'ISO'")
            yield database
    except psycopg.Error as found:
        said = (str(found).strip().splitlines() or [type(found).__name__])[0].rpartition("FATAL:")[2].strip()
        said = said.replace(password, "***").replace(f'"{user}"', '"***"')
        raise PlatformError(f"connection {source.connection}: {place.url}: {said}") from None


def _row(database: Any, query: str, *values: object) -> Any:
    return database.execute(query, values or None).fetchone()


def _count(asked: Asked, database: Any, rows: str) -> int:
    return int(_row(database, f"SELECT count(*) FROM {_relation(asked)} WHERE {rows}")[0])


def _kind(asked: Asked, database: Any) -> str:
    """The type of the increment, as PostgreSQL calls it. Errors: SpecError."""
    source = _source(asked)
    schema, table = source.table.split(".")
    found = database.execute(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
        (schema, table),
    ).fetchall()
    held = dict(found)
    if not held:
        raise SpecError(f"sources.{asked.name}: {source.table} is not there, or its user may not read it")
    gone = [c for c in (source.increment_by, *ddl(source.ddl)) if c not in held]
    if gone:
        raise SpecError(f"sources.{asked.name}: {source.table} has no column '{gone[0]}'; it has {', '.join(held)}")
    kind = str(held[source.increment_by])
    if kind not in (*WHOLE, *TIMES):
        raise SpecError(
            f"sources.{asked.name}: increment_by {source.increment_by} is {kind}; an integer, date or timestamp rises"
        )
    if source.overlap and isinstance(source.overlap, timedelta) == (kind in WHOLE):
        wanted = "a number such as 1000" if kind in WHOLE else "a length such as '10 minutes'"
        raise SpecError(f"sources.{asked.name}: overlap behind {source.increment_by} ({kind}) should be {wanted}")
    return kind


def _refuse_null(asked: Asked, database: Any) -> None:
    """A row without an increment would never be read."""
    empty = f"SELECT EXISTS (SELECT FROM {_relation(asked)} WHERE {_increment(asked)} IS NULL)"
    if _row(database, empty)[0]:
        source = _source(asked)
        raise DataError(
            f"{asked.stage}: a row of {source.table} has no {source.increment_by}, so nothing says when it is new; "
            f"give it one, or make the column NOT NULL"
        )


def _between(asked: Asked, kind: str, after: str | None, upto: str | None, overlap: Json = 0) -> str:
    """The condition of a range: behind `after` less the overlap, up to `upto`; both literals are the database's own."""
    conditions = [f"{_increment(asked)} IS NOT NULL"]
    if after is not None:
        conditions.append(f"{_increment(asked)} > {_literal(after, kind, overlap)}")
    if upto is not None:
        conditions.append(f"{_increment(asked)} <= {_literal(upto, kind)}")
    return " AND ".join(conditions)


def _tail(asked: Asked, kind: str, upto: str) -> str:
    """What the next batch would read again; nothing where there is no overlap."""
    overlap = _source(asked).model_dump()["overlap"]
    return _between(asked, kind, upto, upto, overlap) if overlap else "false"


def _literal(value: str, kind: str, overlap: Json = 0) -> str:
    if not set(value) <= set("0123456789-+:. BCadfinty"):  # a number, a time, 'infinity'
        raise DataError(f"'{value[:60]}' is no {kind}")
    literal = f"'{value}'::{kind}"
    if not overlap:
        return literal
    return f"({literal} - {int(overlap)})" if kind in WHOLE else f"({literal} - interval '{overlap}')"


def _frame(asked: Asked, spark: "SparkSession", rows: str, snapshot: str) -> "DataFrame":
    """One statement in the snapshot; a value that its declared type cannot hold makes the row malformed."""
    from pyspark.sql import functions as F

    from pipelines.ingest import CORRUPT, shaped

    source = _source(asked)
    columns = ddl(source.ddl)
    place = connection(asked, source.connection, Postgres)
    named = ", ".join(f'"{n}"' for n in columns)
    raw = (
        spark.read.format("jdbc")
        .option("driver", "org.postgresql.Driver")
        .option("url", f"jdbc:{place.url}")
        .option("user", secret(source.connection, place.user))
        .option("password", secret(source.connection, place.password))
        .option("sslmode", place.tls)
        .option("query", f"SELECT {named} FROM {_relation(asked)} WHERE {rows}")
        .option("fetchsize", FETCH)
        .option("preferTimestampNTZ", "true")
        .option("sessionInitStatement", _IN_SNAPSHOT.format(snapshot))
        .load()
    )
    typed = [F.col(f"`{n}`").try_cast(kind).alias(n) for n, kind in columns.items()]
    whole = F.to_json(F.struct(*[F.col(f"`{n}`") for n in columns]))
    held = raw.select(*typed, F.when(_lost(columns), whole).alias(CORRUPT))
    return shaped(held, source, F.lit(f"{source.connection}/{source.table}"), F.col(CORRUPT))


_IN_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SET TRANSACTION SNAPSHOT '{}'"


def _lost(columns: dict[str, str]) -> "Column":
    """True where a value is there, and is none of the declared type."""
    from pyspark.sql import functions as F

    each = [F.col(f"`{n}`").isNotNull() & F.col(f"`{n}`").try_cast(kind).isNull() for n, kind in columns.items()]
    return reduce(lambda a, b: a | b, each)
