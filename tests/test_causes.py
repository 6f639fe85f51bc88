"""Where a drift comes from: the tables behind a feature, and the promise of theirs whose failures moved with it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.lineage import Graph, graph
from pipelines.monitor.causes import causes, with_causes
from pipelines.spec import load
from pipelines.state import Record
from pipelines.told import Quality

START = datetime(2024, 1, 1, tzinfo=UTC)
SINCE = START + timedelta(days=30)
CONF = """pipeline: p
sources:
  raw: {kind: files, format: csv, path: raw, schema: "id INT, place STRING, at TIMESTAMP, sold INT"}
  sky: {kind: files, format: csv, path: sky, schema: "place STRING, at TIMESTAMP, fahrenheit DOUBLE"}
tables:
  orders: {from: raw, keys: [id], sequence_by: at, event_time: at, select: 'SELECT id, place, at, sold FROM raw'}
  weather: {from: sky, event_time: at, select: 'SELECT place, at, (fahrenheit - 32) / 1.8 AS temp FROM sky'}
features:
  days:
    spine: orders
    keys: [id]
    as_of_time: at
    columns: [place]
    as_of: [{table: weather, keys: [place], within: 3 hours, columns: [temp]}]
"""


@pytest.fixture
def drawn(tmp_path: Path) -> Graph:
    (tmp_path / "p.yml").write_text(CONF)
    return graph(load(tmp_path / "p.yml"))


def promise(
    label: str, day: int, rows: int | None, broken: int | None, stage: str = "tables.weather", on_fail: str = "warn"
) -> Quality:
    at = START + timedelta(days=day)
    return Quality("p", stage, "r", 0, day, at, "e", label, on_fail, None, "row", not broken, rows, broken, None, "")


STEADY = [promise("place: not be null", day, 1_000, 20) for day in (1, 8, 40)]
WORSE = [promise("temp: be between", day, 1_000, broken) for day, broken in ((1, 5), (8, 5), (40, 120))]


def test_a_drift_names_its_columns_up_to_the_source_and_the_promise_that_moved_with_it(drawn):
    (found,) = causes(["weather_temp"], drawn, "features.days", [*STEADY, *WORSE], SINCE)

    assert found.columns == (
        "tables.weather.temp", "tables.weather.place", "sources.sky.fahrenheit", "sources.sky.place",
    )  # fmt: skip
    assert found.moved and (found.moved.promise, found.moved.before, found.moved.now) == (
        "temp: be between",
        0.005,
        0.12,
    )
    assert found.sentence == (
        "weather_temp comes from tables.weather.temp, tables.weather.place, sources.sky.fahrenheit, sources.sky.place; "
        "of tables.weather 12.0% of the rows break 'temp: be between', 0.5% before"
    )


def test_a_promise_of_the_feature_s_own_column_goes_before_one_that_moved_more(drawn):
    other = [promise("station: not be null", day, 1_000, broken) for day, broken in ((1, 0), (40, 900))]

    (found,) = causes(["weather_temp"], drawn, "features.days", [*other, *WORSE], SINCE)

    assert found.moved and found.moved.promise == "temp: be between"


@pytest.mark.parametrize(
    ("quality", "since"),
    [
        (STEADY, SINCE),
        ([promise("temp: be between", 1, 1_000, 5), promise("temp: be between", 40, 1_000, 11)], SINCE),  # too little
        ([promise("temp: be between", 1, 8, 0), promise("temp: be between", 40, 8, 2)], SINCE),  # chance
        ([promise("temp: be between", 40, 1_000, 120)], SINCE),  # nothing before
        (WORSE, None),
        ([promise("a table", 1, None, None), promise("a table", 40, None, None)], SINCE),  # counts no rows
        ([promise("temp: be between", day, 1_000, 0) for day in (1, 40)], SINCE),
        ([promise("sold: be between", day, 1_000, n, "tables.orders") for day, n in ((1, 5), (40, 120))], SINCE),
        ([], SINCE),
    ],
)
def test_what_did_not_move_or_lies_elsewhere_is_no_cause(drawn, quality, since):
    (found,) = causes(["weather_temp"], drawn, "features.days", quality, since)

    assert found.moved is None
    assert found.sentence.endswith("; no promise moved with it")


def window(month: int, *drifted: str) -> dict[str, Any]:
    start = datetime(2024, month, 1, tzinfo=UTC)
    return {"window": start.isoformat(), "name": f"{start:%B %Y}", "model_version": 1, "drifted": list(drifted)}


def test_the_slice_that_moved_stands_in_the_sentence(drawn):
    where = {"slice": "place = JFK", "psi": 0.9, "rows": 1_200, "elsewhere": 0.05}
    seen = {**window(2, "place"), "where": {"place": where}}
    decision = {"verdict": "investigate", "window": "February 2024", "reasons": []}

    found = with_causes({"windows": [seen], "decision": decision}, [], drawn, "features.days", [])

    assert found["windows"][0]["causes"][0]["where"] == where
    assert found["decision"]["causes"] == [
        "place comes from tables.orders.place, sources.raw.place; most where place = JFK (psi 0.90 of 1,200 rows, 0.05 "
        "elsewhere); no promise moved with it"
    ]


def test_refreshes_since_the_monitor_last_ran_without_the_window_brought_its_rows(drawn):
    before = [
        Record(
            "p", "monitors.w", 0, n, "r", "d", "ok", START + timedelta(days=day), 1.0, detail={"windows": [window(m)]}
        )
        for n, (day, m) in enumerate([(2, 1), (30, 1), (35, 2)])
    ]
    decision = {"verdict": "investigate", "window": "February 2024", "reasons": []}
    detail = {"windows": [window(2, "weather_temp")], "decision": decision}

    found = with_causes(detail, before, drawn, "features.days", [*STEADY, *WORSE])

    assert found["windows"][0]["causes"][0]["moved"]["promise"] == "temp: be between"
    assert found["decision"]["causes"] == [
        "weather_temp comes from tables.weather.temp, tables.weather.place, sources.sky.fahrenheit, sources.sky.place; "
        "of tables.weather 12.0% of the rows break 'temp: be between', 0.5% before"
    ]


def test_a_decision_on_a_window_that_this_batch_did_not_touch_keeps_its_causes(drawn):
    decision = {"verdict": "investigate", "window": "February 2024", "reasons": []}
    begun = [Record("p", "monitors.w", 0, 0, "r", "d", "ok", START + timedelta(days=30), 1.0)]
    first = with_causes(
        {"windows": [window(2, "weather_temp")], "decision": decision}, begun, drawn, "features.days", [*STEADY, *WORSE]
    )
    told = replace(begun[0], batch=1, started_at=START + timedelta(days=40), detail=first)

    later = with_causes({"windows": [window(3)], "decision": decision}, [*begun, told], drawn, "features.days", [])

    assert later["decision"]["causes"] == first["decision"]["causes"] != []
    assert "break 'temp: be between'" in first["decision"]["causes"][0]
