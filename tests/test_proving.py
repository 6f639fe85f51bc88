"""What counts as the same answer; and a process that cannot answer is told from a model that answers wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from zipfile import ZipFile

import pytest

from pipelines.errors import PlatformError
from pipelines.run import prover, proving
from pipelines.run.prover import environment
from pipelines.run.proving import Asked, Proof, alike, alone, compared, prove
from pipelines.spec import Prices, Standalone, Target

ASKED = Asked("flights.late", 1, ("id",), "at")
ROW = {"id": "a", "score": 0.25, "shares": [0.25, 0.75], "by": {"x": 1.0}}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (ROW, True),
        ({**ROW, "score": 0.25 + 1e-10}, True),
        ({**ROW, "score": 0.25 + 1e-8}, False),
        ({**ROW, "shares": [0.25, 0.76]}, False),
        ({**ROW, "by": {"x": 1.0, "y": 1.0}}, False),
        ({**ROW, "id": "b"}, False),
        ({"id": "a"}, False),
    ],
)
def test_rows_are_alike_within_a_billionth(now, expected):
    assert alike(ROW, now) is expected
    assert compared([ROW], [now]).passed is expected


def test_two_answers_that_are_no_number_are_alike():
    assert alike(float("nan"), float("nan"))


def test_a_row_that_differs_is_named():
    assert compared([ROW, ROW], [ROW, {**ROW, "score": 0.5}]) == Proof(
        False, "row 1: score was 0.25 at training and is 0.5"
    )
    assert compared([ROW], []) == Proof(False, "it answered 0 rows of 1")


@pytest.fixture
def python(monkeypatch, tmp_path) -> Iterator[Callable[[str], None]]:
    """Has a script of the shell's stand for the Python that is started."""

    def stands(script: str) -> None:
        (tmp_path / "python").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "python").chmod(0o755)

    prover.end()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    yield stands
    prover.end()


def says(passed: str) -> str:
    """A script that answers each question, with its process id."""
    return f"""read settings; while read question; do echo '{{"passed": {passed}, "why": "'$$'"}}'; done"""


def test_what_came_before_the_process_read_is_answered(monkeypatch, tmp_path):
    """A Python that starts slowly finds the settings and the question at once."""
    (tmp_path / "slow.py").write_text("""
import time
from pipelines.run import prover
time.sleep(1)
answers, questions = prover.answers(), prover.questions()
for settings in questions:
    print("what a library says")
    for question in questions:
        answers.write(f"{settings.strip()} {question}")
""")
    monkeypatch.syspath_prepend(tmp_path)
    prover.end()
    prover.begin("slow", "settings")

    assert [prover.ask(q, 20) for q in ("one", "other")] == ["settings one\n", "settings other\n"]
    prover.end()


def test_who_stops_waiting_does_not_leave_an_answer_to_the_next_question(python, monkeypatch):
    python("""read settings; while read question; do sleep 1; echo "$question"; done""")
    prover.begin("any", "settings")
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    signal.setitimer(signal.ITIMER_REAL, 0.2)

    with pytest.raises(KeyboardInterrupt):
        prover.ask("one", 20)
    prover.begin("any", "settings")

    assert prover.ask("other", 20) == "other\n"


def test_a_process_that_cannot_start_is_the_platforms_fault(python):
    python("exit 1")

    with pytest.raises(PlatformError, match=r"flights\.late@1: a clean process ended with 1: said nothing"):
        prove(Target(), ASKED)


def test_a_process_that_does_not_answer_in_time_is_no_proof(python, monkeypatch):
    python("exec sleep 60")
    monkeypatch.setattr(proving, "LIMIT_S", 0.2)

    assert prove(Target(), ASKED) == Proof(False, "it did not answer within 0.2 s")


def test_one_process_serves_until_it_ends_or_a_session_is_to_be_another(python):
    python(says("true"))

    first = prove(Target(), ASKED)

    assert first.passed
    assert prove(Target(warehouse="/lake"), ASKED) == first
    other = prove(Target(driver_memory="3g"), ASKED)
    assert other != first
    os.kill(int(other.why), signal.SIGKILL)
    assert prove(Target(driver_memory="3g"), ASKED) not in (first, other)


def test_code_of_a_teams_own_is_loaded_by_one_process_once(python):
    python(says("true"))
    own = Target(extensions=("a_module",))

    assert prove(own, ASKED) != prove(own, ASKED)


def test_what_a_used_process_refuses_a_new_one_has_to_refuse_too(python, tmp_path):
    well, badly, used = (json.dumps({"passed": p, "why": why}) for p, why in ((True, ""), (False, "new"), (False, "")))
    python(f"""mkdir '{tmp_path}/first' && said='{well}' || said='{badly}'
read settings; read question; echo "$said"; read question; echo '{used}'""")

    assert prove(Target(), ASKED).passed
    assert prove(Target(), ASKED) == Proof(False, "new")


def test_a_used_process_that_dies_is_no_refusal(python, tmp_path):
    python("""read settings; read question; echo '{"passed": true, "why": "'$$'"}'; read question; exit 1""")

    first, second = prove(Target(), ASKED), prove(Target(), ASKED)

    assert (first.passed, second.passed, first == second) == (True, True, False)


def test_it_ends_with_its_parent(tmp_path):
    """Whatever ends it: nothing is told to the process."""
    (tmp_path / "python").write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid; {says('true')}; echo > {tmp_path}/ended\n")
    (tmp_path / "python").chmod(0o755)
    code = f"""
import os, signal, sys
from pipelines.run.proving import begin
from pipelines.spec import Target
sys.executable = "{tmp_path}/python"
begin(Target())
os.kill(os.getpid(), signal.SIGKILL)
"""

    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})

    assert done.returncode == -signal.SIGKILL
    limit = time.monotonic() + 10
    while not (tmp_path / "ended").exists():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_a_target_with_a_cluster_reaches_the_clean_process_whole():
    cluster = Standalone(kind="standalone", master="spark://m:7077")
    target = Target(master=None, submit=cluster, prices=Prices(usd_core_hour=Decimal("0.05")), warehouse="/lake")

    given = Target.model_validate_json(alone(target).model_dump_json())

    assert (given.master, given.submit, given.warehouse) == ("local[1]", None, "/lake")
    assert given.prices == target.prices


def test_the_clean_process_finds_spark_where_pyspark_is_a_zip_before_it(monkeypatch, tmp_path):
    """As in a container of YARN's."""
    monkeypatch.delenv("SPARK_HOME", raising=False)
    with ZipFile(tmp_path / "pyspark.zip", "w") as archive:
        archive.writestr("pyspark/__init__.py", "")
    (tmp_path / "site" / "pyspark" / "bin").mkdir(parents=True)
    (tmp_path / "site" / "pyspark" / "bin" / "spark-submit").touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "pyspark.zip"), str(tmp_path / "site")])

    assert environment()["SPARK_HOME"] == str(tmp_path / "site" / "pyspark")

    monkeypatch.setenv("SPARK_HOME", "/opt/spark")
    assert environment()["SPARK_HOME"] == "/opt/spark"
