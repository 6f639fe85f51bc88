"""Who is champion and who challenges, by the run records."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipelines.aliases import challenger, former, moves
from pipelines.state import Record

AT = datetime(2026, 1, 1, tzinfo=UTC)


def trained(version: int, passed: bool = True) -> Record:
    status = "ok" if passed else "refused"
    detail = {"version": version}
    return Record("p", "models.late", 0, version, "r", "d", status, AT, 1.0, detail=detail,
                  model_version=version if passed else None)  # fmt: skip


def moved(version: int, back: bool = False, reason: str = "") -> Record:
    detail = {"version": version, "moved": {"who": "ana", "reason": reason, "back": back}}
    return Record("p", "models.late", 0, 9, "r", "d", "ok", AT, 1.0, detail=detail, model_version=version)


def test_a_move_says_who_and_why():
    records = [trained(1), trained(2, passed=False), moved(2, reason="the gate is too strict"), moved(1, back=True)]

    records.append(replace(trained(4), status="failed"))  # it moved nothing

    assert [str(m) for m in moves(records)] == [
        "promoted: its gates passed",
        "promoted by ana: the gate is too strict",
        "rolled back by ana: no reason given",
    ]


@pytest.mark.parametrize(
    ("records", "now", "back_to"),
    [
        ([], 1, None),
        ([trained(1)], 1, None),  # the first
        ([trained(1), trained(2)], 2, 1),
        ([trained(1), trained(2), trained(3)], 3, 2),
        ([trained(1), trained(2), moved(1, back=True)], 1, 1),  # it was rolled back already
        ([trained(1), trained(2), moved(1, back=True), trained(3)], 3, 1),
        ([trained(1), trained(2, passed=False), trained(3)], 3, 1),  # version 2 never was champion
        ([trained(1), trained(2), moved(1)], 1, 2),  # promoted by hand, which is no rollback
    ],
)
def test_a_rollback_goes_to_the_champion_before_and_only_once(records, now, back_to):
    assert former(moves(records), now) == back_to


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([trained(1)], None),
        ([trained(1), trained(2, passed=False)], 2),
        ([trained(1), trained(2, passed=False), trained(3, passed=False)], 3),
        ([trained(1), trained(2, passed=False), trained(3)], 2),
        ([trained(1), trained(2, passed=False), moved(2)], None),
    ],
)
def test_the_challenger_is_the_last_refused_unless_it_became_champion(records, expected):
    assert challenger(records) == expected
