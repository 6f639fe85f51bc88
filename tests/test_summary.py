"""What a run did, in words and figures: every row accounted for, every metric beside its baseline."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipelines.errors import DataError
from pipelines.plan import Stage, Verdict
from pipelines.run.pipeline import Outcome
from pipelines.spec import TASKS, Target, load
from pipelines.state import Record
from pipelines.summary import overview_text, quality_text, summary, table_text

PIPELINE = load(Path(__file__).parent / "golden" / "delays.yml")
TARGET = Target(warehouse="/lake")
NOW = datetime(2013, 12, 1, 5, tzinfo=UTC)


def outcome(kind: str, name: str, error: str = "", **found) -> Outcome:
    verdict = Verdict(Stage(kind, name), True, "1 file")
    if error:
        return Outcome(verdict, error=DataError(error))
    return Outcome(verdict, Record("delays", f"{kind}.{name}", 0, 0, "r1", "d1", "ok", NOW, 2.4, **found))


FLIGHTS = outcome(
    "tables",
    "flights",
    counts={"rows_in": 1_010, "applied": 1_000, "superseded": 3, "quarantined": 5, "dropped": 2},
    detail={
        "reasons": {"malformed record": 4, "origin: not be null": 1},
        "expectations": [
            {"label": "rows", "on_fail": "fail", "success": True, "observed": "1,000 rows"},
            {
                "label": "arr_delay: not be null",
                "on_fail": "warn",
                "success": False,
                "observed": "9 of 10 rows unexpected",
            },
        ],
    },
)
MODEL = outcome(
    "models",
    "late_arrival",
    detail={
        "winner": "xgboost",
        "version": 3,
        "registered": "delays.late_arrival",
        "splits": {
            "train": {"rows": 700, "to": "2013-09-01"},
            "test": {"rows": 150, "from": "2013-10-16", "to": "2013-11-30"},
        },
        "task": "binary",
        "disguised": {"arr_delay": "its correlation with the label is 0.9999"},
        "test": {name: [0.71, 0.7, 0.72] for name in TASKS["binary"].metrics},
        "baseline": dict.fromkeys(TASKS["binary"].metrics, 0.5),
        "gates": [{"gate": "roc_auc at least 0.65", "passed": True, "why": "0.7100"}],
    },
)


def test_a_run_with_nothing_to_do_says_so():
    nothing = [Outcome(Verdict(Stage("tables", "flights"), False, "nothing new"))]

    text = summary(PIPELINE, TARGET, "conf/delays.yml", nothing)

    assert text == "delays: nothing to do; every stage has read all there is"


def test_every_row_of_a_table_is_accounted_for():
    view = outcome("tables", "busy", counts={"rows_in": 3, "applied": 3}, detail={"expectations": []})
    idle = Outcome(Verdict(Stage("tables", "weather"), False, "nothing new"))

    text = summary(PIPELINE, TARGET, "conf/delays.yml", [FLIGHTS, view, idle])

    assert text == (
        "delays: 2 of 3 stages ran in 5 s\n"
        "\n"
        "table              rows in      applied   superseded  quarantined      dropped\n"
        "flights              1,010        1,000            3            5            2\n"
        "                         4 refused: malformed record\n"
        "                         1 refused: origin: not be null\n"
        "                      warn  arr_delay: not be null: 9 of 10 rows unexpected\n"
        "busy                     3            3            0            0            0\n"
        "\n"
        "data      /lake/delays\n"
        "\n"
        "next      lakeloom show conf/delays.yml   |   lakeloom report conf/delays.yml"
    )


def test_metrics_stand_beside_their_baseline():
    lines = summary(PIPELINE, TARGET, "conf/delays.yml", [MODEL]).splitlines()

    assert lines[2:6] == [
        "model late_arrival: xgboost is version 3 of delays.late_arrival, champion",
        "  trained on 700 rows to 2013-09-01, judged on 150 rows from 2013-10-16 to 2013-11-30",
        "                         model  95% interval      baseline",
        "  roc_auc               0.7100  0.7000 to 0.7200    0.5000",
    ]
    assert "  gate passed: roc_auc at least 0.65: 0.7100" in lines
    told = "arr_delay tells the label by itself: its correlation with the label is 0.9999; is it known in time?"
    assert f"  {told}" in lines


def test_a_number_is_shown_in_its_own_metrics_and_the_large_shortened():
    test = {"rmse": [41.25, 40.0, 42.5], "mae": [12_345.678, 12_000.0, 13_000.0], "r2": [-0.1, -0.2, 0.0]}
    detail = {**MODEL.record.detail, "task": "regression", "test": test, "baseline": {"rmse": 43.0, "mae": 1.0}}

    lines = summary(PIPELINE, TARGET, "conf/delays.yml", [outcome("models", "late", detail=detail)]).splitlines()

    assert lines[4:8] == [
        "                         model  95% interval      baseline",
        "  rmse                 41.2500  40.0000 to 42.5000 43.0000",
        "  mae                 12,345.7  12,000.0 to 13,000.0  1.0000",
        "  r2                   -0.1000  -0.2000 to 0.0000        -",
    ]


def test_a_nets_training_is_told_with_what_ailed_it_and_that_its_steps_were_cut():
    epoch = {"loss": 0.4, "held_loss": None, "pieces": [1, 4]}
    ill = {"rule": "dead_units", "why": "40 of 64 hidden units answer 0"}
    told = {"epochs": [epoch], "ranks": 2, "stopped": "", "ailments": [ill]}
    detail = {**MODEL.record.detail, "training": told}

    text = summary(PIPELINE, TARGET, "conf/delays.yml", [outcome("models", "late_arrival", detail=detail)])

    assert "trained 1 epochs by 2 processes: loss 0.4000" in text
    assert "a step did not fit into memory, and was cut into 4 pieces" in text
    assert "dead_units: 40 of 64 hidden units answer 0" in text


def test_a_move_by_hand_says_whose_it_was():
    moved = {"who": "ana", "reason": "complaints", "back": True}
    record = replace(MODEL.record, model_version=3, detail={**MODEL.record.detail, "moved": moved})

    lines = summary(PIPELINE, TARGET, "conf/delays.yml", [replace(MODEL, record=record)]).splitlines()

    assert "  rolled back by ana: complaints" in lines


def test_scores_say_what_really_happened_where_it_is_known():
    truth = {"rows": 1_200, "roc_auc": 0.69, "average_precision": 0.42}
    first = outcome(
        "scores", "late_daily", counts={"scored": 27_000}, detail={"model_version": 3, "task": "binary", "truth": truth}
    )
    second = outcome(
        "scores", "late_live", counts={"scored": 0}, detail={"model_version": 3, "task": "binary", "truth": None}
    )

    lines = summary(PIPELINE, TARGET, "conf/delays.yml", [first, second]).splitlines()

    assert lines[2:4] == [
        "scores late_daily: 27,000 rows by version 3; against what happened (1,200 known): "
        "ROC AUC 0.6900, average precision 0.4200",
        "scores late_live: 0 rows by version 3",
    ]


def test_a_refused_stage_is_told_beside_those_that_ran():
    refused = outcome("tables", "weather", error="tables.weather: version 2 is not published: rows: observed 0 rows")

    lines = summary(PIPELINE, TARGET, "conf/delays.yml", [FLIGHTS, refused]).splitlines()

    assert "refused   tables.weather: version 2 is not published: rows: observed 0 rows" in lines


def test_a_run_of_which_every_stage_was_refused_says_what_was_refused():
    refused = outcome("tables", "weather", error="tables.weather: version 2 is not published: rows: observed 0 rows")

    text = summary(PIPELINE, TARGET, "conf/delays.yml", [refused])

    assert "nothing to do" not in text
    assert "refused   tables.weather: version 2 is not published: rows: observed 0 rows" in text.splitlines()


def test_the_overview_lines_up():
    flights = {"stage": "tables.flights", "status": "ok", "version": 4, "rows": 336_776, "at": "2013-12-01T05:00:00"}
    weather = {"stage": "tables.weather", "status": "never ran", "version": None, "rows": None, "at": None}
    lines = [{**line, "error": ""} for line in (flights, weather)]

    assert overview_text(lines).splitlines() == [
        "stage                       status      version        rows  at",
        "tables.flights              ok                4     336,776  2013-12-01T05:00:00",
        "tables.weather              never ran",
    ]


def test_a_table_shows_rows_without_our_own_columns():
    table = {
        "stage": "tables.flights",
        "path": "/lake/delays/tables/flights",
        "published_version": 4,
        "rows": 2,
        "columns": {"flight_id": "string", "_hash": "string"},
        "publications": [{"run": "20131201T050000-ab12cd", "version": 4, "at": 0, "rows": 2, "why": "1 new file"}],
        "versions": [
            {"version": 4, "at": 0, "operation": "MERGE", "rows": 2},
            {"version": 3, "at": 0, "operation": "x", "rows": None},
        ],
        "first_rows": [{"flight_id": "f1", "distance": None, "_hash": "00"}],
        "quarantine": {"rows": 1, "path": "/lake/q", "first_rows": [{"_reasons": ["a", "b"], "_record": "UA,,1"}]},
    }

    assert table_text(table).splitlines() == [
        "tables.flights: 2 rows, version 4 published",
        "path  /lake/delays/tables/flights",
        "published by run (newest first)",
        "  20131201T050000-ab12cd      4           2  1 new file",
        "versions (newest first)",
        "      4  MERGE              2",
        "      3  x                   ",
        "columns",
        "  flight_id                   string",
        "  _hash                       string",
        "first 1 row",
        "  flight_id=f1, distance=None",
        "quarantine: 1 row in /lake/q",
        "  a; b",
        "    UA,,1",
    ]


def judged(batch: int, label: str, on_fail: str, success: bool, percent: float | None, observed: str = "") -> dict:
    count = None if percent is None else int(percent * 100)
    return {
        "stage": "tables.flights", "generation": 0, "batch": batch, "at": NOW + timedelta(days=batch), "label": label,
        "on_fail": on_fail, "success": success, "unexpected_count": count, "unexpected_percent": percent,
        "observed": observed,
    }  # fmt: skip


def cells(label: str, on_fail: str, *refreshes: str) -> str:
    return label.ljust(52) + on_fail.ljust(11) + "".join(text.rjust(14) for text in refreshes)


def test_the_history_of_promises_lines_up_newest_right():
    rows = [
        judged(0, "gone: not be null", "warn", True, 0.0),
        *(judged(batch, "arr_delay: not be null", "warn", batch != 6, percent, "9 of 10 rows unexpected")
          for batch, percent in enumerate((0.0, 0.0, 0.05, 0.0, 2.7, None, 90.0))),
        judged(6, "origin: not be null", "quarantine", False, 12.5, "1 of 8 rows unexpected"),
        judged(5, "stopped: not be null", "warn", False, 9.0, "no longer promised"),
        judged(5, f"rows: {'x' * 60}", "fail", True, None),
        judged(6, f"rows: {'x' * 60}", "fail", False, None, "0 rows"),
    ]  # fmt: skip

    assert quality_text(sorted(rows, key=lambda r: r["batch"])).splitlines() == [
        "tables.flights: 4 promises over 7 refreshes",
        cells("promise", "on fail", *(f"{day:02} Dec 05:00" for day in range(3, 8))),
        cells("arr_delay: not be null", "warn", "ok < 0.1 %", "ok", "ok 2.7 %", "ok", "90.0 %"),
        cells("stopped: not be null", "warn", "", "", "", "9.0 %", ""),
        cells(f"rows: {'x' * 16}...{'x' * 25}", "fail", "", "", "", "ok", "broken"),
        cells("origin: not be null", "quarantine", "", "", "", "", "12.5 %"),
        "not kept in the last refresh",
        "  arr_delay: not be null: 9 of 10 rows unexpected",
        f"  rows: {'x' * 60}: 0 rows",
        "  origin: not be null: 1 of 8 rows unexpected",
    ]


def test_a_first_refresh_is_one():
    assert quality_text([judged(0, "a: not be null", "warn", True, 0.0)]).splitlines()[0].endswith("over 1 refresh")
