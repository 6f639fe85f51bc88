"""One model's life: trained, refused, promoted by hand, rolled back, proven, touched, made once more.

One story is told once; each test looks at one side of it.
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from e2e.parcels import arrive, parcels
from e2e.project import LIMIT_S, Project, Said, apart
from pipelines.crash import VARIABLE
from pipelines.outline import HANDED_ON
from pipelines.requestlog import RequestLog
from pipelines.spark import session
from pipelines.spec import Target

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parents[2]
STAGE, SCORES = "models.late", "scores.daily"
LATER = 2  # records of the last chapters: what waits, what was approved


@dataclass(frozen=True)
class Story:
    """What was said, where the aliases pointed afterwards, and which sessions that began were brief ones."""

    project: Project
    said: dict[str, Said]
    aliases: dict[str, dict[str, int]]
    brief: dict[str, list[bool]]

    def json(self, chapter: str) -> Any:
        """What a chapter printed."""
        assert self.said[chapter].error == ""
        return json.loads(self.said[chapter].out)


def chapters(project: Project) -> Iterator[tuple[str, Said]]:
    """Name and outcome of each command, in the order in which they are typed."""
    yield "trained", project.lakeloom("run")
    project.change(_harder)
    yield "refused", project.lakeloom("run")
    yield "unconfirmed", project.lakeloom("model promote", "@challenger")
    yield "promoted", project.lakeloom("model promote", "late@2", "--yes", "--reason", "the gate is a slip")
    yield "nothing", project.lakeloom("run")
    kill = {VARIABLE: f"before the run record @ {STAGE}"}
    yield "killed", project.lakeloom_apart("model rollback", "--reason", "complaints", **kill)
    yield "back", project.lakeloom("model rollback", "--reason", "other words")
    yield "back again", project.lakeloom("model rollback")
    arrive(project, 1)
    yield "plan", project.lakeloom("plan", "--format", "json")
    project.change(_explained)
    yield "next", project.lakeloom("run")
    first = project.records(SCORES)[0].run_id
    then = "score", "daily", "--as-of", first
    yield "then", project.lakeloom(*then, "--to", str(project.root / "then"), "--format", "json")
    yield "then by another", project.lakeloom(*then, "--version", "2", "--format", "json")
    yield "before", project.lakeloom("score", "daily", "--as-of", "2001-01-01")
    yield "list", project.lakeloom("model list", "--format", "json")
    yield "show", project.lakeloom("model show", "late@1", "--format", "json")
    yield "conf", project.lakeloom("model show", "--conf")
    yield "compare", project.lakeloom("model compare", "late@1", "@2", "--format", "json")
    yield "asked", project.lakeloom("model compare", "late@1", "@2", "--log", str(_asked(project)))
    yield "reproduced", project.lakeloom("reproduce", "late@1", "--format", "json")
    _touch(project)
    yield "touched", project.lakeloom("model promote", "late@2", "--yes")
    yield "touched show", project.lakeloom("model show", "@2")
    yield "proven", project.lakeloom("model verify", "late@champion", "--format", "json")
    project.change(_by_hand)
    yield "waits", project.lakeloom("run")
    yield "waits still", project.lakeloom("run", "--format", "json")
    door = [sys.executable, str(ROOT / "jobs" / "batch.py"), STAGE, str(project.conf), "--target", "local"]
    yield "handed on", apart(door, LIMIT_S)
    yield "approved", apart([*door, "--promote", "late@3", "Ada Lovelace"], LIMIT_S)


def _harder(conf: Any) -> None:
    conf["models"]["late"]["candidates"][0]["iterations"] = 6
    conf["models"]["late"]["gates"] = [{"metric": "roc_auc", "min": 0.999}]


def _explained(conf: Any) -> None:
    conf["scores"]["daily"]["explain"] = 1


def _by_hand(conf: Any) -> None:
    conf["models"]["late"] |= {"gates": [], "promotion": "by_hand"}


def _asked(project: Project) -> Path:
    """A sample of requests, that both versions answered."""
    log = RequestLog(project.root / "asked", 1.0)
    for version, scores in ((1, (0.25, 0.75)), (2, (0.125, 0.25, 0.375))):
        answers = [{"score": score, "predicted": score >= 0.5} for score in scores]
        log.add([{}] * len(scores), {"model": f"{project.name}.late", "version": version, "answers": answers})
    log.write()
    return log.folder


def _touch(project: Project) -> None:
    """One byte of the second version, as a person or a disk would change it."""
    runs = {v["version"]: v["run_id"] for v in json.loads(project.lakeloom("model list", "--format", "json").out)}
    folder = project.root / ".lakeloom" / "artifacts"
    made = [p for p in folder.rglob("sparkml/metadata/part-*") if not p.name.endswith(".crc")]
    mine = [p for p in made if runs[2] in str(p) or _of_run(p, runs[2])]
    (part,) = mine
    part.write_text(part.read_text().replace('"class"', '"klass"', 1))


def _of_run(part: Path, run: str) -> bool:
    """MLflow 3 keeps a model's files under an id of their own; MLmodel names the run."""
    described = part.parents[2] / "MLmodel"
    return described.exists() and run in described.read_text()


