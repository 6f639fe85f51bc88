"""What every kind of source answers, and the words it is asked in."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from pipelines import pii
from pipelines.errors import DataError
from pipelines.spec import Source, Table, Target
from pipelines.state import Json

if TYPE_CHECKING:  # `plan` asks what is new and starts no engine
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Asked:
    """A streaming table that asks its source: what it took before, in this generation, oldest first."""

    stage: str
    table: Table
    name: str  # of the source
    source: Source
    target: Target
    taken: tuple[Json, ...] = ()
    anew: bool = False  # a full refresh: all that the source still holds is new
    allow_loss: bool = False  # and what it no longer holds may go


@dataclass(frozen=True)
class Counted:
    """What a witness other than Spark's scan counted of a batch."""

    rows: int  # to be read
    again: int = 0  # rows that came a second time and are not read
    found: dict[str, int] = field(default_factory=dict)  # counts of the kind's own, for the run record

    def as_counts(self) -> dict[str, int]:
        """The part of a run record's counts that a source decides; all came in, what came again is superseded."""
        return {"rows_in": self.rows + self.again, "superseded": self.again, **self.found}


@dataclass(frozen=True)
class Reading:
    """One batch as Spark will read it, and the witness of how much it is."""

    frame: "DataFrame"  # declared columns, those beside them, and the struct `_row` (ingest.py)
    expected: int  # rows, as far as is known before they are read
    witness: Callable[[int], Counted]  # asked once, with the rows that Spark wrote


class Kind(Protocol):
    """One kind of source: a module of this folder. To add one, write these five and name it in KINDS."""

    def news(self, asked: Asked) -> str:
        """What is new, in words for `plan`; '' for nothing. No JVM. Errors: SpecError, PlatformError."""

    def take(self, asked: Asked) -> dict[str, Json]:
        """What the next batch reads, fixed for the intent: JSON; `behind`: how much is left to those after it.

        Errors: DataError where it cannot be taken whole.
        """

    def stands(self, asked: Asked, batch: Json) -> bool:
        """Whether a batch that was taken and not yet read can still be read as it was; else it is taken anew."""

    def again(self, asked: Asked) -> dict[str, Json]:
        """A batch of all that was taken and can still be read as it was. Errors: SpecError where that is unknown."""

    def reading(self, asked: Asked, spark: "SparkSession", batch: Json) -> AbstractContextManager[Reading]:
        """A batch that was taken, as a frame; valid inside the context. Errors: DataError, PlatformError."""


def brought(batches: Iterable[Json]) -> list[str]:
    """The columns beyond the schema that some batches brought to their table, in the order in which they came."""
    return list(dict.fromkeys(name for batch in batches for name in batch.get("added", ())))


def keyed(asked: Asked, batch: Json) -> Json:
    """The same batch, with the mark of the key that its tokens are made with; of a source without pii as it is.

    Errors: PlatformError without a key; DataError for another than that of the batch, or of those before it.
    """
    if not asked.source.pii:
        return batch
    before = batch.get("key") or next((b["key"] for b in reversed(asked.taken) if "key" in b and not asked.anew), "")
    mark = pii.mark(pii.key())
    if before not in ("", mark):
        raise DataError(
            f"{asked.stage}: {pii.VARIABLE} is another key than the one that its tokens are made with; give that one, "
            f"or make it anew with this one: `lakeloom run --full-refresh {asked.stage}`"
        )
    return {**batch, "key": mark}


def losses(batch: Json) -> dict[str, int]:
    """What a full refresh lost as it was allowed to, as counts of a record."""
    return {f"lost_{what}": number for what, number in batch.get("lost", {}).items()}


def shape(source: Source) -> str:
    """A short hash of what decides a record's own hash: while it stays, the same record has the same."""
    return sha256(f"{source.ddl} {sorted(source.pii.items())}".encode()).hexdigest()[:12]


def counted(rows: int, noun: str) -> str:
    """'1 row', '2,000 rows'."""
    return f"{rows:,} {noun}{'' if rows == 1 else 's'}"
