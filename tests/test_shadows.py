"""Two versions that answered the same rows are laid side by side: counted by hand, from tables that delta-rs wrote."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from pipelines.shadows import apart
from pipelines.spec import Pipeline
from pipelines.state import Warehouse

FIRST, SECOND = (datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2))
CONF = Pipeline.model_validate(
    {
        "pipeline": "p",
        "features": {"f": {"spine": "t", "keys": ("id",), "as_of_time": "at", "columns": ("x",)}},
        "scores": {"live": {"model": "m", "of": "f", "mode": "stream", "shadow": True}},
    }
)
Row = tuple[int, datetime, int, float, bool]  # id, scored_at, version, score, predicted


@pytest.fixture
def warehouse(tmp_path):
    return Warehouse(str(tmp_path), "p")


def write(warehouse: Warehouse, part: str, rows: list[Row]) -> None:
    names = ("id", "scored_at", "model_version", "score", "predicted")
    table = pa.table([pa.array(column) for column in zip(*rows, strict=True)], names)
    write_deltalake(warehouse.path("scores.live", part), table.append_column("at", table["scored_at"]))


def test_rows_that_both_answered_in_one_batch_are_compared_whichever_was_champion(warehouse):
    answers = [
        (1, FIRST, 3, 0.50, True),
        (2, FIRST, 3, 0.25, False),
        (9, FIRST, 3, 0.9, True),
        (4, SECOND, 4, 0.5, True),
    ]
    write(warehouse, "", answers)
    write(warehouse, "shadow", [(1, FIRST, 4, 0.25, False), (2, FIRST, 4, 0.25, False), (4, SECOND, 3, 0.0, False)])

    found = apart(warehouse, CONF, "live", (3, 4))

    assert found == {"scores": "live", "rows": 3, "score": {"mean": 0.25, "most": 0.5}, "otherwise": 2}
    assert apart(warehouse, CONF, "live", (4, 3)) == found


def test_versions_that_never_met_are_not_compared(warehouse):
    assert apart(warehouse, CONF, "live", (3, 4)) is None
    write(warehouse, "", [(1, FIRST, 3, 0.5, True)])
    write(warehouse, "shadow", [(1, FIRST, 4, 0.5, True)])

    assert apart(warehouse, CONF, "live", (3, 5)) is None
