"""The report on a made-up year of flights: eleven months in a first run, December in a second."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from pipelines.report import report
from pipelines.spec import Pipeline, load
from pipelines.state import Record
from pipelines.told import Quality

CONF = """
pipeline: flights
description: Will this flight out of New York arrive 15 minutes late or more?
sources:
  airports_raw: {kind: files, format: csv, path: airports, schema: "faa STRING, name STRING"}
  planes_raw: {kind: files, format: csv, path: planes, schema: "tailnum STRING, seats INT"}
  weather_raw: {kind: files, format: csv, path: weather, schema: "origin STRING, time_hour TIMESTAMP, temp DOUBLE"}
  flights_raw: {kind: files, format: csv, path: flights, schema: "flight_id STRING, tailnum STRING, origin STRING, dest STRING, time_hour TIMESTAMP, arr_delay INT"}
tables:
  airports: {from: airports_raw, keys: [faa], select: "SELECT faa, name FROM airports_raw"}
  planes: {from: planes_raw, keys: [tailnum], select: "SELECT tailnum, seats FROM planes_raw"}
  weather: {from: weather_raw, keys: [origin, time_hour], event_time: time_hour, select: "SELECT origin, time_hour, temp FROM weather_raw"}
  flights:
    from: flights_raw
    keys: [flight_id]
    event_time: time_hour
    select: >
      SELECT f.flight_id, f.origin, f.dest, f.time_hour, f.arr_delay, p.seats FROM flights_raw f
      LEFT JOIN airports a ON a.faa = f.dest LEFT JOIN planes p ON p.tailnum = f.tailnum
features:
  departures:
    spine: flights
    keys: [flight_id]
    as_of_time: time_hour
    columns: [origin, dest, seats]
    as_of: [{table: weather, keys: [origin], within: 3 hours, columns: [temp]}]
models:
  late_arrival:
    features: departures
    label: arr_delay >= 15
    task: binary
    candidates: [{kind: logistic_regression}, {kind: xgboost}]
scores:
  late_arrival_daily: {model: late_arrival, of: departures, mode: batch}
  late_arrival_live: {model: late_arrival, of: departures, mode: stream}
