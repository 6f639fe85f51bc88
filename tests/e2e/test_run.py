"""The product's own conf on a few days of real flights: run, run again, the next month arrives, a gate refuses.

One story is told once; each test looks at one side of it.
"""

import csv
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from e2e.project import Project, Said, flights, land_flights

pytestmark = pytest.mark.spark

STAGES = [
    *("tables.airports", "tables.planes", "tables.weather", "tables.flights", "features.departures"),
    *("models.late_arrival", "scores.late_arrival_daily", "scores.late_arrival_live", "monitors.late_arrival_watch"),
]
SCORES = ("scores.late_arrival_daily", "scores.late_arrival_live")
RAGGED = "2013,4,1,too,few\n"
NOWHERE = (  # its distance breaks a promise of the conf
    "2013,4,1,900,900,0,1000,1000,0,UA,9001,N1,EWR,IAH,60,9,9,0,2013-04-01T13:00:00Z\n"
)
TOO_NEAR = "distance: be between (min_value 50.0, max_value 6000.0)"


@dataclass(frozen=True)
class Story:
    """What was said and what lay there after each chapter."""

    project: Project
    first: Said
    again: Said
    april: Said
    refused: Said
    files_before: dict[str, tuple[int, int]]
    files_after: dict[str, tuple[int, int]]
    models_before: tuple[int, dict[str, int]]
    models_in_april: tuple[int, dict[str, int]]
    scores_of_first: set[str]
    rows_in_april: dict[str, list[dict[str, object]]]
    restored: Said


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    project = flights(tmp_path_factory.mktemp("story"))
    land_flights(project, months=(1, 2, 3), days=(1, 2))
    first = project.lakeloom("run")
    models_before, files_before = project.models(), project.files()
    scores_of_first = {r["flight_id"] for r in project.rows("scores.late_arrival_daily")}
    again = project.lakeloom_apart("run", JAVA_HOME="/nowhere")
    files_after = project.files()
    land_flights(project, months=(4,), days=(1, 2))
    with (project.landing / "flights" / "flights-2013-04.csv").open("a") as file:
        file.write(RAGGED + NOWHERE)
    april = project.lakeloom("run")
    models_in_april = project.models()
    project.change(_out_of_reach)
    refused = project.lakeloom("run", "--select", "models.late_arrival")
    rows_in_april = {stage: project.rows(stage) for stage in STAGES if not stage.startswith(("models.", "monitors."))}
    rows_in_april["quarantine"] = project.rows("tables.flights", "quarantine")
    restored = project.lakeloom("restore", "tables.flights", "--to", project.records("tables.flights")[0].run_id)
    said = (first, again, april, refused, files_before, files_after, models_before, models_in_april)
    return Story(project, *said, scores_of_first, rows_in_april, restored)


def _out_of_reach(conf) -> None:
    conf["models"]["late_arrival"]["gates"] = [{"metric": "roc_auc", "min": 0.999}]


def landed(project: Project, name: str) -> list[dict[str, str]]:
    """Records of a feed, by Python's own reader, ragged ones left out."""
    files = sorted((project.landing / name).glob("*.csv"))
    records = [row for file in files for row in csv.DictReader(file.read_text().splitlines())]
    return [r for r in records if None not in r.values()]


def flight_id(record: dict[str, str]) -> str:
    hour = datetime.fromisoformat(record["time_hour"]).strftime("%Y%m%d%H")
    return "-".join([hour, record["carrier"], record["flight"], record["origin"]])


def test_one_command_goes_from_files_to_scores(story):
    assert (story.first.code, story.first.error) == (0, "")
    assert {r.stage for r in story.project.records()} == set(STAGES)
    assert story.models_before == (1, {"champion": 1})


def test_a_second_run_writes_no_file_starts_no_jvm_and_says_why(story):
    assert (story.again.code, story.again.error) == (0, "")  # JAVA_HOME leads nowhere
    assert story.files_after == story.files_before
    assert [line.split(maxsplit=1) for line in story.again.err.splitlines()] == [[s, "nothing new"] for s in STAGES]
    assert story.again.out == "flights: nothing to do; every stage has read all there is\n"


