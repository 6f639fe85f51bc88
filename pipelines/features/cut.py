"""How little has to be read: the days of some spine rows, and the rows of a table that those can see.

A few changed rows may lie years apart. Their days become a handful of spans,
each a literal range, so that a table's files between them are passed over.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import reduce
from itertools import pairwise
from operator import or_

from pyspark.sql import Column
from pyspark.sql import functions as F

from pipelines.features.parts import ARRIVED, Events, groups
from pipelines.spec import Feature, Table

MOST_SPANS = 12
DAY, CALENDAR = timedelta(days=1), datetime.max - datetime.min
Span = tuple[datetime, datetime]  # UTC, [from, to)


def spans(days: Iterable[date], most: int = MOST_SPANS) -> list[Span]:
    """Days as at most so many spans that hold them all; only the widest gaps are left out."""
    ordered = sorted(set(days))
    if not ordered:
        return []
    gaps = sorted((pair for pair in pairwise(ordered) if pair[1] - pair[0] > DAY), key=lambda p: p[0] - p[1])
    kept = sorted(gaps[: most - 1])
    starts, ends = [ordered[0], *(b for _, b in kept)], [*(a for a, _ in kept), ordered[-1]]
    return [(_shifted(start, timedelta(0)), _shifted(end, DAY)) for start, end in zip(starts, ends, strict=True)]


def within_reach(feature: Feature, table: str, specs: dict[str, Table], of: Sequence[Span]) -> Column:
    """True for the rows of a table that spine rows of some spans can see, and for few others."""
    mine = [e for group in groups(feature, specs) for e in group.events if e.table == table]
    found = [_reached(e, specs[table], feature.clock, span) for e in dict.fromkeys(mine) for span in of]
    return reduce(or_, found, F.lit(False))


def _reached(events: Events, table: Table, clock: str, span: Span) -> Column:
    oldest, last = F.lit(_shifted(span[0], -(events.reach or CALENDAR))), F.lit(span[1])
    before = F.col(events.known_at) < last
    since = F.col(str(table.event_time) if events.from_event else events.known_at) >= oldest
    if clock == "event":
        return before & since
    arrived = F.col(ARRIVED)
    return before & (arrived < last) & (since if events.from_event else since | (arrived >= oldest))


def _shifted(moment: date, by: timedelta) -> datetime:
    """In UTC; at the ends of the calendar it stops."""
    start = moment if isinstance(moment, datetime) else datetime.combine(moment, time(), UTC)
    try:
        return start + by
    except OverflowError:
        return (datetime.min if by < timedelta(0) else datetime.max).replace(tzinfo=UTC)