"""  # noqa: E501
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = Path(next(filter(None, map(shutil.which, NAMES)), "/usr/bin/chromium"))
FIRST, SECOND = datetime(2013, 12, 1, 5, 0, 4, tzinfo=UTC), datetime(2014, 1, 1, 5, 0, 3, tzinfo=UTC)
RATE = 0.236  # of late arrivals
FALSE_POSITIVE = [i / 200 for i in range(201)]
ROC = [[x, x**0.42] for x in FALSE_POSITIVE]  # the area under it is 1 / 1.42 = 0.704
PR = [[y, RATE * y / (RATE * y + (1 - RATE) * x)] for x, y in ROC[1:]]
AIR_TIME, ARRIVAL = (
    "air_time: be between (min_value 10.0, max_value 1500.0)",
    "actual_arrival: pair values a to be greater than b (column_B actual_departure)",
)


def expectation(label: str, on_fail: str, observed: float) -> dict[str, object]:
    return {"label": label, "on_fail": on_fail, "success": True, "observed": observed}


def slice_(value: str, rows: int, positives: int, auc: float, ap: float) -> dict[str, object]:
    return {"value": value, "rows": rows, "positives": positives, "metrics": {"roc_auc": auc, "average_precision": ap}}


TRAINED = {
    "metric": "average_precision",
    "winner": "xgboost",
    "candidates": [
        {"kind": "xgboost", "params": {"rounds": 200, "depth": 6, "learning_rate": 0.1}, "seconds": 21.4,
         "validate": {"roc_auc": 0.7122, "average_precision": 0.4391, "f1": 0.4502, "log_loss": 0.4811}},
        {"kind": "logistic_regression", "params": {"regularization": 0.0001, "iterations": 50}, "seconds": 9.8,
         "validate": {"roc_auc": 0.6731, "average_precision": 0.3922, "f1": 0.4213, "log_loss": 0.5034}},
    ],
    "test": {
        "accuracy": [0.7031, 0.699, 0.7072], "precision": [0.3941, 0.387, 0.4012], "recall": [0.5562, 0.547, 0.5654],
        "f1": [0.4613, 0.454, 0.4686], "roc_auc": [0.7043, 0.6985, 0.7101],
        "average_precision": [0.4312, 0.4201, 0.4423], "log_loss": [0.4907, 0.486, 0.4954],
        "brier": [0.1601, 0.158, 0.1622],
    },
    "baseline": {"accuracy": 0.764, "precision": 0.0, "recall": 0.0, "f1": 0.0, "roc_auc": 0.5,
                 "average_precision": 0.236, "log_loss": 0.5466, "brier": 0.1803},
    "champion": None,
    "slices": {
        "origin": [slice_("EWR", 15102, 3911, 0.7102, 0.4561), slice_("JFK", 14210, 3010, 0.6931, 0.4012),
                   slice_("LGA", 13244, 3122, 0.7055, 0.4287)],
        "carrier": [slice_(c, 9000 - 550 * i, 2100 - 120 * i, 0.72 - 0.004 * i, 0.47 - 0.011 * i)
                    for i, c in enumerate(["UA", "B6", "EV", "DL", "AA", "MQ", "US", "9E", "WN", "VX"])],
    },
    "curves": {"roc": ROC, "pr": PR,
               "calibration": [[p, p * 0.94 + 0.01, n] for p, n in zip(
                   [0.06, 0.10, 0.13, 0.16, 0.19, 0.22, 0.26, 0.31, 0.40, 0.574], [4256] * 10, strict=True)]},
    "importance": [["departure_hour", 0.221], ["origin_dep_delay_avg_1h", 0.173], ["origin_dep_delay_max_6h", 0.121],
                   ["weather_precip", 0.093], ["month", 0.081], ["weather_visib", 0.064], ["carrier", 0.061],
                   ["weather_humid", 0.052], ["dest", 0.049], ["distance", 0.038], ["weekday", 0.024],
                   ["origin", 0.015], ["seats", 0.008]],
    "gates": [
        {"gate": "roc_auc at least 0.65", "passed": True, "why": "0.7043 (0.6985 to 0.7101)"},
        {"gate": "average_precision above the baseline", "passed": True,
         "why": "0.4312 (0.4201 to 0.4423) against 0.2360"},
        {"gate": "average_precision above the champion, 95% sure", "passed": True,
         "why": "no champion yet: the first to pass becomes it"},
    ],
    "splits": {
        "train": {"rows": 198614, "from": "2013-01-01 10:15:00", "to": "2013-08-16 19:00:00"},
        "validate": {"rows": 42560, "from": "2013-08-16 19:00:00", "to": "2013-10-06 12:45:00"},
        "test": {"rows": 42556, "from": "2013-10-06 12:45:00", "to": "2013-12-01 04:59:00"},
    },
    "unlabelled": 8382, "registered": "flights.late_arrival", "run_id": "5f0c1d2be9a14c0f9d1c4f6a7b8c9d0e",
}  # fmt: skip
HISTOGRAM = [310, 2240, 4930, 5310, 4402, 3120, 2190, 1570, 1130, 830, 610, 450, 330, 240, 170, 120, 80, 50, 30, 12]


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    (tmp_path / "flights.yml").write_text(CONF)
    return load(tmp_path / "flights.yml")


def table(
    name: str, version: int, rows: tuple[int, ...], reasons: dict[str, int] | None = None
) -> tuple[str, dict[str, object]]:
    keys = ("rows_in", "applied", "superseded", "quarantined", "dropped", "files", "duplicate_files")
    held = [expectation("arr_delay: not be null", "warn", 0.9723), expectation("rows: be between", "fail", 336331)]
    detail = {
        "reasons": reasons or {},
        "expectations": held if name == "flights" else [],
        "quarantine_path": f"warehouse/tables/{name}_quarantine",
    }
    said = {"published_version": version, "counts": dict(zip(keys, rows, strict=True)), "detail": detail}
    return f"tables.{name}", said


def a_run(id_: str, began: datetime, *stages: tuple[str, dict[str, object], float, str]) -> Iterator[Record]:
    for batch, (stage, said, seconds, why) in enumerate(stages):
        yield Record("flights", stage, 0, batch, id_, "0" * 16, "ok", began, seconds, why, **said)  # type: ignore[arg-type]
        began += timedelta(seconds=seconds + 0.2)


@pytest.fixture
def records() -> list[Record]:
    new, truth = "never ran before", {"rows": 27079, "roc_auc": 0.6952, "average_precision": 0.4521, "accuracy": 0.681}
    scores = {"model_version": 1, "histogram": HISTOGRAM, "truth": truth, "path": "warehouse/scores/late_arrival_daily"}
    first = a_run(
        "20131201T050004-4d1f", FIRST,
        (*table("airports", 0, (1458, 1455, 0, 3, 0, 1, 0), {"tzone: not be null": 3}), 3.1, new),
        (*table("planes", 0, (3322, 3319, 0, 3, 0, 1, 0), {"seats: be between (min_value 1.0)": 3}), 2.6, new),
        (*table("weather", 0, (23900, 23899, 0, 1, 0, 11, 0), {"wind_speed: be between (min_value 0.0)": 1}), 4.4, new),
        (*table("flights", 0, (308641, 308230, 96, 315, 0, 11, 1), {AIR_TIME: 301, ARRIVAL: 22}), 17.9, new),
        ("features.departures", {"counts": {"rows_in": 308230, "applied": 308230}, "published_version": 0}, 24.3, new),
        ("models.late_arrival", {"model_version": 1, "detail": TRAINED}, 48.6, new),
    )  # fmt: skip
    second = a_run(
        "20140101T050003-9b27", SECOND,
        (*table("weather", 1, (2215, 2215, 0, 0, 0, 1, 0)), 2.2, "1 new file"),
        (*table("flights", 1, (28135, 28101, 4, 30, 0, 1, 0), {AIR_TIME: 30}), 5.1, "1 new file"),
        ("features.departures", {"counts": {"rows_in": 28101, "applied": 28101}, "published_version": 1}, 7.8,
         "tables.flights has a new version"),
        ("scores.late_arrival_daily", {"counts": {"rows_in": 28101, "scored": 28101}, "published_version": 0,
                                       "detail": scores}, 6.4, "28,101 rows without a score"),
    )  # fmt: skip
    return [*first, *second]


def judged(label: str, on_fail: str, *percents: float | None, table: str = "flights") -> list[Quality]:
    """A promise over daily refreshes, broken where a percent is above 5; None counts no rows."""
    found = []
    for batch, percent in enumerate(percents):
        at = FIRST + timedelta(days=batch)
        rows = None if percent is None else 1000
        held, said = (percent or 0) <= 5, f"{percent} of 100" if rows else "9 rows"
        counted = (rows, None if percent is None else int(10 * percent), percent)
        who = ("flights", f"tables.{table}", f"r{batch}", 0, batch, at)
        found.append(Quality(*who, "expect", label, on_fail, None, "row", held, *counted, said))
    return found


@pytest.fixture
def quality() -> list[Quality]:
    noise = [abs((i * 37) % 11 - 4) / 3 for i in range(30)]
    rows = [
        *judged(AIR_TIME, "quarantine", *noise),
        *judged("arr_delay: not be null (mostly 0.9)", "warn", *noise[:20], 3, 4, 6, 9, 12, 8, 4, 2.5, 2.4, 2.2),
        *judged("rows: be between (min_value 1)", "fail", *[None] * 30),
        *judged("origin: not be null", "drop", *[0.0] * 30),
        *judged("tzone: not be null", "quarantine", 0.2, table="airports"),
    ]
    return sorted(rows, key=lambda q: (q.generation, q.batch))


def changed(records: list[Record], stage: str, **fields: object) -> list[Record]:
    """The records with one more after them: a stage's last attempt, a month later and changed."""
    last = next(r for r in reversed(records) if r.stage == stage)
    later = {"run_id": "20140201T050001-77aa", "started_at": datetime(2014, 2, 1, 5, 0, 1, tzinfo=UTC), **fields}
    return [*records, replace(last, **later)]  # type: ignore[arg-type]