def test_of_the_landing_folder_only_the_new_month_is_read(story):
    batches = [i.inputs["flights_raw"]["files"] for i in story.project.intents("tables.flights") if not i.generation]

    assert story.april.code == 0
    assert [[Path(f["path"]).name for f in files] for files in batches] == [
        ["flights-2013-01.csv", "flights-2013-02.csv", "flights-2013-03.csv"],
        ["flights-2013-04.csv"],
    ]
    assert len(story.project.intents("tables.airports")) == 1


def test_new_rows_alone_train_no_model(story):
    assert story.models_in_april == story.models_before
    assert "models.late_arrival          nothing new" in story.april.err


def test_batch_and_stream_give_the_same_scores_to_the_last_bit(story):
    april = {flight_id(r) for r in landed(story.project, "flights") if r["month"] == "4" and r["distance"] != "9"}
    daily, stream = (story.rows_in_april[stage] for stage in SCORES)
    batch = [r for r in daily if r["flight_id"] in april]

    assert sorted(r["flight_id"] for r in stream) == sorted(april)  # each once
    assert {r["flight_id"]: (r["score"], r["predicted"], r["model_version"]) for r in stream} == {
        r["flight_id"]: (r["score"], r["predicted"], r["model_version"]) for r in batch
    }
    assert len(batch) == len(april)


def test_each_refresh_records_where_every_row_went(story):
    for name in ("airports", "planes", "weather", "flights"):
        counts = [r.counts for r in story.project.records(f"tables.{name}") if r.generation == 0]
        ragged = name == "flights"
        assert sum(c["rows_in"] for c in counts) == len(landed(story.project, name)) + ragged
        for c in counts:
            assert c["rows_in"] == c["applied"] + c["superseded"] + c["quarantined"] + c["dropped"]
        assert sum(c["applied"] for c in counts) == len(story.rows_in_april[f"tables.{name}"])
        refused = story.rows_in_april["quarantine"] if ragged else story.project.rows(f"tables.{name}", "quarantine")
        assert sum(c["quarantined"] for c in counts) == len(refused)


def test_a_refused_row_keeps_its_reasons_and_its_record(story):
    refused = {tuple(r["_reasons"]): r["_record"] for r in story.rows_in_april["quarantine"]}

    assert set(refused) == {("malformed record",), (TOO_NEAR,)}
    assert refused["malformed record",] == RAGGED.strip()
    assert '"flight":9001' in refused[TOO_NEAR,]


def test_features_are_made_of_the_new_spine_rows_only(story):
    spines = [i.inputs["tables.flights"] for i in story.project.intents("features.departures")]

    assert [(s["after"], s["upto"]) for s in spines[:2]] == [(-1, 0), (0, 1)]
    assert len(story.rows_in_april["features.departures"]) == len(story.rows_in_april["tables.flights"])


def test_a_closed_gate_leaves_the_champion_and_ends_with_3(story):
    assert story.refused.code == 3
    assert story.refused.error.startswith("models.late_arrival: version 2 is not promoted: roc_auc at least 0.999: 0.")
    assert story.project.models() == (2, {"champion": 1, "challenger": 2})
    assert [r.status for r in story.project.records("models.late_arrival")] == ["ok", "refused"]


def test_a_restored_table_takes_features_and_scores_back_with_it(story):
    assert (story.restored.code, story.restored.error) == (0, "")
    features = {r["flight_id"] for r in story.project.published("features.departures")}
    daily, live = ({r["flight_id"] for r in story.project.rows(stage)} for stage in SCORES)

    assert features == {r["flight_id"] for r in story.project.published("tables.flights")}
    assert daily == story.scores_of_first
    assert live == set()  # it had scored April alone
    assert story.rows_in_april["scores.late_arrival_live"] != []
