"""Finished trials: kept whole, found again, forgotten together."""

from datetime import UTC, datetime

from pipelines.state import Intent, Warehouse
from pipelines.trials import Kept

INTENT = Intent("flights", "models.late", 1, 3, "r1", "d", datetime(2026, 1, 1, tzinfo=UTC))


def kept(tmp_path) -> Kept:
    return Kept.of(Warehouse(str(tmp_path), "flights"), INTENT)


def test_what_is_kept_is_found_to_the_last_bit(tmp_path):
    trial = {"number": 3, "validate": {"roc_auc": 0.1 + 0.2}}

    kept(tmp_path).keep("0-3", trial)

    assert kept(tmp_path).find("0-3") == trial
    assert kept(tmp_path).find("0-4") is None
    assert [str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*") if p.is_file()] == [
        "flights/_trials/models.late/1.3/0-3.json"
    ]


def test_a_file_that_was_being_written_is_no_trial(tmp_path):
    kept(tmp_path).keep("0-0", {})
    (tmp_path / "flights/_trials/models.late/1.3/0-1.json.tmp").write_text('{"number": 1')

    assert kept(tmp_path).find("0-1") is None


def test_trials_are_forgotten_together(tmp_path):
    kept(tmp_path).clear()  # of nothing
    kept(tmp_path).keep("0-0", {})

    kept(tmp_path).clear()

    assert kept(tmp_path).find("0-0") is None