@pytest.fixture(scope="module")
def story(spark, tmp_path_factory: pytest.TempPathFactory) -> Story:
    project = parcels(tmp_path_factory.mktemp("parcels"))
    begun: list[bool] = []
    story = Story(project, {}, {}, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.spark.session", _overheard(begun))
        for name, outcome in chapters(project):
            story.said[name], story.aliases[name], story.brief[name] = outcome, project.models()[1], [*begun]
            begun.clear()
    return story


def _overheard(begun: list[bool]) -> Callable[..., Any]:
    def listening(target: Target, name: str, brief: bool = False) -> Any:
        begun.append(brief)
        return session(target, name, brief)

    return listening


def test_java_is_told_of_a_run_that_only_adds_a_little(story):
    assert story.brief["trained"] == story.brief["refused"] == [False]
    assert story.brief["nothing"] == []
    assert story.brief["next"] == [True]


def test_a_conf_without_gates_is_judged_by_baseline_champion_and_a_clean_process(story):
    trained = story.project.records(STAGE)[0]

    assert story.said["trained"].error == ""
    assert [(g["gate"], g["passed"]) for g in trained.detail["gates"]] == [
        ("average_precision above the baseline", True),
        ("average_precision above the champion, 95% sure", True),
        ("loaded again it scores the same", True),
        ("ONNX answers as Spark does", True),
        ("loads and scores in a clean process", True),
    ]
    assert trained.detail["gates"][-1]["why"] == "5 rows as at training"
    assert story.aliases["trained"] == {"champion": 1}


def test_a_refused_model_challenges_and_pays_for_no_proof(story):
    refused = story.project.records(STAGE)[1]

    assert story.said["refused"].code == 3
    assert story.aliases["refused"] == {"champion": 1, "challenger": 2}
    assert "loads and scores in a clean process" not in {g["gate"] for g in refused.detail["gates"]}


def test_what_a_gate_refused_is_not_promoted_unasked(story):
    assert story.said["unconfirmed"].code == 3
    assert story.said["unconfirmed"].error.startswith("parcels.late@2 was refused: roc_auc at least 0.999: 0.")
    assert story.said["unconfirmed"].error.endswith("; --yes promotes it all the same")
    assert story.aliases["unconfirmed"] == {"champion": 1, "challenger": 2}


def test_a_promotion_by_hand_is_recorded_with_who_and_why(story):
    record = story.project.records(STAGE)[2]

    assert story.said["promoted"].error == ""
    assert story.aliases["promoted"] == {"champion": 2}
    assert (record.status, record.model_version) == ("ok", 2)
    assert record.detail["moved"]["reason"] == "the gate is a slip"
    assert record.detail["moved"]["who"] != ""


def test_a_run_with_nothing_new_undoes_no_promotion(story):
    assert "nothing to do" in story.said["nothing"].out
    assert story.aliases["nothing"] == {"champion": 2}


def test_a_rollback_that_was_killed_is_finished_and_not_done_twice(story):
    assert story.said["killed"].code == -SIGKILL
    assert story.aliases["killed"] == {"champion": 1}  # and no record says so
    assert story.said["back"].error == ""
    assert story.project.records(STAGE)[3].detail["moved"]["reason"] == "complaints"


def test_a_rollback_goes_back_once(story):
    assert story.aliases["back"] == story.aliases["back again"] == {"champion": 1}
    assert story.said["back again"].error == ""
    assert "parcels.late: it is rolled back to version 1 already" in story.said["back again"].err
    assert len(story.project.records(STAGE)) == 4 + LATER


def test_scores_go_on_with_the_version_that_was_rolled_back_to(story):
    why = {v["stage"]: v["why"] for v in story.json("plan")}
    after = story.project.records(SCORES)[-1]

    assert story.said["next"].error == ""
    assert why[STAGE] == "nothing new"
    assert "after tables.parcels" in why["features.sendings"] or "went from version" in why["features.sendings"]
    assert after.why == "features.sendings went from version 0 to 1; scored by version 1"
    assert {r["model_version"] for r in story.project.rows(SCORES)} == {1}
    assert len(story.project.records(STAGE)) == 4 + LATER


def test_each_score_names_the_features_it_was_made_of_and_the_run_that_asked(story):
    first, *_, last = story.project.records(SCORES)
    said = {(r["features_version"], r["run"]) for r in story.project.rows(SCORES)}

    assert said == {(0, first.run_id), (1, last.run_id)}


def test_scores_tell_what_weighed_most_from_when_on_it_is_asked_for(story):
    rows = story.project.rows(SCORES)
    told = {r["parcel"]: r["contributions"] for r in rows if r["features_version"] == 1}

    assert {r["contributions"] for r in rows if r["features_version"] == 0} == {None}
    assert {len(parts) for parts in told.values()} == {1}
    assert sum(parts[0]["feature"] == "weight" for parts in told.values()) > 0.9 * len(told)


def test_what_was_answered_then_is_answered_again(story):
    found, published = story.json("then"), [r for r in story.project.rows(SCORES) if r["features_version"] == 0]
    again = {r["parcel"]: r["score"] for r in pq.read_table(story.project.root / "then").to_pylist()}

    assert (found["stage"], found["features_version"], found["model_version"]) == ("scores.daily", 0, 1)
    assert found["rows"] == len(again) == 1200
    assert published and all(again[r["parcel"]] == r["score"] for r in published)


def test_what_another_version_would_have_said_then(story):
    found = story.json("then by another")
    first = {r["parcel"]: r["score"] for r in pq.read_table(story.project.root / "then").to_pylist()}

    assert (found["features_version"], found["model_version"]) == (0, 2)
    assert len(found["first_rows"]) == 20 and all(first[r["parcel"]] != r["score"] for r in found["first_rows"])
    assert story.said["before"].code == 3 and "no version was published by 2001-01-01" in story.said["before"].error
    assert {o.run_id for o in story.project.intents(SCORES)} == {r.run_id for r in story.project.records(SCORES)}


def test_versions_are_listed_with_evidence(story):
    newest, oldest = story.json("list")

    assert [(v["version"], v["aliases"]) for v in (newest, oldest)] == [(2, []), (1, ["champion"])]
    assert oldest["reads"] == {"features.sendings": 0, "tables.parcels": 0}
    assert oldest["kind"] == "logistic_regression" and oldest["params"]["iterations"] == 5
    assert set(oldest["test"]["roc_auc"]) == set(story.project.records(STAGE)[0].detail["test"]["roc_auc"])
    assert len(oldest["gates"]) == 5


def test_a_version_shows_its_files_and_its_moves(story):
    shown = story.json("show")

    assert any(name.startswith("sparkml/stages/") for name in shown["files"])
    assert [(m["version"], m["back"], m["reason"]) for m in shown["moves"]] == [
        (1, False, "its gates passed"),
        (1, True, "complaints"),
    ]


def test_the_conf_of_a_version_is_yaml_that_loads(story):
    said = YAML(typ="safe", pure=True).load(story.said["conf"].out)

    (candidate,) = said["models"]["late"]["candidates"]
    assert {"kind": "logistic_regression", "regularization": 0.0001, "iterations": 5}.items() <= candidate.items()


def test_two_versions_of_the_same_rows_say_so(story):
    found = story.json("compare")

    assert found["same_rows"] is True
    assert [v["version"] for v in found["versions"]] == [1, 2]
    assert found["metrics"]["roc_auc"][0] == story.json("list")[1]["test"]["roc_auc"]


def test_two_versions_that_an_endpoint_asked_are_told_apart(story):
    shown = [line.split() for line in story.said["asked"].out.splitlines()]

    assert ["rows", "(requests)", "2", "(1)", "3", "(1)"] in shown
    assert ["mean", "score", "0.5000", "0.2500"] in shown
    assert ["decided", "true", "50.0%", "0.0%"] in shown


def test_a_version_is_made_once_more_to_the_last_bit(story):
    found = story.json("reproduced")

    assert (found["same"], found["tolerance"], found["same_rows"]) == (True, 0.0, True)
    assert all(f["was"] == f["is"] for f in found["metrics"].values())
    assert found["same_code"] and found["same_packages"]
    assert story.aliases["reproduced"] == {"champion": 1}
    assert story.project.models()[0] == 3  # registered: the two before, and what a later chapter trained


def test_a_model_of_which_a_file_was_touched_is_refused_by_name(story):
    for chapter in ("touched", "touched show"):
        assert story.said[chapter].code == 3
        assert "its files are not those of its training, so it is not loaded: sparkml/metadata/part-" in (
            story.said[chapter].error
        )
    assert story.aliases["touched"] == {"champion": 1}


def test_a_version_proves_itself_in_a_clean_process(story):
    found = story.json("proven")

    assert (found["model"], found["version"], found["passed"], found["why"]) == (
        "late",
        1,
        True,
        "5 rows as at training",
    )


def test_what_waits_for_a_person_is_challenger_and_no_failure(story):
    record = story.project.records(STAGE)[-2]

    assert story.said["waits"].code == 0 and story.aliases["waits"] == {"champion": 1, "challenger": 3}
    assert "is version 3 of parcels.late, challenger; it waits for `lakeloom model promote" in story.said["waits"].out
    assert (record.status, record.detail["waits"], record.model_version) == ("refused", "late@3", None)
    assert all(gate["passed"] for gate in record.detail["gates"])
    (still,) = [o for o in story.json("waits still") if o["stage"] == STAGE]
    assert not still["ran"] and "version 3 passed its gates and waits" in still["why"]


def test_what_a_try_before_this_one_could_not_hand_on_is_said_again(story):
    (line,) = [x for x in story.said["handed on"].err.splitlines() if x.startswith(HANDED_ON)]

    assert json.loads(line.removeprefix(HANDED_ON)) == {
        "now": {"waiting": [], "retrain": [], "said": []}, "before": {"waiting": ["late@3"], "retrain": [], "said": []}
    }  # fmt: skip


def test_an_approval_through_the_door_of_spark_submit_names_who_approved(story):
    record = story.project.records(STAGE)[-1]

    assert story.said["approved"].error == "" and story.aliases["approved"] == {"champion": 3}
    assert (record.status, record.model_version) == ("ok", 3)
    assert (record.detail["moved"]["who"], record.detail["moved"]["reason"]) == ("Ada Lovelace", "approved")
