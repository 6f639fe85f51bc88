"""How the columns of a file differ from the schema that its source declares, and in which words. Pure.

A file that only has another order has not drifted. What becomes of one that
has is the source's policy, `on_schema_change`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

DRIFTED = "schema drift"  # how the reason of a refused row begins
MOST_NAMED = 5  # columns named in a sentence
MOST_LETTERS = 60  # of each
MOST_ADDED = 100  # columns that one file, or one batch of a topic, may bring
ADDABLE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")  # what a conf can name, but for '_', which is ours


@dataclass(frozen=True)
class Drift:
    """What a file has more, less and otherwise than the schema; false where that is nothing."""

    more: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()
    less: tuple[str, ...] = ()
    retyped: tuple[tuple[str, str, str], ...] = ()  # name, the file's type, the schema's
    near: tuple[str, ...] = ()  # names that are no drift, and may be meant by one that is less

    def __bool__(self) -> bool:
        return bool(self.more or self.twice or self.less or self.retyped)

    @property
    def grows(self) -> bool:
        """True where the file has all that the schema has, and more."""
        return bool(self.more) and not (self.twice or self.less or self.retyped)

    @property
    def words(self) -> str:
        """'has 'price', which the schema has not and lacks 'amount''."""
        said = (
            f"has {listed(self.more)}, which the schema has not" if self.more else "",
            f"has {listed(self.twice)} more than once" if self.twice else "",
            f"lacks {listed(self.less)}" if self.less else "",
            *[f"has {quoted(n)} as {found}, which the schema has as {meant}" for n, found, meant in self.retyped],
        )
        return " and ".join(part for part in said if part) + self._meant

    @property
    def _meant(self) -> str:
        for name in (*self.more, *self.near)[:MOST_NAMED]:
            same = [less for less in self.less if less.lower() == name.lower()]
            close = same or get_close_matches(name[:MOST_LETTERS], self.less, n=1, cutoff=0.6)
            if close:
                return f" (did you mean {quoted(close[0])} by {quoted(name)}?)"
        return ""


def between(found: Sequence[str], declared: Iterable[str]) -> Drift:
    """Names as a file has them, against the schema's; a name has to be the same letter for letter."""
    wanted = tuple(declared)
    twice = dict.fromkeys(name for name in found if found.count(name) > 1) if len(set(found)) < len(found) else ()
    more, less = dict.fromkeys(n for n in found if n not in wanted), (n for n in wanted if n not in found)
    return Drift(tuple(more), tuple(twice), tuple(less))


def listed(names: Sequence[str]) -> str:
    """'a', 'b', ... and how many more."""
    rest = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(map(quoted, names[:MOST_NAMED])) + rest


def quoted(name: str) -> str:
    """As it is written, shortened, no letter of it unseen."""
    return repr(name if len(name) <= MOST_LETTERS else f"{name[:MOST_LETTERS]}...")
