"""Rows over time where moments are shared: what stays does not hang on the order or on how refreshes were cut."""

import random
from itertools import groupby
from typing import Any

import pytest

from pipelines.versions import DELETES, FROM, GONE, HASH, STANDS, TO, history, newest

pytestmark = pytest.mark.spark

DDL = f"k string, at int, v string, {HASH} string, {DELETES} boolean, {STANDS} boolean"
Event = tuple[str, int, str, str, bool, bool]


def events(seed: int, count: int = 60) -> list[Event]:
    """Of three keys in six moments, so that most moments are shared; some are deletions, some come twice."""
    dice = random.Random(seed)
    made = []
    for number in range(count):
        gone = dice.random() < 0.3
        hashed = f"{'!' if gone and dice.random() < 0.5 else ''}{dice.randrange(16**6):06X}"
        made.append((dice.choice("abc"), dice.randrange(6), f"v{number}", hashed, gone, False))
    return [*made, *dice.sample(made, 5)]


def last(each: list[Event]) -> list[Event]:
    """Of one key, the event of each moment that counts, oldest first: that of the greatest hash."""
    ordered = sorted(each, key=lambda e: (e[1], e[3]))
    return [list(same)[-1] for _, same in groupby(ordered, key=lambda e: e[1])]


def worked_out(of: list[Event]) -> set[tuple[Any, ...]]:
    """(key, value, from, to) of every row."""
    found = set()
    for key in "abc":
        moments = last([e for e in of if e[0] == key])
        ends = [*(e[1] for e in moments[1:]), None]
        found |= {(key, e[2], e[1], end) for e, end in zip(moments, ends, strict=True) if not e[4]}
    return found


def shown(rows: Any) -> set[tuple[Any, ...]]:
    return {(r.k, r.v, r[FROM], r[TO]) for r in rows if not r[GONE]}


@pytest.mark.parametrize("seed", range(4))
def test_a_history_is_that_of_the_greatest_of_each_moment_in_any_order(frame, seed):
    of = events(seed)
    random.Random(seed + 100).shuffle(of)

    assert shown(history(frame(of, DDL), ["k"], "at").collect()) == worked_out(of)


@pytest.mark.parametrize("seed", range(4))
def test_a_history_in_two_refreshes_is_that_of_one(frame, seed):
    of = events(seed)
    early, late = of[:30], of[30:]
    first = [r for r in history(frame(early, DDL), ["k"], "at").collect() if not r[GONE]]
    standing = [(r.k, r[FROM], r.v, r[HASH], False, True) for r in first]
    buried = [e for e in early if e[4]]

    second = history(frame([*late, *buried, *standing], DDL), ["k"], "at").collect()

    assert shown(second) == worked_out(of)
    gone = {(r.k, r.v) for r in second if r[GONE]}
    assert gone == {(r.k, r.v) for r in first} - {(k, v) for k, v, *_ in worked_out(of)}


@pytest.mark.parametrize("seed", range(4))
def test_the_newest_is_the_greatest_of_the_last_moment(frame, seed):
    of = events(seed)

    found = {(r.k, r.v) for r in newest(frame(of, DDL), ["k"], "at").collect()}

    assert found == {(key, last([e for e in of if e[0] == key])[-1][2]) for key in "abc"}
