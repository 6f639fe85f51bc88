"""What can be known to be wrong with a source before an engine starts: columns that its kind cannot hold, or guard."""

from collections.abc import Iterator, Mapping

from pipelines.columns import near
from pipelines.spec import Files, Jdbc, Kafka, Source

Found = Iterator[tuple[tuple[str, ...], str]]  # (keys within the source, sentence)


def unholdable(source: Source, columns: Mapping[str, str]) -> Found:
    """What a kind of source can hold, and cannot; columns: of its schema, with their types."""
    nested = [c for c, kind in columns.items() if _nested(kind)]
    if isinstance(source, Files) and source.format == "csv" and nested:
        yield ("schema",), f"csv cannot hold column '{nested[0]}' ({columns[nested[0]]})"
    for column in source.beside:
        if column in [c.lower() for c in columns]:
            yield ("schema",), f"column '{column}' is what the source says of a record; name it otherwise"
    if isinstance(source, Jdbc):
        yield from _increment(source, columns)
    for column in source.optional if isinstance(source, Files | Kafka) else ():
        if column not in columns:
            yield ("optional",), f"no column '{column}'{near(column, columns)}"
    yield from _unguardable(source, columns)


def _nested(kind: str) -> bool:
    return "<" in kind or kind == "BINARY"


def _increment(source: Jdbc, columns: Mapping[str, str]) -> Found:
    if source.increment_by not in columns:
        yield ("increment_by",), f"no column '{source.increment_by}'{near(source.increment_by, columns)}"
    elif source.overlap and isinstance(source.overlap, int) != columns[source.increment_by].endswith("INT"):
        wanted = "a length such as '10 minutes'" if isinstance(source.overlap, int) else "a number such as 1000"
        kind = columns[source.increment_by]
        yield ("overlap",), f"behind {source.increment_by} ({kind}) should be {wanted}"
    if source.increment_by in source.pii:
        said = f"{source.increment_by} says which rows are new and is kept as it is; increment by another column"
        yield ("pii", source.increment_by), said


def _unguardable(source: Source, columns: Mapping[str, str]) -> Found:
    """Tags of what is not there, or has no text; and columns that nobody could tag."""
    known = {**columns, **{c: "STRING" for c in source.beside if c == "kafka_key"}}
    for column, how in source.pii.items():
        if column not in known:
            yield ("pii", column), f"no column '{column}'{near(column, known)}"
        elif how != "redact" and _nested(known[column]):
            yield ("pii", column), f"{known[column]} cannot be guarded by {how}; take redact"
    if source.pii and isinstance(source, Files | Kafka) and source.on_schema_change == "add_columns":
        said = "a column that is added could hold persons' data, and no `pii` guards it; take fail or quarantine"
        yield ("on_schema_change",), said