class Page(HTMLParser):
    """What a reader, a browser and a screen reader take from a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())

    def of(self, tag: str, class_: str = "") -> list[dict[str, str | None]]:
        return [a for t, a in self.tags if t == tag and (not class_ or class_ in (a.get("class") or "").split())]


def test_the_verdict_names_champion_metrics_baseline_and_scores(pipeline: Pipeline, records: list[Record]) -> None:
    page = Page(report(pipeline, records))

    assert (
        "late_arrival v1 is champion: ROC AUC 0.704, average precision 0.431 against the naive baseline's 0.236; "
        "28,101 scores published."
    ) in page.text


def test_rows_of_a_table_are_summed_over_its_refreshes(pipeline: Pipeline, records: list[Record]) -> None:
    page = Page(report(pipeline, records))

    # 308,641 + 28,135 rows in; 308,230 + 28,101 applied; 96 + 4 superseded; 315 + 30 quarantined
    assert "flights 336,776 336,331 100 0 345 0 12 + 1 repeated ✓ balanced ✓ published" in page.text
    assert f"flights {AIR_TIME} 331 < 0.1 %" in page.text


def test_a_full_refresh_begins_the_sums_anew(pipeline: Pipeline, records: list[Record]) -> None:
    counts = {"rows_in": 336776, "applied": 336331, "superseded": 100, "quarantined": 345, "dropped": 0, "files": 12}

    page = Page(report(pipeline, changed(records, "tables.flights", generation=1, counts=counts)))

    assert "flights 336,776 336,331 100 0 345 0 12 ✓ balanced" in page.text


def test_rows_that_no_fate_accounts_for_are_shown(pipeline: Pipeline, records: list[Record]) -> None:
    counts = {"rows_in": 100, "applied": 80, "superseded": 1, "quarantined": 3, "dropped": 4, "files": 1}

    page = Page(report(pipeline, changed(records, "tables.flights", generation=1, counts=counts)))

    assert "✕ 12 unaccounted" in page.text


def test_a_refused_challenger_leaves_the_champion_and_says_why(pipeline: Pipeline, records: list[Record]) -> None:
    gate = {"gate": "roc_auc at least 0.65", "passed": False, "why": "0.6101 (0.6020 to 0.6182)"}
    asked = {
        "status": "refused",
        "model_version": 2,
        "error": "refused by 1 gate",
        "detail": {**TRAINED, "gates": [gate]},
    }

    page = Page(report(pipeline, changed(records, "models.late_arrival", **asked)))

    assert "late_arrival v1 is champion" in page.text
    assert "! refused models.late_arrival on 1 Feb 2014, 05:00 UTC: refused by 1 gate" in page.text
    assert "roc_auc at least 0.65: 0.6101 (0.6020 to 0.6182)" in page.text
    assert "late_arrival ✓ champion v1 ! last attempt refused" in page.text
    assert "What was published before still stands: v1." in page.text


def test_a_model_whose_gate_did_not_pass_is_not_champion(pipeline: Pipeline, records: list[Record]) -> None:
    gates = [{"gate": "roc_auc at least 0.65", "passed": False, "why": "0.6101 (0.6020 to 0.6182)"}]
    refused = [replace(r, detail={**TRAINED, "gates": gates}) if r.stage[0] == "m" else r for r in records]

    page = Page(report(pipeline, refused))

    assert "late_arrival has no champion yet." in page.text
    assert "✕ refused roc_auc at least 0.65 0.6101 (0.6020 to 0.6182)" in page.text


def test_the_page_says_who_holds_which_alias_and_since_when(pipeline: Pipeline, records: list[Record]) -> None:
    gate = {"gate": "roc_auc at least 0.65", "passed": False, "why": "0.6101 (0.6020 to 0.6182)"}
    refused = {"status": "refused", "model_version": None, "detail": {**TRAINED, "gates": [gate], "version": 2}}
    challenged = changed(records, "models.late_arrival", **refused)
    moved = {"who": "ana", "reason": "the gate is a slip", "back": False}
    asked = {"status": "ok", "model_version": 2, "detail": {**TRAINED, "gates": [gate], "version": 2, "moved": moved}}

    before, after = (
        Page(report(pipeline, r)) for r in (challenged, changed(challenged, "models.late_arrival", **asked))
    )

    assert "promoted: its gates passed challenger v2: refused by a gate" in before.text
    assert "champion v2: 1 Feb 2014, 05:00 UTC, promoted by ana: the gate is a slip" in after.text
    assert "challenger" not in after.text
    assert "late_arrival v2 is champion" in after.text


def test_a_search_shows_each_trial_with_its_number_and_its_share_of_rows(
    pipeline: Pipeline, records: list[Record]
) -> None:
    metrics = {"roc_auc": 0.7, "average_precision": 0.4, "f1": 0.4}
    line = {"kind": "xgboost", "seconds": 2.0, "validate": metrics}
    board = [
        {**line, "number": 3, "rows_share": 1.0, "params": {"depth": 5}},
        {**line, "number": 0, "rows_share": 1 / 3, "params": {"depth": 6}},
    ]

    page = Page(report(pipeline, changed(records, "models.late_arrival", detail={**TRAINED, "candidates": board})))

    assert "Trials On the validation slice, the best first; chosen by: Average precision" in page.text
    assert "xgboost 4 ✓ chosen depth 5" in page.text
    assert "xgboost 1 33.3 % of the rows; depth 6" in page.text
    assert page.text.count("✓ chosen") == 1


def test_every_name_and_value_is_escaped(pipeline: Pipeline, records: list[Record]) -> None:
    bad = "</title></style><script>alert(1)</script>\x00\"'&"
    slices = {bad: [slice_(bad, 10, 2, 0.7, 0.4)]}
    model = {**TRAINED, "slices": slices, "importance": [[bad, 1.0]], "winner": bad, "registered": bad, "run_id": bad}
    told = changed(records, "models.late_arrival", detail=model, why=bad)
    told = changed(told, "tables.flights", detail={"reasons": {bad: 1}, "quarantine_path": bad}, run_id=bad)
    told = changed(told, "tables.weather", status="failed", error=bad)

    html = report(pipeline.model_copy(update={"description": bad}), told, judged(bad, bad, 1.0, None))

    assert "<script" not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 12
    assert Page(html).of("script") == []


def test_the_page_fetches_nothing(pipeline: Pipeline, records: list[Record]) -> None:
    html = report(pipeline, records)
    page = Page(html)

    links = [value for _, attributes in page.tags for name, value in attributes.items() if name in ("href", "src")]
    assert set(links) == {"data:,", "#pipeline", "#quality", "#models", "#scores", "#lineage", "#runs"}
    assert not re.search(r"https?:|@import|url\(", html)
    assert len(html.encode()) < 300_000


def test_each_column_says_what_it_is_made_of(pipeline: Pipeline, records: list[Record]) -> None:
    text = Page(report(pipeline, records)).text

    assert "tables.flights, 6 columns" in text
    assert "weather_temp tables.weather.temp , tables.weather.origin" in text
    assert "the model features.departures.origin" in text


def bill(stage: str, **usd: str) -> dict[str, object]:
    """A stage as `spent` has it."""
    trend = [{"run": f"r{i}", "at": FIRST, "usd": D(usd["last"]) * i} for i in (1, 2)]
    return {
        "stage": stage, "runs": 2, "usd": D(usd["all"]), "trend": trend, "next_usd": None, "usd_a_thousand": None,
        "idle": 0.25, "half_usd": D(usd["half"]), "half_slower": 1.75, "usd_month": D("0.002"),
    }  # fmt: skip


def test_what_each_stage_cost_stands_beside_the_dearest(pipeline: Pipeline, records: list[Record]) -> None:
    costs = [
        bill("tables.flights", all="0.03", last="0.01", half="0.02"),
        bill("models.late_arrival", all="0.3", last="0.1", half="0.25"),
    ]
    idle = {**bill("tables.planes", all="0", last="0", half="0"), "runs": 0}

    html = report(pipeline, records, (), [*costs, idle])
    page = Page(html)

    assert "#cost" in [a.get("href") for a in page.of("a")]
    assert "in US dollars: 0.3300 in all, and 0.0040 a month" in page.text
    assert "tables.flights 2 0.030000" in page.text and "0.020000 1.8x" in page.text
    assert 'title="tables.planes: 0' not in html
    assert 'title="tables.flights: 0.030000 USD"><span class="fill" style="width:10.0%"' in html
    assert "tables.flights: 2 runs" in [a["aria-label"] for a in page.of("svg", "trend")]


def test_without_prices_nothing_is_said_of_cost(pipeline: Pipeline, records: list[Record]) -> None:
    assert 'id="cost"' not in report(pipeline, records)


def test_the_graph_has_each_node_once_and_every_edge_points_right(pipeline: Pipeline, records: list[Record]) -> None:
    html = report(pipeline, records)

    nodes = Page(html).of("g", "node")
    places = [str(n["transform"]) for n in nodes]
    ends = re.findall(r'<path d="M(\d+),.* (\d+),\d+"><title>(\S+) reads (\S+)</title>', html)
    assert len(nodes) == len(set(places)) == 12  # 4 sources, 4 tables, 1 feature table, 1 model, 2 scores
    assert len(ends) == 13
    assert all(int(left) < int(right) for left, right, *_ in ends)
    assert ("scores.late_arrival_live", "features.departures") in [(b, a) for *_, b, a in ends]


def test_an_edge_past_the_models_runs_through_none_of_them(pipeline: Pipeline, records: list[Record]) -> None:
    html = report(pipeline, records)

    path = re.search(r'd="([^"]*)"><title>scores.late_arrival_live reads features.departures<', html)
    model = re.search(r'translate\((\d+),(\d+)\)" role="img" aria-label="models late_arrival', html)
    assert path and model
    lane = re.search(rf" {model[1]},(\d+)H", path[1])  # where the edge enters the column of models
    assert lane
    assert not int(model[2]) <= int(lane[1]) <= int(model[2]) + 54  # a node is 54 pixels high


def test_each_promise_has_its_refreshes_in_a_row(
    pipeline: Pipeline, records: list[Record], quality: list[Quality]
) -> None:
    html = report(pipeline, records, quality)
    page = Page(html)

    assert [a["aria-label"] for a in page.of("svg", "trend")] == [
        "tzone: not be null: 1 refresh, 0 broken",
        f"{AIR_TIME}: 30 refreshes, 0 broken",
        "arr_delay: not be null (mostly 0.9): 30 refreshes, 4 broken",  # 6, 9, 12 and 8 percent are above 5
        "rows: be between (min_value 1): 30 refreshes, 0 broken",
        "origin: not be null: 30 refreshes, 0 broken",
    ]
    assert "arr_delay: not be null (mostly 0.9) warn" in page.text
    assert "2.2 % 12.0 %" in page.text  # the last, and the most
    assert "<title>25 Dec 2013, 05:00 UTC: 12 of 100</title>" in html


def test_a_promise_that_is_no_longer_made_has_no_trend(
    pipeline: Pipeline, records: list[Record], quality: list[Quality]
) -> None:
    gone = judged("dest: not be null", "warn", 1.0, 2.0)

    assert "dest: not be null" not in report(pipeline, records, sorted([*quality, *gone], key=lambda q: q.batch))


def test_every_drawing_has_a_name_and_every_table_has_headers(pipeline: Pipeline, records: list[Record]) -> None:
    html = report(pipeline, records)
    page = Page(html)

    assert [a for a in page.of("svg") if not a.get("aria-label")] == []
    assert [t for t in re.findall(r"<table.*?</table>", html, re.S) if '<th scope="col"' not in t] == []
    assert len(page.of("figure")) == 4  # ROC, precision and recall, calibration, histogram
    assert "<title>0.15 to 0.20: 5,310 rows</title>" in html
    assert "Dashed: base rate, 23.6 % of rows are positive." in page.text


def test_a_metric_that_could_not_be_had_is_a_dash(pipeline: Pipeline, records: list[Record]) -> None:
    slices = {"origin": [{"value": "EWR", "rows": 3, "positives": 0, "metrics": {"roc_auc": float("nan")}}]}

    page = Page(report(pipeline, changed(records, "models.late_arrival", detail={**TRAINED, "slices": slices})))

    assert "EWR 3 0.0 % — —" in page.text


def test_without_records_the_page_says_that_nothing_ran(pipeline: Pipeline, records: list[Record]) -> None:
    elsewhere = [replace(r, pipeline="trains") for r in records]

    page = Page(report(pipeline, elsewhere))

    assert "This pipeline has not run yet." in page.text
    assert page.text.count("○ not run") >= 8


def test_records_that_say_little_still_make_a_page(pipeline: Pipeline, records: list[Record]) -> None:
    bare = [replace(r, counts={}, detail={}, published_version=None, model_version=None) for r in records]

    page = Page(report(pipeline, bare))

    assert "ROC AUC —" in page.text


def test_the_order_of_the_records_does_not_matter(pipeline: Pipeline, records: list[Record]) -> None:
    assert report(pipeline, records[::-1]) == report(pipeline, records)


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
@pytest.mark.parametrize("width", [400, 1280])
def test_a_browser_shows_it_whole_and_silent(
    pipeline: Pipeline, records: list[Record], quality: list[Quality], tmp_path: Path, width: int
) -> None:
    file = tmp_path / "report.html"
    file.write_text(report(pipeline, records, quality))
    said: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url))
        page.goto(file.as_uri())
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        drawn = page.locator("g.node:visible").count()
        browser.close()

    assert said == [file.as_uri()]
    assert overflow == 0
    assert drawn == 12
