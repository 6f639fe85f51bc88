"""The replay's conf has no flaw, and its table says what the monitors found."""

from pathlib import Path

import pytest
import replay

from pipelines.check import check
from pipelines.spec import load_lines

pytestmark = pytest.mark.spark


def window(name: str, version: int, true: float | None) -> dict[str, object]:
    found = {"true": [true, 0, 1] if true else None, "estimated": 0.68}
    return {"name": name, "model_version": version, "rows": 10, "labelled": 9, "performance": found}


def test_the_three_models_are_one_but_for_what_trains_them(tmp_path: Path):
    pipeline, lines = load_lines(replay.written(tmp_path, replay.CANDIDATE))

    check(pipeline, lines)

    assert tuple(pipeline.models) == tuple(pipeline.monitors) == replay.ARMS
    assert len({model.model_dump_json() for model in pipeline.models.values()}) == 1
    assert [bool(monitor.retrain) for monitor in pipeline.monitors.values()] == [False, False, True]


def test_a_month_has_a_line_once_every_arm_has_scored_it():
    april = {arm: window("April 2013", i + 1, 0.7 - i / 100) for i, arm in enumerate(replay.ARMS)}
    found = [{"monitor": arm, "windows": [april[arm]]} for arm in replay.ARMS]
    found[0]["windows"].append(window("May 2013", 1, 0.6))  # type: ignore[attr-defined]

    assert list(replay.table(found))[2:] == [
        "| April 2013 | 0.7000 (0.6800), v1 | 0.6900 (0.6800), v2 | 0.6800 (0.6800), v3 |"
    ]
