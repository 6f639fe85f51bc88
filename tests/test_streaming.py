"""A loop of scores, as far as it is decided without an engine: what it runs, when it waits, what it refuses at once."""

from pathlib import Path

import pytest
from test_state import record

from pipelines.errors import DataError, PlatformError, SpecError
from pipelines.plan import Stage, Verdict
from pipelines.run.pipeline import Outcome
from pipelines.run.streaming import IDLE_S, TROUBLED_S, Pace, Round, _Waits, needed, rounds
from pipelines.spec import Target, load
from pipelines.state import Warehouse

CONF = load(Path(__file__).parents[1] / "conf" / "flights.yml")
TAKEN = {"flights_raw": {"files": 1, "behind": 3}}
IDLE = Round((), 0.1)
NOBODY = {"kind": "kafka", "brokers": "127.0.0.1:1"}
CLICKS = """
pipeline: p
sources: {raw: {kind: kafka, connection: events, topic: t, schema: "id INT, at TIMESTAMP, y BOOLEAN"}}
tables: {t: {from: raw, keys: [id], event_time: at, select: "SELECT id, at, y FROM raw"}}
features: {f: {spine: t, keys: [id], as_of_time: at, columns: [id]}}
models: {m: {features: f, label: y, task: binary, candidates: [{kind: logistic_regression}]}}
scores: {live: {model: m, of: f, mode: stream}}
"""


def outcome(stage: str, **found: object) -> Outcome:
    kind, name = stage.split(".")
    return Outcome(Verdict(Stage(kind, name), True, ""), record(0, stage=stage, **found))


def test_a_score_needs_the_tables_and_features_it_stands_on_in_their_order_and_no_model():
    stages = needed(CONF, "late_arrival_live")

    assert stages[-2:] == ("features.departures", "scores.late_arrival_live")
    assert sorted(stages[:-2]) == ["tables.airports", "tables.flights", "tables.planes", "tables.weather"]


def test_scores_that_are_not_there_are_named_with_those_that_are():
    with pytest.raises(SpecError, match="no scores 'late'; there is late_arrival_daily, late_arrival_live"):
        needed(CONF, "late")


def test_without_a_champion_nothing_is_begun(tmp_path):
    place = Target(warehouse=str(tmp_path), landing=str(tmp_path / "nowhere"))

    with pytest.raises(DataError, match="late_arrival has no champion to score with; `lakeloom run` trains one"):
        next(rounds(CONF, place, "late_arrival_live", print, Pace()))


def test_a_broker_that_does_not_answer_keeps_no_other_stage_from_its_work(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.intake.kafka.WAIT_S", 1)
    conf = tmp_path / "p.yml"
    conf.write_text(CLICKS)
    place = Target.model_validate({"warehouse": str(tmp_path), "connections": {"events": NOBODY}})
    Warehouse(str(tmp_path), "p").write(record(0, stage="models.m", model_version=1))

    (found,) = rounds(load(conf), place, "live", print, Pace())

    assert str(found.error).startswith("sources.raw: 127.0.0.1:1 does not answer: ")
    assert [o.verdict.stage.id for o in found.outcomes] == ["features.f", "scores.live"]
    assert not found.idle


def test_a_round_counts_what_came_from_sources_and_what_was_scored():
    found = Round(
        (
            outcome("tables.flights", inputs=TAKEN, counts={"rows_in": 10, "applied": 9}),
            outcome("tables.view", inputs={"tables.flights": {"upto": 1}}, counts={"rows_in": 9}),
            outcome("scores.live", inputs={"features.departures": {"upto": 1}}, counts={"rows_in": 9, "scored": 9}),
            Outcome(Verdict(Stage("tables", "planes"), False, "nothing new")),
        ),
        2.0,
    )

    assert (found.rows_in, found.scored, found.behind, found.idle) == (10, 9, {"flights_raw": 3}, False)
    assert IDLE.idle and not Round((), 0.1, PlatformError("no broker")).idle


def test_waits_grow_while_nothing_comes_and_begin_anew_after_work():
    waits, work = _Waits(), Round((outcome("tables.flights", inputs=TAKEN),), 2.0)

    idle = [waits.after(IDLE) for _ in range(8)]

    assert idle[:3] == [0.2, 0.4, 0.8]
    assert idle[-1] == IDLE_S[1] == 5.0
    assert waits.after(work) == 0.0
    assert waits.after(IDLE) == 0.2


def test_waits_after_trouble_are_longer_unless_another_stage_did_its_work():
    waits, trouble = _Waits(), Round((), 2.0, PlatformError("no broker"))

    found = [waits.after(trouble) for _ in range(8)]

    assert found[:3] == [1.0, 2.0, 4.0]
    assert found[-1] == TROUBLED_S[1] == 60.0
    partly = Round((outcome("tables.flights", inputs=TAKEN),), 2.0, DataError("refused"))
    assert [waits.after(partly), waits.after(partly)] == [1.0, 1.0]
